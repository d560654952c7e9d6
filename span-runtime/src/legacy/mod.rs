//! The legacy API: transactions, in the static lifecycle. (behaviours 55 to 58)
//!
//! It exists for code that was written for transactions and has not moved over yet. A transaction collects its child spans and is
//! sent, as one event, when it finishes. Spans of the streaming API are sent as they finish and have none of the limits that
//! follow; `docs/migration.md` puts each call here beside its replacement.
//!
//! A crate that uses it declares so at its root. That brings [the calls](start_transaction) into the crate, as `crate::legacy`; they
//! cannot be called in any other crate:
//!
//! ```standalone_crate
//! span_runtime::lifecycle!(static);
//!
//! use span_runtime::legacy::TransactionContext;
//! use span_runtime::Options;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let _guard = crate::legacy::init(Options::new().traces_sample_rate(1.0))?;
//!
//!     let transaction = crate::legacy::start_transaction(TransactionContext::new("checkout", "task"));
//!     let child = transaction.start_child("db.query", "SELECT 1");
//!     child.set_data("db.rows", 1);
//!     child.finish();
//!     transaction.finish();
//!     Ok(())
//! }
//! ```
//!
//! # What is sent, and what is lost
//!
//! * A transaction has at most 1,000 child spans and 1 MiB of JSON. Child spans beyond that, and those that finish after it, are
//!   counted lost as `buffer_overflow`. Those that have not finished when it does count as open until they do.
//! * A transaction or child span that is dropped without `finish`, also by a panic, finishes when the last clone of it is gone; a
//!   child span keeps its transaction. To finish it again does nothing.
//! * A lost transaction counts as one `transaction`, and as one `span` for itself and each of its children.
//!
//! # Invariants
//!
//! 1. Of a transaction and of each child span, the details are taken out of their cell exactly once, by whoever finishes it;
//!    so each is counted once.
//! 2. Nothing of the streaming code refers to this module, but for the lines that say `feature = "legacy"`.

mod books;
pub(crate) mod calls;
mod context;
mod envelope;
#[doc(hidden)]
pub mod expansion;
mod facts;
mod parcel;
mod scope;
mod span;
mod status;
mod transaction;

pub(crate) use books::Books;
pub use calls::{configure_scope, current_span, init, start_transaction};
pub use context::TransactionContext;
pub(crate) use parcel::{Parcel, Parcels};
pub use scope::{InScope, OnScope, Scope, ScopeFuture, ScopeGuard};
pub use span::{Span, TransactionOrSpan};
pub use status::SpanStatus;
pub use transaction::Transaction;
