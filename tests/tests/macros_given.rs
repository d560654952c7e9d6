//! The attributes of a macro, of which literals stay at the call site and only values travel: whoever reads, changes or takes the span
//! along finds all of them. (behaviours 14, 18)
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::thread;

use span_runtime::prelude::*;
use span_runtime::testing::Span;
use span_runtime::{IgnoreRule, SpanGuard, Value};

use span_tests::Harness;

span_runtime::lifecycle!(stream);

fn shown(value: &Value) -> String {
    format!("{value:?}")
}

/// The user's attributes of the one span with this name.
#[track_caller]
fn attributes(spans: &[Span], name: &str) -> BTreeMap<String, String> {
    let mut named = spans.iter().filter(|span| span.name == name);
    let (Some(span), None) = (named.next(), named.next()) else { panic!("there is one span {name}: {spans:?}") };
    let own = |key: &str| !key.starts_with("sentry.") && !key.contains('.') || key == "sentry.op";
    span.attributes
        .iter()
        .filter(|(key, _)| own(key))
        .map(|(key, attribute)| (key.clone(), attribute.value.to_string()))
        .collect()
}

fn expected<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

// behaviours 14, 18
#[test]
fn any_number_of_values_and_literals_arrives_as_a_root_and_as_a_child() {
    let spans = || {
        span!("none", {});
        span!("literal", "a" = "x", {});
        span!("one", "a" = 1, {});
        span!("two", "a" = 1, "b" = "x", "c" = true, {});
        span!("three", "a" = 1, "b" = 2, "c" = "x", "d" = 2.5, {});
        span!("four", "a" = 1, "b" = 2, "c" = 3, "d" = display(4), {});
        span!("five", "a" = 1, "b" = 2, "c" = 3, "d" = 4, "e" = "x", "f" = "long enough for the heap".repeat(2), {});
        span!("absent", "a" = None::<u8>, "b" = "x", "c" = Some(3), "d" = None::<&str>, {});
    };
    let long = format!("\"{}\"", "long enough for the heap".repeat(2));
    let all = [
        ("none", expected([])),
        ("literal", expected([("a", "\"x\"")])),
        ("one", expected([("a", "1")])),
        ("two", expected([("a", "1"), ("b", "\"x\""), ("c", "true")])),
        ("three", expected([("a", "1"), ("b", "2"), ("c", "\"x\""), ("d", "2.5")])),
        ("four", expected([("a", "1"), ("b", "2"), ("c", "3"), ("d", "\"4\"")])),
        ("five", expected([("a", "1"), ("b", "2"), ("c", "3"), ("d", "4"), ("e", "\"x\""), ("f", &long)])),
        ("absent", expected([("b", "\"x\""), ("c", "3")])),
    ];
    for inside in [false, true] {
        let harness = Harness::new();
        if inside {
            // Twice, so that a frame is used again, and the second time behind spans of its segment.
            span!("root", {
                span!("first", { span!("first below", "a" = "long enough for the heap".repeat(2), {}) });
                spans();
            });
        } else {
            spans();
        }
        let arrived = harness.finish();
        for (name, wanted) in &all {
            assert_eq!(attributes(&arrived, name), *wanted, "{name}, inside: {inside}");
        }
    }
}

/// What `change` makes of a child with a literal and two values.
#[track_caller]
fn changed(change: impl FnOnce()) -> BTreeMap<String, String> {
    let harness = Harness::new();
    span!("root", {
        span!("before", {});
        span!("child", "kind" = "fixed", "count" = 7, "name" = String::from("given"), { change() });
        span!("after", "kind" = "other", "count" = 8, {});
    });
    let spans = harness.finish();
    assert_eq!(attributes(&spans, "after"), expected([("kind", "\"other\""), ("count", "8")]));
    attributes(&spans, "child")
}

// behaviour 14
#[test]
fn what_is_read_is_what_was_given() {
    let unchanged = expected([("kind", "\"fixed\""), ("count", "7"), ("name", "\"given\"")]);
    let arrived = changed(|| {
        let current = current_span();
        assert_eq!(current.attribute("kind").as_ref().map(shown).as_deref(), Some("\"fixed\""));
        assert_eq!(current.attribute("count").as_ref().map(shown).as_deref(), Some("7"));
        let all: Vec<_> = current.attributes().into_iter().map(|(key, value)| (key, shown(&value))).collect();
        let wanted = [("kind", "\"fixed\""), ("count", "7"), ("name", "\"given\"")];
        assert_eq!(all, wanted.map(|(key, value)| (key.into(), value.to_owned())));
    });
    assert_eq!(arrived, unchanged);
    assert_eq!(changed(|| current_span().set_status(span_runtime::Status::Error)), unchanged);
}

// behaviour 14
#[test]
fn what_is_set_takes_the_place_of_what_was_given() {
    let arrived = changed(|| {
        current_span().set_attribute("kind", "set");
        current_span().set_attribute("count", 8);
        current_span().set_attribute("more", true);
    });
    assert_eq!(arrived, expected([("kind", "\"set\""), ("count", "8"), ("name", "\"given\""), ("more", "true")]));
}

// behaviour 14
#[test]
fn what_is_removed_is_gone() {
    let arrived = changed(|| {
        current_span().remove_attribute("kind");
        current_span().remove_attribute("name");
    });
    assert_eq!(arrived, expected([("count", "7")]));
}

// behaviours 9, 14
#[test]
fn a_handle_on_another_thread_finds_them_and_changes_them() {
    let arrived = changed(|| {
        let handle = current_span().handle();
        thread::scope(|scope| {
            scope.spawn(|| {
                assert_eq!(handle.attribute("kind").as_ref().map(shown).as_deref(), Some("\"fixed\""));
                handle.set_attribute("count", 9);
                handle.remove_attribute("kind");
            });
        });
    });
    assert_eq!(arrived, expected([("count", "9"), ("name", "\"given\"")]));
}

// behaviours 11, 14
#[test]
fn they_stay_with_a_span_that_ends_below_others_or_is_taken_along_by_a_future() {
    let harness = Harness::new();
    let mut held: Vec<SpanGuard> = Vec::new();
    span!("root", {
        span!("before", {});
        // A guard by the macro's start lives as long as its block; one that is held longer is one of a future's, across an `.await`.
        let mut pending = pin!(async {
            span!("await", "kind" = "fixed", "count" = 7, "name" = String::from("given"), async {
                let mut polled = false;
                std::future::poll_fn(|_| {
                    if std::mem::replace(&mut polled, true) { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
            })
            .await;
        });
        assert!(pending.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        held.push(start_span("others").start());
        assert!(pending.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    });
    held.clear();
    let spans = harness.finish();
    assert_eq!(attributes(&spans, "await"), expected([("kind", "\"fixed\""), ("count", "7"), ("name", "\"given\"")]));
}

// behaviours 14, 36
#[test]
fn a_hook_sees_them_and_can_remove_a_literal() {
    let hook = |span: &mut span_runtime::FinishedSpan<'_>| {
        if span.name() == "child" {
            let all: Vec<_> = span.attributes().map(|(key, value)| (key.to_owned(), shown(value))).collect();
            span.set_attribute("seen", format!("{all:?}"));
            span.remove_attribute("kind");
            span.set_attribute("count", 70);
        }
    };
    let harness = Harness::with(|options: Options| options.traces_sample_rate(1.0).before_send_span(hook));
    span!("root", {
        span!("before", {});
        span!("child", "kind" = "fixed", "count" = 7, {});
        span!("plain", "kind" = "fixed", {});
    });
    let spans = harness.finish();
    let seen = serde_json::json!("[(\"kind\", \"\\\"fixed\\\"\"), (\"count\", \"7\")]").to_string();
    assert_eq!(attributes(&spans, "child"), expected([("count", "70"), ("seen", &seen)]));
    assert_eq!(attributes(&spans, "plain"), expected([("kind", "\"fixed\"")]));
}

// behaviour 35
#[test]
fn a_rule_sees_literals_and_values() {
    let rules = [IgnoreRule::attribute("kind", "noise"), IgnoreRule::attribute("count", 13)];
    let harness = Harness::with(|options: Options| options.traces_sample_rate(1.0).ignore_spans(rules));
    span!("root", {
        span!("by literal", "kind" = "noise", {});
        span!("by literal and value", "kind" = "noise", "count" = 1, {});
        span!("by value", "kind" = "fixed", "count" = 13, {});
        span!("kept", "kind" = "fixed", "count" = 14, {});
    });
    let spans = harness.finish();
    assert_eq!(spans.iter().map(|span| &*span.name).collect::<Vec<_>>(), ["kept", "root"]);
    assert_eq!(attributes(&spans, "kept"), expected([("kind", "\"fixed\""), ("count", "14")]));
}

// behaviours 18, 39
#[test]
fn a_literal_takes_the_place_of_what_stands_on_spans_by_itself() {
    #[span(attributes("sentry.op" = "db.query"))]
    fn query() {}
    let harness = Harness::new();
    span!("root", {
        query();
        query();
    });
    let spans = harness.finish();
    let ops: Vec<_> = spans
        .iter()
        .filter(|span| span.name != "root")
        .map(|span| span.attributes.get("sentry.op").map(|op| op.value.to_string()))
        .collect();
    assert_eq!(ops, [Some("\"db.query\"".to_owned()), Some("\"db.query\"".to_owned())]);
}
