//! Counts of spans that were not sent, by reason. (behaviour 49)

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
    /// The byte bound was reached after that, and its trace was the oldest; or it alone was too large for an envelope.
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

const COUNT: usize = LossReason::ALL.len();

/// One counter a reason.
#[derive(Debug, Default)]
pub(crate) struct Losses([AtomicU64; COUNT]);

impl Losses {
    pub(crate) fn add(&self, reason: LossReason, count: u64) {
        self.0[reason as usize].fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> LossCounts {
        LossCounts(std::array::from_fn(|index| self.0[index].load(Ordering::Relaxed)))
    }
}

/// How many spans were lost, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LossCounts(pub(crate) [u64; COUNT]);

impl LossCounts {
    /// How many for this reason.
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

    pub(crate) fn add(&mut self, reason: LossReason, count: u64) {
        self.0[reason as usize] += count;
    }

    /// What is here and not in `other`.
    pub(crate) fn since(&self, other: &LossCounts) -> LossCounts {
        LossCounts(std::array::from_fn(|index| self.0[index].saturating_sub(other.0[index])))
    }

    pub(crate) fn plus(&self, other: &LossCounts) -> LossCounts {
        LossCounts(std::array::from_fn(|index| self.0[index] + other.0[index]))
    }
}
