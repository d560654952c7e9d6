//! The two lifecycles, and what keeps them apart. (behaviours 1 to 4)
//!
//! A crate says once, by [`lifecycle!`](crate::lifecycle!), which of the two it uses, and from then on the other one's macros and
//! calls do not compile in it. A program may still be put together from crates that differ; its runtime has one
//! lifecycle, and calls of the other one record nothing.
//!
//! # Invariants
//!
//! 1. A span of one lifecycle is never the parent of a span of the other, nor the current span for it: they are different
//!    types, and each lifecycle keeps what is current in a place of its own.
//! 2. A call of the other lifecycle leaves everything as it was, runs the user's code, and says so once for each
//!    place in the source that makes one.

#[cfg(feature = "legacy")]
mod guard;
pub mod lock;
pub(crate) mod words;

#[cfg(feature = "legacy")]
pub(crate) use guard::{StaticRuntime, refuse_legacy, refuse_streaming};
pub(crate) use words::legacy_words;

/// When spans are sent. (`traceLifecycle`, Sentry's SDK documents)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum TraceLifecycle {
    /// As they finish, while their trace still runs.
    #[default]
    Stream,
    /// All spans of a trace as one transaction, when its root finishes. Needs the feature `legacy`.
    Static,
}

impl TraceLifecycle {
    /// The lifecycle as it is written in options and in `SENTRY_TRACE_LIFECYCLE`.
    ///
    /// ```
    /// assert_eq!(span_runtime::TraceLifecycle::Stream.as_str(), "stream");
    /// ```
    pub const fn as_str(self) -> &'static str {
        match self {
            TraceLifecycle::Stream => "stream",
            TraceLifecycle::Static => "static",
        }
    }

    /// The lifecycle by this name.
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        [TraceLifecycle::Stream, TraceLifecycle::Static].into_iter().find(|lifecycle| lifecycle.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_lifecycles_belong_together() {
        for lifecycle in [TraceLifecycle::Stream, TraceLifecycle::Static] {
            assert_eq!(TraceLifecycle::by_name(lifecycle.as_str()), Some(lifecycle));
        }
        assert_eq!(TraceLifecycle::by_name("streaming"), None);
    }
}
