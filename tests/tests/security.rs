//! What `SECURITY.md` says of what leaves the process, held against what does. (behaviours 37 to 39, 43, 51)
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use serde_json::Value as Json;
use span_runtime::testing::{CaptureTransport, Envelope};
use span_runtime::{Link, Options, Runtime, SpanId, TraceId, continue_trace, register_integration, span, start_span};
use span_tests::endpoint::{Endpoint, Posted, accept_all};
use span_tests::{Harness, SOON};

span_runtime::lifecycle!(stream);

const DOCUMENT: &str = include_str!("../../SECURITY.md");

/// What the table lists whose first column is headed like this.
fn listed(head: &str) -> BTreeSet<&'static str> {
    let (_, table) = DOCUMENT.split_once(&format!("\n| {head} |")).unwrap_or_else(|| panic!("no table of `{head}`"));
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| row.split('`').nth(1).unwrap_or_else(|| panic!("a name in {row}"))).collect()
}

/// Names without their case, which means nothing in headers of HTTP.
fn lower<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    names.into_iter().map(str::to_ascii_lowercase).collect()
}

fn keys(object: &Json) -> BTreeSet<&str> {
    object.as_object().unwrap_or_else(|| panic!("an object: {object}")).keys().map(String::as_str).collect()
}

/// What was posted to an endpoint that takes everything.
fn endpoint() -> (Endpoint, Arc<Mutex<Vec<Posted>>>) {
    let seen: Arc<Mutex<Vec<Posted>>> = Arc::default();
    let look = Arc::clone(&seen);
    let endpoint = Endpoint::start(move |mut stream, _| {
        accept_all(&mut stream, |posted| look.lock().unwrap_or_else(PoisonError::into_inner).push(posted))
    });
    (endpoint, seen)
}

fn send_a_span(options: Options) {
    let runtime = Runtime::new(options).expect("the options are valid");
    let entered = runtime.enter();
    start_span("span").attribute("user.id", 7).start().end();
    drop(entered);
    assert!(runtime.close(SOON), "it is sent");
}

// behaviour 51
#[test]
fn a_request_has_these_headers_and_no_others() {
    let listed = lower(listed("header"));
    let with_features = |mut names: BTreeSet<String>| {
        if cfg!(feature = "gzip") {
            names.insert("content-encoding".into());
        }
        names
    };
    let default = ["host", "user-agent", "content-type", "content-length", "x-sentry-auth"];
    let pooled = [&default[..], &["accept"]].concat();
    let mut all = BTreeSet::from(["content-encoding".to_owned()]);
    for (is_pooled, expected) in [(false, &default[..]), (true, &pooled)] {
        let (endpoint, seen) = endpoint();
        let dsn = endpoint.dsn("http").replace('@', ":secretkey@");
        send_a_span(Options::new().dsn(dsn).traces_sample_rate(1.0).pooled_transport(is_pooled));
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(seen.len(), 1, "one envelope");
        let head = &seen[0].head;
        let mut names = lower(head.lines().skip(1).filter_map(|line| Some(line.split_once(':')?.0)));
        all.extend(names.iter().cloned());
        // It depends on what ureq is built with.
        if is_pooled {
            names.remove("accept-encoding");
        }
        assert_eq!(names, with_features(lower(expected.iter().copied())), "{head}");
        assert!(head.contains("sentry_key=0123456789abcdef0123456789abcdef"), "{head}");
        assert!(!head.contains("secretkey"), "{head}");
    }
    assert!(all.is_subset(&listed), "{all:?} {listed:?}");
    let unsent: Vec<_> = listed.difference(&all).filter(|name| *name != "accept-encoding").collect();
    assert_eq!(unsent, [""; 0], "what is listed is sent");
}

// behaviour 26
#[test]
fn without_a_rate_no_connection_is_made() {
    let (endpoint, _) = endpoint();
    send_a_span(Options::new().dsn(endpoint.dsn("http")));
    assert_eq!(endpoint.accepted(), 0);
}

// behaviour 54
#[test]
fn a_viewer_alone_is_shown_personal_attributes() {
    for with_dsn in [true, false] {
        let (viewer, seen) = endpoint();
        let options = Options::new().traces_sample_rate(1.0).spotlight(format!("http://{}/stream", viewer.addr()));
        let transport = CaptureTransport::new();
        send_a_span(if with_dsn { options.transport(transport.clone()) } else { options });
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(seen.len(), 1, "one envelope");
        let envelope = seen[0].envelope().expect("it keeps the rules");
        assert_eq!(envelope.spans()[0].attribute("user.id").is_some(), !with_dsn);
        assert_eq!((seen[0].header("x-sentry-auth"), seen[0].header("content-encoding")), (None, None));
    }
}

/// An argument, a local, a returned value, an error and a panic, none of which anybody asked for.
#[span]
fn annotated(argument: &str) -> Result<String, String> {
    let local = format!("hunter2 in a local of {argument}");
    if local.len() < 1000 { Err(local) } else { Ok(local) }
}

#[span]
fn panicking() {
    // Without the words of a panic, which would stand in the output of the tests.
    std::panic::resume_unwind(Box::new("hunter2 in a panic"));
}

/// One trace with everything in it that the library puts there.
fn everything() -> Envelope {
    register_integration("integration");
    let transport = CaptureTransport::new();
    let options = Options::new()
        .transport(transport.clone())
        .dsn("https://0123456789abcdef0123456789abcdef@o123.ingest.example/42")
        .traces_sample_rate(1.0)
        .release("shop@1")
        .dist("7")
        .server_name("web-1");
    let runtime = Runtime::new(options).expect("the options are valid");
    let named = thread::Builder::new().name("named".into());
    let work = move || {
        let entered = runtime.enter();
        {
            let segment = start_span("segment").start();
            let id = |span: &str| span.parse::<SpanId>().expect("it is well formed");
            let trace: TraceId = "771a43a4192642f0b136d5159a501700".parse().expect("it is well formed");
            segment.add_link(Link::new(trace, id("b7ad6b7169203331")));
            let _ = annotated("hunter2 in an argument");
            let _ = std::panic::catch_unwind(panicking);
            start_span("operation").attribute("sentry.op", "test").start().end();
        }
        drop(entered);
        assert!(runtime.close(SOON), "it is sent");
    };
    named.spawn(work).expect("a thread").join().expect("nothing else panics");
    assert_eq!(transport.violations(), [""; 0]);
    let mut envelopes = transport.envelopes();
    assert_eq!(envelopes.len(), 1, "one trace");
    envelopes.remove(0)
}

// behaviours 38, 39, 43
#[test]
fn an_envelope_has_these_members_and_no_others() {
    let envelope = everything();
    let header = Json::Object(envelope.header.clone());
    assert_eq!(keys(&header), listed("member of its header"));
    // The first table whose only word is "member" is that of the sampling context, and the next one that of a span.
    assert_eq!(keys(&header["trace"]), listed("member"));
    let item = &envelope.items[0];
    assert_eq!(keys(&Json::Object(item.header.clone())), listed("member of the header of its spans"));
    let (_, spans) = DOCUMENT.split_once("### A span\n").expect("a chapter on spans");
    let rows = spans.lines().skip_while(|line| !line.starts_with('|')).skip(2).take_while(|line| line.starts_with('|'));
    let members: BTreeSet<&str> = rows.filter_map(|row| row.split('`').nth(1)).collect();

    let payload = item.json().expect("it is JSON");
    let spans = payload["items"].as_array().expect("spans");
    assert_eq!(spans.len(), 4);
    let (every, segments) = (listed("attribute of every span"), listed("attribute of segments"));
    let (mut seen, mut of_others, mut of_segments) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for span in spans {
        seen.extend(keys(span));
        let is_segment = span["is_segment"].as_bool().expect("true or false");
        if is_segment { &mut of_segments } else { &mut of_others }.extend(keys(&span["attributes"]));
    }
    assert_eq!(seen, members);
    assert_eq!(of_others, every);
    let mut expected: BTreeSet<&str> = every.union(&segments).copied().collect();
    expected.remove("sentry.op");
    assert_eq!(of_segments, expected);
}

// behaviours 15, 39
#[test]
fn what_nobody_asked_for_is_nowhere_in_an_envelope() {
    let envelope = everything();
    let raw = String::from_utf8_lossy(&envelope.raw);
    for secret in ["hunter2", ".rs", env!("CARGO_MANIFEST_DIR"), "PATH", &format!("\"{}\"", std::process::id())] {
        assert!(!raw.contains(secret), "{secret} in {raw}");
    }
    let status = |name: &str| envelope.spans().iter().find(|span| span.name.ends_with(name)).map(|span| &*span.status);
    assert_eq!((status("annotated"), status("panicking")), (Some("error"), Some("error")));
}

// behaviour 37
#[test]
fn what_is_not_filtered() {
    let harness = Harness::with(|options| {
        options.traces_sample_rate(1.0).release("https://u:p@h/?a=b").environment("token=b").server_name("password=c")
    });
    let thread = thread::Builder::new().name("token=d".into());
    let work = {
        let handle = start_span("SELECT 'hunter2'").start().handle();
        move || {
            let span = start_span("child").parent(&handle).start();
            span.set_attribute("db.query.text", "SELECT * FROM users WHERE mail = 'jane@example.com'");
            span.set_attribute("url.full", "https://h/reset/3f9c?key=1");
            span.set_attribute("sentry.password", "hunter3");
            span.set_attribute("address", "203.0.113.7");
        }
    };
    thread.spawn(work).expect("a thread").join().expect("nothing panics");
    let spans = harness.finish();
    let child = spans.iter().find(|span| span.name == "child").expect("it arrived");
    for (key, value) in [
        ("sentry.segment.name", "SELECT 'hunter2'"),
        ("db.query.text", "SELECT * FROM users WHERE mail = 'jane@example.com'"),
        ("url.full", "https://h/reset/3f9c?key=[Filtered]"),
        ("sentry.password", "hunter3"),
        ("address", "203.0.113.7"),
        ("sentry.release", "https://u:p@h/?a=b"),
        ("sentry.environment", "token=b"),
        ("server.address", "password=c"),
        ("thread.name", "token=d"),
    ] {
        assert_eq!(child.text(key), Some(value), "{key}");
    }
}

// behaviours 29, 30
#[test]
fn a_line_break_in_a_header_stays_in_it() {
    let id = "771a43a4192642f0b136d5159a501700";
    for context in [
        format!("sentry-trace_id={id},sentry-a=%0d%0ax-evil:%201,sentry-b=%22%7d%00"),
        format!("sentry-trace_id={id},sentry-a=1\r\nx-evil: 1"),
        format!("sentry-trace_id={id}\r\n,sentry-a\n=1"),
    ] {
        let harness = Harness::new();
        let incoming: BTreeMap<&str, String> =
            [("sentry-trace", format!("{id}-b7ad6b7169203331-1")), ("baggage", context.clone())].into();
        let entered = continue_trace(&incoming).enter();
        let span = start_span("segment").start();
        assert_eq!(span.trace_id().map(|id| id.to_string()).as_deref(), Some(id), "it is continued");
        let headers = span.trace_headers().with_baggage(&context);
        for (name, value) in &headers {
            assert!(value.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{name}: {value:?}");
        }
        drop((span, entered));
        // The checker of the harness reads the envelope.
        assert_eq!(harness.finish().len(), 1);
    }
}
