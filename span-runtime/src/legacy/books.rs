//! What a runtime of the static lifecycle counts. (behaviour 57)
#![expect(clippy::arithmetic_side_effects, reason = "64 bits count spans for longer than a machine lasts")]

use std::sync::atomic::{AtomicU64, Ordering};

use crate::TraceLifecycle;
use crate::client::{LossCounts, LossReason, Losses, Settings, Sums};
use crate::lifecycle::StaticRuntime;
use crate::segment::Segment;

/// The counters, and what else a runtime knows of transactions. In a runtime that streams all of it stays zero.
#[derive(Debug)]
pub(crate) struct Books {
    traces: bool,
    started: AtomicU64,
    ended: AtomicU64,
    /// Ended and not sent, by the reasons that are known when a transaction starts.
    unsent: [AtomicU64; LossReason::UNSENT],
    transactions_sent: AtomicU64,
    transactions_lost: Losses,
    _counted: Option<StaticRuntime>,
}

impl Books {
    pub(crate) fn new(settings: &Settings) -> Self {
        let is_static = settings.trace_lifecycle == TraceLifecycle::Static;
        Books {
            traces: is_static && settings.is_tracing(),
            started: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            unsent: Default::default(),
            transactions_sent: AtomicU64::new(0),
            transactions_lost: Losses::default(),
            _counted: is_static.then(StaticRuntime::count),
        }
    }

    /// Whether transactions are recorded, or counted as not sampled.
    pub(super) fn traces(&self) -> bool {
        self.traces
    }

    pub(super) fn span_started(&self) {
        self.started.fetch_add(1, Ordering::Relaxed);
    }

    // Release: a reader that sees the end sees the start. (`Stats::read`)
    pub(super) fn span_ended(&self, segment: &Segment) {
        let unsent = self.unsent.get(segment.loss as usize).filter(|_| !segment.sampled);
        unsent.unwrap_or(&self.ended).fetch_add(1, Ordering::Release);
    }

    pub(crate) fn add_to(&self, sums: &mut Sums) {
        // Ends before starts, so that a reader never sees more ends than starts.
        sums.ended += self.ended.load(Ordering::Acquire);
        for (count, more) in sums.unsent.iter_mut().zip(&self.unsent) {
            *count += more.load(Ordering::Acquire);
        }
        sums.started += self.started.load(Ordering::Relaxed);
    }

    pub(crate) fn count_sent(&self, transactions: u64) {
        self.transactions_sent.fetch_add(transactions, Ordering::Relaxed);
    }

    pub(crate) fn count_lost(&self, reason: LossReason, transactions: u64) {
        self.transactions_lost.add(reason, transactions);
    }

    pub(crate) fn sent(&self) -> u64 {
        self.transactions_sent.load(Ordering::Relaxed)
    }

    pub(crate) fn lost(&self) -> LossCounts {
        self.transactions_lost.snapshot()
    }
}
