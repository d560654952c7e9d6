//! What is left out and what is changed on the way: `ignore_spans`, `before_send_span`, the scrubber.
//! (behaviours 35 to 37)
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak, mpsc};
use std::thread;
use std::time::{Duration, SystemTime};

use span_runtime::propagation::{Baggage, SentryTrace};
use span_runtime::testing::{CaptureTransport, Span as Received, tree};
use span_runtime::{
    FinishedSpan, IgnoreRule, Instrument, Link, LossReason, Options, Pattern, Runtime, Scrubber, SpanHandle, SpanId,
    Status, TraceHeaders, TraceId, Value, continue_trace, current_span, names, new_trace, span, start_span,
    trace_headers,
};
use span_tests::{Harness, SOON};

span_runtime::lifecycle!(stream);

fn named<'a>(spans: &'a [Received], name: &str) -> &'a Received {
    let found: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(found.len(), 1, "one span named {name}");
    found[0]
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime").block_on(future)
}

// ---- ignore_spans ----

fn ignoring<R: Into<IgnoreRule>>(rules: impl IntoIterator<Item = R>) -> Harness {
    Harness::with(|options| options.traces_sample_rate(1.0).ignore_spans(rules))
}

fn ignored(harness: &Harness) -> u64 {
    harness.runtime().stats().lost.get(LossReason::Ignored)
}

fn sentry_trace(headers: &TraceHeaders) -> SentryTrace {
    SentryTrace::parse(headers.sentry_trace().expect("there is a header")).expect("it is well formed")
}

/// Whether a rule is against a span that starts like this, which must not depend on how it starts.
fn ignores(rule: &IgnoreRule, name: &'static str, attributes: &[(&'static str, Value)]) -> bool {
    let harness = ignoring([rule.clone()]);
    let span = |name: &'static str| {
        attributes.iter().fold(start_span(name), |span, (key, value)| span.attribute(*key, value.clone()))
    };
    let owned = attributes
        .iter()
        .fold(start_span(name.to_owned()), |span, (key, value)| span.attribute((*key).to_owned(), value.clone()));
    let segment = span(name).start().is_sampled();
    let inactive_segment = span(name).inactive().start().is_sampled();
    let owned = owned.start().is_sampled();
    let (child, inactive_child) = {
        let parent = start_span("a parent that no rule is against").start();
        assert!(parent.is_sampled());
        (span(name).start().is_sampled(), span(name).inactive().start().is_sampled())
    };
    let sampled = [segment, inactive_segment, owned, child, inactive_child];
    assert!(sampled.iter().all(|other| *other == segment), "{rule:?} {name} {attributes:?}: {sampled:?}");
    assert_eq!(ignored(&harness), if segment { 0 } else { 5 });
    harness.finish();
    !segment
}

// behaviour 35
#[test]
fn a_name_matches_as_a_whole() {
    let cases: [(IgnoreRule, &[&'static str], &[&'static str]); 6] = [
        ("a.c".into(), &["a.c"], &["abc", "a.cd", "xa.c", "A.C", ""]),
        (String::from("GET /health").into(), &["GET /health"], &["GET /health/", "get /health"]),
        (
            Pattern::glob("GET /static/*").into(),
            &["GET /static/", "GET /static/a/b", "GET /static/a\nb"],
            &["GET /static", "xGET /static/a"],
        ),
        (IgnoreRule::name(Pattern::glob("v?.*")), &["v1.2", "vé."], &["v12", "v.2", "xv1.2"]),
        (
            Pattern::regex(r"cache\.(get|put)").into(),
            &["cache.get", "cache.put"],
            &["cache.get all", "the cache.get", "cacheXget", "cache.put\n"],
        ),
        (IgnoreRule::name(Pattern::regex("a|bc")), &["a", "bc"], &["abc", "ab", "c"]),
    ];
    for (rule, matching, others) in cases {
        for name in matching {
            assert!(ignores(&rule, name, &[]), "{rule:?} {name}");
        }
        for name in others {
            assert!(!ignores(&rule, name, &[]), "{rule:?} {name}");
        }
    }
}

// behaviour 35
#[test]
fn an_attribute_matches_by_value_and_type() {
    let rule = |value: Value| IgnoreRule::attribute("key", value);
    let with = |value: Value| [("other", Value::of(0)), ("key", value)];
    let values = [
        Value::of(1),
        Value::of(1.0),
        Value::of("1"),
        Value::of(true),
        Value::of("true"),
        Value::of([1, 2]),
        Value::of([2, 1]),
        Value::of([1.0, 2.0]),
        Value::of(["1", "2"]),
        Value::of("a text that is longer than what is kept inside of a value"),
        Value::of(f64::NAN),
        Value::from_static(""),
    ];
    for (at, wanted) in values.iter().enumerate() {
        assert!(!ignores(&rule(wanted.clone()), "span", &[]), "{wanted:?} of a span without");
        for (other, value) in values.iter().enumerate() {
            let is_ignored = ignores(&rule(wanted.clone()), "span", &with(value.clone()));
            assert_eq!(is_ignored, at == other, "{wanted:?} {value:?}");
        }
    }
    // The type is the attribute's, whatever it was made of.
    assert!(ignores(&IgnoreRule::attribute("key", 1_u8), "span", &with(Value::of(1_i64))));
    assert!(ignores(&IgnoreRule::attribute("key", String::from("1")), "span", &with(Value::from_static("1"))));
}

// behaviour 35
#[test]
fn conditions_add_up_and_rules_stand_side_by_side() {
    let text = |text: &'static str| [("http.route", Value::from_static(text))];
    let glob = IgnoreRule::attribute("http.route", Pattern::glob("/internal/*"));
    assert!(ignores(&glob, "span", &text("/internal/jobs")) && !ignores(&glob, "span", &text("/internals")));
    let digits = IgnoreRule::attribute("key", Pattern::regex("[0-9]+"));
    assert!(ignores(&digits, "span", &[("key", Value::of("17"))]));
    assert!(!ignores(&digits, "span", &[("key", Value::of(17))]), "a pattern is for texts");

    let both = IgnoreRule::name(Pattern::regex("SELECT .*")).and_attribute("db.namespace", "scratch");
    let namespace = |name: &'static str| [("db.namespace", Value::from_static(name))];
    assert!(ignores(&both, "SELECT 1", &namespace("scratch")));
    assert!(!ignores(&both, "SELECT 1", &namespace("shop")) && !ignores(&both, "INSERT", &namespace("scratch")));
    let without = IgnoreRule::name("read").and_attribute("cache.hit", None::<bool>);
    assert!(ignores(&without, "read", &[]) && !ignores(&without, "read", &[("cache.hit", Value::of(false))]));

    let harness =
        Harness::with(|options| options.traces_sample_rate(1.0).ignore_spans(["a"]).ignore_spans([both, "b".into()]));
    let kept = |name: &'static str| start_span(name).start().is_sampled();
    assert_eq!(["a", "b", "c"].map(kept), [false, false, true], "calls add up");
    harness.finish();
}

// behaviour 35
#[test]
fn spans_of_macros_are_judged_on_what_they_start_with() {
    #[span(name = "annotated", args(depth))]
    fn annotated(depth: u32) -> bool {
        depth > 0 && current_span().attribute("depth").is_some()
    }
    let harness = ignoring([
        IgnoreRule::attribute("depth", 2),
        IgnoreRule::name("annotated").and_attribute(names::OP, "function").and_attribute("depth", 3),
        IgnoreRule::attribute(names::OP, "function").and_attribute("depth", 4),
        IgnoreRule::attribute("shelf", "b"),
        IgnoreRule::name("run 7"),
    ]);
    assert_eq!([1, 2, 3, 4, 5].map(annotated), [true, false, false, false, true]);
    for shelf in ["a", "b"] {
        span!("block", "shelf" = shelf, { assert_eq!(current_span().is_sampled(), shelf == "a") });
    }
    for run in [7, 8] {
        span!(format!("run {run}"), { assert_eq!(current_span().is_sampled(), run == 8) });
    }
    assert_eq!(ignored(&harness), 5);
    let spans = harness.finish();
    assert_eq!(spans.len(), 4, "{}", tree(&spans));
}

// behaviour 35
#[test]
fn what_is_set_later_is_not_judged() {
    let harness = ignoring([IgnoreRule::name("ignored"), IgnoreRule::attribute("ignored", true)]);
    let root = start_span("root").start();
    root.set_attribute("ignored", true);
    root.set_name("ignored");
    start_span("child").start().end();
    let ignored_child = start_span("ignored").start();
    ignored_child.set_name("kept");
    ignored_child.set_attribute("ignored", false);
    assert_eq!((ignored_child.name(), ignored_child.attributes().len()), (None, 0), "it records nothing");
    start_span("grandchild").start().end();
    drop((ignored_child, root));
    assert_eq!(tree(&harness.finish()), "ignored\n  child\n  grandchild\n");
}

// behaviour 35
#[test]
fn an_ignored_segment_is_left_out_with_all_that_is_below_it() {
    #[span]
    fn by_attribute() {
        assert_unsampled();
    }
    #[span]
    async fn by_async_fn() {
        tokio::task::yield_now().await;
        assert_unsampled();
    }
    fn assert_unsampled() {
        assert!(!current_span().is_sampled());
        let header = sentry_trace(&trace_headers());
        assert_eq!((header.sampled, Some(header.span_id)), (Some(false), current_span().span_id()));
    }
    let sampler_calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sampler_calls);
    let harness = Harness::with(|options| {
        options.ignore_spans(["GET /health"]).traces_sampler(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            1.0
        })
    });
    let segment = start_span("GET /health").start();
    assert_unsampled();
    start_span("child").start().end();
    let inactive = start_span("inactive").inactive().start();
    start_span("below inactive").parent(&inactive).start().end();
    span!("block", { assert_unsampled() });
    by_attribute();
    block_on(
        async {
            by_async_fn().await;
            span!("async block", async { assert_unsampled() }).await;
            async { assert_unsampled() }.in_span(start_span("carried").inactive().start()).await;
            let spawned = tokio::spawn(async { by_async_fn().await }.in_current_span());
            spawned.await.expect("nothing panics");
        }
        .in_current_span(),
    );
    let handle = segment.handle();
    thread::spawn({
        let handle = handle.clone();
        move || {
            let _child = start_span("elsewhere").parent(&handle).start();
            assert_unsampled();
            start_span("below elsewhere").start().end();
        }
    })
    .join()
    .expect("nothing panics");
    assert_eq!(sentry_trace(&handle.trace_headers()).sampled, Some(false));
    let stats = harness.runtime().stats();
    assert_eq!((stats.started, stats.open, ignored(&harness)), (12, 2, 10));
    drop((inactive, segment));
    start_span("after its end").parent(&handle).start().end();
    assert_eq!((ignored(&harness), sampler_calls.load(Ordering::Relaxed)), (13, 0), "there is nothing to decide");
    assert!(harness.finish().is_empty());
}

// behaviour 35
#[test]
fn a_root_inside_of_what_is_ignored_is_judged_by_itself() {
    let harness = ignoring(["ignored"]);
    let scope = new_trace();
    let _entered = scope.enter();
    let segment = start_span("ignored").start();
    start_span("a root inside").root().start().end();
    drop(segment);
    let segment = start_span("segment").start();
    let child = start_span("ignored").start();
    start_span("another root inside").root().start().end();
    drop((child, segment));
    assert_eq!(ignored(&harness), 2);
    let spans = harness.finish();
    assert_eq!(spans.len(), 3, "{}", tree(&spans));
    assert!(spans.iter().all(|span| span.is_segment && span.trace_id == scope.trace_id().to_string()));
}

// behaviours 30, 33, 35
#[test]
fn an_ignored_segment_of_a_trace_that_came_in_changes_nothing_about_the_trace() {
    let dsc = "sentry-trace_id=771a43a4192642f0b136d5159a501700,sentry-sample_rate=0.25,sentry-sampled=true";
    let harness = ignoring(["ignored"]);
    let headers = [("sentry-trace", "771a43a4192642f0b136d5159a501700-b7ad6b7169203331-1"), ("baggage", dsc)];
    let _entered = continue_trace(headers).enter();
    let ignored = start_span("ignored").start();
    assert_eq!(sentry_trace(&ignored.trace_headers()).sampled, Some(false));
    assert_eq!(ignored.trace_headers().baggage(), Some(dsc), "nobody decided by another rate");
    drop(ignored);
    start_span("kept").start().end();
    assert_eq!(named(&harness.finish(), "kept").parent_span_id.as_deref(), Some("b7ad6b7169203331"));
}

/// Runs something inside of ignored spans, one in the other where they nest.
type Nested = fn(&dyn Fn());

const NESTED: [(&str, Nested); 8] = [
    ("guard", |inside| {
        let _outer = start_span("ignored").start();
        let _inner = start_span("ignored").start();
        inside();
    }),
    ("explicit parent", |inside| {
        let outer = start_span("ignored").inactive().start();
        let inner = start_span("ignored").inactive().parent(&outer).start();
        let _also = start_span("ignored").parent(&inner).start();
        inside();
    }),
    ("inactive", |inside| {
        let _outer = start_span("ignored").inactive().start();
        let _inner = start_span("ignored").inactive().start();
        inside();
    }),
    ("block", |inside| span!("ignored", { span!("ignored", { inside() }) })),
    ("inactive block", |inside| span!("ignored", inactive, { inside() })),
    ("attribute", |inside| {
        #[span(name = "ignored")]
        fn ignored(inside: &dyn Fn()) {
            inside();
        }
        span!("ignored", { ignored(inside) });
    }),
    ("async", |inside| {
        #[span(name = "ignored")]
        async fn ignored(inside: &dyn Fn()) {
            tokio::task::yield_now().await;
            inside();
        }
        block_on(span!("ignored", async {
            tokio::task::yield_now().await;
            ignored(inside).await;
        }));
    }),
    ("carried", |inside| {
        let inner = async { async { inside() }.in_current_span().await };
        let inner = inner.in_span(start_span("ignored").inactive().start());
        block_on(inner.in_span(start_span("ignored").inactive().start()));
    }),
];

// behaviours 33, 35
#[test]
fn an_ignored_child_is_left_out_alone_and_its_children_go_to_the_nearest_kept_ancestor() {
    for (form, nested) in NESTED {
        let harness = ignoring(["ignored"]);
        let segment = start_span("segment").start();
        let kept = start_span("kept").start();
        let kept_id = kept.span_id().expect("it is sampled");
        nested(&|| {
            let span = current_span();
            assert_eq!(span.span_id(), Some(kept_id), "{form}");
            span.set_attribute("from inside", true);
            let header = sentry_trace(&trace_headers());
            assert_eq!((header.sampled, header.span_id), (Some(true), kept_id), "{form}");
            assert_eq!(Some(header.trace_id), kept.trace_id(), "{form}");
            let child = start_span("child").start();
            assert_eq!(sentry_trace(&trace_headers()).span_id, child.span_id().expect("it is sampled"), "{form}");
            span!("grandchild", {});
        });
        assert_eq!(current_span().span_id(), Some(kept_id), "{form}: what was current is current again");
        drop((kept, segment));
        let stats = harness.runtime().stats();
        assert_eq!((stats.started - 4, stats.open), (ignored(&harness), 0), "{form}");
        let spans = harness.finish();
        assert_eq!(tree(&spans), "segment\n  kept\n    child\n      grandchild\n", "{form}");
        // An inactive span is not current, so that what is set there is set on the one around it.
        let around = named(&spans, "kept").attribute("from inside").is_some();
        assert_eq!(around, form.starts_with("inactive"), "{form}: nothing of an ignored span goes to another");
    }
}

// behaviours 10, 33, 35
#[test]
fn a_handle_of_an_ignored_child_stands_for_its_nearest_kept_ancestor_also_after_the_end() {
    let harness = ignoring(["ignored"]);
    let segment = start_span("segment").start();
    let id = segment.span_id().expect("it is sampled");
    let (handle, inner) = {
        let ignored = start_span("ignored").start();
        let inner = start_span("ignored").inactive().start();
        (ignored.handle(), inner)
    };
    drop(segment);
    thread::scope(|scope| {
        scope.spawn(|| {
            for parent in [&handle, &inner.handle()] {
                assert_eq!((parent.span_id(), parent.is_sampled()), (Some(id), false));
                assert_eq!(sentry_trace(&parent.trace_headers()).span_id, id);
                let _child = start_span("child").parent(parent).start();
                let _ignored = start_span("ignored").parent(parent).start();
                span!("inside", {});
            }
        });
    });
    drop(inner);
    assert_eq!(ignored(&harness), 4);
    let spans = harness.finish();
    let below =
        |name| spans.iter().filter(|span| span.name == name && span.parent_span_id == Some(id.to_string())).count();
    assert_eq!((spans.len(), below("child"), below("inside")), (5, 2, 2), "{}", tree(&spans));
}

// behaviours 35, 49, 50
#[test]
fn each_ignored_span_is_counted_when_it_ends_and_told() {
    let transport = CaptureTransport::new();
    let options = Options::new().transport(transport.clone()).traces_sample_rate(1.0).ignore_spans(["ignored"]);
    let runtime = Runtime::new(options).expect("the options are valid");
    let entered = runtime.enter();
    let counts = || {
        let stats = runtime.stats();
        (stats.started, stats.open, stats.lost.get(LossReason::Ignored))
    };
    let segment = start_span("segment").start();
    let child = start_span("ignored").start();
    assert_eq!(counts(), (2, 2, 0));
    child.end();
    assert_eq!(counts(), (2, 1, 1));
    start_span("ignored").inactive().start().end_at(SystemTime::now());
    segment.end();
    let tree = start_span("ignored").start();
    start_span("child").start().end();
    assert_eq!(counts(), (5, 1, 3));
    drop((tree, entered));
    assert_eq!(counts(), (5, 0, 4));
    assert!(runtime.close(SOON));
    assert_eq!(transport.client_reports(), [("ignored".to_owned(), "span".to_owned(), 4)]);
}

// ---- before_send_span ----

fn hooked(hook: impl Fn(&mut FinishedSpan<'_>) + Send + Sync + 'static) -> Harness {
    Harness::with(|options| options.traces_sample_rate(1.0).before_send_span(hook))
}

// behaviour 36
#[test]
fn the_hook_renames_spans_and_changes_attributes() {
    let harness = hooked(|span| match span.name() {
        "child" => {
            span.set_name(format!(
                "{} of {}",
                span.name(),
                span.attribute("shop").expect("it was given").as_str().expect("a text")
            ));
            span.set_attribute("shop", 7);
            span.set_attribute("added", vec![true]);
            span.set_attribute("not added", None::<u8>);
            span.remove_attribute("secret");
            span.remove_attribute("never there");
        }
        "many" => {
            for at in (0..100).step_by(2) {
                span.remove_attribute(&format!("attribute {at}"));
            }
        }
        _ => {}
    });
    {
        let _root = start_span("root").attribute("kept", 1).start();
        start_span("child").attribute("shop", "a").attribute("secret", "s").start().end();
        let many = start_span("many").start();
        many.set_attributes((0..100).map(|at| (format!("attribute {at}"), at)));
        many.set_status(Status::Error);
    }
    let spans = harness.finish();
    assert_eq!(tree(&spans), "root\n  child of a\n  many [error]\n");
    let child = named(&spans, "child of a");
    let own: Vec<_> = ["shop", "added", "not added", "secret"].map(|key| child.attribute(key).cloned()).into();
    assert_eq!(own, [Some(7.into()), Some([true][..].into()), None, None]);
    let many = named(&spans, "many");
    assert!((0..100).all(|at| many.attribute(&format!("attribute {at}")).is_some() == (at % 2 == 1)));
    assert_eq!(named(&spans, "root").attribute("kept"), Some(&1.into()));
}

// behaviour 36
#[test]
fn the_hook_sees_what_there_is_to_see() {
    #[derive(Debug, Clone, PartialEq)]
    struct Seen {
        ids: (TraceId, SpanId, Option<SpanId>),
        is_segment: bool,
        status: Status,
        start: SystemTime,
        duration: Duration,
        op: Option<Value>,
        attributes: Vec<(String, Value)>,
    }
    #[span(name = "annotated", args(depth))]
    fn annotated(depth: u32) -> (TraceId, SpanId) {
        let _ = depth;
        (current_span().trace_id().expect("it is sampled"), current_span().span_id().expect("it is sampled"))
    }
    let seen: Arc<Mutex<HashMap<String, Seen>>> = Arc::default();
    let sink = Arc::clone(&seen);
    let harness = hooked(move |span| {
        let seen = Seen {
            ids: (span.trace_id(), span.span_id(), span.parent_span_id()),
            is_segment: span.is_segment(),
            status: span.status(),
            start: span.start_time(),
            duration: span.duration(),
            op: span.attribute(names::OP),
            attributes: span.attributes().map(|(key, value)| (key.to_owned(), value.clone())).collect(),
        };
        sink.lock().expect("one at a time").insert(span.name().to_owned(), seen);
    });
    let (start, took) = (SystemTime::now() - Duration::from_secs(9), Duration::from_millis(2_500));
    let root = start_span("root").start_time(start).attribute("a", 1).start();
    root.set_status(Status::Error);
    let (trace, root_id) = (root.trace_id().expect("it is sampled"), root.span_id().expect("it is sampled"));
    let annotated = annotated(7);
    root.end_at(start + took);
    harness.finish();
    let seen = seen.lock().expect("nobody else");
    let attribute = |key: &str, value: Value| (key.to_owned(), value);
    assert_eq!(seen.len(), 2, "{seen:?}");
    let root = Seen {
        ids: (trace, root_id, None),
        is_segment: true,
        status: Status::Error,
        start,
        duration: took,
        op: None,
        attributes: vec![attribute("a", Value::of(1))],
    };
    assert_eq!(seen["root"], root);
    let Seen { ids, is_segment, status, op, attributes, .. } = seen["annotated"].clone();
    assert_eq!((ids, is_segment, status), ((annotated.0, annotated.1, Some(root_id)), false, Status::Ok));
    let function = Value::of("function");
    assert_eq!(op.as_ref(), Some(&function));
    assert_eq!(attributes, [attribute("depth", Value::of(7)), attribute(names::OP, function)]);
}

// behaviour 36: the operation that a macro gave is an attribute as any other
#[test]
fn the_hook_changes_the_operation_that_a_macro_gave() {
    #[span(name = "changed")]
    fn changed() {}
    #[span(name = "removed")]
    fn removed() {}
    #[span(name = "left alone")]
    fn left_alone() {}
    let harness = hooked(|span| match span.name() {
        "changed" => span.set_attribute(names::OP, "task"),
        "removed" => span.remove_attribute(names::OP),
        _ => {}
    });
    changed();
    removed();
    left_alone();
    let spans = harness.finish();
    let op = |name: &str| named(&spans, name).text(names::OP).map(str::to_owned);
    assert_eq!(["changed", "removed", "left alone"].map(op), [Some("task".into()), None, Some("function".into())]);
}

// behaviours 36, 39
#[test]
fn the_hook_cannot_drop_a_span_nor_change_what_it_is() {
    let harness = hooked(|span| {
        span.set_name("");
        let keys: Vec<String> = span.attributes().map(|(key, _)| key.to_owned()).collect();
        for key in keys {
            span.remove_attribute(&key);
        }
        for ours in
            [names::SEGMENT_ID, names::SEGMENT_NAME, names::TRACE_LIFECYCLE, names::SDK_NAME, names::SDK_VERSION]
        {
            span.remove_attribute(ours);
            span.set_attribute(ours, "mine");
        }
        span.set_attribute("", "no key");
    });
    let linked = start_span("linked").inactive().start();
    let link = Link::new(linked.trace_id().expect("an id"), linked.span_id().expect("an id"));
    let root = start_span("root").attribute("a", 1).link(link).start();
    let ids = (root.trace_id().expect("an id").to_string(), root.span_id().expect("an id").to_string());
    span!("child", "a" = 1, {});
    root.set_status(Status::Error);
    drop((root, linked));
    // The checker behind this knows what a span has to have.
    let spans = harness.finish();
    assert_eq!(spans.len(), 3);
    assert!(spans.iter().all(|span| span.name == "(unnamed)" && span.attribute("a").is_none()));
    let root = spans.iter().find(|span| span.span_id == ids.1).expect("the root arrived");
    assert_eq!((&*root.trace_id, &*root.status, root.links.len()), (&*ids.0, "error", 1));
    assert_eq!(root.text(names::SEGMENT_ID), Some(&*ids.1));
    assert_eq!(root.text(names::TRACE_LIFECYCLE), Some("stream"));
}

// behaviours 36, 40
#[test]
fn a_segment_that_the_hook_renames_is_renamed_for_what_is_sent_later() {
    let harness = hooked(|span| {
        if span.is_segment() {
            span.set_name("GET /orders/{id}");
        }
    });
    let segment = start_span("GET /orders/7").start();
    start_span("sent before").start().end();
    assert!(harness.runtime().flush(SOON));
    let late = start_span("sent after").inactive().start();
    start_span("sent with it").start().end();
    segment.end();
    assert!(harness.runtime().flush(SOON));
    late.end();
    let spans = harness.finish();
    let segment_name = |name: &str| named(&spans, name).text(names::SEGMENT_NAME).map(str::to_owned);
    assert_eq!(segment_name("sent before").as_deref(), Some("GET /orders/7"));
    for name in ["sent with it", "GET /orders/{id}", "sent after"] {
        assert_eq!(segment_name(name).as_deref(), Some("GET /orders/{id}"), "{name}");
    }
}

/// What a hook does with a span that it should not do.
type Misbehaving = fn(&mut FinishedSpan<'_>, &Around);

/// What such a hook finds around it.
struct Around {
    runtime: Arc<OnceLock<Weak<Runtime>>>,
    parent: Arc<OnceLock<SpanHandle>>,
}

impl Around {
    fn runtime(&self) -> Arc<Runtime> {
        self.runtime.get().and_then(Weak::upgrade).expect("it lives as long as it has spans to send")
    }
}

const MISBEHAVING: [(&str, Misbehaving); 6] = [
    ("panics", |span, _| {
        half_change(span);
        panic!("on purpose");
    }),
    ("panics with what panics when it is dropped", |span, _| {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("on purpose, again");
            }
        }
        half_change(span);
        std::panic::panic_any(Bomb);
    }),
    ("starts spans", |_, _| {
        let span = start_span("in the hook").start();
        assert!(!span.is_sampled() && span.trace_id().is_none());
        span!("in the hook", { start_span("in the hook").root().inactive().start().end() });
        block_on(async { start_span("in the hook").start().end() }.in_current_span());
    }),
    ("starts spans in a trace, a runtime and below a span of its own choice", |_, around| {
        let _in_trace = new_trace().enter();
        assert!(!start_span("in the hook").start().is_sampled());
        let _entered = around.runtime().enter();
        assert!(!start_span("in the hook").start().is_sampled());
        let parent = around.parent.get().expect("there is one");
        assert!(!start_span("in the hook").parent(parent).start().is_sampled());
        assert!(!start_span("in the hook").parent(parent).inactive().start().is_sampled());
        span!("in the hook", parent = parent, { assert!(!current_span().is_sampled()) });
    }),
    ("looks around", |_, around| {
        let span = current_span();
        span.set_attribute("from the hook", true);
        span.set_name("from the hook");
        assert!(span.name().is_none() && trace_headers().is_empty());
        assert!(around.runtime().stats().started > 0);
    }),
    ("waits for itself", |_, around| {
        assert!(!around.runtime().flush(Duration::from_millis(20)), "what is in the hook is not sent");
    }),
];

fn half_change(span: &mut FinishedSpan<'_>) {
    span.set_name("half changed");
    span.set_attribute("at", "half changed");
    span.set_attribute("half changed", true);
    span.remove_attribute("given");
}

// behaviours 36, 48
#[test]
fn a_hook_that_panics_starts_spans_or_looks_around_harms_nothing_but_its_own_result() {
    for (what, misbehave) in MISBEHAVING {
        let around = Around { runtime: Arc::default(), parent: Arc::default() };
        let (runtime, parent) = (Arc::clone(&around.runtime), Arc::clone(&around.parent));
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let transport = CaptureTransport::new();
        let options = Options::new().transport(transport.clone()).traces_sample_rate(1.0);
        let options = options.before_send_span(move |span| {
            counted.fetch_add(1, Ordering::Relaxed);
            if span.name() == "bad" {
                misbehave(span, &around);
            }
            span.set_attribute("seen", true);
        });
        let made = Arc::new(Runtime::new(options).expect("the options are valid"));
        let _ = runtime.set(Arc::downgrade(&made));
        let entered = made.enter();
        {
            let segment = start_span("bad").attribute("given", 1).attribute("at", 0).start();
            let _ = parent.set(segment.handle());
            for at in 1..=3 {
                start_span("good").attribute("at", at).start().end();
                start_span("bad").attribute("given", 1).attribute("at", at).start().end();
            }
        }
        assert!(made.flush(SOON), "{what}");
        let stats = made.stats();
        assert_eq!((stats.started, stats.sent), (7, 7), "{what}: {stats}");
        assert_eq!(calls.load(Ordering::Relaxed), 7, "{what}: nothing recurses");
        assert_eq!(transport.violations(), [""; 0], "{what}");
        let spans = transport.spans();
        let mut names: Vec<&str> = spans.iter().map(|span| &*span.name).collect();
        names.sort_unstable();
        assert_eq!(names, ["bad", "bad", "bad", "bad", "good", "good", "good"], "{what}");
        for span in &spans {
            assert_eq!(span.text(names::SEGMENT_NAME), Some("bad"), "{what}");
            assert!(span.attribute("at").is_some_and(serde_json::Value::is_i64), "{what}");
            let bad = span.name == "bad";
            assert_eq!(span.attribute("given").is_some(), bad, "{what}");
            // The next span goes through the hook again, and one that panicked shows no trace of it.
            let finished = !bad || !what.starts_with("panics");
            assert_eq!(span.attribute("seen").is_some(), finished, "{what}: {}", span.name);
            for key in ["half changed", "from the hook"] {
                assert!(span.attribute(key).is_none(), "{what}");
            }
        }
        drop(entered);
    }
}

// behaviours 36, 47, 48
#[test]
fn a_hook_that_blocks_holds_up_what_is_sent_and_nobody_else() {
    let (entered, has_entered) = mpsc::channel();
    let (release, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let harness = hooked(move |span| {
        if span.name() == "blocks" {
            let _ = entered.send(());
            let _ = gate.lock().expect("one at a time").recv();
        }
    });
    let events = Mutex::new(Vec::new());
    let record = |event: &'static str| events.lock().expect("nothing panics").push(event);
    start_span("blocks").start().end();
    thread::scope(|scope| {
        let (runtime, record) = (harness.runtime(), &record);
        has_entered.recv_timeout(SOON).expect("the hook is called for a trace that has ended");
        let flush = scope.spawn(move || {
            let in_time = runtime.flush(SOON);
            record("flushed");
            in_time
        });
        // While it blocks, spans start and end on this thread and on others, more than fit into one batch.
        let elsewhere = scope.spawn(move || {
            let _entered = runtime.enter();
            let _root = start_span("elsewhere").start();
            (0..3_000).for_each(|_| start_span("child").start().end());
        });
        let root = start_span("here").start();
        (0..3_000).for_each(|_| start_span("child").start().end());
        root.end();
        elsewhere.join().expect("nothing panics");
        record("produced");
        assert!(!runtime.flush(Duration::from_millis(50)), "what is in the hook is not sent");
        assert_eq!(runtime.stats().sent, 0, "what came later waits for it, in order");
        record("released");
        release.send(()).expect("the hook waits");
        assert!(flush.join().expect("nothing panics"), "a flush waits for the hook");
    });
    assert_eq!(*events.lock().expect("nothing panics"), ["produced", "released", "flushed"]);
    let transport = harness.transport().clone();
    assert_eq!(harness.finish().len(), 6_003);
    assert_eq!(transport.envelopes()[0].spans()[0].name, "blocks", "nothing was overtaken");
}

// ---- the scrubber and send_default_pii ----

const SECRET_URL: &str = "https://user:hunter2@shop.example/a/b?token=hunter2&page=#top";
const CLEAN_URL: &str = "https://[Filtered]:[Filtered]@shop.example/a/b?token=[Filtered]&page=#top";

/// A segment and a child with secrets wherever there is room for one; the hook adds its own.
fn leaky(set: impl FnOnce(Options) -> Options) -> (Vec<Received>, Vec<serde_json::Value>) {
    let harness = Harness::with(|options| {
        set(options.traces_sample_rate(1.0)).before_send_span(|span| {
            if span.is_segment() {
                span.set_attribute("hook.password", "hunter2");
                span.set_attribute("from.hook", SECRET_URL);
            }
        })
    });
    let segment = start_span(format!("GET {SECRET_URL}"))
        .attribute("password", "hunter2")
        .attribute("http.request.header.authorization", "Bearer hunter2")
        .attribute("pin_token", 4711)
        .attribute("tokens.token", vec!["hunter2", "hunter3"])
        .attribute("has_password", true)
        .attribute("cache.key", "public")
        .start();
    let link = Link::new(segment.trace_id().expect("an id"), segment.span_id().expect("an id"))
        .attribute("api_key", "hunter2")
        .attribute("queue.url", SECRET_URL)
        .attribute("sentry.link.type", "previous_trace")
        .sampled(true);
    segment.add_link(link);
    let child = start_span("child").start();
    child.set_attribute("db.statement", format!("call {SECRET_URL}, \"{SECRET_URL}\""));
    child.set_attribute("url.full", SECRET_URL);
    child.set_attribute("url.query", "token=hunter2&page=");
    child.set_attribute("http.target", "/a/b?token=hunter2");
    child.set_attribute("links", vec!["none".to_owned(), SECRET_URL.to_owned()]);
    child.set_attribute("iban", "hunter2");
    child.set_attribute("csrf.enabled", "hunter2");
    child.end();
    let trace_headers = segment.trace_headers();
    drop(segment);
    assert!(harness.runtime().flush(SOON));
    let contexts = harness.transport().envelopes().into_iter().map(|envelope| envelope.header["trace"].clone());
    let mut contexts: Vec<_> = contexts.collect();
    let baggage = Baggage::parse(trace_headers.baggage().expect("there is a trace")).expect("it is well formed");
    contexts.push(baggage.get("transaction").expect("the segment's name goes out").into());
    (harness.finish(), contexts)
}

// behaviour 37
#[test]
fn secrets_are_filtered_wherever_they_stand() {
    let (spans, contexts) = leaky(|options| options);
    let text = format!("{spans:?} {contexts:?}");
    // What is left is the one value whose key nobody would take for a secret's.
    assert_eq!(text.matches("hunter").count(), 1, "{text}");
    let segment = named(&spans, &format!("GET {CLEAN_URL}"));
    let child = named(&spans, "child");
    let filtered = ["password", "http.request.header.authorization", "pin_token", "tokens.token", "hook.password"];
    for key in filtered {
        assert_eq!(segment.text(key), Some("[Filtered]"), "{key}");
    }
    assert_eq!(child.text("csrf.enabled"), Some("[Filtered]"));
    assert_eq!(segment.attribute("has_password"), Some(&true.into()), "whether there is one is no secret");
    assert_eq!((segment.text("cache.key"), segment.text("from.hook")), (Some("public"), Some(CLEAN_URL)));
    for span in &spans {
        assert_eq!(span.text(names::SEGMENT_NAME), Some(&*format!("GET {CLEAN_URL}")));
    }
    assert_eq!(child.text("db.statement"), Some(&*format!("call {CLEAN_URL}, \"{CLEAN_URL}\"")));
    assert_eq!(child.text("url.full"), Some(CLEAN_URL));
    assert_eq!(child.text("url.query"), Some("token=[Filtered]&page="));
    assert_eq!(child.text("http.target"), Some("/a/b?token=[Filtered]"));
    assert_eq!(child.attribute("links"), Some(&["none", CLEAN_URL][..].into()));
    let attributes = &segment.links[0]["attributes"];
    assert_eq!(attributes["api_key"]["value"], "[Filtered]");
    assert_eq!(attributes["queue.url"]["value"], CLEAN_URL);
    assert_eq!(attributes["sentry.link.type"]["value"], "previous_trace");
    let name = format!("GET {CLEAN_URL}");
    assert_eq!((&contexts[0]["transaction"], &contexts[1]), (&(&*name).into(), &(&*name).into()));
}

// behaviour 37
#[test]
fn a_scrubber_of_ones_own_knows_other_words_and_none_filters_nothing() {
    let (spans, _) = leaky(|options| options.scrubber(Scrubber::new().deny("IBAN").allow("csrf.enabled")));
    let child = named(&spans, "child");
    assert_eq!((child.text("iban"), child.text("csrf.enabled")), (Some("[Filtered]"), Some("hunter2")));
    assert_eq!(child.text("url.full"), Some(CLEAN_URL));

    let (spans, contexts) = leaky(|options| options.scrubber(None));
    let text = format!("{spans:?} {contexts:?}");
    assert!(!text.contains("[Filtered]"), "{text}");
    let segment = named(&spans, &format!("GET {SECRET_URL}"));
    assert_eq!(segment.text("hook.password"), Some("hunter2"));
    assert_eq!(segment.links[0]["attributes"]["api_key"]["value"], "hunter2");
    assert_eq!(contexts[0]["transaction"], format!("GET {SECRET_URL}"));
}

// behaviour 37: such a name is a path, and a query may stand behind it
#[test]
fn a_segment_that_is_named_by_its_url_is_cleaned_as_one() {
    let harness = Harness::new();
    {
        let _segment = start_span("GET /login?password=hunter2").source("url").start();
        start_span("SELECT a FROM b WHERE c = ?x=1").start().end();
    }
    start_span("is it?yes=1").start().end();
    let spans = harness.finish();
    let segment = named(&spans, "GET /login?password=[Filtered]");
    let child = named(&spans, "SELECT a FROM b WHERE c = ?x=1");
    for span in [segment, child] {
        assert_eq!(span.text(names::SEGMENT_NAME), Some("GET /login?password=[Filtered]"));
    }
    assert_eq!(named(&spans, "is it?yes=1").text(names::SEGMENT_NAME), Some("is it?yes=1"), "any other is just text");
}

// behaviour 37
#[test]
fn what_says_who_somebody_is_is_sent_on_request_only() {
    let personal: BTreeMap<&str, Value> = [
        ("user.id", Value::of(7)),
        ("user.email", Value::of("jane@example.com")),
        ("user.roles", Value::of(["admin"])),
        ("enduser.id", Value::of("jane")),
        ("client.address", Value::of("203.0.113.7")),
        ("http.client_ip", Value::of("203.0.113.7")),
        ("network.peer.address", Value::of("203.0.113.7")),
        ("http.request.header.x-forwarded-for", Value::of(["203.0.113.7"])),
        ("http.request.header.X_Real_IP", Value::of("203.0.113.7")),
    ]
    .into();
    let others = ["user_agent.original", "server.address", "users", "http.request.header.accept"];
    for (send, scrubber) in [(false, true), (true, true), (false, false), (true, false)] {
        let harness = Harness::with(|options| {
            let options = options.traces_sample_rate(1.0).send_default_pii(send).before_send_span(|span| {
                span.set_attribute("user.name", "Jane");
            });
            if scrubber { options } else { options.scrubber(None) }
        });
        let trace_id: TraceId = "771a43a4192642f0b136d5159a501700".parse().expect("it is well formed");
        let mut link = Link::new(trace_id, "b7ad6b7169203331".parse::<SpanId>().expect("it is well formed"));
        {
            let span = start_span("span").start();
            span.set_attributes(personal.clone());
            span.set_attributes(others.map(|key| (key, "kept")));
            for (key, value) in &personal {
                link = link.attribute(*key, value);
            }
            span.add_link(link);
        }
        let spans = harness.finish();
        let span = named(&spans, "span");
        for key in personal.keys().chain([&"user.name"]) {
            assert_eq!(span.attribute(key).is_some(), send, "{key}");
        }
        for key in others {
            assert_eq!(span.text(key), Some("kept"), "{key}");
        }
        let of_link = span.links[0]["attributes"].as_object().map_or(0, serde_json::Map::len);
        assert_eq!(of_link, if send { personal.len() } else { 0 });
    }
}
