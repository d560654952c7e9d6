//! A thread's way to the flusher: its producer and its counters.

use std::borrow::Cow;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use super::{Core, LossReason, Thread, fork};
use crate::clock::Reading;
use crate::hand_over::{NoRoom, Producer};
use crate::ids::Generator;
use crate::open::OpenSpan;
use crate::record::{Attribute, Callsite, Details, Given, MOST_SIDE_BY_SIDE, Site, Slot, SpanRecord};
use crate::sampling::{self, Rate};
use crate::segment::{Segment, Trace, TraceRef};

/// What one thread counts. Written by that thread only, so a load and a store do, and no thread waits for
/// another's cache line.
#[derive(Debug, Default)]
pub(crate) struct LaneCounters {
    started: AtomicU64,
    ended: AtomicU64,
    /// Ended and not sent, by those reasons that are known when a span starts.
    unsent: [AtomicU64; LossReason::UNSENT],
}

impl LaneCounters {
    /// Started, ended and unsent. Relaxed: the numbers are exact once their writers are quiet.
    pub(super) fn read(&self) -> (u64, u64, [u64; LossReason::UNSENT]) {
        // Ends before starts, so that a reader never sees more ends than starts.
        let ended = self.ended.load(Ordering::Acquire);
        let unsent = std::array::from_fn(|reason| self.unsent[reason].load(Ordering::Acquire));
        (self.started.load(Ordering::Relaxed), ended, unsent)
    }
}

impl LaneCounters {
    /// Those of another lane's that is gone, or new ones. They live as long as the process, so that a thread can keep a plain
    /// reference to its own; there are never more of them than there were lanes at once.
    pub(super) fn take() -> &'static Self {
        let free = fork::lock(&FREE).and_then(|mut free| free.pop());
        free.unwrap_or_else(|| Box::leak(Box::default()))
    }

    /// Gives back those of a lane that is gone, whose numbers were added up elsewhere.
    pub(super) fn give_back(&'static self) {
        for counter in [&self.started, &self.ended].into_iter().chain(&self.unsent) {
            counter.store(0, Ordering::Relaxed);
        }
        if let Some(mut free) = fork::lock(&FREE) {
            free.push(self);
        }
    }

    /// Where spans are counted that start and end below a segment which is not sampled for this reason.
    pub(crate) fn unsampled(&'static self, reason: LossReason) -> (Tally, Tally) {
        // One of those that are known when a span starts, which is what these are.
        let ended = self.unsent.get(reason as usize).unwrap_or(&self.unsent[0]);
        (Tally(&self.started), Tally(ended))
    }

    /// Counts a start.
    #[inline(always)]
    pub(crate) fn count_started(&self) {
        bump(&self.started);
    }

    /// Counts the end of a span that is not sent, for one of the reasons that are known when a span starts.
    #[inline(always)]
    pub(crate) fn count_unsent(&self, reason: LossReason) {
        if let Some(counter) = self.unsent.get(reason as usize) {
            bump(counter);
        }
    }
}

/// One of a lane's counters, by itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tally(&'static AtomicU64);

impl Tally {
    /// One that nothing is counted by: it stands where there has to be one.
    pub(crate) const NOWHERE: Tally = Tally(&NOWHERE);

    /// Counts one more.
    #[inline(always)]
    pub(crate) fn count(self) {
        bump(self.0);
    }
}

static NOWHERE: AtomicU64 = AtomicU64::new(0);

/// Counters that no lane has at the moment.
static FREE: Mutex<Vec<&'static LaneCounters>> = Mutex::new(Vec::new());

#[inline(always)]
fn bump(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Release);
}

/// One thread's lane of one runtime.
#[derive(Debug)]
pub(crate) struct Lane {
    core: Arc<Core>,
    counters: &'static LaneCounters,
    producer: Producer<Slot>,
    thread: u32,
    /// Whether each span has to be looked at before it starts.
    judges: bool,
    /// The address of the segment that the last slots of the open chunk belong to. Only compared: the chunk keeps that segment alive
    /// for as long as it is open, so no other can have its address.
    last_segment: usize,
    /// Segments that began and ended here and were never sent, to be used next; blank.
    segments: Vec<Arc<Segment>>,
    /// Bytes that were taken from the budget for what spans have on the heap, and are not used yet. The flusher gives back what it finds
    /// at the spans.
    prepaid: usize,
}

/// The most segments that a thread keeps for the next: more are not open at once on the stack of most.
const KEEP_SEGMENTS: usize = 4;

/// So many bytes are taken from the budget at once, so that threads with small texts do not meet at it for each span.
const PREPAY: usize = 4096;

impl Lane {
    #[cold]
    pub(crate) fn new(core: &Arc<Core>) -> Self {
        Self::enrolled(core, Some(Thread::current()))
    }

    /// One for the end of a span, on a thread that may be too close to its own end to say which it is.
    #[cold]
    pub(super) fn orphan(core: &Arc<Core>) -> Self {
        Self::enrolled(core, None)
    }

    fn enrolled(core: &Arc<Core>, thread: Option<Thread>) -> Self {
        let (counters, thread) = core.enroll(thread);
        let judges = !core.settings.ignore_spans.is_empty();
        let producer = core.source.producer();
        Lane {
            producer,
            core: Arc::clone(core),
            counters,
            thread,
            judges,
            last_segment: 0,
            segments: Vec::new(),
            prepaid: 0,
        }
    }

    #[inline]
    pub(crate) fn is_of(&self, core: &Arc<Core>) -> bool {
        Arc::ptr_eq(&self.core, core)
    }

    /// Begins a segment in a trace of its own, about which this rate decides.
    #[inline]
    pub(crate) fn begin_segment(&mut self, ids: &mut Generator, rate: f64, site: &'static Callsite) -> Arc<Segment> {
        if let Some(mut segment) = self.segments.pop() {
            // Nobody else has it.
            if let Some(own) = Arc::get_mut(&mut segment) {
                own.begin(ids, rate, site.name(), site.name_source());
                return segment;
            }
        }
        let trace = Trace::new(ids);
        let decision = sampling::decide(&trace, Rate::Fixed(rate), self.core.halvings());
        let (core, span_id, name) = (Arc::clone(&self.core), ids.span_id(), Cow::Borrowed(site.name()));
        Arc::new(Segment::new(core, TraceRef::Own(trace), span_id, decision, name, site.name_source()))
    }

    /// Keeps a segment for the next, if nobody has it any more.
    pub(crate) fn keep_segment(&mut self, mut segment: Arc<Segment>) {
        if self.segments.len() < KEEP_SEGMENTS && Segment::clear(&mut segment) {
            self.segments.push(segment);
        }
    }

    /// The runtime was closed, and nothing but lanes and late spans may still hold it.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.core.is_closed()
    }

    #[inline]
    pub(crate) fn number(&self) -> u32 {
        self.core.number
    }

    #[inline]
    pub(crate) fn thread(&self) -> u32 {
        self.thread
    }

    #[inline]
    pub(crate) fn count_started(&self) {
        self.counters.count_started();
    }

    #[inline]
    pub(crate) fn counters(&self) -> &'static LaneCounters {
        self.counters
    }

    /// Whether a rule may be against a span that is about to start.
    #[inline(always)]
    pub(crate) fn judges(&self) -> bool {
        self.judges
    }

    /// Counts the end of a span that is not sent, for one of the reasons that are known when a span starts.
    #[inline]
    pub(crate) fn count_unsent(&self, reason: LossReason) {
        self.counters.count_unsent(reason);
    }

    /// As [`hand_over_near`](Self::hand_over_near), for a span in place on the stack.
    #[inline(always)]
    pub(crate) fn hand_over_in_place(
        &mut self,
        segment: &Arc<Segment>,
        open: &mut OpenSpan,
        given: &mut Given,
        end: Reading,
    ) -> bool {
        let Site::Call(site) = open.site else { return false };
        if !given.by_site {
            return self.hand_over_near(segment, open, end);
        }
        if self.last_segment != Arc::as_ptr(segment).addr() {
            return self.hand_over_first(site, segment, open, given, end);
        }
        let values = site.values().div_ceil(2);
        let heap = if values == 0 { 0 } else { given.heap() };
        let fits = self.producer.fits(1 + values) && heap <= self.prepaid;
        if fits {
            self.prepaid -= heap;
            // Made in each branch: one that both share would stand in memory first.
            let taken = if values == 0 {
                self.producer.push(Slot::Span(open.record(Site::Call(site), segment, end, true)))
            } else {
                let record = Slot::Span(open.record(Site::Call(site), segment, end, true));
                self.producer.push_all(None, record, pairs(given, values))
            };
            if !taken {
                self.lose(NoRoom::Closed);
            }
            bump(&self.counters.ended);
        }
        fits
    }

    /// The same for the first span of its segment in a chunk, behind the segment.
    #[inline(never)]
    fn hand_over_first(
        &mut self,
        site: &'static Callsite,
        segment: &Arc<Segment>,
        open: &mut OpenSpan,
        given: &mut Given,
        end: Reading,
    ) -> bool {
        let values = site.values().div_ceil(2);
        let heap = if values == 0 { 0 } else { given.heap() };
        let fits = self.producer.fits(2 + values) && heap <= self.prepaid;
        if fits {
            self.prepaid -= heap;
            let record = Slot::Span(open.record(Site::Call(site), segment, end, true));
            let ahead = Slot::Segment(Arc::clone(segment));
            if !self.producer.push_all(Some(ahead), record, pairs(given, values)) {
                self.lose(NoRoom::Closed);
            }
            self.last_segment = Arc::as_ptr(segment).addr();
            bump(&self.counters.ended);
        }
        fits
    }

    /// Hands over a finished span of a macro that has nothing but a few attributes, if it can stand right behind others of
    /// its segment: the common case, written in place.
    #[inline(always)]
    pub(crate) fn hand_over_near(&mut self, segment: &Arc<Segment>, open: &mut OpenSpan, end: Reading) -> bool {
        // Taken apart and put together again, so that it is copied by words. (`SpanRecord` says why)
        let Site::Call(site) = open.site else { return false };
        let attributes = open.details.attributes.len();
        let in_place = self.last_segment == Arc::as_ptr(segment).addr()
            && attributes <= MOST_SIDE_BY_SIDE
            && self.producer.fits(1 + attributes)
            && (attributes == 0 || self.pay(&open.details.attributes));
        if in_place {
            let taken = if attributes == 0 {
                self.producer.push(Slot::Span(open.record(Site::Call(site), segment, end, false)))
            } else {
                let record = Slot::Span(open.record(Site::Call(site), segment, end, false));
                self.producer.push_all(None, record, open.details.attributes.drain(..).map(Slot::Attribute))
            };
            if !taken {
                self.lose(NoRoom::Closed);
            }
            bump(&self.counters.ended);
        }
        in_place
    }

    /// Hands a finished span over with all that belongs to it, or counts it lost.
    #[inline(never)]
    pub(crate) fn hand_over(
        &mut self,
        segment: &Arc<Segment>,
        open: &mut OpenSpan,
        end: Reading,
        at: Option<SystemTime>,
    ) {
        open.settle(at);
        let record = open.record(open.site, segment, end, false);
        if let Err(no_room) = self.write_group(segment, record, &mut open.details) {
            self.lose(no_room);
            open.details.attributes.clear();
            open.details.rare = None;
        }
        bump(&self.counters.ended);
    }

    #[cold]
    fn lose(&self, no_room: NoRoom) {
        match no_room {
            NoRoom::Full => self.core.losses.add(LossReason::QueueOverflow, 1),
            // It may have been taken all the same, in the very moment in which the flusher ended. What it is lost to is told
            // by the sums. (`Stats::read`)
            NoRoom::Closed => self.core.close(),
        }
    }

    /// Uses what was prepaid for attributes, if it is enough.
    #[inline(never)]
    fn pay(&mut self, attributes: &[Attribute]) -> bool {
        let left = self.prepaid.checked_sub(heap_of(attributes));
        self.prepaid = left.unwrap_or(self.prepaid);
        left.is_some()
    }

    /// Pays for so many bytes more, at least.
    #[cold]
    fn prepay(&mut self, bytes: usize) -> Result<(), NoRoom> {
        let bytes = bytes.max(PREPAY);
        if !self.core.budget.try_take(bytes) {
            self.core.doorbell.ring();
            return Err(NoRoom::Full);
        }
        self.prepaid += bytes;
        if self.core.budget.is_tight() {
            self.core.doorbell.ring();
        }
        Ok(())
    }

    /// A span with what belongs to it, and its segment ahead where that is not the last one's.
    fn write_group(&mut self, segment: &Arc<Segment>, record: SpanRecord, details: &mut Details) -> Result<(), NoRoom> {
        let address = Arc::as_ptr(segment).addr();
        let side_by_side = details.attributes.len() <= MOST_SIDE_BY_SIDE;
        let attributes = if side_by_side { details.attributes.len() } else { 1 };
        let count = 1 + attributes + usize::from(details.rare.is_some());
        let heap =
            if side_by_side { heap_of(&details.attributes) } else { Attribute::heap_of_list(&details.attributes) }
                + details.rare.as_ref().map_or(0, |rare| rare.heap());
        if heap > self.prepaid {
            self.prepay(heap - self.prepaid)?;
        }
        let same = self.last_segment == address && self.producer.fits(count);
        let mut room = self.producer.reserve(count + usize::from(!same))?;
        // It is at least that, by the lines above.
        self.prepaid -= heap;
        if !same {
            room.write(Slot::Segment(Arc::clone(segment)));
            self.last_segment = address;
        }
        room.write(Slot::Span(record));
        if side_by_side {
            for attribute in details.attributes.drain(..) {
                room.write(Slot::Attribute(attribute));
            }
        } else {
            room.write(Slot::Attributes(mem::take(&mut details.attributes).into()));
        }
        if let Some(rare) = details.rare.take() {
            room.write(Slot::Rare(rare));
        }
        if room.publish() { Ok(()) } else { Err(NoRoom::Closed) }
    }
}

/// The values, of which so many slots are used, two in each.
#[inline(always)]
fn pairs(given: &mut Given, slots: usize) -> impl Iterator<Item = Slot> {
    given.values.iter_mut().take(slots).map(|pair| Slot::Values(mem::take(pair)))
}

/// Bytes that attributes which stand side by side have on the heap. Most have none.
#[inline(always)]
fn heap_of(attributes: &[Attribute]) -> usize {
    attributes.iter().filter(|one| !one.is_inline()).map(Attribute::heap).sum()
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.core.budget.give_back(self.prepaid);
        self.core.dismiss(self.counters, self.thread);
    }
}
