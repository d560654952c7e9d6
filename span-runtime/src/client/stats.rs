//! The numbers, in the process. (behaviour 50)
#![expect(clippy::arithmetic_side_effects, reason = "64 bits count spans for longer than a machine lasts")]

use std::fmt;
use std::sync::atomic::Ordering;

use super::{Core, LaneCounters, LossCounts, LossReason};

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
    /// Spans in envelopes that the server answered for: it took them, or it refused them with status 429 and counts them itself.
    pub sent: u64,
    /// Of those, the ones that it refused with status 429.
    pub rate_limited: u64,
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
    /// Ended and not sent, by the reasons that are known when a span starts.
    pub(crate) unsent: [u64; LossReason::UNSENT],
}

impl Sums {
    pub(super) fn add(&mut self, lane: &LaneCounters) {
        let (started, ended, unsent) = lane.read();
        self.started += started;
        self.ended += ended;
        for (count, more) in self.unsent.iter_mut().zip(unsent) {
            *count += more;
        }
    }
}

impl Stats {
    pub(super) fn read(core: &Core) -> Option<Self> {
        // What a span becomes is counted after its end, and its end after its start: read in the opposite order,
        // so that a reader in the middle sees spans too early rather than numbers below zero.
        let sent = core.sent.load(Ordering::Acquire);
        let mut lost = core.losses.snapshot();
        let sums = core.sums()?;
        lost.add_unsent(&sums.unsent);
        let ended = sums.ended + sums.unsent.iter().sum::<u64>();
        let mut buffered = ended.saturating_sub(sent + lost.total());
        if core.is_over() {
            // Nobody will send it. Said by the sums, because a thread that ends a span while the flusher ends cannot know whether that
            // still took it, unless each span paid for the knowledge.
            lost.add(LossReason::InternalSdkError, std::mem::take(&mut buffered));
        }
        Some(Stats {
            started: sums.started,
            sent,
            rate_limited: core.rate_limited.load(Ordering::Relaxed),
            lost,
            buffered,
            open: sums.started.saturating_sub(ended),
            buffered_bytes: core.budget.used(),
            #[cfg(feature = "legacy")]
            transactions_sent: core.legacy.sent(),
            #[cfg(feature = "legacy")]
            transactions_lost: core.legacy.lost(),
        })
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
