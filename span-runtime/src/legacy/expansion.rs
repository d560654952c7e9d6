//! What `#[transaction]` expands to calls. Not part of the API.

use std::borrow::Cow;
use std::fmt::Display;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::{InScope as _, ScopeFuture, ScopeGuard, SpanStatus, Transaction, TransactionContext};
use crate::AttributeValue;

/// What the start closure of a call site writes to. It is called only when the transaction is sampled.
#[derive(Debug)]
pub struct Start<'a>(&'a Transaction);

impl Start<'_> {
    /// A tag.
    pub fn tag(&mut self, key: &'static str, value: &(impl Display + ?Sized)) {
        self.0.set_tag(key, value);
    }

    /// A value, read by reference, so that nothing of the caller's is moved.
    pub fn data<V: AttributeValue + ?Sized>(&mut self, key: &'static str, value: &V) {
        if let Some(value) = value.to_value() {
            self.0.set_data(key, value);
        }
    }
}

/// A transaction that has started and is not current yet. Its drop finishes it.
#[derive(Debug)]
pub struct Started(Transaction);

/// Starts a transaction.
#[track_caller]
pub fn begin(
    name: impl Into<Cow<'static, str>>,
    op: impl Into<Cow<'static, str>>,
    source: Option<&'static str>,
    start: impl FnOnce(&mut Start<'_>),
) -> Started {
    let context = TransactionContext { source, ..TransactionContext::new(name, op) };
    let transaction = Transaction::start(context, Location::caller());
    if transaction.is_sampled() {
        start(&mut Start(&transaction));
    }
    Started(transaction)
}

impl Started {
    /// Makes it current on this thread until what is returned is dropped, which finishes it.
    #[must_use = "the transaction finishes when this is dropped"]
    pub fn enter(self) -> Entered {
        Entered { _scope: self.0.enter(), started: self }
    }

    fn failed(&self) {
        if self.0.status().is_none() {
            self.0.set_status(SpanStatus::InternalError);
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        self.0.clone().finish();
    }
}

/// A transaction that is current while a function runs.
#[derive(Debug)]
pub struct Entered {
    // Dropped first: what was current is put back before the transaction finishes.
    _scope: ScopeGuard,
    started: Started,
}

impl Entered {
    /// The function returned an error.
    pub fn failed(&self) {
        self.started.failed();
    }
}

/// Makes a transaction current while a future is polled, and finishes it with the future.
pub fn carry<F: Future>(started: Started, future: F, failed: fn(&F::Output) -> bool) -> InTransaction<F> {
    InTransaction { future: future.in_scope(&started.0), started: Some(started), failed }
}

pin_project! {
    /// A future that is a transaction.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct InTransaction<F: Future> {
        #[pin]
        future: ScopeFuture<F>,
        started: Option<Started>,
        failed: fn(&F::Output) -> bool,
    }
}

impl<F: Future> Future for InTransaction<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let output = ready!(this.future.poll(context));
        if let Some(started) = this.started.take() {
            if (this.failed)(&output) {
                started.failed();
            }
        }
        Poll::Ready(output)
    }
}
