//! The calls of the legacy API.
//!
//! A function cannot see which crate calls it, so that only a name can be withheld. The functions in [`open`] are the
//! real ones; `lifecycle!(static)` brings them into a crate as `crate::legacy`. Those beside it have the documentation, and
//! tell whoever calls them why it does not compile.

use super::{Scope, Transaction, TransactionContext, TransactionOrSpan};
use crate::{Guard, InitError, Options};

/// What [`lifecycle!`](crate::lifecycle!) brings into a crate.
#[doc(hidden)]
pub mod open {
    use std::panic::Location;

    use super::super::scope;
    pub use super::super::{
        InScope, OnScope, Scope, ScopeFuture, ScopeGuard, Span, SpanStatus, Transaction, TransactionContext,
        TransactionOrSpan,
    };
    use crate::{Guard, InitError, Options, TraceLifecycle};

    /// As documented [beside](super::init).
    ///
    /// # Errors
    ///
    /// As documented there.
    pub fn init(options: Options) -> Result<Guard, InitError> {
        crate::init(options.declared(TraceLifecycle::Static))
    }

    /// As documented [beside](super::start_transaction).
    #[track_caller]
    pub fn start_transaction(context: TransactionContext) -> Transaction {
        Transaction::start(context, Location::caller())
    }

    /// As documented [beside](super::current_span).
    pub fn current_span() -> Option<TransactionOrSpan> {
        scope::current()
    }

    /// As documented [beside](super::configure_scope).
    pub fn configure_scope<R>(f: impl FnOnce(&mut Scope) -> R) -> R {
        f(&mut Scope::of_this_thread())
    }
}

macro_rules! withheld {
    ($($crate_only:ident = $call:literal, $label:literal;)*) => {
        $(
            #[doc(hidden)]
            #[diagnostic::on_unimplemented(
                message = $call,
                label = $label,
                note = "in a crate that declares `span_runtime::lifecycle!(static)`, call it by its name in `crate::legacy`"
            )]
            #[allow(missing_docs, reason = "its message is its documentation")]
            pub trait $crate_only {}

            #[diagnostic::do_not_recommend]
            impl $crate_only for Nobody {}
        )*
    };
}

/// What no value is of.
#[allow(dead_code, reason = "it is only named")]
struct Nobody(());

withheld! {
    CallsInit = "`legacy::init` belongs to the legacy API, whose calls are brought in by `span_runtime::lifecycle!(static)`",
        "in a crate that streams, write `span_runtime::init(options)`";
    CallsStartTransaction = "`start_transaction` belongs to the legacy API, whose calls are brought in by `span_runtime::lifecycle!(static)`",
        "in a crate that streams, write `#[span]`, `span!` or `start_span(name).start()`";
    CallsCurrentSpan = "`legacy::current_span` belongs to the legacy API, whose calls are brought in by `span_runtime::lifecycle!(static)`",
        "in a crate that streams, write `span_runtime::current_span()`";
    CallsConfigureScope = "`configure_scope` belongs to the legacy API, whose calls are brought in by `span_runtime::lifecycle!(static)`",
        "in a crate that streams, a span is current while its guard lives: `let _guard = start_span(name).start();`";
}

/// Makes a runtime of the static lifecycle and installs it; see [`init`](crate::init). Called as `crate::legacy::init`.
///
/// # Errors
///
/// As [`init`](crate::init), and when `trace_lifecycle` or `SENTRY_TRACE_LIFECYCLE` says `stream`.
pub fn init<Here>(_: Options) -> Result<Guard, InitError>
where
    Option<Here>: CallsInit,
{
    Err(InitError::NoLegacy)
}

/// Starts a transaction. Called as `crate::legacy::start_transaction`.
///
/// It is not current by itself: [`enter`](Transaction::enter) makes it so on a thread,
/// [`in_scope`](super::InScope::in_scope) in a future. If tracing is off, or there is no runtime, it records nothing; if the
/// runtime streams, that is said once through `log`.
pub fn start_transaction<C: CallsStartTransaction + Into<TransactionContext>>(_: C) -> Transaction {
    Transaction(None)
}

/// The transaction or child span that is current here, if there is one. Called as `crate::legacy::current_span`.
pub fn current_span<Here>() -> Option<TransactionOrSpan>
where
    Option<Here>: CallsCurrentSpan,
{
    None
}

/// Gives access to what is current on this thread. Called as `crate::legacy::configure_scope`.
pub fn configure_scope<F: CallsConfigureScope + FnOnce(&mut Scope) -> R, R>(f: F) -> R {
    f(&mut Scope::of_this_thread())
}
