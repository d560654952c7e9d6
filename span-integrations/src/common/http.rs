//! What requests carry, and what responses say of the work behind them.

use span_runtime::propagation::TraceHeaders;
use span_runtime::{Span, Status};

const SENTRY_TRACE: &str = "sentry-trace";
const BAGGAGE: &str = "baggage";

/// Puts the headers on a request that goes out to this URL, from inside of `span`, or where that records nothing from what is current:
/// a trace that came in is passed on all the same. Nothing, unless the URL may know of the trace.
///
/// `get` reads a header that the request has already, and `set` replaces one. Where the caller has set `sentry-trace` by hand, the
/// request is left alone; members of others in its `baggage` are kept.
pub(crate) fn outgoing(
    span: &Span,
    url: &str,
    get: impl Fn(&'static str) -> Option<String>,
    mut set: impl FnMut(&'static str, &str),
) {
    if get(SENTRY_TRACE).is_some() {
        return;
    }
    let mut headers: TraceHeaders = span.trace_headers_for(url);
    if headers.is_empty() {
        return;
    }
    if let Some(existing) = get(BAGGAGE) {
        headers = headers.with_baggage(&existing);
    }
    for (name, value) in &headers {
        set(name, value);
    }
}

/// The name of a request that is served, by its route or by its path: `GET /orders/{id}`. Each request makes one, for which
/// `format!` takes five times as many instructions.
pub(crate) fn name_of_request(method: &str, path: &str) -> String {
    let mut name = String::with_capacity(method.len() + 1 + path.len());
    name.push_str(method);
    name.push(' ');
    name.push_str(path);
    name
}

/// The status of a request, served or made, that was answered by this status code: Sentry counts all of 4xx and 5xx as failures.
pub(crate) fn status_of_http(code: u16) -> Status {
    if code >= 400 { Status::Error } else { Status::Ok }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use span_runtime::testing::CaptureTransport;
    use span_runtime::{Options, Runtime, continue_trace, start_span};

    use super::super::child;
    use super::*;

    const INCOMING: &str = "771a43a4192642f0b136d5159a501700-b7ad6b7169203331-1";

    fn sent(url: &str, mut headers: BTreeMap<&'static str, String>) -> BTreeMap<&'static str, String> {
        let span = child("GET", "http.client", "auto.http.none").inactive().start();
        let before = headers.clone();
        outgoing(
            &span,
            url,
            |name| before.get(name).cloned(),
            |name, value| {
                headers.insert(name, value.to_owned());
            },
        );
        headers
    }

    // behaviours 28, 30
    #[test]
    fn a_trace_that_came_in_is_passed_on_to_targets_also_where_nothing_is_recorded() {
        let options = Options::new().transport(CaptureTransport::new()).traces_sample_rate(1.0);
        let targets = options.trace_propagation_targets(["https://stock.example"]);
        let runtime = Runtime::new(targets).expect("the options are valid");
        let _entered = runtime.enter();
        assert!(sent("https://stock.example/", BTreeMap::new()).is_empty(), "there is no trace here");

        let trace = continue_trace([(SENTRY_TRACE, INCOMING)]);
        let _in_trace = trace.enter();
        let headers = sent("https://stock.example/", BTreeMap::new());
        assert_eq!(headers.get(SENTRY_TRACE).map(String::as_str), Some(INCOMING), "no span was started");
        assert!(sent("https://elsewhere.example/", BTreeMap::new()).is_empty(), "no target");

        let request = start_span("request").start();
        let headers = sent("https://stock.example/", BTreeMap::from([(BAGGAGE, "theirs=1".to_owned())]));
        assert!(headers[SENTRY_TRACE].starts_with("771a43a4192642f0b136d5159a501700-"));
        assert_ne!(
            headers[SENTRY_TRACE],
            request.trace_headers().sentry_trace().expect("in a span"),
            "the child's own"
        );
        assert!(headers[BAGGAGE].contains("theirs=1"), "{headers:?}");
        let by_hand = BTreeMap::from([(SENTRY_TRACE, INCOMING.to_owned())]);
        assert_eq!(sent("https://stock.example/", by_hand.clone()), by_hand, "the caller's own are left alone");
    }

    #[test]
    fn failures_begin_at_400() {
        for (code, status) in
            [(101, Status::Ok), (200, Status::Ok), (304, Status::Ok), (404, Status::Error), (503, Status::Error)]
        {
            assert_eq!(status_of_http(code), status, "{code}");
        }
    }
}
