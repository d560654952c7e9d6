//! What a runtime of the static lifecycle counts. (behaviour 57)

use std::sync::atomic::{AtomicU64, Ordering};

use crate::TraceLifecycle;
use crate::client::{LossCounts, LossReason, Losses, Settings, Sums};
use crate::lifecycle::StaticRuntime;

/// The counters, and what else a runtime knows of transactions. In a runtime that streams all of it stays zero.
#[derive(Debug)]
pub(crate) struct Books {
    sample_rate: Option<f64>,
    started: AtomicU64,
    ended: AtomicU64,
    unsampled: AtomicU64,
    transactions_sent: AtomicU64,
    transactions_lost: Losses,
    _counted: Option<StaticRuntime>,
}

impl Books {
    pub(crate) fn new(settings: &Settings) -> Self {
        let is_static = settings.trace_lifecycle == TraceLifecycle::Static;
        Books {
            sample_rate: settings.traces_sample_rate.filter(|_| is_static),
            started: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            unsampled: AtomicU64::new(0),
            transactions_sent: AtomicU64::new(0),
            transactions_lost: Losses::default(),
            _counted: is_static.then(StaticRuntime::count),
        }
    }

    /// The rate at which transactions are sampled; `None` if none is to be recorded.
    pub(super) fn sample_rate(&self) -> Option<f64> {
        self.sample_rate
    }

    pub(super) fn span_started(&self) {
        self.started.fetch_add(1, Ordering::Relaxed);
    }

    // Release: a reader that sees the end sees the start. (`Stats::read`)
    pub(super) fn span_ended(&self, sampled: bool) {
        let counter = if sampled { &self.ended } else { &self.unsampled };
        counter.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn add_to(&self, sums: &mut Sums) {
        // Ends before starts, so that a reader never sees more ends than starts.
        sums.ended += self.ended.load(Ordering::Acquire);
        sums.unsampled += self.unsampled.load(Ordering::Acquire);
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
