//! Headers between this library and Sentry's SDK for Python in its streaming mode, as they were recorded; the README in
//! `data/python-sdk` says how. (behaviours 23, 28, 30, 32, 33)
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};
use span_runtime::propagation::{Baggage, SentryTrace};
use span_runtime::{Options, TraceHeaders, continue_trace, start_span, trace_headers};
use span_tests::{Harness, SOON};

span_runtime::lifecycle!(stream);

/// Set to anything, it makes the test write `ours.json` anew.
const RECORD: &str = "RECORD_OURS";
const DSN: &str = "https://0123456789abcdef0123456789abcdef@o123.ingest.example/42";
const DEFERRED: &str = "771a43a4192642f0b136d5159a501700-b7ad6b7169203331";
const BAGGAGE: &str = "other=1,sentry-trace_id=771a43a4192642f0b136d5159a501700,sentry-sample_rand=0.125000,sentry-a-b=x%20y,\
                       sentry-public_key=0123456789abcdef0123456789abcdef";

fn path(file: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "data", "python-sdk", file].iter().collect()
}

fn cases(file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(path(file)).expect("it is in the repository");
    let recording: Value = serde_json::from_str(&text).expect("it is JSON");
    let cases = recording["cases"].as_array().expect("it has cases").clone();
    assert!(cases.len() >= 7, "{file} has what was recorded");
    cases
}

fn strings(map: &Value) -> BTreeMap<String, String> {
    serde_json::from_value(map.clone()).expect("a map of texts")
}

fn context(baggage: &str) -> BTreeMap<String, String> {
    let baggage = Baggage::parse(baggage).expect("a well-formed header");
    baggage.sampling_context().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

// behaviours 23, 28, 30
#[test]
fn what_python_sends_is_continued() {
    for case in cases("sent.json") {
        let name = &case["name"];
        let sampled = case["sampled"].as_bool().expect("a decision");
        // A rate that would decide otherwise.
        let rate = if sampled { 0.0 } else { 1.0 };
        let harness = Harness::with(|options| options.dsn(DSN).traces_sample_rate(rate).release("another@2"));
        let mut headers = strings(&case["headers"]);
        let sent = headers["baggage"].clone();
        // Somebody on the way adds a member.
        let forwarded = format!("{sent},tenant=7;secret");
        headers.insert("baggage".into(), forwarded.clone());
        {
            let _entered = continue_trace(&headers).enter();
            let segment = start_span("segment").start();
            assert_eq!(segment.trace_id().expect("an id").to_string(), case["trace_id"], "{name}");
            assert_eq!(segment.is_sampled(), sampled, "{name}");
            let ours = segment.trace_headers();
            assert_eq!(ours.baggage(), Some(&*sent), "{name}: as it came");
            assert_eq!(context(&sent), strings(&case["dsc"]), "{name}: and read as it was meant");
            assert_eq!(ours.with_baggage(&forwarded).baggage(), Some(&*forwarded), "{name}");
        }
        assert!(harness.runtime().flush(SOON), "{name}");
        let envelopes = harness.transport().envelopes();
        let traces: Vec<&Value> = envelopes.iter().filter_map(|envelope| envelope.header.get("trace")).collect();
        let expected = if sampled { vec![&case["dsc"]] } else { Vec::new() };
        assert_eq!(traces, expected, "{name}");
        for span in harness.finish() {
            assert_eq!(span.parent_span_id.as_deref(), case["span_id"].as_str(), "{name}");
        }
    }
}

// behaviours 23, 30
#[test]
fn what_came_to_python_goes_on_from_here_as_from_there() {
    let mut continued = 0;
    for case in cases("sent.json") {
        let name = case["name"].as_str().expect("a name");
        let sampler = match name {
            "continued" => None,
            "sampler" => Some(0.5),
            _ => continue,
        };
        continued += 1;
        let harness = Harness::with(|options| {
            let options = options.dsn(DSN).traces_sample_rate(0.0);
            match sampler {
                Some(rate) => options.traces_sampler(move |_| rate),
                None => options,
            }
        });
        let _entered = continue_trace(strings(&case["incoming"])).enter();
        let segment = start_span("segment").start();
        let headers = segment.trace_headers();
        assert_eq!(headers.baggage(), case["headers"]["baggage"].as_str(), "{name}");
        assert_eq!(Some(segment.is_sampled()), case["sampled"].as_bool(), "{name}");
        drop(segment);
        harness.finish();
    }
    assert_eq!(continued, 2, "both are in the recording");
}

/// What this library sends, by the names of the cases.
fn ours() -> Vec<(&'static str, TraceHeaders)> {
    let release = |options: Options| options.release("shop@1.4").environment("staging");
    let odd = |options: Options| options.release("a b,c%d=e;f/é").environment("ümlaut; x");
    let flagged = |flag: &str| [("sentry-trace", format!("{DEFERRED}{flag}")), ("baggage", BAGGAGE.to_owned())];
    let span = |set: &dyn Fn(Options) -> Options, incoming: Option<&str>, source: &'static str| {
        let harness = Harness::with(|options| set(options.dsn(DSN)));
        let entered = incoming.map(|flag| continue_trace(flagged(flag)).enter());
        let segment = start_span("é = ;,% /\"'").source(source).start();
        // With tracing off, what came in goes on.
        let headers = if incoming == Some("") { trace_headers() } else { segment.trace_headers() };
        drop((segment, entered));
        harness.finish();
        headers
    };
    vec![
        ("head, sampled", span(&|options| release(options).traces_sample_rate(1.0), None, "custom")),
        ("head, unsampled", span(&|options| release(options).traces_sample_rate(0.0), None, "custom")),
        ("odd characters", span(&|options| odd(options).traces_sample_rate(1.0), None, "custom")),
        ("name from a URL", span(&|options| release(options).traces_sample_rate(1.0), None, "url")),
        ("continued, sampled", span(&|options| release(options).traces_sample_rate(0.0), Some("-1"), "custom")),
        ("continued, unsampled", span(&|options| release(options).traces_sample_rate(1.0), Some("-0"), "custom")),
        ("continued, sampler", span(&|options| release(options).traces_sampler(|_| 0.5), Some("-0"), "custom")),
        ("deferred, tracing off", span(&|options| options, Some(""), "custom")),
    ]
}

/// Headers without what is random in them.
fn form(headers: &BTreeMap<String, String>) -> (Vec<&String>, Option<bool>, Vec<(String, String)>) {
    let header = SentryTrace::parse(&headers["sentry-trace"]).expect("a well-formed header");
    let baggage = Baggage::parse(&headers["baggage"]).expect("a well-formed header");
    let members = baggage.sampling_context().map(|(key, value)| {
        let random = ["trace_id", "sample_rand"].contains(&key);
        (key.to_owned(), if random { format!("{} characters", value.len()) } else { value.to_owned() })
    });
    (headers.keys().collect(), header.sampled, members.collect())
}

// behaviours 28, 32, 33
#[test]
fn what_goes_out_has_the_form_that_python_was_shown() {
    let today: Vec<(&str, BTreeMap<String, String>)> = ours()
        .into_iter()
        .map(|(name, headers)| (name, headers.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()))
        .collect();
    if std::env::var_os(RECORD).is_some() {
        let cases: Vec<Value> =
            today.iter().map(|(name, headers)| json!({ "name": name, "headers": headers })).collect();
        let recording = json!({ "sdk": "span-runtime", "version": env!("CARGO_PKG_VERSION"), "cases": cases });
        std::fs::write(path("ours.json"), format!("{recording:#}\n")).expect("the folder can be written to");
    }
    let recorded = cases("ours.json");
    assert_eq!(recorded.len(), today.len());
    for ((name, today), recorded) in today.iter().zip(recorded) {
        assert_eq!(*name, recorded["name"]);
        assert_eq!(form(today), form(&strings(&recorded["headers"])), "{name}");
    }
}

// behaviours 28, 30, 33
#[test]
fn python_understood_what_goes_out() {
    let (sent, understood) = (cases("ours.json"), cases("understood.json"));
    assert_eq!(sent.len(), understood.len());
    for (sent, case) in sent.iter().zip(understood) {
        let name = &case["name"];
        assert_eq!((&sent["name"], &sent["headers"]), (name, &case["headers"]), "it was shown the same headers");
        let headers = strings(&sent["headers"]);
        let header = SentryTrace::parse(&headers["sentry-trace"]).expect("a well-formed header");
        let understood = &case["understood"];
        assert_eq!(understood["trace_id"], header.trace_id.to_string(), "{name}");
        assert_eq!(understood["parent_span_id"], header.span_id.to_string(), "{name}");
        assert_eq!(understood["parent_sampled"].as_bool(), header.sampled, "{name}");
        // Its rate of 1 decides where nobody did.
        assert_eq!(understood["sampled"].as_bool(), Some(header.sampled.unwrap_or(true)), "{name}");
        // Python is at fault here: it cuts a key at its second hyphen. Nothing else is lost.
        let cut = |(key, value): (String, String)| (key.split('-').next().unwrap_or_default().to_owned(), value);
        let ours: BTreeMap<String, String> = context(&headers["baggage"]).into_iter().map(cut).collect();
        assert_eq!(strings(&understood["dsc"]), ours, "{name}");
    }
}
