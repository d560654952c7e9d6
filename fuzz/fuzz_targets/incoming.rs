//! Any bytes in any of the headers continue the trace that one whole header names, or begin one; and what goes on from there says the
//! same, to the next service and inside of a span.
#![no_main]

use libfuzzer_sys::fuzz_target;
use span_runtime::propagation::{Baggage, SentryTrace, Traceparent};
use span_runtime::transport::{Response, Transport, TransportError};
use span_runtime::{Options, TraceHeaders, TraceId, continue_trace, start_span};

const ORGANISATION: &str = "1";

/// What is longer is cut, or is nothing: the target `baggage` and the unit tests look at that.
const MOST_BYTES: usize = 8192;

fuzz_target!(
    init: {
        // The sampler decides against everything, so that no span waits to be sent.
        let options = Options::new().transport(Nowhere).org_id(ORGANISATION).traces_sampler(|_| 0.0);
        std::mem::forget(span_runtime::init(options).expect("the options are valid"));
    },
    |input: &[u8]| {
        // Lines, as in a request; what is before the first colon is the name.
        let headers = input.split(|&byte| byte == b'\n').filter_map(|line| {
            let at = line.iter().position(|&byte| byte == b':')?;
            Some((std::str::from_utf8(&line[..at]).ok()?, &line[at + 1..]))
        });
        if input.len() <= MOST_BYTES {
            check(&Headers(headers.collect()));
        }
    }
);

fn check(headers: &Headers<'_>) {
    let scope = continue_trace(headers.0.iter().copied());
    let outside = scope.trace_headers();
    let outgoing = sentry_trace(&outside);
    assert_eq!(outgoing.trace_id, scope.trace_id());
    let incoming = headers.trace().filter(|(_, context)| is_welcome(context));
    match &incoming {
        Some((trace, _)) => assert_eq!(outgoing, *trace, "what came in goes out"),
        None => {
            assert_eq!(outgoing.sampled, None, "nobody has decided for a trace that begins here");
            assert!(!headers.name(outgoing.trace_id), "half believed");
        }
    }

    let _entered = scope.enter();
    let span = start_span("segment").start();
    let inside = span.trace_headers();
    let header = sentry_trace(&inside);
    assert_eq!((header.trace_id, header.sampled), (scope.trace_id(), Some(false)), "the sampler decides");
    let context = baggage(&inside);
    match incoming {
        Some((_, theirs)) if theirs.sampling_context().next().is_some() => {
            assert_eq!(baggage(&outside), theirs, "as it came");
            let theirs_but_for_the_rate = without_rate(&theirs);
            // Of 64 members the last may give way to the rate.
            assert!(theirs_but_for_the_rate.starts_with(&without_rate(&context)));
            assert!(theirs_but_for_the_rate.len() <= without_rate(&context).len() + 1);
        }
        _ => assert_eq!(context.get("trace_id"), Some(&*scope.trace_id().to_string()), "nothing of theirs"),
    }
}

struct Headers<'a>(Vec<(&'a str, &'a [u8])>);

impl<'a> Headers<'a> {
    fn all(&self, name: &str) -> Vec<&'a [u8]> {
        self.0.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value).collect()
    }

    /// The text of a header that is there once.
    fn only(&self, name: &str) -> Option<&'a str> {
        let [value] = self.all(name)[..] else { return None };
        std::str::from_utf8(value).ok()
    }

    /// The trace that is to be continued, and its sampling context.
    fn trace(&self) -> Option<(SentryTrace, Baggage)> {
        let joined = self.all("baggage").join(&b","[..]);
        let baggage = std::str::from_utf8(&joined).ok().and_then(Baggage::parse).unwrap_or_default();
        let named = baggage.get("trace_id").map(str::parse::<TraceId>);
        let (trace, believed) = match self.only("sentry-trace").and_then(SentryTrace::parse) {
            Some(trace) => (trace, named.is_none_or(|id| id == Ok(trace.trace_id))),
            None => {
                let Traceparent { trace_id, span_id, sampled } = Traceparent::parse(self.only("traceparent")?)?;
                (SentryTrace { trace_id, span_id, sampled: Some(sampled) }, named == Some(Ok(trace_id)))
            }
        };
        // Without the members of others.
        let context = baggage.to_string();
        let context = context.split(',').filter(|member| member.starts_with("sentry-")).collect::<Vec<_>>().join(",");
        Some((trace, if believed { Baggage::parse(&context)? } else { Baggage::default() }))
    }

    fn name(&self, id: TraceId) -> bool {
        let id = id.to_string();
        self.0.iter().any(|(_, value)| String::from_utf8_lossy(value).to_lowercase().contains(&id))
    }
}

fn is_welcome(context: &Baggage) -> bool {
    context.get("org_id").is_none_or(|id| id.is_empty() || id == ORGANISATION)
}

fn without_rate(context: &Baggage) -> Vec<(&str, &str)> {
    context.sampling_context().filter(|(key, _)| *key != "sample_rate").collect()
}

fn sentry_trace(headers: &TraceHeaders) -> SentryTrace {
    headers.sentry_trace().and_then(SentryTrace::parse).expect("a trace has a well-formed header")
}

fn baggage(headers: &TraceHeaders) -> Baggage {
    headers.baggage().and_then(Baggage::parse).expect("a trace has a well-formed context")
}

struct Nowhere;

impl Transport for Nowhere {
    fn send(&mut self, _: &[u8]) -> Result<Response, TransportError> {
        Ok(Response::new(200))
    }
}
