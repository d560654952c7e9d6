//! Traces that come in and go out. (behaviours 28 to 34)
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, HashMap};
use std::process::Command;

use span_runtime::propagation::{Baggage, SentryTrace, Traceparent};
use span_runtime::{
    Instrument, Options, Pattern, Runtime, SpanId, TraceHeaders, TraceScope, continue_trace, continue_trace_with,
    new_trace, start_span, trace_headers, trace_headers_for,
};
use span_tests::Harness;

span_runtime::lifecycle!(stream);

const TRACE: &str = "771a43a4192642f0b136d5159a501700";
const PARENT: &str = "b7ad6b7169203331";
const DSC: &str = "sentry-trace_id=771a43a4192642f0b136d5159a501700,sentry-public_key=0123456789abcdef0123456789abcdef,\
                   sentry-sample_rate=0.25,sentry-sample_rand=0.125000,sentry-sampled=true,sentry-release=shop%401,\
                   sentry-environment=production,sentry-a-b=c%20d";

fn incoming(flag: &str) -> [(&'static str, String); 2] {
    [("sentry-trace", format!("{TRACE}-{PARENT}{flag}")), ("baggage", DSC.to_owned())]
}

fn sentry_trace(headers: &TraceHeaders) -> SentryTrace {
    headers.sentry_trace().and_then(SentryTrace::parse).expect("a well-formed header")
}

fn baggage(headers: &TraceHeaders) -> BTreeMap<String, String> {
    let baggage = headers.baggage().and_then(Baggage::parse).expect("a well-formed header");
    baggage.sampling_context().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

// behaviour 28
#[test]
fn a_trace_is_continued_from_whatever_carries_it() {
    let harness = Harness::sampling(0.0);
    let pairs: HashMap<String, String> =
        incoming("-1").into_iter().map(|(name, value)| (name.to_uppercase(), value)).collect();
    let bytes: Vec<(&str, Vec<u8>)> =
        incoming("-1").into_iter().map(|(name, value)| (name, value.into_bytes())).collect();
    let w3c = [("Traceparent", format!("00-{TRACE}-{PARENT}-01"))];
    let scopes = [
        continue_trace(incoming("-1")),
        continue_trace(&pairs),
        continue_trace(bytes),
        continue_trace_with(|name| pairs.get(&name.to_uppercase())),
        continue_trace(w3c),
    ];
    for scope in scopes {
        assert_eq!(scope.trace_id().to_string(), TRACE);
        let _entered = scope.enter();
        let _segment = start_span("segment").start();
        let _child = start_span("child").start();
    }
    let spans = harness.finish();
    assert_eq!(spans.len(), 10, "the decision came along");
    for span in spans.iter().filter(|span| span.is_segment) {
        assert_eq!((span.trace_id.as_str(), span.parent_span_id.as_deref()), (TRACE, Some(PARENT)));
    }
}

// behaviours 12, 28
#[tokio::test]
async fn a_future_carries_the_trace() {
    let harness = Harness::new();
    let scope = continue_trace(incoming("-1"));
    let task = async {
        tokio::task::yield_now().await;
        span!("in the future", async { tokio::task::yield_now().await }).await;
        sentry_trace(&trace_headers()).trace_id.to_string()
    };
    assert_eq!(task.in_trace(scope).await, TRACE);
    assert!(trace_headers().is_empty(), "and nobody else");
    assert_eq!(harness.finish()[0].trace_id, TRACE);
}

// behaviours 28, 32, 33
#[test]
fn headers_of_a_head() {
    let harness = Harness::with(|options| {
        options
            .dsn("https://0123456789abcdef0123456789abcdef@o7.ingest.example/42")
            .traces_sample_rate(1.0)
            .release("shop@1.4, beta")
            .environment("staging")
    });
    let segment = start_span("GET /orders/{id}").start();
    let child = start_span("child").start();
    let headers = child.trace_headers();
    assert_eq!(trace_headers(), headers, "the current span's");
    assert_eq!(child.handle().trace_headers(), headers);
    let header = sentry_trace(&headers);
    assert_eq!(Some(header.trace_id), segment.trace_id());
    assert_eq!((Some(header.span_id), header.sampled), (child.span_id(), Some(true)));
    assert_eq!(headers.traceparent(), None, "only on request");
    let dsc = baggage(&headers);
    let rand = dsc["sample_rand"].clone();
    let expected = [
        ("trace_id", header.trace_id.to_string()),
        ("public_key", "0123456789abcdef0123456789abcdef".into()),
        ("sample_rate", "1".into()),
        ("sample_rand", rand),
        ("sampled", "true".into()),
        ("release", "shop@1.4, beta".into()),
        ("environment", "staging".into()),
        ("org_id", "7".into()),
        ("transaction", "GET /orders/{id}".into()),
    ];
    assert_eq!(dsc, expected.into_iter().map(|(key, value)| (key.to_owned(), value)).collect());
    // Frozen: a new name changes nothing any more, and the envelope says the same.
    segment.set_name("renamed");
    assert_eq!(baggage(&child.trace_headers()), dsc);
    drop((child, segment));
    assert!(harness.runtime().flush(span_tests::SOON));
    let trace = harness.transport().envelopes()[0].header["trace"].clone();
    assert_eq!(serde_json::to_value(&dsc).expect("a map"), trace);
    harness.finish();
}

// behaviour 32
#[test]
fn the_context_of_a_head_is_settled_late() {
    let harness = Harness::sampling(0.5);
    // Before the first segment: what is known, and nothing is settled by it.
    let scope = new_trace();
    let early = scope.trace_headers();
    assert_eq!((sentry_trace(&early).sampled, sentry_trace(&early).trace_id), (None, scope.trace_id()));
    assert!(!baggage(&early).contains_key("sampled") && !baggage(&early).contains_key("transaction"));
    let _entered = scope.enter();
    assert_eq!(trace_headers(), early);
    let segment = start_span("first name").start();
    segment.set_name("name");
    let late = segment.trace_headers();
    let dsc = baggage(&late);
    assert_eq!(dsc["sampled"], segment.is_sampled().to_string());
    assert_eq!(dsc["sample_rand"], baggage(&early)["sample_rand"]);
    // An unsampled segment keeps its first name, because nothing of it is recorded.
    assert_eq!(dsc["transaction"], if segment.is_sampled() { "name" } else { "first name" });
    drop(segment);
    assert_eq!(baggage(&trace_headers()), dsc, "and stays, for the next segments of the trace as well");
    harness.finish();
}

// behaviour 32
#[test]
fn what_is_settled_is_told_by_whoever_is_asked_and_where_no_runtime_is() {
    let harness = Harness::with(|options| {
        options
            .traces_sample_rate(1.0)
            .release("shop@1")
            .environment("a, b")
            .org_id("7")
            .dsn("https://0123456789abcdef0123456789abcdef@errors.example/1")
    });
    let scope = new_trace();
    {
        let _entered = scope.enter();
        start_span("GET /é/{id}").start().end();
    }
    // Nobody has asked for headers when it is settled, by what is sent.
    assert!(harness.runtime().flush(span_tests::SOON));
    let sent = harness.transport().envelopes()[0].header["trace"].clone();
    let outside = |scope: &TraceScope| {
        let scope = scope.clone();
        std::thread::spawn(move || scope.trace_headers()).join().expect("headers")
    };
    let headers = outside(&scope);
    let told = serde_json::to_value(baggage(&headers)).expect("a map");
    assert_eq!(told, sent);
    assert_eq!((&told["environment"], &told["transaction"]), (&"a, b".into(), &"GET /é/{id}".into()));
    assert_eq!((&told["release"], &told["org_id"]), (&"shop@1".into(), &"7".into()));
    let another = Harness::with(|options| options.traces_sample_rate(0.5).release("another@2"));
    assert_eq!(scope.trace_headers(), headers, "another runtime does not put its own into it");
    another.finish();

    // Asked for first when the runtime that settled it is gone.
    let late = new_trace();
    {
        let _entered = late.enter();
        start_span("late").start().end();
    }
    assert!(harness.runtime().flush(span_tests::SOON));
    let sent = harness.transport().envelopes()[1].header["trace"].clone();
    harness.finish();
    assert_eq!(serde_json::to_value(baggage(&outside(&late))).expect("a map"), sent);
}

// behaviour 32
#[test]
fn a_name_from_a_url_is_nobodys_business() {
    for rate in [0.0, 1.0] {
        let harness = Harness::sampling(rate);
        let segment = start_span("/orders/7?token=x").source("url").start();
        assert!(!baggage(&segment.trace_headers()).contains_key("transaction"), "sampled or not");
        drop(segment);
        harness.finish();
    }
}

// behaviour 30
#[test]
fn the_context_that_came_in_goes_out_as_it_came() {
    let harness = Harness::with(|options| options.traces_sample_rate(1.0).release("another@2"));
    let _entered = continue_trace(incoming("-1")).enter();
    let segment = start_span("segment").start();
    for headers in [trace_headers(), start_span("child").start().trace_headers()] {
        assert_eq!(headers.baggage(), Some(DSC));
    }
    drop(segment);
    assert!(harness.runtime().flush(span_tests::SOON));
    let trace = harness.transport().envelopes()[0].header["trace"].clone();
    assert_eq!(
        (&trace["release"], &trace["a-b"], &trace["sample_rate"]),
        (&"shop@1".into(), &"c d".into(), &"0.25".into())
    );
    harness.finish();
}

// behaviours 30, 43
#[test]
fn only_the_rate_is_replaced_where_it_was_decided_anew() {
    let harness = Harness::with(|options| options.traces_sampler(|_| 0.75));
    let _entered = continue_trace(incoming("-0")).enter();
    let segment = start_span("segment").start();
    assert!(segment.is_sampled(), "0.125 < 0.75");
    let headers = segment.trace_headers();
    assert_eq!(headers.baggage(), Some(&*DSC.replace("0.25,", "0.75,")));
    assert_eq!(sentry_trace(&headers).sampled, Some(true));
    drop(segment);
    assert!(harness.runtime().flush(span_tests::SOON));
    assert_eq!(harness.transport().envelopes()[0].header["trace"]["sample_rate"], "0.75");
    harness.finish();
}

// behaviour 43: what came in goes out as it came, and the envelope goes without what the receiving end could not read
#[test]
fn a_context_that_the_server_could_not_read_costs_no_spans() {
    for odd in
        ["sentry-public_key=short", "sentry-sample_rate=x", "sentry-sampled=perhaps,sentry-replay_id=x", "sentry-k=v"]
    {
        let harness = Harness::new();
        {
            let headers = [("sentry-trace", format!("{TRACE}-{PARENT}-1")), ("baggage", odd.to_owned())];
            let _entered = continue_trace(headers).enter();
            let span = start_span("segment").start();
            assert_eq!(span.trace_headers().baggage(), Some(odd));
        }
        // This checks the envelope by the rules of the receiving end.
        assert_eq!(harness.finish().len(), 1);
    }
}

// behaviour 29
#[test]
fn malformed_headers_begin_a_new_trace() {
    let harness = Harness::new();
    let long = "a".repeat(1 << 20);
    for header in
        ["", "x", "-", &long, &format!("{}-{PARENT}-1", "0".repeat(32)), &format!("{TRACE}-{}-1", "0".repeat(16))]
    {
        let scope = continue_trace([("sentry-trace", header), ("baggage", DSC)]);
        assert_ne!(scope.trace_id().to_string(), TRACE);
        let _entered = scope.enter();
        let span = start_span("segment").start();
        assert_eq!(span.trace_id(), Some(scope.trace_id()));
        let dsc = baggage(&span.trace_headers());
        assert_eq!(
            (dsc["trace_id"].clone(), dsc.get("a-b")),
            (scope.trace_id().to_string(), None),
            "nothing of it is believed"
        );
    }
    for span in harness.finish() {
        assert_eq!(span.parent_span_id, None);
    }
    // A sampling context that is malformed, or of another trace, is ignored as a whole.
    let harness = Harness::new();
    for bad in [
        "sentry-release=%zz,sentry-environment=e",
        "sentry-trace_id=0af7651916cd43dd8448eb211c80319c,sentry-environment=e",
    ] {
        let _entered =
            continue_trace([("sentry-trace", format!("{TRACE}-{PARENT}-1")), ("baggage", bad.to_owned())]).enter();
        let dsc = baggage(&start_span("segment").start().trace_headers());
        assert_eq!((&*dsc["trace_id"], &*dsc["environment"]), (TRACE, "production"));
        assert_eq!(dsc.get("sample_rate"), None, "it is not known by which rate the parent was sampled");
    }
    harness.finish();
}

// behaviour 31
#[test]
fn organisations() {
    let dsn = |org: &str| format!("https://0123456789abcdef0123456789abcdef@{org}ingest.example/42");
    // DSN, option, what comes in, whether it is continued: leniently, and strictly.
    let cases = [
        ("o1.", None, "sentry-org_id=1", true, true),
        ("o1.", None, "sentry-org_id=2", false, false),
        ("o1.", Some("2"), "sentry-org_id=2", true, true),
        ("o1.", Some("2"), "sentry-org_id=1", false, false),
        ("o1.", None, "sentry-a=1", true, false),
        ("", None, "sentry-org_id=1", true, false),
        ("", None, "sentry-a=1", true, true),
        ("", Some("1"), "sentry-org_id=1", true, true),
    ];
    for (org, option, incoming, lenient, strict) in cases {
        for (strictly, continued) in [(false, lenient), (true, strict)] {
            let harness = Harness::with(|options| {
                let options = options.dsn(dsn(org)).traces_sample_rate(1.0).strict_trace_continuation(strictly);
                match option {
                    Some(org_id) => options.org_id(org_id),
                    None => options,
                }
            });
            let headers = [("sentry-trace", format!("{TRACE}-{PARENT}-0")), ("baggage", incoming.to_owned())];
            let scope = continue_trace(headers);
            assert_eq!(scope.trace_id().to_string() == TRACE, continued, "{org} {option:?} {incoming} {strictly}");
            let _entered = scope.enter();
            let span = start_span("segment").start();
            assert_eq!(span.is_sampled(), !continued, "a new trace has a decision of its own");
            let theirs = baggage(&span.trace_headers()).get("a").cloned();
            assert!(continued || theirs.is_none(), "nothing of the other's goes out");
            drop(span);
            harness.finish();
        }
    }
}

// behaviour 33
#[test]
fn what_is_not_sampled_says_so_with_a_valid_id() {
    let harness = Harness::sampling(0.0);
    let segment = start_span("segment").start();
    let id = segment.span_id().expect("it has one");
    let child = start_span("child").start();
    let inactive = start_span("inactive").inactive().start();
    for headers in [segment.trace_headers(), child.trace_headers(), inactive.trace_headers(), trace_headers()] {
        let header = sentry_trace(&headers);
        assert_eq!((header.sampled, header.span_id), (Some(false), id));
        assert_eq!(baggage(&headers)["sampled"], "false");
    }
    drop((inactive, child, segment));
    harness.finish();
}

// behaviour 33
#[test]
fn inside_of_an_ignored_span_the_nearest_kept_ancestor_goes_out() {
    let harness = Harness::with(|options| options.traces_sample_rate(1.0).ignore_spans(["ignored"]));
    let segment = start_span("segment").start();
    let id: SpanId = segment.span_id().expect("it has one");
    let ignored = start_span("ignored").start();
    let twice = start_span("ignored").start();
    for headers in [ignored.trace_headers(), twice.trace_headers(), trace_headers()] {
        assert_eq!((sentry_trace(&headers).span_id, sentry_trace(&headers).sampled), (id, Some(true)));
    }
    drop((twice, ignored, segment));
    let tree = start_span("ignored").start();
    assert_eq!(sentry_trace(&tree.trace_headers()).sampled, Some(false), "a whole tree that is ignored");
    drop(tree);
    harness.finish();
}

// behaviour 28
#[test]
fn only_targets_are_told() {
    let told = |set: fn(Options) -> Options, url: &str| {
        let harness = Harness::with(|options| set(options.traces_sample_rate(1.0)));
        let span = start_span("segment").start();
        let told = !trace_headers_for(url).is_empty();
        assert_eq!(!span.trace_headers_for(url).is_empty(), told);
        assert_eq!(!span.handle().trace_headers_for(url).is_empty(), told);
        assert!(!span.trace_headers().is_empty(), "whoever asks without a URL knows");
        drop(span);
        harness.finish();
        told
    };
    assert!(told(|options| options, "https://anybody.example/"));
    let text: fn(Options) -> Options = |options| options.trace_propagation_targets(["api.example", "localhost"]);
    assert!(
        told(text, "https://api.example/x")
            && told(text, "http://localhost:8080")
            && !told(text, "https://example.org")
    );
    let regex: fn(Options) -> Options =
        |options| options.trace_propagation_targets([Pattern::regex("^https://.*/v[0-9]+/")]);
    assert!(told(regex, "https://a/v1/x") && !told(regex, "http://a/v1/x"));
    let nobody: fn(Options) -> Options = |options| options.trace_propagation_targets([""; 0]);
    assert!(!told(nobody, "https://anybody.example/"));
}

// behaviour 28
#[test]
fn traceparent_on_request() {
    for (rate, flag) in [(1.0, "01"), (0.0, "00")] {
        let harness = Harness::with(|options| options.traces_sample_rate(rate).propagate_traceparent(true));
        let span = start_span("segment").start();
        let headers = span.trace_headers();
        let header = headers.traceparent().and_then(Traceparent::parse).expect("a well-formed header");
        assert_eq!((Some(header.trace_id), Some(header.span_id)), (span.trace_id(), span.span_id()));
        assert!(headers.traceparent().is_some_and(|text| text.ends_with(flag)));
        // Somebody who knows that header only continues the trace.
        let scope = continue_trace([("traceparent", headers.traceparent().expect("it is there"))]);
        assert_eq!(Some(scope.trace_id()), span.trace_id());
        drop(span);
        harness.finish();
    }
}

// behaviour 30
#[test]
fn members_of_others_are_forwarded_on_request() {
    let harness = Harness::new();
    let entered = continue_trace(incoming("-1")).enter();
    let span = start_span("segment").start();
    assert_eq!(span.trace_headers().baggage(), Some(DSC), "not unless it is asked for");
    let with = |existing: &str| span.trace_headers().with_baggage(existing).baggage().map(str::to_owned);
    assert_eq!(with("tenant=7;p=1, sentry-release=old ,x=%20"), Some(format!("{DSC},tenant=7;p=1,x=%20")));
    assert_eq!(with("malformed"), Some(DSC.to_owned()));
    let long = with(&format!("a=1,b={},c=2", "y".repeat(8150))).expect("a header");
    assert_eq!(long, format!("{DSC},a=1"), "within the bounds");
    drop((span, entered));
    harness.finish();
    // Also where there is nothing of ours to send.
    assert_eq!(trace_headers().with_baggage("tenant=7").baggage(), Some("tenant=7"));
}

// behaviour 34
#[test]
fn carriers() {
    let harness = Harness::new();
    let span = start_span("segment").start();
    let headers = span.trace_headers();
    let mut metadata: BTreeMap<String, String> = BTreeMap::new();
    headers.add_to(&mut metadata);
    assert_eq!(metadata.keys().map(String::as_str).collect::<Vec<_>>(), ["baggage", "sentry-trace"]);
    assert_eq!(Some(continue_trace(&metadata).trace_id()), span.trace_id());
    let request: Vec<(&str, String)> = headers.clone().into_iter().collect();
    assert_eq!(request.len(), (&headers).into_iter().count());

    // A child process continues the trace by its environment.
    let this = std::env::current_exe().expect("the path of this binary");
    let run = |variables: Vec<(&str, &str)>| {
        let mut child = Command::new(&this);
        child.args(["--exact", "child_process", "--nocapture", "--test-threads=1"]).env("CHILD", "1").envs(variables);
        let output = String::from_utf8(child.output().expect("this binary runs").stdout).expect("it prints text");
        output.lines().find_map(|line| line.strip_prefix("child: ")).unwrap_or_else(|| panic!("{output}")).to_owned()
    };
    let trace = span.trace_id().expect("an id").to_string();
    let id = span.span_id().expect("an id").to_string();
    assert_eq!(run(headers.variables().collect()), format!("{trace} {trace} parent {id}"));
    let malformed = run(vec![("SENTRY_TRACE", "nonsense"), ("SENTRY_BAGGAGE", "x")]);
    let ids: Vec<&str> = malformed.split(' ').collect();
    assert!(ids[0] != ids[1] && ids[0] != trace && ids[3] == "none", "{malformed}");
    drop(span);
    harness.finish();
}

/// Starts two segments, and says to which traces they belong and which parent the first has.
#[test]
fn child_process() {
    if std::env::var_os("CHILD").is_none() {
        return; // run by the test above only
    }
    let transport = span_runtime::testing::CaptureTransport::new();
    let runtime =
        Runtime::new(Options::from_env().transport(transport.clone()).traces_sample_rate(0.5)).expect("valid");
    let _entered = runtime.enter();
    let traces: Vec<String> = ["first", "second"]
        .into_iter()
        .map(|name| start_span(name).start().trace_id().expect("an id").to_string())
        .collect();
    assert!(runtime.flush(span_tests::SOON));
    let parent = transport.spans().first().and_then(|span| span.parent_span_id.clone());
    println!("\nchild: {} {} parent {}", traces[0], traces[1], parent.as_deref().unwrap_or("none"));
}

#[test]
fn without_a_runtime_a_trace_is_passed_on() {
    std::thread::spawn(|| {
        let scope = continue_trace(incoming("-1"));
        let _entered = scope.enter();
        let _span = start_span("nothing").start();
        let headers = trace_headers_for("https://anybody.example");
        assert_eq!((headers.sentry_trace(), headers.baggage()), (Some(&*format!("{TRACE}-{PARENT}-1")), Some(DSC)));
    })
    .join()
    .expect("headers");
}
