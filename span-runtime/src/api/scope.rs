//! Traces that several segments share, and that came from elsewhere. (behaviours 12, 28)

use std::marker::PhantomData;
use std::sync::Arc;

use super::InContext;
use super::carry::What;
use crate::attributes::{AttributeValue, Key};
use crate::context::{self, Entry};
use crate::ids::TraceId;
use crate::propagation::{Incoming, TraceHeaders};
use crate::record::Attribute;
use crate::segment::Trace;

/// Begins a trace that the segments inside of its scope share. Without one, each segment has a trace of its own.
///
/// ```
/// use span_runtime::{new_trace, start_span};
///
/// let trace = new_trace();
/// {
///     let _in_trace = trace.enter();
///     start_span("fetch").start().end();
///     start_span("store").start().end(); // the same trace, another segment
/// }
/// ```
pub fn new_trace() -> TraceScope {
    TraceScope { trace: Arc::new(context::begin_trace()) }
}

/// Continues the trace that the headers of a request or a message name; the segments inside of its scope belong to it, and share the
/// decision that was made there. (trace continuation, Sentry's SDK documents)
///
/// The headers are `sentry-trace` and `baggage`, or else W3C's `traceparent`, in any case of letters, from anything that
/// yields names and values, such as a `HashMap` or an `&http::HeaderMap`. If there are none, if they are malformed, or if they come from
/// another organisation (see [`org_id`](crate::Options::org_id)), a trace begins here, as by [`new_trace`].
///
/// ```
/// use span_runtime::{continue_trace, start_span};
///
/// let headers = [("sentry-trace", "771a43a4192642f0b136d5159a501700-b7ad6b7169203331-1")];
/// let trace = continue_trace(headers);
/// assert_eq!(trace.trace_id().to_string(), "771a43a4192642f0b136d5159a501700");
/// let _in_trace = trace.enter();
/// let _request = start_span("GET /orders").start(); // a child of the span in the other service
/// ```
pub fn continue_trace<K: AsRef<str>, V: AsRef<[u8]>>(headers: impl IntoIterator<Item = (K, V)>) -> TraceScope {
    TraceScope::continuing(Incoming::from_headers(headers))
}

/// As [`continue_trace`], from a carrier that is asked for each header by its name, in lower case.
///
/// ```
/// # use span_runtime::continue_trace_with;
/// # struct Message; impl Message { fn property(&self, _: &str) -> Option<String> { None } }
/// # let message = Message;
/// let trace = continue_trace_with(|name| message.property(name));
/// ```
pub fn continue_trace_with<V: AsRef<[u8]>>(get: impl FnMut(&'static str) -> Option<V>) -> TraceScope {
    TraceScope::continuing(Incoming::from_lookup(get))
}

/// The headers by which another service continues the trace from here: from inside of the current span, or, where there is none, of the
/// trace that is entered. Empty if there is neither.
///
/// A trace that came in is passed on with the decision that came with it, also where tracing is off.
///
/// ```
/// for (name, value) in span_runtime::trace_headers() {
///     println!("{name}: {value}");
/// }
/// ```
pub fn trace_headers() -> TraceHeaders {
    context::headers(None)
}

/// As [`trace_headers`], and empty unless the URL is one of
/// [`trace_propagation_targets`](crate::Options::trace_propagation_targets).
pub fn trace_headers_for(url: &str) -> TraceHeaders {
    context::headers(Some(url))
}

/// A trace that segments can share: [entered](TraceScope::enter) by a thread, or carried by a future with
/// [`in_trace`](crate::Instrument::in_trace).
#[derive(Debug, Clone)]
#[must_use = "the trace is used only where it is entered"]
pub struct TraceScope {
    trace: Arc<Trace>,
}

impl TraceScope {
    fn continuing(incoming: Option<Incoming>) -> Self {
        let welcome = |incoming: &Incoming| context::runtime().is_none_or(|core| core.settings.welcomes(incoming));
        match incoming.filter(welcome) {
            Some(incoming) => TraceScope { trace: Arc::new(Trace::continued(incoming)) },
            None => new_trace(),
        }
    }

    /// Adds an attribute that only a [`traces_sampler`](crate::Options::traces_sampler) sees: what an integration knows of a request and
    /// does not record. It is to be called before the scope is entered or cloned; afterwards it does nothing.
    pub fn sampling_attribute(mut self, key: impl Into<Key>, value: impl AttributeValue) -> Self {
        let origin = Arc::get_mut(&mut self.trace).and_then(|trace| trace.origin.as_mut());
        if let (Some(origin), Some(value)) = (origin, value.into_value()) {
            origin.for_sampler.push(Attribute { key: key.into(), value });
        }
        self
    }

    /// The headers by which another service continues the trace, where there is no span around: with the decision that came in, or with
    /// none.
    pub fn trace_headers(&self) -> TraceHeaders {
        TraceHeaders::of_trace(context::runtime().as_deref(), &self.trace)
    }

    /// The id of the trace.
    pub fn trace_id(&self) -> TraceId {
        self.trace.id
    }

    /// Makes segments that start on this thread belong to this trace, until the guard is dropped.
    pub fn enter(&self) -> TraceGuard {
        let entered = context::with(|local| {
            let token = local.token();
            let core = local.nearest_runtime();
            (token, local.push(Entry::Trace(token, Arc::clone(&self.trace), core)))
        });
        TraceGuard { entered, not_send: PhantomData }
    }
}

/// Keeps a trace entered on this thread; made by [`TraceScope::enter`].
#[derive(Debug)]
#[must_use = "the trace is left when this guard is dropped"]
pub struct TraceGuard {
    entered: Option<(u64, u32)>,
    not_send: PhantomData<*const ()>,
}

impl Drop for TraceGuard {
    fn drop(&mut self) {
        if let Some((token, index)) = self.entered {
            let _removed = context::with(|local| local.remove(token, index));
        }
    }
}

/// A future that carries a trace; made by [`Instrument::in_trace`](crate::Instrument::in_trace).
pub type InTrace<F> = InContext<F>;

pub(super) fn in_trace<F>(future: F, scope: TraceScope) -> InTrace<F> {
    let core = context::with(|local| local.nearest_runtime()).flatten();
    InContext::carrying(future, What::Trace(scope.trace, core))
}
