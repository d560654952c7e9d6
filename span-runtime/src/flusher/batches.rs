//! Finished spans by trace, and which of them are due.
//!
//! # Invariants
//!
//! 1. A trace has at most one open batch; it may have any number of due ones, which are older. `traces` knows those that have a batch of
//!    either kind, and no others.
//! 2. `open` holds the open batches, and `current`, which is one of them and is being added to. A segment remembers the place of its
//!    trace's batch; what stands there by now is told by its trace.
//! 3. `by_age` and `by_end` are in the order of their times, as each adds the same delay to a clock that does
//!    not run backwards. Their entries name a batch by its place and its serial number; one whose batch has become due by
//!    other means is passed over. Each open batch has an entry in `by_age`.
//! 4. The budget is charged for what is in here once a drain has settled, and for batches that were taken and not discharged, and for nothing else.

use std::cell::Cell;
use std::collections::VecDeque;
use std::collections::hash_map::Entry;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::by_trace::ByTrace;
use super::pile::{Packet, Pile, Spare};
use super::{HOLD, LONGEST_WAIT};
use crate::hand_over::Budget;
use crate::protocol::{Known, MOST_SPANS};
use crate::record::{Slot, SpanRecord};
use crate::scrub::Privacy;
use crate::segment::Segment;

/// A batch is full when its JSON is likely to reach this, or a twelfth of the bound, so that the envelope fits
/// into the eighth that threads leave to the flusher, also where it becomes half as large again. (span buffer, Sentry's SDK documents:
/// 5 MiB, and never above 10)
const FULL_BYTES: usize = 5 << 20;

/// Entries of `by_age` beyond the open batches at which the passed-over ones are swept out.
const SWEEP_ABOVE: usize = 4096;

/// What share of the byte bound may be empty batches, which are kept for the next: of 64 MiB one.
const SPARE_SHARE: usize = 64;

/// Spans of one trace that will leave together.
#[derive(Debug)]
pub(crate) struct Batch {
    trace: u128,
    pile: Pile,
    /// What is in the pile otherwise, while the hook has it.
    slots: Vec<Slot>,
    spans: usize,
    /// Bytes that the budget was charged.
    charged: usize,
    serial: u64,
    /// Its place in the order in which batches became due; 0 until then.
    number: u64,
    ending: bool,
}

impl Batch {
    /// One that belongs to no trace yet.
    fn blank(pile: Pile) -> Self {
        Batch { trace: 0, pile, slots: Vec::new(), spans: 0, charged: 0, serial: 0, number: 0, ending: false }
    }

    fn begin(&mut self, segment: &Arc<Segment>, serial: u64) {
        let Batch { trace, pile, slots: _, spans, charged, serial: own, number, ending } = self;
        *trace = segment.trace().id.as_u128();
        *own = serial;
        (*spans, *charged, *number, *ending) = (0, 0, 0, false);
        pile.turn_to(segment);
    }

    fn is_full(&self, full_bytes: usize) -> bool {
        self.spans >= MOST_SPANS || self.pile.json() >= full_bytes
    }

    /// Bytes of memory that it takes, with what its spans own.
    fn bytes(&self) -> usize {
        size_of::<Batch>() + self.pile.bytes()
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn spans(&self) -> u64 {
        self.spans as u64
    }

    /// Bytes that the budget was charged.
    pub(crate) fn charged(&self) -> usize {
        self.charged
    }

    /// Has slots for the hook in the place of what is packed.
    pub(super) fn unpack(&mut self, known: &Known) {
        self.slots = mem::take(&mut self.pile).into_slots(known);
    }

    /// Packs the slots again.
    pub(super) fn pack(&mut self, known: &mut Known, privacy: Privacy<'_>, spare: &mut Spare) {
        for slot in mem::take(&mut self.slots) {
            self.pile.push(slot, known, privacy, spare);
        }
    }

    /// Puts other slots in the place of those that it has.
    pub(crate) fn change_slots(&mut self, change: impl FnOnce(Vec<Slot>) -> Vec<Slot>) {
        self.slots = change(mem::take(&mut self.slots));
    }

    /// Bytes of JSON that this is likely to become.
    pub(super) fn json(&self) -> usize {
        self.pile.json()
    }

    /// The segment that was added to last.
    pub(super) fn segment(&self) -> Option<&Arc<Segment>> {
        self.pile.segment()
    }

    /// Its spans, in their order.
    pub(super) fn packets(&self) -> impl Iterator<Item = Packet<'_>> {
        self.pile.iter()
    }
}

/// What a trace has here.
#[derive(Debug, Default)]
struct OfTrace {
    /// The place of its open batch.
    open: Option<u32>,
    due: u32,
}

/// A time, and the place and the serial number of a batch.
type Timed = (Instant, u32, u64);

/// Whether this batch is still open.
fn is_open(open: &[Option<Box<Batch>>], place: u32, serial: u64) -> bool {
    open.get(place as usize).and_then(Option::as_ref).is_some_and(|batch| batch.serial == serial)
}

#[derive(Debug)]
pub(super) struct Batches {
    budget: Arc<Budget>,
    /// What the budget is charged for them.
    charged: Cell<usize>,
    /// What is to be charged when the drain settles.
    uncharged: Cell<usize>,
    /// What was added since the last charge and is charged to the budget by the thread that ended it: what spans have on the heap.
    handed_over: usize,
    full_bytes: usize,
    pub(super) spare: Spare,
    /// Empty batches, and the bytes of memory that they have.
    #[expect(clippy::vec_box, reason = "the boxes are what is kept")]
    retired: Vec<Box<Batch>>,
    retired_bytes: usize,
    traces: ByTrace<OfTrace>,
    open: Vec<Option<Box<Batch>>>,
    /// Places in `open` where nothing is.
    free: Vec<u32>,
    /// The batch that is being added to, with its place.
    current: Option<(u32, Box<Batch>)>,
    due: VecDeque<Box<Batch>>,
    by_age: VecDeque<Timed>,
    by_end: VecDeque<Timed>,
    last_serial: u64,
    last_number: u64,
}

impl Batches {
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        Batches {
            full_bytes: FULL_BYTES.min(budget.limit() / 12),
            spare: Spare::within(budget.limit()),
            budget,
            charged: Cell::new(0),
            uncharged: Cell::new(0),
            handed_over: 0,
            retired: Vec::new(),
            retired_bytes: 0,
            traces: ByTrace::default(),
            open: Vec::new(),
            free: Vec::new(),
            current: None,
            due: VecDeque::new(),
            by_age: VecDeque::new(),
            by_end: VecDeque::new(),
            last_serial: 0,
            last_number: 0,
        }
    }

    /// What is added next belongs to this segment.
    #[inline]
    pub(super) fn turn_to(&mut self, segment: &Arc<Segment>) {
        if !self.is_current(segment) {
            self.turn_to_other(segment);
        }
    }

    #[inline]
    fn is_current(&self, segment: &Arc<Segment>) -> bool {
        let current = self.current.as_ref().and_then(|(_, batch)| batch.pile.segment());
        current.is_some_and(|current| Arc::ptr_eq(current, segment))
    }

    fn turn_to_other(&mut self, segment: &Arc<Segment>) {
        self.put_back();
        let trace = segment.trace().id.as_u128();
        let place = segment.place.load(Ordering::Relaxed);
        let remembered =
            self.open.get_mut(place as usize).and_then(|batch| batch.take_if(|batch| batch.trace == trace));
        let (place, mut batch) = match remembered {
            Some(batch) => (place, batch),
            None => self.take_or_open(segment, trace),
        };
        segment.place.store(place, Ordering::Relaxed);
        batch.pile.turn_to(segment);
        self.current = Some((place, batch));
    }

    /// The open batch of the trace, or a new one.
    fn take_or_open(&mut self, segment: &Arc<Segment>, trace: u128) -> (u32, Box<Batch>) {
        let Batches { traces, open, free, .. } = self;
        let of = traces.entry(trace).or_default();
        if let Some(place) = of.open {
            if let Some(batch) = open.get_mut(place as usize).and_then(Option::take) {
                return (place, batch);
            }
        }
        let place = free.pop().unwrap_or_else(|| {
            open.push(None);
            // Batches take hundreds of bytes each: there is no memory for 2^32.
            open.len() as u32 - 1
        });
        of.open = Some(place);
        (place, self.new_batch(segment))
    }

    fn new_batch(&mut self, segment: &Arc<Segment>) -> Box<Batch> {
        self.last_serial += 1;
        let mut batch = match self.retired.pop() {
            Some(batch) => {
                self.retired_bytes = self.retired_bytes.saturating_sub(batch.bytes());
                batch
            }
            None => Box::new(Batch::blank(Pile::sized(&self.spare))),
        };
        batch.begin(segment, self.last_serial);
        batch
    }

    /// Keeps the memory of a batch that was sent or dropped.
    pub(super) fn retire(&mut self, mut batch: Box<Batch>) {
        batch.pile.clear(&mut self.spare);
        let bytes = self.retired_bytes + batch.bytes();
        if bytes <= self.budget.limit() / SPARE_SHARE {
            self.retired_bytes = bytes;
            self.retired.push(batch);
        }
    }

    /// Gives back memory that is kept for what comes. For when nothing has come for a while.
    pub(super) fn trim(&mut self) {
        self.spare.trim();
        self.retired = Vec::new();
        self.retired_bytes = 0;
    }

    /// Adds a span.
    #[inline(always)]
    pub(super) fn add_span(&mut self, record: SpanRecord, now: Instant, known: &mut Known, privacy: Privacy<'_>) {
        if self.current.as_ref().is_some_and(|(_, batch)| batch.is_full(self.full_bytes)) {
            self.renew();
        }
        let Some((place, batch)) = &mut self.current else { return };
        batch.spans += 1;
        if batch.spans == 1 {
            self.by_age.push_back((now + LONGEST_WAIT, *place, batch.serial));
        }
        if record.is_segment && !batch.ending {
            batch.ending = true;
            self.by_end.push_back((now + HOLD, *place, batch.serial));
        }
        batch.pile.push_span(record, known, privacy, &mut self.spare);
    }

    /// Adds what belongs to that span.
    #[inline]
    pub(super) fn add_rest(&mut self, slot: Slot, known: &mut Known, privacy: Privacy<'_>) {
        let Some((_, batch)) = &mut self.current else { return };
        self.handed_over += slot.heap();
        batch.pile.push_rest(slot, known, privacy);
    }

    /// The current batch is full: it becomes due, and another takes its place.
    #[cold]
    fn renew(&mut self) {
        if let Some((place, mut batch)) = self.current.take() {
            self.charge(&mut batch);
            if let Some(segment) = batch.segment().cloned() {
                self.free.push(place);
                self.enqueue(batch);
                self.current = Some(self.take_or_open(&segment, segment.trace().id.as_u128()));
            }
        }
    }

    /// Ends a drain.
    pub(super) fn settle(&mut self) {
        self.put_back();
        self.budget.give_back(mem::take(&mut self.handed_over));
        self.budget.take(self.uncharged.take());
    }

    fn put_back(&mut self) {
        let Some((place, mut batch)) = self.current.take() else { return };
        // Most often there is nothing to come when the segment's span is there.
        if batch.ending {
            batch.pile.settle();
        }
        self.charge(&mut batch);
        if batch.is_full(self.full_bytes) {
            self.free.push(place);
            self.enqueue(batch);
        } else if let Some(open) = self.open.get_mut(place as usize) {
            *open = Some(batch);
        }
    }

    /// Charges for what was added to a batch since the last time.
    fn charge(&self, batch: &mut Batch) {
        let more = batch.bytes().saturating_sub(batch.charged);
        batch.charged += more;
        self.charged.set(self.charged.get() + more);
        self.uncharged.set(self.uncharged.get() + more);
    }

    /// Makes a batch due that was open, and is no more.
    fn enqueue(&mut self, mut batch: Box<Batch>) {
        batch.pile.complete(&mut self.spare);
        self.last_number += 1;
        batch.number = self.last_number;
        let of = self.traces.entry(batch.trace).or_default();
        of.open = None;
        of.due += 1;
        self.due.push_back(batch);
    }

    fn pop_due(&mut self) -> Option<Box<Batch>> {
        let batch = self.due.pop_front()?;
        if let Entry::Occupied(mut of) = self.traces.entry(batch.trace) {
            of.get_mut().due = of.get().due.saturating_sub(1);
            if of.get().due == 0 && of.get().open.is_none() {
                of.remove();
            }
        }
        Some(batch)
    }

    /// Makes due what has waited long enough. When memory is short, a trace whose segment has ended does not wait for late children:
    /// it would be dropped before they come. (behaviour 45)
    pub(super) fn make_due(&mut self, now: Instant) {
        let ended_by = if self.is_half_full() { now + HOLD } else { now };
        while let Some(batch) = self.take_open(|batches| &mut batches.by_end, ended_by) {
            self.enqueue(batch);
        }
        while let Some(batch) = self.take_open(|batches| &mut batches.by_age, now) {
            self.enqueue(batch);
        }
        if self.by_age.len() > 2 * (self.open.len() - self.free.len()) + SWEEP_ABOVE {
            let open = &self.open;
            self.by_age.retain(|&(_, place, serial)| is_open(open, place, serial));
        }
    }

    /// Takes the open batch that is first in a queue, if its time is not after this one.
    fn take_open(&mut self, queue: fn(&mut Self) -> &mut VecDeque<Timed>, by: Instant) -> Option<Box<Batch>> {
        while let Some(&(at, place, serial)) = queue(self).front() {
            let open = is_open(&self.open, place, serial);
            if open && at > by {
                return None;
            }
            queue(self).pop_front();
            if open {
                return self.take_at(place);
            }
        }
        None
    }

    /// Takes the open batch at this place, if one is there.
    fn take_at(&mut self, place: u32) -> Option<Box<Batch>> {
        let batch = self.open.get_mut(place as usize)?.take()?;
        self.free.push(place);
        Some(batch)
    }

    fn take_oldest_open(&mut self) -> Option<Box<Batch>> {
        let (last, ..) = *self.by_age.back()?;
        self.take_open(|batches| &mut batches.by_age, last)
    }

    /// Makes due whatever there is, oldest first.
    pub(super) fn make_all_due(&mut self) {
        self.settle();
        let mut open: Vec<Box<Batch>> = self.open.drain(..).flatten().collect();
        self.free.clear();
        open.sort_unstable_by_key(|batch| batch.serial);
        for batch in open {
            self.enqueue(batch);
        }
        self.by_age.clear();
        self.by_end.clear();
    }

    /// Takes the batch that has been due for longest; or else, when memory is short, the oldest there is, which would be the next
    /// to be dropped. The budget is charged for it until [`discharge`](Self::discharge).
    pub(super) fn next_due(&mut self) -> Option<Box<Batch>> {
        if self.due.is_empty() && self.is_half_full() {
            if let Some(oldest) = self.take_oldest_open() {
                self.enqueue(oldest);
            }
        }
        self.pop_due()
    }

    /// Half of the bound is used; at three quarters traces are dropped.
    fn is_half_full(&self) -> bool {
        self.budget.used() > self.budget.limit() / 2
    }

    /// Gives back what the budget was charged for batches that were taken.
    pub(super) fn discharge(&self, bytes: usize) {
        self.charged.set(self.charged.get().saturating_sub(bytes));
        self.budget.give_back(bytes);
    }

    /// The number of the batch that has been due for longest.
    pub(super) fn first_due(&self) -> Option<u64> {
        self.due.front().map(|batch| batch.number())
    }

    /// A number for something that is no batch and takes its turn among them.
    #[cfg(feature = "legacy")]
    pub(super) fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// The highest number that was given.
    pub(super) fn last_number(&self) -> u64 {
        self.last_number
    }

    /// When something becomes due next, if nothing comes meanwhile.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let at = |queue: &VecDeque<Timed>| queue.front().map(|&(at, ..)| at);
        at(&self.by_age).into_iter().chain(at(&self.by_end)).min()
    }

    /// Whether there is so much that the oldest trace is to be dropped. Where it is the threads that fill the bound faster than they can be
    /// drained, a quarter of it stays with what was drained: to drop that too would make room for them, and leave nothing to send.
    pub(super) fn are_too_much(&self) -> bool {
        self.budget.is_over() && self.charged.get() > self.budget.limit() / 4 || self.budget.is_spent()
    }

    /// Drops everything of the oldest trace, and says how many spans that were.
    pub(super) fn drop_oldest_trace(&mut self) -> Option<u64> {
        self.settle();
        let oldest = self.pop_due().or_else(|| self.take_oldest_open())?;
        let trace = oldest.trace;
        let mut dropped = vec![oldest];
        if let Some(of) = self.traces.remove(&trace) {
            // Unless that is the oldest.
            dropped.extend(of.open.and_then(|place| self.take_at(place)));
            if of.due > 0 {
                let (of_trace, others) = self.due.drain(..).partition::<VecDeque<_>, _>(|batch| batch.trace == trace);
                self.due = others;
                dropped.extend(of_trace);
            }
        }
        self.discharge(dropped.iter().map(|batch| batch.charged()).sum());
        Some(dropped.iter().map(|batch| batch.spans()).sum())
    }
}
