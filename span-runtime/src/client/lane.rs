//! A thread's way to the flusher: its producer and its counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Core, LossReason};
use crate::hand_over::{NoRoom, Producer};
use crate::record::{Details, MOST_SIDE_BY_SIDE, Slot, SpanRecord};
use crate::segment::Segment;

/// What one thread counts. Written by that thread only, so a load and a store do, and no thread waits for
/// another's cache line.
#[derive(Debug, Default)]
pub(crate) struct LaneCounters {
    started: AtomicU64,
    ended: AtomicU64,
    unsampled: AtomicU64,
}

impl LaneCounters {
    /// Started, ended and unsampled. Relaxed: the numbers are exact once their writers are quiet.
    pub(super) fn read(&self) -> (u64, u64, u64) {
        // Ends before starts, so that a reader never sees more ends than starts.
        let ended = self.ended.load(Ordering::Acquire);
        let unsampled = self.unsampled.load(Ordering::Acquire);
        (self.started.load(Ordering::Relaxed), ended, unsampled)
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
    /// The address of the segment that the last slots of the open chunk belong to. Only compared: the chunk keeps that segment alive
    /// for as long as it is open, so no other can have its address.
    last_segment: usize,
}

impl Lane {
    #[cold]
    pub(crate) fn new(core: &Arc<Core>) -> Self {
        let (counters, thread) = core.enroll();
        Lane { producer: core.source.producer(), core: Arc::clone(core), counters, thread, last_segment: 0 }
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

    #[inline]
    pub(crate) fn count_unsampled(&self) {
        bump(&self.counters.unsampled);
    }

    /// Hands a finished span over, or counts it lost.
    #[inline]
    pub(crate) fn hand_over(&mut self, segment: &Arc<Segment>, record: SpanRecord, details: &mut Details) {
        match self.write(segment, record, details) {
            Ok(()) => {}
            Err(NoRoom::Full) => self.core.losses.add(LossReason::QueueOverflow, 1),
            Err(NoRoom::Closed) => self.core.losses.add(LossReason::InternalSdkError, 1),
        }
        bump(&self.counters.ended);
    }

    #[inline]
    fn write(&mut self, segment: &Arc<Segment>, record: SpanRecord, details: &mut Details) -> Result<(), NoRoom> {
        let side_by_side = details.attributes.len() <= MOST_SIDE_BY_SIDE;
        let attributes = if side_by_side { details.attributes.len() } else { 1 };
        let count = 1 + attributes + usize::from(details.rare.is_some());
        let address = Arc::as_ptr(segment).addr();
        let same = self.last_segment == address && self.producer.fits(count);
        let mut room = self.producer.reserve(count + usize::from(!same))?;
        if !same {
            room.write(Slot::Segment(Arc::clone(segment)));
            self.last_segment = address;
        }
        room.write(Slot::Span(record));
        if attributes == 0 {
        } else if side_by_side {
            for attribute in details.attributes.drain(..) {
                room.write(Slot::Attribute(attribute));
            }
        } else {
            room.write(Slot::Attributes(std::mem::take(&mut details.attributes).into()));
        }
        if let Some(rare) = details.rare.take() {
            room.write(Slot::Rare(rare));
        }
        room.publish();
        Ok(())
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.core.dismiss(&self.counters, self.thread);
    }
}
