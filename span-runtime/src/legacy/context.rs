//! What a transaction starts with.

use std::borrow::Cow;

use crate::propagation::Incoming;
use crate::segment::SOURCES;

/// What a transaction starts with: its name and operation, and the trace that it continues, if any.
///
/// ```
/// use span_runtime::legacy::TransactionContext;
///
/// let headers = [("sentry-trace", "771a43a4192642f0b136d5159a501700-b7ad6b7169203331-1")];
/// let context = TransactionContext::continue_from_headers("GET /orders", "http.server", headers).source("route");
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing has started; pass it to `start_transaction`"]
pub struct TransactionContext {
    pub(super) name: Cow<'static, str>,
    pub(super) op: Cow<'static, str>,
    pub(super) source: Option<&'static str>,
    pub(super) continued: Option<Incoming>,
}

impl TransactionContext {
    /// A transaction that begins a trace of its own.
    pub fn new(name: impl Into<Cow<'static, str>>, op: impl Into<Cow<'static, str>>) -> Self {
        TransactionContext { name: name.into(), op: op.into(), source: None, continued: None }
    }

    /// A transaction that continues the trace which the headers `sentry-trace` and `baggage` name, or else `traceparent`, in any case of
    /// letters; the decision in them is kept. If there are none, or malformed ones, it begins a trace of its own.
    pub fn continue_from_headers<K: AsRef<str>, V: AsRef<[u8]>>(
        name: impl Into<Cow<'static, str>>,
        op: impl Into<Cow<'static, str>>,
        headers: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        TransactionContext { continued: Incoming::from_headers(headers), ..Self::new(name, op) }
    }

    /// Where the name comes from: `custom`, `url`, `route`, `view`, `component` or `task`. Anything else counts as `custom`, as
    /// does none.
    pub fn source(mut self, source: &str) -> Self {
        self.source = SOURCES.into_iter().find(|known| *known == source);
        self
    }
}
