//! A child span of a transaction, and what is either of the two.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::SystemTime;

use super::facts::{Facts, setters};
use super::transaction::{Child, Root};
use super::{SpanStatus, Transaction};
use crate::clock::UnixNanos;
use crate::ids::{Generator, SpanId, TraceId};

/// A child span of a transaction. Clones stand for the same one; it can be used from any thread.
///
/// It is part of its transaction when it [finishes](Span::finish), or its last clone is dropped, before the transaction does.
#[derive(Clone)]
pub struct Span(pub(super) Option<Arc<Open>>);

pub(super) struct Open {
    root: Arc<Root>,
    span_id: SpanId,
    parent_id: SpanId,
    start: UnixNanos,
    in_unwinding: bool,
    /// `None` once it has finished.
    facts: Mutex<Option<Facts>>,
}

impl Span {
    pub(super) fn start(
        root: &Arc<Root>,
        parent_id: SpanId,
        op: Cow<'static, str>,
        description: Cow<'static, str>,
    ) -> Self {
        root.child_started();
        Span(Some(Arc::new(Open {
            root: Arc::clone(root),
            span_id: Generator::seeded().span_id(),
            parent_id,
            start: root.began.later(),
            in_unwinding: thread::panicking(),
            facts: Mutex::new(Some(Facts { op, description, ..Facts::default() })),
        })))
    }

    fn with<R>(&self, f: impl FnOnce(&mut Facts) -> R) -> Option<R> {
        self.0.as_ref()?.lock().as_mut().map(f)
    }

    setters!();

    /// Describes it anew.
    pub fn set_description(&self, description: impl Into<Cow<'static, str>>) {
        let description = description.into();
        self.with(|facts| facts.description = description);
    }

    /// Whether its transaction was sampled.
    pub fn is_sampled(&self) -> bool {
        self.0.as_ref().is_some_and(|open| open.root.segment.sampled)
    }

    /// The id of its trace; `None` if there is no runtime that takes transactions.
    pub fn trace_id(&self) -> Option<TraceId> {
        self.0.as_ref().map(|open| open.root.segment.trace().id)
    }

    /// Its id.
    pub fn span_id(&self) -> Option<SpanId> {
        self.0.as_ref().map(|open| open.span_id)
    }

    /// The transaction that it belongs to.
    pub fn transaction(&self) -> Transaction {
        Transaction(self.0.as_ref().map(|open| Arc::clone(&open.root)))
    }

    /// Starts a child span of this one.
    #[must_use = "a span that is dropped has finished"]
    pub fn start_child(&self, op: impl Into<Cow<'static, str>>, description: impl Into<Cow<'static, str>>) -> Span {
        match &self.0 {
            Some(open) => Span::start(&open.root, open.span_id, op.into(), description.into()),
            None => Span(None),
        }
    }

    /// The headers by which another service continues the trace.
    pub fn iter_headers(&self) -> impl Iterator<Item = (&'static str, String)> + use<> {
        self.0.as_ref().map(|open| open.root.headers(open.span_id)).into_iter().flatten()
    }

    /// Finishes it. To finish it again does nothing.
    pub fn finish(self) {
        if let Some(open) = &self.0 {
            open.finish(None);
        }
    }

    /// As [`finish`](Self::finish), with a time of the caller's. A time before the start counts as the start.
    pub fn finish_with_timestamp(self, time: SystemTime) {
        if let Some(open) = &self.0 {
            open.finish(Some(time));
        }
    }
}

impl Open {
    fn lock(&self) -> MutexGuard<'_, Option<Facts>> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finish(&self, at: Option<SystemTime>) {
        let Some(mut facts) = self.lock().take() else { return };
        if facts.status.is_none() && thread::panicking() && !self.in_unwinding {
            facts.status = Some(SpanStatus::InternalError);
        }
        let end = at.map_or_else(|| self.root.began.later(), UnixNanos::of).max(self.start);
        let Open { span_id, parent_id, start, .. } = *self;
        self.root.child_finished(Child { span_id, parent_id, start, end, facts });
    }
}

impl Drop for Open {
    /// Nobody will finish it any more.
    fn drop(&mut self) {
        self.finish(None);
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(open) => f
                .debug_struct("Span")
                .field("trace_id", &open.root.segment.trace().id)
                .field("span_id", &open.span_id)
                .field("sampled", &open.root.segment.sampled)
                .finish_non_exhaustive(),
            None => f.write_str("Span(records nothing)"),
        }
    }
}

/// What can be current in the legacy API.
#[derive(Debug, Clone)]
pub enum TransactionOrSpan {
    /// A transaction.
    Transaction(Transaction),
    /// A child span of one.
    Span(Span),
}

impl TransactionOrSpan {
    /// Starts a child span.
    #[must_use = "a span that is dropped has finished"]
    pub fn start_child(&self, op: impl Into<Cow<'static, str>>, description: impl Into<Cow<'static, str>>) -> Span {
        match self {
            TransactionOrSpan::Transaction(transaction) => transaction.start_child(op, description),
            TransactionOrSpan::Span(span) => span.start_child(op, description),
        }
    }

    /// Sets what kind of work it is.
    pub fn set_op(&self, op: impl Into<Cow<'static, str>>) {
        match self {
            TransactionOrSpan::Transaction(transaction) => transaction.set_op(op),
            TransactionOrSpan::Span(span) => span.set_op(op),
        }
    }

    /// Says how it ended.
    pub fn set_status(&self, status: SpanStatus) {
        match self {
            TransactionOrSpan::Transaction(transaction) => transaction.set_status(status),
            TransactionOrSpan::Span(span) => span.set_status(status),
        }
    }

    /// Sets a tag.
    pub fn set_tag(&self, key: impl Into<Cow<'static, str>>, value: impl fmt::Display) {
        match self {
            TransactionOrSpan::Transaction(transaction) => transaction.set_tag(key, value),
            TransactionOrSpan::Span(span) => span.set_tag(key, value),
        }
    }

    /// Sets a value that is shown with it.
    pub fn set_data(&self, key: impl Into<crate::Key>, value: impl crate::AttributeValue) {
        match self {
            TransactionOrSpan::Transaction(transaction) => transaction.set_data(key, value),
            TransactionOrSpan::Span(span) => span.set_data(key, value),
        }
    }

    /// The id of its trace; `None` if it records nothing.
    pub fn trace_id(&self) -> Option<TraceId> {
        match self {
            TransactionOrSpan::Transaction(transaction) => transaction.trace_id(),
            TransactionOrSpan::Span(span) => span.trace_id(),
        }
    }

    /// Its id; `None` if it records nothing.
    pub fn span_id(&self) -> Option<SpanId> {
        match self {
            TransactionOrSpan::Transaction(transaction) => transaction.span_id(),
            TransactionOrSpan::Span(span) => span.span_id(),
        }
    }

    /// The headers by which another service continues the trace.
    pub fn iter_headers(&self) -> impl Iterator<Item = (&'static str, String)> + use<> {
        let headers: Vec<_> = match self {
            TransactionOrSpan::Transaction(transaction) => transaction.iter_headers().collect(),
            TransactionOrSpan::Span(span) => span.iter_headers().collect(),
        };
        headers.into_iter()
    }

    /// Finishes it.
    pub fn finish(self) {
        match self {
            TransactionOrSpan::Transaction(transaction) => transaction.finish(),
            TransactionOrSpan::Span(span) => span.finish(),
        }
    }
}

impl From<Transaction> for TransactionOrSpan {
    fn from(transaction: Transaction) -> Self {
        TransactionOrSpan::Transaction(transaction)
    }
}

impl From<Span> for TransactionOrSpan {
    fn from(span: Span) -> Self {
        TransactionOrSpan::Span(span)
    }
}
