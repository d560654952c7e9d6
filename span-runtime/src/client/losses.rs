//! Counts of spans that were not sent, by reason. (behaviour 49)
#![expect(clippy::arithmetic_side_effects, reason = "64 bits count spans for longer than a machine lasts")]

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)*) => {
        /// Why a span was not sent; the words of Sentry's client reports.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum LossReason {
            $($(#[$doc])* $variant,)*
        }

        impl LossReason {
            /// All reasons, in the order of their declaration.
            pub const ALL: &'static [LossReason] = &[$(LossReason::$variant),*];

            /// The reason as it stands in a client report.
            ///
            /// ```
            /// assert_eq!(span_runtime::LossReason::NetworkError.as_str(), "network_error");
            /// ```
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(LossReason::$variant => $name,)*
                }
            }
        }
    };
}

reasons! {
    /// Its segment was not sampled.
    SampleRate = "sample_rate";
    /// A rule of `ignore_spans` matched it.
    Ignored = "ignored";
    /// The sample rate was lowered because the pipeline was unhealthy.
    Backpressure = "backpressure";
    /// A sampler that the user gave panicked.
    CallbackError = "callback_error";
    /// The byte bound was reached before the flusher had it: it could not be handed over.
    QueueOverflow = "queue_overflow";
    /// The byte bound was reached after that, and its trace was the oldest; or it alone was too large for an envelope. In the
    /// static lifecycle: its transaction was full, or finished before it.
    BufferOverflow = "buffer_overflow";
    /// The server had asked for a pause.
    RatelimitBackoff = "ratelimit_backoff";
    /// The server could not be reached, or failed.
    NetworkError = "network_error";
    /// The server refused the envelope.
    SendError = "send_error";
    /// It ended after the runtime was closed, or a fault of this crate lost it.
    InternalSdkError = "internal_sdk_error";
}

impl LossReason {
    /// How many of them, from the first, are known when a span starts: such a span is not recorded.
    pub(crate) const UNSENT: usize = LossReason::CallbackError as usize + 1;

    /// One of these, by its number.
    #[inline]
    pub(crate) const fn of_unsampled(number: u8) -> Self {
        match number {
            1 => LossReason::Ignored,
            2 => LossReason::Backpressure,
            3 => LossReason::CallbackError,
            _ => LossReason::SampleRate,
        }
    }
}

const COUNT: usize = LossReason::ALL.len();

/// One counter a reason.
#[derive(Debug, Default)]
pub(crate) struct Losses([AtomicU64; COUNT]);

impl Losses {
    #[expect(clippy::indexing_slicing, reason = "there is a counter for each reason")]
    pub(crate) fn add(&self, reason: LossReason, count: u64) {
        self.0[reason as usize].fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> LossCounts {
        LossCounts(self.0.each_ref().map(|count| count.load(Ordering::Relaxed)))
    }
}

/// How many spans, or transactions, were lost, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LossCounts(pub(crate) [u64; COUNT]);

impl LossCounts {
    /// How many for this reason.
    #[expect(clippy::indexing_slicing, reason = "there is a count for each reason")]
    pub fn get(&self, reason: LossReason) -> u64 {
        self.0[reason as usize]
    }

    /// How many for all reasons together.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The reasons that have a count above zero, with it.
    pub fn iter(&self) -> impl Iterator<Item = (LossReason, u64)> + '_ {
        LossReason::ALL.iter().map(|&reason| (reason, self.get(reason))).filter(|&(_, count)| count > 0)
    }

    /// Adds what was counted by the reasons that are known when a span starts.
    pub(crate) fn add_unsent(&mut self, unsent: &[u64; LossReason::UNSENT]) {
        for (count, more) in self.0.iter_mut().zip(unsent) {
            *count += more;
        }
    }

    pub(crate) fn add(&mut self, reason: LossReason, count: u64) {
        if let Some(counter) = self.0.get_mut(reason as usize) {
            *counter += count;
        }
    }

    /// What is here and not in `other`.
    pub(crate) fn since(&self, other: &LossCounts) -> LossCounts {
        self.with(other, u64::saturating_sub)
    }

    pub(crate) fn plus(&self, other: &LossCounts) -> LossCounts {
        self.with(other, |count, more| count + more)
    }

    fn with(mut self, other: &LossCounts, f: impl Fn(u64, u64) -> u64) -> LossCounts {
        for (count, other) in self.0.iter_mut().zip(other.0) {
            *count = f(*count, other);
        }
        self
    }
}

/// What an envelope carries, by the categories of client reports.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Load {
    pub(crate) spans: u64,
    #[cfg(feature = "legacy")]
    pub(crate) transactions: u64,
}

impl Load {
    /// This many spans.
    pub(crate) fn of_spans(spans: u64) -> Self {
        Load {
            spans,
            #[cfg(feature = "legacy")]
            transactions: 0,
        }
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.spans {
            0 => f.write_str("a client report"),
            1 => f.write_str("an envelope with 1 span"),
            spans => write!(f, "an envelope with {spans} spans"),
        }
    }
}

/// Losses to be told to Sentry, by category.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Report {
    pub(crate) spans: LossCounts,
    #[cfg(feature = "legacy")]
    pub(crate) transactions: LossCounts,
}

impl Report {
    pub(crate) fn is_empty(&self) -> bool {
        self.by_category().all(|(_, counts)| counts.total() == 0)
    }

    /// The counts with the names of their categories.
    pub(crate) fn by_category(&self) -> impl Iterator<Item = (&'static str, &LossCounts)> {
        let spans = [("span", &self.spans)];
        #[cfg(feature = "legacy")]
        let spans = [spans[0], ("transaction", &self.transactions)];
        spans.into_iter()
    }

    /// What is here and not in `other`.
    pub(crate) fn since(&self, other: &Report) -> Report {
        Report {
            spans: self.spans.since(&other.spans),
            #[cfg(feature = "legacy")]
            transactions: self.transactions.since(&other.transactions),
        }
    }

    pub(crate) fn plus(&self, other: &Report) -> Report {
        Report {
            spans: self.spans.plus(&other.spans),
            #[cfg(feature = "legacy")]
            transactions: self.transactions.plus(&other.transactions),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reasons_that_are_known_when_a_span_starts_come_first() {
        for (number, reason) in LossReason::ALL[..LossReason::UNSENT].iter().enumerate() {
            assert_eq!((*reason as usize, LossReason::of_unsampled(number as u8)), (number, *reason));
        }
    }
}
