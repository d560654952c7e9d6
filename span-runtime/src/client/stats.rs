//! The numbers, in the process. (behaviour 50)

use std::fmt;
use std::sync::atomic::Ordering;

use super::{Core, LaneCounters, LossCounts};

/// What became of every span that was started: `started = sent + lost + buffered + open`, exactly, once the threads
/// that start and end spans are quiet.
///
/// ```
/// let stats = span_runtime::stats();
/// assert_eq!(stats.started, stats.sent + stats.lost.total() + stats.buffered + stats.open);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Spans that were started, sampled or not. Spans that record nothing because there is no runtime, or because
    /// tracing is off, are none.
    pub started: u64,
    /// Spans in envelopes that the server took.
    pub sent: u64,
    /// Spans that were not sent and never will be, by reason.
    pub lost: LossCounts,
    /// Spans that ended and are on their way.
    pub buffered: u64,
    /// Spans that have not ended.
    pub open: u64,
    /// Bytes that everything between a span's end and the socket takes at the moment, against the bound.
    pub buffered_bytes: usize,
    /// Transactions that the server took. Their spans, the roots among them, are counted above.
    #[cfg(feature = "legacy")]
    pub transactions_sent: u64,
    /// Transactions that were not sent and never will be, by reason.
    #[cfg(feature = "legacy")]
    pub transactions_lost: LossCounts,
}

/// Sums over lanes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sums {
    pub(crate) started: u64,
    pub(crate) ended: u64,
    pub(crate) unsampled: u64,
}

impl Sums {
    pub(super) fn add(&mut self, lane: &LaneCounters) {
        let (started, ended, unsampled) = lane.read();
        self.started += started;
        self.ended += ended;
        self.unsampled += unsampled;
    }
}

impl Stats {
    pub(super) fn read(core: &Core) -> Self {
        // What a span becomes is counted after its end, and its end after its start: read in the opposite order,
        // so that a reader in the middle sees spans too early rather than numbers below zero.
        let sent = core.sent.load(Ordering::Acquire);
        let mut lost = core.losses.snapshot();
        let sums = core.sums();
        lost.add(super::LossReason::SampleRate, sums.unsampled);
        let ended = sums.ended + sums.unsampled;
        Stats {
            started: sums.started,
            sent,
            lost,
            buffered: ended.saturating_sub(sent + lost.total()),
            open: sums.started.saturating_sub(ended),
            buffered_bytes: core.budget.used(),
            #[cfg(feature = "legacy")]
            transactions_sent: core.legacy.sent(),
            #[cfg(feature = "legacy")]
            transactions_lost: core.legacy.lost(),
        }
    }
}

impl fmt::Display for Stats {
    /// `started=A sent=B lost=C open=D`, with what is buffered in between where something is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "started={} sent={} lost={}", self.started, self.sent, self.lost.total())?;
        if self.buffered > 0 {
            write!(f, " buffered={}", self.buffered)?;
        }
        write!(f, " open={}", self.open)
    }
}
