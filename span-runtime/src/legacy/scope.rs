//! What is current in the legacy API: of a thread, or of a future while it is polled.
//!
//! Invariant: it is a transaction or a child span of one, or nothing. What is current in the streaming API is kept elsewhere,
//! in another type.

use std::cell::RefCell;
use std::future::Future;
use std::marker::PhantomData;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::{Span, Transaction, TransactionOrSpan};

thread_local! {
    static CURRENT: RefCell<Option<TransactionOrSpan>> = const { RefCell::new(None) };
}

/// Puts something in the place of what is current, and returns that. `None` as well if the thread is past its end.
pub(super) fn replace(current: Option<TransactionOrSpan>) -> Option<TransactionOrSpan> {
    // The value that comes out is dropped by the caller, where nothing is borrowed.
    CURRENT.try_with(|cell| cell.replace(current)).ok().flatten()
}

pub(super) fn current() -> Option<TransactionOrSpan> {
    // Borrowed for a copy of an `Arc` or for a swap only, so that nobody finds it borrowed.
    CURRENT.try_with(|cell| cell.borrow().clone()).ok().flatten()
}

/// What [`configure_scope`](super::configure_scope) gives access to: what is current on this thread.
#[derive(Debug)]
pub struct Scope(());

impl Scope {
    pub(super) const fn of_this_thread() -> Self {
        Scope(())
    }

    /// Makes a transaction or a child span the current one; `None` makes nothing current. One that records nothing leaves
    /// the scope as it is.
    pub fn set_span(&mut self, span: impl OnScope) {
        if let Some(span) = span.for_scope() {
            drop(replace(span));
        }
    }

    /// What is current.
    pub fn span(&self) -> Option<TransactionOrSpan> {
        current()
    }
}

/// What the legacy scope takes: a transaction or a child span of one, by value or by reference, or an `Option` of it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the current span of the legacy scope",
    label = "neither a transaction nor a child span of one",
    note = "a span of the streaming API is current while its guard lives: `let _guard = start_span(name).start();`"
)]
pub trait OnScope {
    /// What is to be current; `None` if the scope is to stay as it is.
    #[doc(hidden)]
    fn for_scope(self) -> Option<Option<TransactionOrSpan>>;
}

impl OnScope for TransactionOrSpan {
    fn for_scope(self) -> Option<Option<TransactionOrSpan>> {
        let records = match &self {
            TransactionOrSpan::Transaction(transaction) => transaction.0.is_some(),
            TransactionOrSpan::Span(span) => span.0.is_some(),
        };
        records.then_some(Some(self))
    }
}

impl OnScope for Transaction {
    fn for_scope(self) -> Option<Option<TransactionOrSpan>> {
        TransactionOrSpan::from(self).for_scope()
    }
}

impl OnScope for Span {
    fn for_scope(self) -> Option<Option<TransactionOrSpan>> {
        TransactionOrSpan::from(self).for_scope()
    }
}

impl<S: OnScope + Clone> OnScope for &S {
    fn for_scope(self) -> Option<Option<TransactionOrSpan>> {
        self.clone().for_scope()
    }
}

impl<S: OnScope> OnScope for Option<S> {
    fn for_scope(self) -> Option<Option<TransactionOrSpan>> {
        self.map_or(Some(None), OnScope::for_scope)
    }
}

/// Keeps something current on this thread, and puts back what was there; made by `enter`.
#[derive(Debug)]
#[must_use = "it is current while this lives; bind it to a variable"]
pub struct ScopeGuard {
    /// `None` if the scope was left alone.
    before: Option<Option<TransactionOrSpan>>,
    not_send: PhantomData<*const ()>,
}

impl ScopeGuard {
    pub(super) fn enter(span: impl OnScope) -> Self {
        ScopeGuard { before: span.for_scope().map(replace), not_send: PhantomData }
    }
}

impl Drop for ScopeGuard {
    fn drop(&mut self) {
        if let Some(before) = self.before.take() {
            drop(replace(before));
        }
    }
}

impl Transaction {
    /// Makes it current on this thread until the guard is dropped.
    pub fn enter(&self) -> ScopeGuard {
        ScopeGuard::enter(self)
    }
}

impl Span {
    /// Makes it current on this thread until the guard is dropped.
    pub fn enter(&self) -> ScopeGuard {
        ScopeGuard::enter(self)
    }
}

/// Futures that carry what is current in the legacy API.
pub trait InScope: Future + Sized {
    /// Makes a transaction or a child span current whenever this future is polled.
    fn in_scope(self, span: impl OnScope) -> ScopeFuture<Self> {
        ScopeFuture { future: self, carried: span.for_scope() }
    }
}

impl<F: Future> InScope for F {}

pin_project! {
    /// A future that carries what is current; made by [`InScope::in_scope`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct ScopeFuture<F> {
        #[pin]
        future: F,
        // `None` if the scope is left alone.
        carried: Option<Option<TransactionOrSpan>>,
    }
}

impl<F: Future> Future for ScopeFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        /// Takes back what is current at the end of a poll, however it ends.
        struct Polling<'a> {
            carried: &'a mut Option<TransactionOrSpan>,
            before: Option<TransactionOrSpan>,
        }

        impl Drop for Polling<'_> {
            fn drop(&mut self) {
                *self.carried = replace(mem::take(&mut self.before));
            }
        }

        let this = self.project();
        let _polling = this.carried.as_mut().map(|carried| {
            let before = replace(carried.take());
            Polling { carried, before }
        });
        this.future.poll(context)
    }
}
