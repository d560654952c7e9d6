//! As the module `error`, for the errors of [`anyhow`] 1.
//!
//! ```
//! use anyhow::Context as _;
//! use span_integrations::anyhow::RecordError as _;
//! use span_runtime::prelude::*;
//!
//! #[span(name = "load settings")]
//! fn load(text: &str) -> anyhow::Result<u16> {
//!     // Context and causes go to the span `load settings`.
//!     let port = text.parse::<u16>().context("the port is no number").record_error()?;
//!     Ok(port)
//! }
//! # assert!(load("http").is_err());
//! ```
//!
//! # Invariant
//!
//! Nothing is recorded that nobody asked for, as in the module `error`.
//!
//! # Hook
//!
//! None: [`record_error`](RecordError::record_error) is called on a result. Both this trait and the one of the module `error` can be in
//! scope.
//!
//! # Attributes
//!
//! | | |
//! | --- | --- |
//! | status | `error` |
//! | `error.message` | the error's text, which is the outermost context; may be sensitive |
//! | `error.causes` | the texts of what is below it, the nearest first; may be sensitive |

use span_runtime::current_span;

use crate::common::error as common;

/// Records the error of a result on the current span.
pub trait RecordError {
    /// Makes the current span an error if this is one, and records the error with its causes. The result itself is handed back as it was.
    ///
    /// ```
    /// use span_integrations::anyhow::RecordError as _;
    ///
    /// let order: Option<u64> = Err(anyhow::anyhow!("no such order")).record_error().ok();
    /// assert_eq!(order, None);
    /// ```
    #[must_use]
    fn record_error(self) -> Self;
}

impl<T> RecordError for ::anyhow::Result<T> {
    fn record_error(self) -> Self {
        if let Err(error) = &self {
            common::record(&current_span(), error.as_ref(), None);
        }
        self
    }
}
