//! Spans that stream to Sentry.
//!
//! A span that ends is handed over, without a lock, to a flusher thread, which sends it while the rest of its trace still runs. There is no transaction
//! to wait for, no limit of children, and nothing for a slow endpoint to hold up.
//!
//! ```no_run
//! use span_runtime::prelude::*;
//!
//! span_runtime::lifecycle!(stream);
//!
//! #[span(name = "checkout", attributes("order.id" = order))]
//! fn checkout(order: u64) -> Result<(), std::io::Error> {
//!     let total = span!("price basket", "basket.items" = 3, { 3 * 4 });
//!     current_span().set_attribute("order.total", total);
//!     Ok(())
//! }
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let _spans = span_runtime::init(Options::from_env().traces_sample_rate(1.0))?;
//!     checkout(42)?;
//!     Ok(())
//! }
//! ```
//!
//! # Where to look
//!
//! * [`init`] and [`Options`]: setting it up. [`stats`] and [`flush`]: what became of the spans.
//! * [`macro@span`] and `span!`: spans around functions and blocks.
//! * [`start_span`]: spans by hand. [`Instrument`]: futures that carry a span. [`SpanHandle`] and [`Context`]: spans across threads.
//! * [`continue_trace`] and [`trace_headers`]: traces that cross services.
//! * [`current_span`]: adding to the span that one is in. [`AttributeValue`]: what can be an attribute.
//!
//! # Cargo features
//!
//! * `tls` (default): HTTPS by rustls, which Sentry's own service needs.
//! * `gzip`: envelopes are compressed, to a tenth of their size or less, for CPU time on the transport's thread.
//! * `pooled`: a second transport, for [`Options::pooled_transport`], which keeps its connection. Until it is asked for it changes nothing.
//! * `stream`: streams that carry a span.
//! * `legacy`: transactions in the static lifecycle, for code that has not moved to spans yet.
//! * `testing`: a capture transport, a loopback receiver and traces as text, for tests of instrumented code.
//! * `off`: every macro hands its item back untouched.
#![deny(unsafe_code)]
// Instrumentation must not end its host: what can panic is gone, or says beside it why it does not. Arithmetic can only where a build
// asks for checks of overflow; it says the same, a file at a time.
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::string_slice,
        clippy::unreachable,
        clippy::unwrap_used
    )
)]

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;
mod api;
#[allow(clippy::arithmetic_side_effects, reason = "lengths of what is in memory")]
mod attributes;
mod client;
mod clock;
#[allow(
    clippy::arithmetic_side_effects,
    reason = "the depth of a stack is that of the frames that were pushed, and nothing is taken from it without a look at the top"
)]
mod context;
mod filter;
#[allow(
    clippy::arithmetic_side_effects,
    reason = "lengths of what is in memory; numbers of batches, which go up from 1; and some seconds after now"
)]
mod flusher;
#[cfg(fuzzing)]
#[doc(hidden)]
#[allow(missing_docs, clippy::expect_used, clippy::panic, reason = "for the fuzz targets")]
pub mod fuzzing;
#[allow(
    clippy::arithmetic_side_effects,
    reason = "a slot's number is below `CAPACITY`, and parts of the limit are below the limit"
)]
mod hand_over;
mod hook;
mod ids;
mod integrations;
#[cfg(feature = "legacy")]
pub mod legacy;
mod lifecycle;
mod link;
pub mod names;
mod open;
pub mod propagation;
mod protocol;
mod record;
mod sampling;
mod scrub;
mod segment;
#[cfg(any(test, feature = "testing"))]
#[allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "it runs in tests, which say by a panic what is wrong"
)]
pub mod testing;
pub mod transport;

use __private as private;

pub use api::{
    AsParent, Context, ContextGuard, CurrentSpan, InContext, InSpan, InTrace, InactiveSpanBuilder, Instrument, Parent,
    Span, SpanBuilder, SpanGuard, SpanHandle, TraceGuard, TraceScope, continue_trace, continue_trace_with,
    current_span, new_trace, start_span, trace_headers, trace_headers_for,
};
#[cfg(feature = "stream")]
pub use api::{InSpanStream, InstrumentStream};
pub use attributes::{AttributeValue, Debugged, Key, Shown, Value, debug, display};
pub use client::{
    Guard, InitError, LossCounts, LossReason, Options, Runtime, RuntimeGuard, Spotlight, Stats, flush, init, stats,
};
pub use filter::{IgnoreRule, Pattern};
pub use hook::FinishedSpan;
pub use ids::{ParseIdError, SpanId, TraceId};
pub use integrations::register_integration;
pub use lifecycle::TraceLifecycle;
pub use link::Link;
pub use open::Status;
pub use propagation::TraceHeaders;
pub use protocol::ParseDsnError;
pub use sampling::SamplingContext;
pub use scrub::Scrubber;
#[doc(hidden)]
pub use span_macros::__span_block;
/// Runs a function in a span; the rustdoc of `span-macros` lists every option.
pub use span_macros::span;
#[cfg(feature = "legacy")]
/// Runs a function as a transaction, in the legacy API; the rustdoc of `span-macros` lists every option.
pub use span_macros::transaction;

/// What instrumented code needs in scope.
pub mod prelude {
    pub use crate::{Instrument, Options, Status, current_span, debug, display, span, start_span};
}

/// Declares the lifecycle of a crate, at the top of its root: `span_runtime::lifecycle!(stream);`.
///
/// `stream` brings `span!` into scope for all that follows it. (A macro by that name cannot be imported, because
/// the attribute `#[span]` is.) From then on nothing of the legacy API compiles in the crate.
///
/// `static`, with the feature `legacy`, brings the calls of the legacy API into the crate, as `crate::legacy`, or under another name
/// by `lifecycle!(static as name)`. From then on `#[span]` and `span!` do not compile in it. Functions of the streaming
/// API that are called by their path do, because a function cannot see which crate calls it; in a runtime of the static lifecycle they
/// record nothing, and say so once for each place.
///
/// A crate that declares nothing streams.
///
/// ```
/// span_runtime::lifecycle!(stream);
///
/// # fn main() {
/// let answer = span!("think", "years" = 7_500_000, { 42 });
/// assert_eq!(answer, 42);
/// # }
/// ```
#[macro_export]
macro_rules! lifecycle {
    (stream) => {
        $crate::lifecycle!(@stream $);
        #[doc(hidden)]
        #[allow(dead_code, reason = "the macros look it up")]
        pub(crate) type __SpanLifecycle = $crate::__private::lock::DeclaredStream;
    };
    (static) => {
        $crate::lifecycle!(static as legacy);
    };
    (static as $legacy:ident) => {
        $crate::__lifecycle_static!($legacy $);
    };
    (@stream $dollar:tt) => {
        #[allow(unused_macros, reason = "a crate may use the attribute only")]
        macro_rules! span {
            ($dollar($dollar tokens:tt)*) => { $crate::__span_block!($dollar($dollar tokens)*) };
        }
    };
    ($($other:tt)*) => {
        ::core::compile_error!("`lifecycle!` takes `stream` or `static`: `span_runtime::lifecycle!(stream);`");
    };
}

#[cfg(not(feature = "legacy"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __lifecycle_static {
    ($($any:tt)*) => {
        ::core::compile_error!(
            "`lifecycle!(static)` needs the legacy API: switch on the feature `legacy` of span-runtime, or declare `lifecycle!(stream)`"
        );
    };
}

#[cfg(feature = "legacy")]
#[doc(hidden)]
#[macro_export]
macro_rules! __lifecycle_static {
    ($legacy:ident $dollar:tt) => {
        #[doc(hidden)]
        #[allow(dead_code, reason = "the macros look it up")]
        pub(crate) type __SpanLifecycle = $crate::__private::lock::DeclaredStatic;

        #[allow(unused_imports, reason = "a crate may use the attribute only")]
        pub(crate) use $crate::__private::calls as $legacy;

        #[allow(unused_macros, reason = "it is here to say what to write instead")]
        macro_rules! span {
            ($dollar($dollar tokens:tt)*) => {
                ::core::compile_error!(
                    "`span!` streams, and this crate declared `lifecycle!(static)`; write `transaction.start_child(\"op\", \
                     \"description\")` and `finish()` on what it returns, or declare `lifecycle!(stream)` and move the crate over"
                )
            };
        }
    };
}
