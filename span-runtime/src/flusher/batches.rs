//! Finished spans by trace, and which of them are due.
//!
//! # Invariants
//!
//! 1. A trace has at most one open batch; it may have any number of due ones, which are older.
//! 2. `by_age` and `by_end` are in the order of their times, as each adds the same delay to a clock that does
//!    not run backwards. Their entries name a batch by its serial number; one whose batch has become due by
//!    other means is passed over. Each open batch has an entry in `by_age`.
//! 3. The budget is charged for what is in here once a drain has settled, and for batches that were taken and not discharged, and for nothing else.

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::mem;
use std::sync::Arc;
use std::time::Instant;

use super::pile::{Packet, Pile, Spare};
use super::{HOLD, LONGEST_WAIT};
use crate::hand_over::Budget;
use crate::protocol::{Known, MOST_SPANS};
use crate::record::Slot;
use crate::scrub::Privacy;
use crate::segment::Segment;

/// A batch is full when its JSON is likely to reach this, or a twelfth of the bound, so that the envelope fits
/// into the eighth that threads leave to the flusher, also where it becomes half as large again. (span buffer, Sentry's SDK documents:
/// 5 MiB, and never above 10)
const FULL_BYTES: usize = 5 << 20;

/// Entries of `by_age` beyond the open batches at which the passed-over ones are swept out.
const SWEEP_ABOVE: usize = 4096;

/// Spans of one trace that will leave together.
#[derive(Debug)]
pub(crate) struct Batch {
    trace: u128,
    /// The segment that was added to last.
    segment: Arc<Segment>,
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
    fn new(segment: &Arc<Segment>, serial: u64) -> Self {
        let mut pile = Pile::default();
        pile.turn_to(segment);
        Batch {
            trace: segment.trace().id.as_u128(),
            segment: Arc::clone(segment),
            pile,
            slots: Vec::new(),
            spans: 0,
            charged: 0,
            serial,
            number: 0,
            ending: false,
        }
    }

    fn is_full(&self, full_bytes: usize) -> bool {
        self.spans >= MOST_SPANS || self.pile.json() >= full_bytes
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

    pub(super) fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    /// Its spans, in their order.
    pub(super) fn packets(&self) -> impl Iterator<Item = Packet<'_>> {
        self.pile.iter()
    }

    pub(super) fn into_pile(self) -> Pile {
        self.pile
    }
}

#[derive(Debug)]
pub(super) struct Batches {
    budget: Arc<Budget>,
    /// What the budget is charged for them.
    charged: Cell<usize>,
    /// What was added since the last charge and is charged to the budget by the thread that ended it: what spans have on the heap.
    handed_over: Cell<usize>,
    full_bytes: usize,
    pub(super) spare: Spare,
    open: HashMap<u128, Batch>,
    /// The open batch that is being added to; it is in `open` otherwise.
    current: Option<Batch>,
    due: VecDeque<Batch>,
    /// How many of the due ones each trace has, so that a trace with one only is dropped without a look at all of them.
    due_of: HashMap<u128, usize>,
    by_age: VecDeque<(Instant, u128, u64)>,
    by_end: VecDeque<(Instant, u128, u64)>,
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
            handed_over: Cell::new(0),
            open: HashMap::new(),
            current: None,
            due: VecDeque::new(),
            due_of: HashMap::new(),
            by_age: VecDeque::new(),
            by_end: VecDeque::new(),
            last_serial: 0,
            last_number: 0,
        }
    }

    /// What is added next belongs to this segment.
    pub(super) fn turn_to(&mut self, segment: &Arc<Segment>) {
        if let Some(batch) = &mut self.current {
            if Arc::ptr_eq(&batch.segment, segment) {
                return;
            }
            if batch.trace == segment.trace().id.as_u128() {
                batch.segment = Arc::clone(segment);
                batch.pile.turn_to(segment);
                return;
            }
        }
        self.put_back();
        let trace = segment.trace().id.as_u128();
        let batch = match self.open.remove(&trace) {
            Some(mut batch) => {
                if !Arc::ptr_eq(&batch.segment, segment) {
                    batch.segment = Arc::clone(segment);
                    batch.pile.turn_to(segment);
                }
                batch
            }
            None => {
                self.last_serial += 1;
                Batch::new(segment, self.last_serial)
            }
        };
        self.current = Some(batch);
    }

    /// Adds a slot that is no segment.
    pub(super) fn add(&mut self, slot: Slot, now: Instant, known: &mut Known, privacy: Privacy<'_>) {
        if matches!(slot, Slot::Span(_)) && self.current.as_ref().is_some_and(|batch| batch.is_full(self.full_bytes)) {
            self.renew();
        }
        let Some(batch) = &mut self.current else { return };
        if let Slot::Span(record) = &slot {
            batch.spans += 1;
            if batch.spans == 1 {
                self.by_age.push_back((now + LONGEST_WAIT, batch.trace, batch.serial));
            }
            if record.is_segment && !batch.ending {
                batch.ending = true;
                self.by_end.push_back((now + HOLD, batch.trace, batch.serial));
            }
        }
        self.handed_over.set(self.handed_over.get() + slot.heap());
        batch.pile.push(slot, known, privacy, &mut self.spare);
    }

    /// The current batch is full: it becomes due, and another takes its place.
    fn renew(&mut self) {
        if let Some(batch) = self.current.take() {
            self.last_serial += 1;
            let next = Batch::new(&batch.segment, self.last_serial);
            self.enqueue(batch);
            self.current = Some(next);
        }
    }

    /// Ends a drain.
    pub(super) fn settle(&mut self) {
        self.put_back();
    }

    fn put_back(&mut self) {
        if let Some(mut batch) = self.current.take() {
            if batch.is_full(self.full_bytes) {
                self.enqueue(batch);
            } else if batch.spans > 0 {
                // Most often there is nothing to come when the segment's span is there.
                if batch.ending {
                    batch.pile.settle();
                }
                self.charge(&mut batch);
                self.open.insert(batch.trace, batch);
            }
        }
    }

    /// Charges the budget for what was added to a batch since the last time.
    fn charge(&self, batch: &mut Batch) {
        let bytes = size_of::<Batch>() + batch.pile.bytes();
        let more = bytes.saturating_sub(batch.charged);
        batch.charged += more;
        self.charged.set(self.charged.get() + more);
        self.budget.give_back(self.handed_over.take());
        self.budget.take(more);
    }

    fn enqueue(&mut self, mut batch: Batch) {
        self.last_number += 1;
        batch.number = self.last_number;
        *self.due_of.entry(batch.trace).or_default() += 1;
        self.due.push_back(batch);
    }

    fn pop_due(&mut self) -> Option<Batch> {
        let batch = self.due.pop_front()?;
        if let Some(count) = self.due_of.get_mut(&batch.trace) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.due_of.remove(&batch.trace);
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
        if self.by_age.len() > 2 * self.open.len() + SWEEP_ABOVE {
            let open = &self.open;
            self.by_age.retain(|(_, trace, serial)| open.get(trace).is_some_and(|batch| batch.serial == *serial));
        }
    }

    /// Takes the open batch that is first in a queue, if its time is not after this one.
    fn take_open(&mut self, queue: fn(&mut Self) -> &mut VecDeque<(Instant, u128, u64)>, by: Instant) -> Option<Batch> {
        while let Some(&(at, trace, serial)) = queue(self).front() {
            let open = self.open.get(&trace).is_some_and(|batch| batch.serial == serial);
            if open && at > by {
                return None;
            }
            queue(self).pop_front();
            if open {
                return self.open.remove(&trace);
            }
        }
        None
    }

    fn take_oldest_open(&mut self) -> Option<Batch> {
        let (last, ..) = *self.by_age.back()?;
        self.take_open(|batches| &mut batches.by_age, last)
    }

    /// Makes due whatever there is, oldest first.
    pub(super) fn make_all_due(&mut self) {
        self.settle();
        let mut open: Vec<Batch> = self.open.drain().map(|(_, batch)| batch).collect();
        open.sort_unstable_by_key(|batch| batch.serial);
        for batch in open {
            self.enqueue(batch);
        }
        self.by_age.clear();
        self.by_end.clear();
    }

    /// Takes the batch that has been due for longest; or else, when memory is short, the oldest there is, which would be the next
    /// to be dropped. The budget is charged for it until [`discharge`](Self::discharge).
    pub(super) fn next_due(&mut self) -> Option<Batch> {
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
        self.due.front().map(Batch::number)
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
        let at = |queue: &VecDeque<(Instant, u128, u64)>| queue.front().map(|&(at, ..)| at);
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
        let mut dropped: Vec<Batch> = self.open.remove(&trace).into_iter().collect();
        if self.due_of.remove(&trace).is_some() {
            let (of_trace, others) = self.due.drain(..).partition::<VecDeque<_>, _>(|batch| batch.trace == trace);
            self.due = others;
            dropped.extend(of_trace);
        }
        dropped.push(oldest);
        self.discharge(dropped.iter().map(Batch::charged).sum());
        Some(dropped.iter().map(Batch::spans).sum())
    }
}
