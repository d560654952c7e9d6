//! A thread's way to the flusher: its producer and its counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use super::{Core, LossReason};
use crate::clock::Reading;
use crate::hand_over::{NoRoom, Producer};
use crate::open::OpenSpan;
use crate::record::{Details, MOST_SIDE_BY_SIDE, Site, Slot, SpanRecord};
use crate::segment::Segment;

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

#[inline]
fn bump(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Release);
}

/// One thread's lane of one runtime.
#[derive(Debug)]
pub(crate) struct Lane {
    core: Arc<Core>,
    counters: Arc<LaneCounters>,
    producer: Producer<Slot>,
    thread: u32,
    /// Whether each span has to be looked at before it starts.
    judges: bool,
    /// The address of the segment that the last slots of the open chunk belong to. Only compared: the chunk keeps that segment alive
    /// for as long as it is open, so no other can have its address.
    last_segment: usize,
}

impl Lane {
    #[cold]
    pub(crate) fn new(core: &Arc<Core>) -> Self {
        let (counters, thread) = core.enroll();
        let judges = !core.settings.ignore_spans.is_empty();
        Lane { producer: core.source.producer(), core: Arc::clone(core), counters, thread, judges, last_segment: 0 }
    }

    #[inline]
    pub(crate) fn is_of(&self, core: &Arc<Core>) -> bool {
        Arc::ptr_eq(&self.core, core)
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
        bump(&self.counters.started);
    }

    /// Whether a rule may be against a span that is about to start.
    #[inline(always)]
    pub(crate) fn judges(&self) -> bool {
        self.judges
    }

    /// Counts the end of a span that is not sent, for one of the reasons that are known when a span starts.
    #[inline]
    pub(crate) fn count_unsent(&mut self, reason: LossReason) {
        if let Some(counter) = self.counters.unsent.get(reason as usize) {
            bump(counter);
        }
    }

    /// Hands over a finished span of a macro that has nothing but its own slot, if that can stand right behind others of
    /// its segment: the common case, written in place.
    #[inline(always)]
    pub(crate) fn hand_over_bare(&mut self, segment: &Arc<Segment>, open: &OpenSpan, end: Reading) -> bool {
        // Taken apart and put together again, so that it is copied by words. (`SpanRecord` says why)
        let Site::Call(site) = open.site else { return false };
        let in_place = self.last_segment == Arc::as_ptr(segment).addr() && self.producer.fits(1);
        if in_place {
            if !self.producer.push(Slot::Span(open.record(Site::Call(site), segment, end))) {
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
        let record = open.record(open.site, segment, end);
        if let Err(no_room) = self.write_group(segment, record, &mut open.details) {
            self.lose(no_room);
            open.details.attributes.clear();
            open.details.rare = None;
        }
        bump(&self.counters.ended);
    }

    #[cold]
    fn lose(&self, no_room: NoRoom) {
        let reason = match no_room {
            NoRoom::Full => LossReason::QueueOverflow,
            NoRoom::Closed => LossReason::InternalSdkError,
        };
        self.core.losses.add(reason, 1);
    }

    /// A span with what belongs to it, and its segment ahead where that is not the last one's.
    fn write_group(&mut self, segment: &Arc<Segment>, record: SpanRecord, details: &mut Details) -> Result<(), NoRoom> {
        let address = Arc::as_ptr(segment).addr();
        let side_by_side = details.attributes.len() <= MOST_SIDE_BY_SIDE;
        let attributes = if side_by_side { details.attributes.len() } else { 1 };
        let count = 1 + attributes + usize::from(details.rare.is_some());
        let same = self.last_segment == address && self.producer.fits(count);
        let mut room = self.producer.reserve(count + usize::from(!same))?;
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
            room.write(Slot::Attributes(std::mem::take(&mut details.attributes).into()));
        }
        if let Some(rare) = details.rare.take() {
            room.write(Slot::Rare(rare));
        }
        if room.publish() { Ok(()) } else { Err(NoRoom::Closed) }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.core.dismiss(&self.counters, self.thread);
    }
}
