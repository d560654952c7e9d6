//! Spans of tracing, as ours.
#![cfg(feature = "tracing")]
#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Barrier, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use span_integrations::tracing::{SpanFilter, SpanLayer, correlated, layer};
use span_runtime::testing::CaptureTransport;
use span_runtime::{Instrument as _, Options, Runtime, current_span, start_span};
use span_tests::{Harness, SOON};
use tracing::dispatcher::{self, Dispatch};
use tracing::{Instrument as _, Level, Span, debug_span, error, info_span, instrument, warn_span};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

/// A harness, and a subscriber for this thread with the layer as it comes.
fn start() -> (Harness, dispatcher::DefaultGuard) {
    (Harness::new(), subscribe(tracing_subscriber::registry().with(layer())))
}

fn subscribe(subscriber: impl Into<Dispatch>) -> dispatcher::DefaultGuard {
    dispatcher::set_default(&subscriber.into())
}

/// Runs `f` on a thread of its own, with the subscriber of this one.
fn elsewhere<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    let subscriber = dispatcher::get_default(Dispatch::clone);
    thread::scope(|scope| {
        let thread = scope.spawn(|| dispatcher::with_default(&subscriber, f));
        thread.join().expect("it does not panic")
    })
}

/// What a future makes of it on a runtime of one thread, or of two.
fn block_on<F: Future>(workers: usize, future: F) -> F::Output {
    let mut builder = match workers {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    builder.worker_threads(workers).enable_time().build().expect("there are threads").block_on(future)
}

/// The lines of a tree, sorted: for trees whose branches come in any order.
fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn parents_are_right_across_both_worlds() {
    let (harness, _subscriber) = start();
    {
        let _ours = start_span("ours").start();
        let theirs = info_span!("theirs", order = 42);
        assert_eq!(current_span().name().as_deref(), Some("ours"), "it is not entered yet");
        let _entered = theirs.enter();
        assert_eq!(current_span().name().as_deref(), Some("theirs"));
        current_span().set_attribute("set", "by us");
        let _inner = start_span("inner").start();
        info_span!("innermost").in_scope(|| start_span("leaf").start().end());
    }
    assert_eq!(current_span().span_id(), None);
    let expected = "\
        ours sentry.origin=\"manual\"\n  \
        theirs sentry.origin=\"auto.function.tracing\" order=42 set=\"by us\"\n    \
        inner sentry.origin=\"manual\"\n      \
        innermost sentry.origin=\"auto.function.tracing\"\n        \
        leaf sentry.origin=\"manual\"\n";
    assert_eq!(harness.text(&["sentry.origin", "order", "set"]), expected);
}

#[test]
fn segments_name_the_integration_and_a_span_of_tracing_can_be_one() {
    let (harness, _subscriber) = start();
    info_span!("root").in_scope(|| info_span!("child").in_scope(|| {}));
    let spans = harness.finish();
    let root = spans.iter().find(|span| span.name == "root").expect("it was sent");
    assert!(root.is_segment);
    let integrations = root.attribute("sentry.sdk.integrations").and_then(|list| list.as_array()).expect("a list");
    assert!(integrations.iter().any(|name| name == "tracing"), "{integrations:?}");
}

#[test]
fn explicit_parents_and_roots() {
    let (harness, _subscriber) = start();
    let first = info_span!("first");
    let _second = info_span!("second").entered();
    let child = info_span!(parent: &first, "of first");
    elsewhere(|| info_span!(parent: &child, "elsewhere").in_scope(|| start_span("ours").start().end()));
    info_span!(parent: None, "root").in_scope(|| info_span!("of root").in_scope(|| {}));
    drop((child, first, _second));
    let text = harness.text(&[]);
    let expected = "\
        first\n  of first\n    elsewhere\n      ours\n\
        ---\n\
        second\n\
        ---\n\
        root\n  of root\n";
    assert_eq!(text, expected);
}

#[test]
fn what_a_filter_left_out_is_skipped() {
    let harness = Harness::new();
    // Another layer wants all spans, or tracing would not know of them.
    let all = tracing_subscriber::layer::Identity::new();
    let _subscriber = subscribe(tracing_subscriber::registry().with(all).with(layer()));
    let outer = info_span!("outer");
    let hidden = outer.in_scope(|| debug_span!("hidden"));
    hidden.in_scope(|| {
        assert_eq!(current_span().span_id(), None);
        start_span("in what is hidden").start().end();
    });
    info_span!(parent: &hidden, "of hidden").in_scope(|| {});
    outer.in_scope(|| hidden.in_scope(|| info_span!("entered below hidden").in_scope(|| {})));
    drop((hidden, outer));
    let text = harness.text(&[]);
    assert_eq!(text, "outer\n  of hidden\n  entered below hidden\n---\nin what is hidden\n");
}

#[test]
fn levels_targets_and_fields_are_chosen_and_other_layers_see_all() {
    #[derive(Clone, Default)]
    struct Seen(Arc<Mutex<Vec<&'static str>>>);
    impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Seen {
        fn on_new_span(
            &self,
            attributes: &tracing::span::Attributes<'_>,
            _: &tracing::Id,
            _: tracing_subscriber::layer::Context<'_, S>,
        ) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(attributes.metadata().name());
        }
    }
    let all = || {
        debug_span!("debug").in_scope(|| {});
        warn_span!("warn", hidden = "x", shown = 1, error = "y").in_scope(|| {});
        info_span!(target: "hyper_util::client", "of a transport").in_scope(|| {});
        info_span!(target: "hyperspace", "of another crate").in_scope(|| {});
    };
    let harness = Harness::new();
    let seen = Seen::default();
    {
        let _subscriber = subscribe(tracing_subscriber::registry().with(seen.clone()).with(layer()));
        all();
    }
    let names = seen.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert_eq!(names, ["debug", "warn", "of a transport", "of another crate"]);
    {
        let debug =
            SpanLayer::new().fields(|_, field| field == "shown").with_filter(SpanFilter::up_to(LevelFilter::DEBUG));
        let _subscriber = subscribe(tracing_subscriber::registry().with(debug));
        all();
    }
    {
        let chosen = Targets::new().with_target("hyper_util", Level::TRACE);
        let _subscriber = subscribe(tracing_subscriber::registry().with(SpanLayer::new().with_filter(chosen)));
        all();
    }
    let expected = "\
        warn [error] hidden=\"x\" shown=1 error.message=\"y\"\n---\nof another crate\n---\n\
        debug\n---\nwarn [error] shown=1\n---\nof another crate\n---\n\
        of a transport\n";
    assert_eq!(harness.text(&["hidden", "shown", "error.message"]), expected);
}

#[test]
fn fields_of_opentelemetry_and_of_sentry_are_understood() {
    let (harness, _subscriber) = start();
    let named =
        info_span!("static", otel.name = format!("GET {}", "/orders"), otel.kind = "Server", http.route = "/orders");
    named.in_scope(|| {});
    drop(named);
    let kinds = [
        info_span!("a", otel.kind = "client", http.request.method = "GET"),
        info_span!("b", otel.kind = "server", rpc.system = "grpc"),
        info_span!("c", otel.kind = %"CLIENT", rpc.system = "grpc"),
        info_span!("d", otel.kind = "producer"),
        info_span!("e", otel.kind = "consumer"),
        info_span!("f", db.system = "postgresql", otel.kind = "client"),
        info_span!("g", gen_ai.operation.name = "chat"),
        info_span!("h", sentry.op = "mine", sentry.name = "named", db.system = "postgresql"),
        info_span!("i", otel.status_code = "ERROR", otel.status_description = "no such order"),
        info_span!("j", otel.kind = "internal", otel.status_code = "OK"),
    ];
    drop(kinds);
    let expected = "\
        GET /orders sentry.op=\"http.server\" sentry.kind=\"server\" sentry.segment.name.source=\"route\"\n---\n\
        a sentry.op=\"http.client\" sentry.kind=\"client\"\n---\n\
        b sentry.op=\"grpc.server\" sentry.kind=\"server\"\n---\n\
        c sentry.op=\"grpc.client\" sentry.kind=\"client\"\n---\n\
        d sentry.op=\"queue.publish\" sentry.kind=\"producer\"\n---\n\
        e sentry.op=\"queue.process\" sentry.kind=\"consumer\"\n---\n\
        f sentry.op=\"db\" sentry.kind=\"client\"\n---\n\
        g sentry.op=\"gen_ai.chat\"\n---\n\
        named sentry.op=\"mine\"\n---\n\
        i [error] sentry.status.message=\"no such order\"\n---\n\
        j sentry.kind=\"internal\"\n";
    let text = harness.text(&["sentry.op", "sentry.kind", "sentry.status.message", "sentry.segment.name.source"]);
    let text = text.replace(" sentry.segment.name.source=\"custom\"", "");
    assert_eq!(sorted(&text), sorted(expected));
}

#[test]
fn fields_of_all_types_and_those_recorded_late() {
    use tracing::field::Empty;
    let (harness, _subscriber) = start();
    let span = info_span!(
        "typed",
        text = "a",
        shown = %1.5,
        debugged = ?Some(1),
        flag = true,
        small = 1_u8,
        negative = -1_i64,
        large = u64::MAX,
        larger = i128::MAX,
        real = 0.5,
        late = Empty,
        never = Empty,
        otel.name = Empty,
        otel.status_code = Empty,
        sentry.op = Empty,
        error = Empty
    );
    span.record("late", 7).record("otel.name", "renamed").record("sentry.op", "task");
    span.record("otel.status_code", "error").record("undeclared", 1);
    drop(span);
    let keys = [
        "text",
        "shown",
        "debugged",
        "flag",
        "small",
        "negative",
        "large",
        "larger",
        "real",
        "late",
        "never",
        "sentry.op",
    ];
    let expected = "renamed [error] text=\"a\" shown=\"1.5\" debugged=\"Some(1)\" flag=true small=1 negative=-1 \
        large=\"18446744073709551615\" larger=\"170141183460469231731687303715884105727\" real=0.5 late=7 sentry.op=\"task\"\n";
    assert_eq!(harness.text(&keys), expected);
}

#[derive(Debug)]
struct Failure(Option<Box<Failure>>);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "failed" } else { "the cause" })
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.as_deref().map(|cause| cause as _)
    }
}

#[test]
fn errors_by_a_field_by_an_event_and_by_instrument() {
    #[instrument(err)]
    fn fails() -> Result<(), Failure> {
        Err(Failure(None))
    }
    #[instrument(err)]
    async fn fails_later() -> Result<(), Failure> {
        tokio::task::yield_now().await;
        Err(Failure(None))
    }
    let (harness, _subscriber) = start();
    let with_causes = Failure(Some(Box::new(Failure(None))));
    let error: &(dyn Error + 'static) = &with_causes;
    info_span!("by a field", error).in_scope(|| {});
    let late = info_span!("by a late field", error = tracing::field::Empty);
    late.record("error", tracing::field::display("late"));
    drop(late);
    info_span!("no error", error = false).in_scope(|| {});
    info_span!("by an event").in_scope(|| error!(error, answer = 42, "it failed"));
    info_span!("said to be ok", otel.status_code = "OK").in_scope(|| error!("not that bad"));
    let ok = info_span!("ok for good", otel.status_code = "OK", error = tracing::field::Empty);
    ok.record("error", "not that bad either");
    drop(ok);
    let settled = info_span!("said to be ok late", otel.status_code = tracing::field::Empty);
    settled.record("otel.status_code", "OK");
    settled.in_scope(|| error!("not that bad"));
    drop(settled);
    info_span!("warned").in_scope(|| tracing::warn!("nearly"));
    let other = info_span!("told from elsewhere");
    error!(parent: &other, "it failed");
    drop(other);
    let _ = fails();
    let _ = block_on(1, fails_later());
    let expected = "\
        by a field [error] error.message=\"failed\" error.causes=[\"the cause\"]\n---\n\
        by a late field [error] error.message=\"late\"\n---\n\
        no error\n---\n\
        by an event [error] error.message=\"failed\" error.causes=[\"the cause\"]\n---\n\
        said to be ok\n---\n\
        ok for good error.message=\"not that bad either\"\n---\n\
        said to be ok late\n---\n\
        warned\n---\n\
        told from elsewhere [error]\n---\n\
        fails [error] error.message=\"the cause\"\n---\n\
        fails_later [error] error.message=\"the cause\"\n";
    assert_eq!(harness.text(&["error.message", "error.causes", "answer", "message"]), expected);
}

#[test]
fn an_event_is_about_the_nearest_span_and_can_be_about_none() {
    let (harness, subscriber) = start();
    info_span!("theirs").in_scope(|| {
        let _ours = start_span("ours").start();
        error!("about ours, whose status its own code sets");
    });
    error!("about nothing");
    drop(subscriber);
    let quiet = SpanLayer::new().error_events(false);
    let _subscriber = subscribe(tracing_subscriber::registry().with(quiet));
    info_span!("quiet").in_scope(|| error!("an event"));
    assert_eq!(harness.text(&[]), "theirs\n  ours\n---\nquiet\n");
}

#[test]
fn follows_from_is_a_link() {
    let (harness, _subscriber) = start();
    let (cause, closed) = (info_span!("cause"), info_span!("closed"));
    let closed_id = closed.id();
    drop(closed);
    let effect = info_span!("effect");
    effect.follows_from(&cause);
    effect.follows_from(closed_id);
    effect.follows_from(&debug_span!("filtered"));
    drop((effect, cause));
    let spans = harness.finish();
    let find = |name| spans.iter().find(|span| span.name == name).expect("it was sent");
    let (effect, cause) = (find("effect"), find("cause"));
    assert_eq!(effect.links.len(), 1, "{:?}", effect.links);
    assert_eq!(effect.links[0]["span_id"], cause.span_id.as_str());
    assert_eq!(effect.links[0]["trace_id"], cause.trace_id.as_str());
    assert_eq!(effect.links[0]["sampled"], true);
}

#[test]
fn one_span_is_entered_on_two_threads_at_once_and_closed_on_a_third() {
    let (harness, _subscriber) = start();
    let span = info_span!("span");
    let barrier = Barrier::new(2);
    let work = |name: &'static str| {
        let _entered = span.enter();
        barrier.wait();
        start_span(name).start().end();
        barrier.wait();
        info_span!("theirs").in_scope(|| assert_eq!(current_span().name().as_deref(), Some("theirs")));
        assert_eq!(current_span().name().as_deref(), Some("span"));
    };
    thread::scope(|scope| {
        let subscriber = dispatcher::get_default(Dispatch::clone);
        for name in ["left", "right"] {
            let (work, subscriber) = (&work, subscriber.clone());
            scope.spawn(move || dispatcher::with_default(&subscriber, || work(name)));
        }
    });
    elsewhere(move || drop(span));
    assert_eq!(sorted(&harness.text(&[])), ["  left", "  right", "  theirs", "  theirs", "span"]);
}

#[test]
fn one_span_is_entered_twice_on_one_thread_and_left_in_another_order() {
    let (harness, _subscriber) = start();
    let (first, second) = (info_span!("first"), info_span!("second"));
    let one = first.enter();
    let two = second.enter();
    let again = first.enter();
    drop(two);
    start_span("in first again").start().end();
    drop(one);
    start_span("still in first").start().end();
    drop(again);
    assert_eq!(current_span().span_id(), None);
    start_span("in none").start().end();
    drop((first, second));
    let text = harness.text(&[]);
    assert_eq!(text, "first\n  in first again\n  still in first\n---\nsecond\n---\nin none\n");
}

#[test]
fn concurrent_futures_of_both_worlds_never_see_each_other() {
    async fn request(name: &'static str) {
        for step in ["a", "b"] {
            assert_eq!(current_span().name().as_deref(), Some(name));
            start_span(step).inactive().start().end();
            tokio::task::yield_now().await;
            async {
                tokio::task::yield_now().await;
                assert_eq!(current_span().name().as_deref(), Some("ours"));
                info_span!("query").in_scope(|| {});
            }
            .in_span(start_span("ours").inactive().start())
            .await;
        }
    }
    const REQUEST: [&str; 6] = ["  a", "  b", "  ours", "  ours", "    query", "    query"];
    for workers in [1, 2] {
        let (harness, _subscriber) = start();
        let subscriber = dispatcher::get_default(Dispatch::clone);
        let names = ["one", "two", "three", "four"];
        block_on(workers, async {
            // On one task, and on tasks of their own.
            tokio::join!(
                request("one").instrument(info_span!("one")),
                tracing::Instrument::instrument(request("two"), info_span!("two")),
            );
            let tasks = ["three", "four"].map(|name| {
                let span = info_span!("task", otel.name = name);
                let work = tracing::instrument::WithSubscriber::with_subscriber(
                    request(name).instrument(span),
                    subscriber.clone(),
                );
                tokio::spawn(work)
            });
            for task in tasks {
                task.await.expect("it does not panic");
            }
        });
        let text = harness.text(&[]);
        let mut found: Vec<Vec<&str>> = text.split("---\n").map(|tree| tree.lines().collect()).collect();
        found.iter_mut().for_each(|tree| tree[1..].sort_unstable());
        found.sort();
        let mut expected: Vec<Vec<&str>> = names.map(|name| [&[name][..], &REQUEST].concat()).into();
        expected.iter_mut().for_each(|tree| tree[1..].sort_unstable());
        expected.sort();
        assert_eq!(found, expected, "{workers} workers");
    }
}

#[test]
fn timeouts_and_cancellation_end_the_span_and_leave_nothing_current() {
    let (harness, _subscriber) = start();
    block_on(1, async {
        let work = async { std::future::pending::<()>().in_span(start_span("ours").inactive().start()).await };
        let work = work.instrument(info_span!("timed out"));
        assert!(tokio::time::timeout(Duration::from_millis(1), work).await.is_err());
        assert_eq!(current_span().span_id(), None);
        let mut work = Box::pin(std::future::pending::<()>().instrument(info_span!("half way")));
        tokio::select! {
            biased;
            () = &mut work => unreachable!("it never ends"),
            () = async {} => {}
        }
        drop(work);
        assert_eq!(current_span().span_id(), None);
    });
    assert_eq!(harness.text(&["span.cancelled"]), "timed out\n  ours span.cancelled=true\n---\nhalf way\n");
}

#[test]
fn a_panic_makes_the_spans_that_it_goes_through_errors() {
    struct InDrop;
    impl Drop for InDrop {
        fn drop(&mut self) {
            info_span!("while unwinding").in_scope(|| {});
        }
    }
    let (harness, _subscriber) = start();
    let outer = info_span!("outer").entered();
    let result = catch_unwind(AssertUnwindSafe(|| {
        let _inner = info_span!("inner").entered();
        let _in_drop = InDrop;
        panic!("on purpose");
    }));
    assert!(result.is_err());
    assert_eq!(current_span().name().as_deref(), Some("outer"));
    drop(outer);
    let subscriber = dispatcher::get_default(Dispatch::clone);
    block_on(2, async {
        let fails = async { panic!("on purpose") }.instrument(info_span!("in a task"));
        let fails = tracing::instrument::WithSubscriber::with_subscriber(fails, subscriber);
        assert!(tokio::spawn(fails).await.expect_err("it panics").is_panic());
    });
    // One that is dropped long after its panic was caught.
    let mut fails = Box::pin(async { panic!("on purpose") }.instrument(info_span!("caught")));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(catch_unwind(AssertUnwindSafe(|| fails.as_mut().poll(&mut context))).is_err());
    drop(fails);
    let expected = "outer\n  inner [error]\n    while unwinding\n---\nin a task [error]\n---\ncaught [error]\n";
    assert_eq!(harness.text(&[]), expected);
}

#[test]
fn what_is_not_sampled_is_counted_and_its_fields_are_not_looked_at() {
    struct Unread;
    impl fmt::Debug for Unread {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("nobody reads this");
        }
    }
    let _subscriber = subscribe(tracing_subscriber::registry().with(layer()));
    let late = || {
        let span = info_span!("late", late = tracing::field::Empty);
        span.record("late", tracing::field::debug(Unread));
        span.in_scope(|| info_span!("child", unread = ?Unread).in_scope(|| error!(error = ?Unread, "failed")));
    };
    late();
    let harness = Harness::sampling(0.0);
    late();
    let root = info_span!("root", unread = ?Unread);
    elsewhere(|| root.in_scope(|| start_span("below").start().end()));
    drop(root);
    assert_eq!(harness.runtime().stats().started, 4);
    assert_eq!(harness.text(&[]), "");
}

#[test]
fn a_trace_that_a_field_names_is_continued_where_nothing_is_current() {
    const INCOMING: &str = "771a43a4192642f0b136d5159a501700-b7ad6b7169203331";
    let sampled = format!("{INCOMING}-1");
    let harness = Harness::sampling(0.0);
    let _subscriber = subscribe(tracing_subscriber::registry().with(layer()));
    let baggage = "sentry-trace_id=771a43a4192642f0b136d5159a501700,sentry-release=theirs";
    let request = info_span!("request", sentry.trace = sampled, sentry.baggage = baggage);
    request.in_scope(|| {
        let headers = current_span().trace_headers();
        assert!(headers.baggage().is_some_and(|baggage| baggage.contains("sentry-release=theirs")), "{headers:?}");
        info_span!("no request", sentry.trace = %sampled).in_scope(|| {});
    });
    drop(request);
    info_span!("unsampled", sentry.trace = format!("{INCOMING}-0")).in_scope(|| {
        let headers = current_span().trace_headers();
        assert!(headers.sentry_trace().is_some_and(|header| header.starts_with("771a43a4") && header.ends_with("-0")));
    });
    info_span!("malformed", sentry.trace = "?").in_scope(|| {});
    assert_eq!(current_span().span_id(), None);
    let spans = harness.finish();
    let ids: Vec<_> = spans.iter().map(|span| (span.name.as_str(), span.parent_span_id.as_deref())).collect();
    assert_eq!(spans.len(), 2, "{ids:?}");
    let request = spans.iter().find(|span| span.name == "request").expect("it was sent");
    assert_eq!(
        (request.trace_id.as_str(), request.parent_span_id.as_deref()),
        (&INCOMING[..32], Some(&INCOMING[33..49]))
    );
    assert!(ids.contains(&("no request", Some(request.span_id.as_str()))), "{ids:?}");
}

#[test]
fn code_of_the_users_may_use_tracing_wherever_it_is_called_from() {
    struct Chatty;
    impl fmt::Debug for Chatty {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            info_span!("while formatting").in_scope(|| error!("chatty"));
            f.write_str("chatty")
        }
    }
    let transport = CaptureTransport::new();
    let subscriber = Dispatch::new(tracing_subscriber::registry().with(layer()));
    // What tracing first comes by while it asks its only subscriber counts as unwanted from then on: so it comes by it before.
    dispatcher::with_default(&subscriber, || assert_eq!(format!("{Chatty:?}"), "chatty"));
    let for_hook = subscriber.clone();
    let options = Options::new()
        .transport(transport.clone())
        .traces_sampler(|_| {
            info_span!("in the sampler").in_scope(|| error!("chatty"));
            1.0
        })
        .before_send_span(move |span| {
            dispatcher::with_default(&for_hook, || info_span!("in the hook").in_scope(|| error!("chatty")));
            span.set_attribute("seen", true);
        });
    let runtime = Runtime::new(options).expect("the options are valid");
    let entered = runtime.enter();
    let _subscriber = subscribe(subscriber);
    let outer = info_span!("outer", chatty = ?Chatty, late = tracing::field::Empty);
    outer.in_scope(|| {
        outer.record("late", tracing::field::debug(Chatty));
        error!(error = ?Chatty, "failed");
    });
    drop((outer, entered));
    assert!(runtime.flush(SOON), "everything is sent in time");
    let spans = transport.spans();
    let text =
        span_runtime::testing::Tree::new(&spans).attributes(&["chatty", "late", "error.message", "seen"]).to_string();
    // Inside of the start of a span and of an event tracing shows its subscriber nothing; inside of `record` it does.
    let expected = "\
        outer [error] chatty=\"chatty\" late=\"chatty\" error.message=\"chatty\" seen=true\n  \
        while formatting [error] seen=true\n";
    assert_eq!(text, expected);
}

// behaviours 37, 38
#[test]
fn secrets_and_data_on_persons_in_fields_are_filtered_and_some_are_left_out() {
    #[instrument(fields(password = "a secret", client.address = "192.0.2.1", db.statement = "SELECT 1"), skip(body))]
    fn login(user: &str, body: &str) -> usize {
        user.len() + body.len()
    }
    let (harness, subscriber) = start();
    assert_eq!(login("me", "a secret"), 10);
    drop(subscriber);
    let none = SpanLayer::new().fields(|_, _| false);
    let _subscriber = subscribe(tracing_subscriber::registry().with(none));
    assert_eq!(login("me", "a secret"), 10);
    let text = harness.text(&["user", "password", "client.address", "db.statement", "body"]);
    assert_eq!(text, "login password=\"[Filtered]\" db.statement=\"SELECT 1\"\n---\nlogin\n");
}

#[test]
fn a_field_that_panics_where_it_is_written_is_told_as_far_as_it_goes() {
    struct Broken;
    impl fmt::Debug for Broken {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("half")?;
            panic!("on purpose");
        }
    }
    let (harness, _subscriber) = start();
    let span = info_span!("span", first = ?Broken, late = tracing::field::Empty);
    span.record("late", tracing::field::debug(Broken));
    span.in_scope(|| start_span("the work goes on").start().end());
    drop(span);
    assert_eq!(harness.text(&["first", "late"]), "span first=\"half\" late=\"half\"\n  the work goes on\n");
}

#[test]
fn two_layers_in_one_registry_make_one_span() {
    let harness = Harness::new();
    let _subscriber = subscribe(tracing_subscriber::registry().with(layer()).with(layer()));
    info_span!("outer").in_scope(|| info_span!("inner").in_scope(|| {}));
    assert_eq!(current_span().span_id(), None);
    assert_eq!(harness.text(&[]), "outer\n  inner\n");
}

#[test]
fn the_place_in_the_code_is_recorded_where_it_is_asked_for() {
    let harness = Harness::new();
    let _subscriber = subscribe(tracing_subscriber::registry().with(SpanLayer::new().metadata(true)));
    let line = line!() + 1;
    warn_span!("placed").in_scope(|| {});
    let text = harness.text(&["tracing.level", "code.namespace", "code.line.number"]);
    assert_eq!(text, format!("placed tracing.level=\"WARN\" code.namespace=\"tracing\" code.line.number={line}\n"));
}

#[test]
fn lines_of_a_log_say_which_span_they_are_from() {
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let harness = Harness::new();
    let lines = Lines::default();
    let sink = lines.clone();
    let format = correlated(tracing_subscriber::fmt::format().without_time().with_ansi(false).with_target(false));
    let output = tracing_subscriber::fmt::layer().event_format(format).with_writer(move || sink.clone());
    let _subscriber = subscribe(tracing_subscriber::registry().with(output).with(layer()));
    tracing::info!("nowhere");
    let ids = info_span!("theirs").in_scope(|| {
        tracing::info!("in theirs");
        let ours = start_span("ours").start();
        tracing::info!("in ours");
        (
            ours.trace_id().expect("it has one"),
            Span::current().in_scope(|| current_span().span_id().expect("so")),
            ours.span_id(),
        )
    });
    let (trace, theirs, Some(ours)) = ids else { panic!("it has an id") };
    let written = String::from_utf8(lines.0.lock().unwrap_or_else(PoisonError::into_inner).clone()).expect("text");
    let expected = format!(
        " INFO nowhere\n\
         trace_id={trace} span_id={theirs}  INFO theirs: in theirs\n\
         trace_id={trace} span_id={ours}  INFO theirs: in ours\n"
    );
    assert_eq!(written, expected);
    assert_eq!(harness.text(&[]), "theirs\n  ours\n");
}
