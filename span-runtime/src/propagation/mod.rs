//! A trace on its way from process to process: headers, read and written. (behaviours 28 to 34)
//!
//! What comes in is read by [`continue_trace`](crate::continue_trace), what goes out is made by
//! [`trace_headers`](crate::trace_headers). The types here are what these are made of: pure functions over text, for those who bring
//! a protocol of their own.
//!
//! # Invariants
//!
//! 1. A header is believed as a whole or not at all, whatever its length and its bytes.
//! 2. The sampling context that a trace came with leaves this process as it came; only its `sample_rate` is replaced, where this
//!    process decided by a rate of its own.
//! 3. The sampling context of a trace that began here is made once, when it is first sent to somebody, and is the same for everybody
//!    from then on.

mod baggage;
mod dsc;
mod headers;
mod incoming;
mod sentry_trace;
mod traceparent;

pub use baggage::Baggage;
pub(crate) use dsc::{ContextText, Dsc, ProcessContext};
pub use headers::TraceHeaders;
pub(crate) use incoming::Incoming;
pub use sentry_trace::SentryTrace;
pub use traceparent::Traceparent;

/// The names of the headers.
pub(crate) const SENTRY_TRACE: &str = "sentry-trace";
pub(crate) const BAGGAGE: &str = "baggage";
pub(crate) const TRACEPARENT: &str = "traceparent";
/// And of the variables that carry them into a child process.
pub(crate) const TRACE_VARIABLE: &str = "SENTRY_TRACE";
pub(crate) const BAGGAGE_VARIABLE: &str = "SENTRY_BAGGAGE";
