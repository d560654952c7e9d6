//! What goes out with a request, a message or a child process. (behaviours 28, 30, 33, 34)

use std::sync::Arc;

use super::dsc::undecided;
use super::{BAGGAGE, BAGGAGE_VARIABLE, Baggage, SENTRY_TRACE, SentryTrace, TRACE_VARIABLE, TRACEPARENT, Traceparent};
use crate::client::Core;
use crate::ids::SpanId;
use crate::segment::{Segment, Trace};

/// The headers by which another service continues a trace; made by [`trace_headers`](crate::trace_headers).
///
/// ```
/// # use span_runtime::{start_span, Runtime, Options, testing::CaptureTransport};
/// # let runtime = Runtime::new(Options::new().transport(CaptureTransport::new()).traces_sample_rate(1.0)).unwrap();
/// # let _entered = runtime.enter();
/// use std::collections::HashMap;
///
/// let span = start_span("GET orders").start();
/// let headers = span.trace_headers();
///
/// // A request:
/// let mut request = Vec::new();
/// for (name, value) in &headers {
///     request.push(format!("{name}: {value}"));
/// }
/// assert!(request[0].starts_with("sentry-trace: "));
///
/// // The metadata of a message:
/// let mut metadata: HashMap<String, String> = HashMap::new();
/// headers.add_to(&mut metadata);
/// assert!(metadata.contains_key("baggage"));
///
/// // A child process, which reads them in `Options::from_env`:
/// let mut command = std::process::Command::new("worker");
/// command.envs(headers.variables());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TraceHeaders {
    sentry_trace: Option<String>,
    baggage: Option<String>,
    traceparent: Option<String>,
}

impl TraceHeaders {
    fn new(core: Option<&Core>, header: SentryTrace, baggage: String) -> Self {
        let SentryTrace { trace_id, span_id, sampled } = header;
        let w3c = core.is_some_and(|core| core.settings.propagate_traceparent);
        // It cannot say "undecided"; to say "sampled" would be believed.
        let traceparent = Traceparent { trace_id, span_id, sampled: sampled == Some(true) };
        TraceHeaders {
            sentry_trace: Some(header.to_string()),
            baggage: Some(baggage).filter(|baggage| !baggage.is_empty()),
            traceparent: w3c.then(|| traceparent.to_string()),
        }
    }

    /// From inside of a span.
    pub(crate) fn of_span(segment: &Arc<Segment>, span_id: SpanId) -> Self {
        let trace_id = segment.trace().id;
        let header = SentryTrace { trace_id, span_id, sampled: Some(segment.sampled) };
        Self::new(Some(&segment.core), header, segment.dsc().baggage(segment.trace()).to_owned())
    }

    /// From inside of a trace, where there is no span.
    pub(crate) fn of_trace(core: Option<&Core>, trace: &Trace) -> Self {
        let Some(origin) = &trace.origin else { return Self::default() };
        let header = SentryTrace { trace_id: trace.id, span_id: origin.span_id, sampled: origin.sampled };
        let incoming = trace.incoming().filter(|incoming| !incoming.is_foreign());
        let baggage = match (trace.dsc(), incoming, core) {
            (Some(dsc), ..) => dsc.baggage(trace).to_owned(),
            (None, Some(incoming), _) => incoming.to_string(),
            // Not frozen: the first segment will know more.
            (None, None, Some(core)) => undecided(&core.process_context, trace).to_string(),
            (None, None, None) => String::new(),
        };
        Self::new(core, header, baggage)
    }

    /// With the members of others in a `baggage` header that the request has already, or that came in: theirs are forwarded, Sentry's in
    /// it are replaced. A malformed header is left out.
    #[must_use]
    pub fn with_baggage(mut self, existing: &str) -> Self {
        if let Some(existing) = Baggage::parse(existing) {
            let mut baggage = self.baggage.as_deref().and_then(Baggage::parse).unwrap_or_default();
            baggage.take_others(existing);
            self.baggage = Some(baggage.to_string()).filter(|baggage| !baggage.is_empty());
        }
        self
    }

    /// The value of `sentry-trace`.
    pub fn sentry_trace(&self) -> Option<&str> {
        self.sentry_trace.as_deref()
    }

    /// The value of `baggage`.
    pub fn baggage(&self) -> Option<&str> {
        self.baggage.as_deref()
    }

    /// The value of `traceparent`; only with [`propagate_traceparent`](crate::Options::propagate_traceparent).
    pub fn traceparent(&self) -> Option<&str> {
        self.traceparent.as_deref()
    }

    /// Whether there is nothing to send: there is no trace here, or it is not to be told to whom it was asked for.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The headers, by their names in lower case.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = [(SENTRY_TRACE, &self.sentry_trace), (BAGGAGE, &self.baggage), (TRACEPARENT, &self.traceparent)];
        all.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }

    /// The variables for the environment of a child process: `SENTRY_TRACE` and `SENTRY_BAGGAGE`.
    pub fn variables(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = [(TRACE_VARIABLE, &self.sentry_trace), (BAGGAGE_VARIABLE, &self.baggage)];
        all.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }

    /// Adds them to a map of strings, such as the metadata of a message.
    pub fn add_to(&self, carrier: &mut impl Extend<(String, String)>) {
        carrier.extend(self.iter().map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}

impl IntoIterator for TraceHeaders {
    type Item = (&'static str, String);
    type IntoIter = std::iter::Flatten<std::array::IntoIter<Option<(&'static str, String)>, 3>>;

    fn into_iter(self) -> Self::IntoIter {
        let named = |name: &'static str, value: Option<String>| value.map(|value| (name, value));
        [named(SENTRY_TRACE, self.sentry_trace), named(BAGGAGE, self.baggage), named(TRACEPARENT, self.traceparent)]
            .into_iter()
            .flatten()
    }
}

impl<'a> IntoIterator for &'a TraceHeaders {
    type Item = (&'static str, &'a str);
    type IntoIter = std::iter::Flatten<std::array::IntoIter<Option<(&'static str, &'a str)>, 3>>;

    fn into_iter(self) -> Self::IntoIter {
        let named = |name: &'static str, value: &'a Option<String>| value.as_deref().map(|value| (name, value));
        [named(SENTRY_TRACE, &self.sentry_trace), named(BAGGAGE, &self.baggage), named(TRACEPARENT, &self.traceparent)]
            .into_iter()
            .flatten()
    }
}
