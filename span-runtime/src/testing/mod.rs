//! What a test needs to see the spans of the code it tests, without Sentry.
//!
//! * [`Receiver`]: an HTTP server on the loopback address that takes envelopes, answers as told,
//!   and records every rule of the wire that it sees broken.
//! * [`CaptureTransport`]: the same without a network, inside the process.
//! * [`Envelope::parse`]: the strict checker that both use, for bytes from anywhere else.
//! * [`tree`] and [`Tree`]: traces as indented text, for assertions.
//! * [`waterfall()`] and [`Waterfall`]: traces as bars, for people at a terminal.
//!
//! Receivers and transports are values: each test makes its own, so tests run in parallel.
//!
//! ```
//! use std::time::Duration;
//! use span_runtime::testing::{Answer, Receiver, tree};
//!
//! # fn main() -> std::io::Result<()> {
//! let receiver = Receiver::start()?;
//! receiver.answer_next(Answer::status(503));
//! // Point the code under test at `receiver.dsn()`, let it work, and then:
//! # let _ = receiver.dsn();
//! # let timeout = Duration::ZERO;
//! if receiver.wait_until(timeout, |receiver| receiver.span_count() == 3) {
//!     println!("{}", tree(&receiver.spans()));
//! }
//! assert_eq!(receiver.violations(), [""; 0]);
//! # Ok(())
//! # }
//! ```

mod answer;
mod attribute;
mod capture;
mod envelope;
mod findings;
mod forest;
mod header;
mod http;
mod inbox;
mod json;
mod other_items;
mod payload;
mod receiver;
mod render;
mod request_rules;
mod rfc3339;
mod serve;
mod span;
#[cfg(feature = "legacy")]
mod transaction;
mod waterfall;

#[cfg(test)]
mod tests;

pub use answer::Answer;
pub use attribute::Attribute;
pub use capture::CaptureTransport;
pub use envelope::{Envelope, Item};
pub use http::Request;
pub use receiver::Receiver;
pub use render::{Tree, tree};
pub use span::Span;
pub use waterfall::{Waterfall, waterfall};
