//! What a span carries beside what it was given. (behaviours 39, 40)
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value as Json, json};
use span_runtime::testing::{CaptureTransport, Span as Received};
use span_runtime::{
    IgnoreRule, Instrument, LossReason, Options, Runtime, Value, current_span, names, new_trace, register_integration,
    start_span,
};
use span_tests::{Harness, SOON};

span_runtime::lifecycle!(stream);

fn named<'a>(spans: &'a [Received], name: &str) -> &'a Received {
    let found: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(found.len(), 1, "one span named {name}");
    found[0]
}

/// An integration, as those for libraries are built: it registers itself, and starts spans with what it knows.
mod queue {
    use super::*;

    pub(super) const NAME: &str = "queue";
    pub(super) const ORIGIN: &str = "auto.queue.tests";

    pub(super) fn process(destination: &'static str, work: impl FnOnce()) {
        register_integration(NAME);
        let _span = start_span("process")
            .attribute(names::OP, "queue.process")
            .attribute(names::ORIGIN, ORIGIN)
            .attribute("messaging.destination.name", destination)
            .start();
        work();
    }
}

/// On every span, with these options.
const EVERY: [&str; 12] = [
    names::ORIGIN,
    names::TRACE_LIFECYCLE,
    names::SDK_NAME,
    names::SDK_VERSION,
    names::RELEASE,
    names::ENVIRONMENT,
    names::SERVER_ADDRESS,
    names::THREAD_ID,
    names::SEGMENT_ID,
    names::SEGMENT_NAME,
    names::RUNTIME_NAME,
    names::RUNTIME_VERSION,
];

/// On segments as well. `names::THREAD_NAME` is on both, if the thread has one.
const SEGMENTS: [&str; 5] =
    [names::PLATFORM, names::SEGMENT_NAME_SOURCE, names::SDK_INTEGRATIONS, names::DIST, names::OS_NAME];

fn with_everything(options: Options) -> Options {
    options.traces_sample_rate(1.0).release("shop@1.2.3").environment("staging").dist("42").server_name("web-1")
}

fn on_a_thread<R: Send + 'static>(name: &str, work: impl FnOnce() -> R + Send + 'static) -> R {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(work).expect("a thread");
    thread.join().expect("nothing panics")
}

/// The operating system's id of this thread, where it can be had without a call of its own.
fn thread_id() -> Option<String> {
    let link = std::fs::read_link("/proc/thread-self").ok()?;
    Some(link.file_name()?.to_str()?.to_owned())
}

// behaviour 39
#[test]
fn every_span_and_every_segment_carries_what_is_theirs_and_nothing_else() {
    register_integration(queue::NAME);
    let harness = Harness::with(with_everything);
    let handle = {
        let segment = start_span("segment").start();
        let below = segment.handle();
        let id = on_a_thread("worker", move || {
            let child = start_span("child").parent(&below).start();
            child.set_attribute("own", 1);
            thread_id()
        });
        (segment.span_id().expect("an id").to_string(), id)
    };
    let spans = harness.finish();
    let (segment_id, worker) = handle;
    let (segment, child) = (named(&spans, "segment"), named(&spans, "child"));
    let keys = |span: &Received| span.attributes.keys().cloned().collect::<BTreeSet<_>>();
    let expected = |keys: &[&[&str]]| keys.concat().into_iter().map(str::to_owned).collect::<BTreeSet<_>>();
    assert_eq!(keys(child), expected(&[&EVERY, &[names::THREAD_NAME, "own"]]));
    assert_eq!(keys(segment), expected(&[&EVERY, &[names::THREAD_NAME], &SEGMENTS]));
    let version = child.text(names::RUNTIME_VERSION).expect("the compiler is known");
    assert!(version.starts_with("1.") && version.split('.').count() >= 3, "{version}");
    for span in [segment, child] {
        let of_every = [
            (names::ORIGIN, "manual"),
            (names::TRACE_LIFECYCLE, "stream"),
            (names::SDK_NAME, "sentry.rust.span-runtime"),
            (names::SDK_VERSION, env!("CARGO_PKG_VERSION")),
            (names::RELEASE, "shop@1.2.3"),
            (names::ENVIRONMENT, "staging"),
            (names::SERVER_ADDRESS, "web-1"),
            (names::SEGMENT_ID, &*segment_id),
            (names::SEGMENT_NAME, "segment"),
            (names::RUNTIME_NAME, "rustc"),
            (names::RUNTIME_VERSION, version),
        ];
        for (key, expected) in of_every {
            let attribute = &span.attributes[key];
            assert_eq!((&*attribute.type_, &attribute.value), ("string", &json!(expected)), "{key}");
        }
        assert_eq!(span.attributes[names::THREAD_ID].type_, "string", "a number would do for most, not for all");
    }
    assert_eq!(child.text(names::THREAD_NAME), Some("worker"));
    assert_eq!(child.text(names::THREAD_ID), worker.as_deref().or(child.text(names::THREAD_ID)));
    assert_ne!(child.text(names::THREAD_ID), segment.text(names::THREAD_ID));
    let of_segments = [
        (names::PLATFORM, "string", json!("native")),
        (names::SEGMENT_NAME_SOURCE, "string", json!("custom")),
        (names::SDK_INTEGRATIONS, "array", json!([queue::NAME])),
        (names::DIST, "string", json!("42")),
        (names::OS_NAME, "string", json!(std::env::consts::OS)),
    ];
    for (key, type_, expected) in of_segments {
        let attribute = &segment.attributes[key];
        assert_eq!((&*attribute.type_, &attribute.value), (type_, &expected), "{key}");
    }
}

// behaviour 39
#[test]
fn what_is_not_known_is_left_out() {
    let harness = Harness::with(|options| options.traces_sample_rate(1.0).server_name("").release("").dist(""));
    let handle = harness.runtime();
    thread::scope(|scope| {
        scope.spawn(|| {
            let _entered = handle.enter();
            start_span("on a thread without a name").start().end();
        });
    });
    let spans = harness.finish();
    for key in [names::RELEASE, names::DIST, names::SERVER_ADDRESS, names::THREAD_NAME, names::COMMAND_ARGS] {
        assert_eq!(spans[0].attribute(key), None, "{key}");
    }
    assert_eq!(spans[0].text(names::ENVIRONMENT), Some("production"), "the default");
}

// behaviour 39
#[test]
fn the_source_of_a_segments_name() {
    let harness = Harness::new();
    for source in ["custom", "url", "route", "view", "component", "task"] {
        start_span(source).source(source).start().end();
    }
    start_span("anything else").source("nonsense").start().end();
    span!("by macro", source = "route", {
        span!("child", source = "route", {});
    });
    let spans = harness.finish();
    for span in &spans {
        let expected = match &*span.name {
            "anything else" => Some("custom"),
            "by macro" => Some("route"),
            "child" => None,
            source => Some(source),
        };
        assert_eq!(span.text(names::SEGMENT_NAME_SOURCE), expected, "{}", span.name);
    }
}

// behaviour 39: spans.rs has some of them; these are all
#[test]
fn the_users_value_replaces_ours_unless_it_is_protected() {
    const PROTECTED: [&str; 5] =
        [names::TRACE_LIFECYCLE, names::SDK_NAME, names::SDK_VERSION, names::SEGMENT_ID, names::SEGMENT_NAME];
    register_integration(queue::NAME);
    let harness = Harness::with(|options| with_everything(options).record_command_args(true));
    let keys = || EVERY.into_iter().chain(SEGMENTS).chain([names::THREAD_NAME, names::COMMAND_ARGS, names::OP]);
    // The checker of the receiving end knows which sources there are.
    let value = |key: &str| if key == names::SEGMENT_NAME_SOURCE { Value::of("task") } else { Value::of("mine") };
    {
        let segment = keys().fold(start_span("segment"), |span, key| span.attribute(key, value(key))).start();
        let child = start_span("child").start();
        child.set_attributes(keys().map(|key| (key, value(key))));
        start_span("untouched").start().end();
        drop((child, segment));
    }
    let spans = harness.finish();
    for name in ["segment", "child"] {
        let span = named(&spans, name);
        for key in keys() {
            let mine = span.text(key) == value(key).as_str();
            assert_eq!(mine, !PROTECTED.contains(&key), "{name} {key}: {:?}", span.attribute(key));
        }
    }
    let untouched = named(&spans, "untouched");
    assert!(untouched.attributes.values().all(|attribute| attribute.value != "mine"), "each span for itself");
}

// behaviours 24, 35, 39
#[test]
fn an_integration_registers_itself_sets_the_origin_and_is_seen_by_sampling_and_filters() {
    let origins: Arc<Mutex<Vec<Option<Value>>>> = Arc::default();
    let seen = Arc::clone(&origins);
    let harness = Harness::with(|options| {
        let by_destination = IgnoreRule::attribute("messaging.destination.name", "heartbeats");
        options.ignore_spans([by_destination.and_attribute(names::ORIGIN, queue::ORIGIN)]).traces_sampler(
            move |segment| {
                seen.lock().expect("one at a time").push(segment.attribute(names::ORIGIN).cloned());
                let destination = segment.attribute("messaging.destination.name").and_then(Value::as_str);
                if destination == Some("unsampled") { 0.0 } else { 1.0 }
            },
        )
    });
    queue::process("orders", || {
        span!("by hand", {});
        span!("of another", "sentry.origin" = "auto.db.tests", {});
    });
    queue::process("unsampled", || {});
    queue::process("heartbeats", || span!("lost with it", {}));
    start_span("by hand as well").start().end();
    let stats = harness.runtime().stats();
    assert_eq!((stats.lost.get(LossReason::SampleRate), stats.lost.get(LossReason::Ignored)), (1, 2));
    let origin = Some(Value::of(queue::ORIGIN));
    assert_eq!(*origins.lock().expect("nobody else"), [origin.clone(), origin, None]);
    let spans = harness.finish();
    let origin = |name: &str| named(&spans, name).text(names::ORIGIN).map(str::to_owned).expect("it is on every span");
    assert_eq!(
        ["process", "by hand", "of another", "by hand as well"].map(origin),
        [queue::ORIGIN, "manual", "auto.db.tests", "manual"]
    );
    for span in &spans {
        let integrations = span.is_segment.then(|| json!([queue::NAME]));
        assert_eq!(span.attribute(names::SDK_INTEGRATIONS), integrations.as_ref(), "{}", span.name);
    }
}

// behaviour 39
#[test]
fn the_thread_is_the_one_that_started_the_span() {
    let harness = Harness::new();
    let root = start_span("root").start();
    let handle = root.handle();
    let started = on_a_thread("starter", move || {
        let inactive = start_span("ends elsewhere").parent(&handle).inactive().start();
        let carried = start_span("carried").parent(&handle).inactive().start();
        (inactive, carried, thread_id())
    });
    // That thread is gone by now.
    let (inactive, carried, starter) = started;
    on_a_thread("ender", move || {
        inactive.end();
        let work = async {
            start_span("inside").start().end();
        };
        futures_util::FutureExt::now_or_never(work.in_span(carried)).expect("it does not wait");
    });
    drop(root);
    let spans = harness.finish();
    let thread = |name: &str| named(&spans, name).text(names::THREAD_NAME).map(str::to_owned);
    assert_eq!(
        ["ends elsewhere", "carried", "inside"].map(thread),
        [Some("starter".into()), Some("starter".into()), Some("ender".into())]
    );
    let id = |name: &str| named(&spans, name).text(names::THREAD_ID).expect("it is on every span");
    assert_eq!(id("ends elsewhere"), starter.as_deref().unwrap_or(id("carried")));
    assert!(id("carried") == id("ends elsewhere") && id("carried") != id("inside") && id("root") != id("inside"));
}

// behaviour 40: spans.rs has a rename before anything was sent
#[test]
fn the_segments_name_is_the_one_that_it_has_when_a_span_is_written() {
    let harness = Harness::new();
    let segment = start_span("first name").start();
    start_span("sent before").start().end();
    assert!(harness.runtime().flush(SOON));
    start_span("ended before, sent after").start().end();
    let handle = segment.handle();
    on_a_thread("renamer", move || handle.set_name("second name"));
    let late = start_span("late").inactive().start();
    start_span("a child").start().set_name("a child of another name");
    segment.end();
    assert!(harness.runtime().flush(SOON));
    late.end();
    let spans = harness.finish();
    let segment_name = |name: &str| named(&spans, name).text(names::SEGMENT_NAME).map(str::to_owned);
    assert_eq!(segment_name("sent before").as_deref(), Some("first name"));
    for name in ["ended before, sent after", "second name", "a child of another name", "late"] {
        assert_eq!(segment_name(name).as_deref(), Some("second name"), "{name}");
    }
}

// behaviours 39, 40, 43
#[test]
fn segments_of_one_trace_keep_apart_in_one_envelope() {
    let harness = Harness::new();
    {
        let _in_trace = new_trace().enter();
        let segments: Vec<_> = (0..3).map(|at| start_span(format!("segment {at}")).root().inactive().start()).collect();
        for _ in 0..3 {
            for (at, segment) in segments.iter().enumerate() {
                let _child = start_span(format!("of segment {at}")).parent(segment).start();
                assert_eq!(current_span().trace_id(), segment.trace_id());
            }
        }
    }
    let transport = harness.transport().clone();
    let spans = harness.finish();
    assert_eq!((transport.envelopes().len(), spans.len()), (1, 12));
    for child in spans.iter().filter(|span| !span.is_segment) {
        assert_eq!(child.text(names::SEGMENT_NAME).map(|name| format!("of {name}")).as_ref(), Some(&child.name));
        assert_eq!(child.text(names::SEGMENT_ID), child.parent_span_id.as_deref());
    }
}

/// Runs this binary again, as a process whose arguments hold secrets, and returns what stands on a segment there.
fn attributes_of_a_process(record: bool) -> Json {
    let this = std::env::current_exe().expect("the path of this binary");
    let mut child = Command::new(this);
    child.args(["--exact", "child_process", "--nocapture", "--test-threads=1", "--"]).args(ARGUMENTS);
    let output = child.env("CHILD", record.to_string()).output().expect("this binary runs");
    let output = String::from_utf8(output.stdout).expect("it prints text");
    let line = output.lines().find_map(|line| line.strip_prefix("child: ")).unwrap_or_else(|| panic!("{output}"));
    serde_json::from_str(line).expect("it prints JSON")
}

const ARGUMENTS: [&str; 7] =
    ["--port=80", "--password=hunter2", "--api-key", "hunter2", "https://u:hunter2@h/?token=hunter2", "-v", "é"];

// behaviours 37, 39
#[test]
fn the_arguments_of_the_process_are_recorded_on_request_and_without_secrets() {
    assert_eq!(attributes_of_a_process(false)[names::COMMAND_ARGS], Json::Null);
    let attributes = attributes_of_a_process(true);
    let arguments = attributes[names::COMMAND_ARGS].as_array().expect("a list").clone();
    assert_eq!(arguments[1], "--exact", "the program is the first");
    let behind = arguments.iter().position(|argument| argument == "--").expect("they were given") + 1;
    let expected = [
        "--port=80",
        "--password=[Filtered]",
        "--api-key",
        "[Filtered]",
        "https://[Filtered]:[Filtered]@h/?token=[Filtered]",
        "-v",
        "é",
    ];
    assert_eq!(arguments[behind..], expected.map(Json::from));
    assert_eq!(attributes[names::SDK_INTEGRATIONS], Json::Null, "nobody registered in that process");
    assert_eq!(attributes["of the child"], Json::Null, "on segments only");
}

/// Prints the attributes of a segment, and what of them a child has that is for segments.
#[test]
fn child_process() {
    let Ok(record) = std::env::var("CHILD") else {
        return; // run by the test above only
    };
    let transport = CaptureTransport::new();
    let options = Options::new().transport(transport.clone()).traces_sample_rate(1.0);
    let runtime = Runtime::new(options.record_command_args(record == "true")).expect("the options are valid");
    let entered = runtime.enter();
    span!("segment", { span!("child", {}) });
    assert!(runtime.flush(SOON));
    drop(entered);
    let spans = transport.spans();
    let segment = named(&spans, "segment");
    let mut attributes: serde_json::Map<String, Json> =
        segment.attributes.iter().map(|(key, attribute)| (key.clone(), attribute.value.clone())).collect();
    let of_child = named(&spans, "child").attribute(names::COMMAND_ARGS).cloned();
    attributes.insert("of the child".into(), of_child.unwrap_or(Json::Null));
    println!("\nchild: {}", Json::Object(attributes));
}
