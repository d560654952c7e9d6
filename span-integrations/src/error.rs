//! Errors with all their causes, on the span that they ended.
//!
//! ```
//! use span_integrations::error::RecordError as _;
//! use span_runtime::prelude::*;
//!
//! #[span(name = "load settings")]
//! fn load(text: &str) -> Result<u16, std::num::ParseIntError> {
//!     // The text of the error and those of its causes go to the span `load settings`.
//!     let port = text.parse().record_error()?;
//!     Ok(port)
//! }
//! # assert!(load("http").is_err());
//! ```
//!
//! # Invariant
//!
//! Nothing is recorded that nobody asked for: an error's text may quote what it was given, so each call says that this error may be told.
//!
//! # Hook
//!
//! None: [`record_error`](RecordError::record_error) is called on a result where it is handled or passed on, and [`record`] on a span
//! that is at hand. At most 16 causes are recorded. The errors of the crate `anyhow` have the module of that name.
//!
//! # Attributes
//!
//! | | |
//! | --- | --- |
//! | status | `error` |
//! | `error.message` | the error's text; may be sensitive |
//! | `error.causes` | the texts of its causes, the nearest first; may be sensitive |
//! | `error.type` | the name of its type, where that is known |

use std::any::type_name;
use std::error::Error;

use span_runtime::current_span;

use crate::common::error as common;

/// Records the error of a result on the current span.
pub trait RecordError {
    /// Makes the current span an error if this is one, and records the error with its causes. The result itself is handed back as it was.
    ///
    /// ```
    /// use span_integrations::error::RecordError as _;
    ///
    /// let port: Option<u16> = "http".parse().record_error().ok();
    /// assert_eq!(port, None);
    /// ```
    #[must_use]
    fn record_error(self) -> Self;
}

impl<T, E: Error + 'static> RecordError for Result<T, E> {
    fn record_error(self) -> Self {
        if let Err(error) = &self {
            record(&current_span(), error);
        }
        self
    }
}

/// Makes a span an error, and records this error with its causes.
///
/// ```
/// use span_runtime::start_span;
///
/// let span = start_span("load settings").start();
/// if let Err(error) = std::fs::read("/no/such/file") {
///     span_integrations::error::record(&span, &error);
/// }
/// ```
pub fn record<E: Error + 'static>(span: &impl AnySpan, error: &E) {
    common::record(span, error, Some(type_name::<E>()));
}

/// As [`record`], where the type of the error is not known.
///
/// ```
/// # let error: Box<dyn std::error::Error> = "no such order".into();
/// span_integrations::error::record_dyn(&span_runtime::current_span(), error.as_ref());
/// ```
pub fn record_dyn(span: &impl AnySpan, error: &(dyn Error + 'static)) {
    common::record(span, error, None);
}

/// A span, its guard, a handle of it, or the current span.
#[expect(private_bounds, reason = "nobody else's type is one")]
pub trait AnySpan: common::Fail {}

impl<S: common::Fail> AnySpan for S {}
