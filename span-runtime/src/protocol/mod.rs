//! Bytes for the wire, and nothing else: no clock, no thread, and no state but texts that are made once.

mod dsn;
mod envelope;
pub(crate) mod json;
mod known;
mod report;
mod span;

pub use dsn::ParseDsnError;
pub(crate) use dsn::{Dsn, check_authority};
pub(crate) use envelope::{Added, Envelope, EnvelopeWriter, write_context};
pub(crate) use known::{Known, Packed};
pub(crate) use report::write_report;
pub(crate) use span::{Around, Common, SegmentText, SpanText, constant_attributes, thread_attributes};

/// The name of this SDK.
pub(crate) const SDK_NAME: &str = "sentry.rust.span-runtime";

/// Its version.
pub(crate) const SDK_VERSION: &str = env!("CARGO_PKG_VERSION");

/// How the transport introduces itself.
pub(crate) const CLIENT: &str = concat!("sentry.rust.span-runtime/", env!("CARGO_PKG_VERSION"));

/// The most spans that an envelope may hold. (span buffer, Sentry's SDK documents)
pub(crate) const MOST_SPANS: usize = 1000;

/// The most bytes of spans that an envelope may hold.
pub(crate) const MOST_BYTES: usize = 10 << 20;
