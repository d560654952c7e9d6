//! Any bytes in any of the headers continue a trace or begin one, and what goes on from there is well formed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use span_runtime::continue_trace;
use span_runtime::propagation::{Baggage, SentryTrace};

fuzz_target!(|input: &[u8]| {
    // Lines, as in a request; what is before the first colon is the name.
    let headers = input.split(|&byte| byte == b'\n').filter_map(|line| {
        let at = line.iter().position(|&byte| byte == b':')?;
        Some((std::str::from_utf8(&line[..at]).ok()?, &line[at + 1..]))
    });
    let scope = continue_trace(headers);
    let headers = scope.trace_headers();
    let sentry_trace = headers.sentry_trace().and_then(SentryTrace::parse).expect("a scope has a trace");
    assert_eq!(sentry_trace.trace_id, scope.trace_id());
    if let Some(baggage) = headers.baggage() {
        let baggage = Baggage::parse(baggage).expect("what goes out can be read");
        assert!(baggage.get("trace_id").is_none_or(|id| id.parse() == Ok(scope.trace_id())));
    }
});
