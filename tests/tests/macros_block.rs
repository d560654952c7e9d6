//! `span!`: values, control flow, futures, options.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use span_runtime::prelude::*;
use span_runtime::testing::Span as Received;
use span_tests::Harness;

span_runtime::lifecycle!(stream);

fn named<'a>(spans: &'a [Received], name: &str) -> &'a Received {
    spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no span called {name} in {spans:?}"))
}

fn number(span: &Received, key: &str) -> Option<i64> {
    span.attribute(key).and_then(|value| value.as_i64())
}

fn run<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}

// behaviour 21
#[test]
fn the_value_is_the_blocks() {
    let harness = Harness::new();
    let list = vec![1_u8, 2];
    assert_eq!(span!("sum", { list.iter().sum::<u8>() }), 3);
    let text: String = span!("moved", { list.into_iter().map(|n| n.to_string()).collect() });
    assert_eq!(text, "12");
    let object: Box<dyn std::fmt::Debug> = span!("coerced", { Box::new(4) });
    assert_eq!(format!("{object:?}"), "4");
    let number: u64 = span!("inferred", { "7".parse().unwrap_or_default() });
    assert_eq!(number, 7);
    let known_later = span!("known later", { [1_u8, 2].into_iter().collect() });
    assert_eq!(last(known_later), Some(2));
    span!("unit", { drop(text) });
    span!("empty", {});
    assert_eq!(harness.finish().len(), 7);
}

fn last(list: Vec<u8>) -> Option<u8> {
    list.last().copied()
}

// behaviour 21
#[test]
fn control_flow_means_what_it_means_outside() {
    fn returns(early: bool) -> u8 {
        span!("return", {
            if early {
                return 1;
            }
        });
        span!("diverge", { return 2 })
    }
    fn asks(text: &str) -> Result<u8, std::num::ParseIntError> {
        let parsed: u8 = span!("ask", { text.parse()? });
        span!("value", { Ok(parsed) })
    }
    fn serves(mut n: u8) -> u8 {
        span!("serve", {
            loop {
                n += 1;
                if n > 5 {
                    return n;
                }
            }
        });
    }

    let harness = Harness::new();
    assert_eq!((returns(true), returns(false)), (1, 2));
    assert_eq!(asks("5"), Ok(5));
    assert!(asks("x").is_err());
    assert_eq!(serves(0), 6);
    let mut seen = Vec::new();
    let found = 'outer: loop {
        for n in 0..10 {
            span!("turn", "n" = n, {
                match n {
                    1 => continue,
                    4 => break 'outer n,
                    _ => seen.push(n),
                }
            });
        }
    };
    assert_eq!((found, seen), (4, vec![0, 2, 3]));
    let spans = harness.finish();
    assert_eq!(spans.iter().filter(|span| span.name == "turn").count(), 5);
    assert!(spans.iter().all(|span| span.status == "ok"));
}

// behaviour 21
#[test]
fn a_block_is_current_while_it_runs() {
    let harness = Harness::new();
    span!("outer", {
        span!("inner", {});
    });
    span!("after", {});
    let spans = harness.finish();
    let outer = Some(named(&spans, "outer").span_id.clone());
    assert_eq!(named(&spans, "inner").parent_span_id, outer);
    assert_eq!(named(&spans, "after").parent_span_id, None);
}

#[test]
fn an_error_as_value_sets_the_status() {
    let harness = Harness::new();
    let result = span!("parse", { "x".parse::<u8>() });
    assert!(result.is_err());
    assert_eq!(named(&harness.finish(), "parse").status, "error");
}

// behaviour 10, 14, 16, 18
#[test]
fn names_attributes_and_options() {
    let harness = Harness::new();
    let items = vec![1, 2, 3];
    let parent = start_span("far away").inactive().start();
    let handle = parent.handle();
    span!("outer", {
        span!(
            format!("price {}", items.len()),
            "basket.items" = items.len(),
            basket.kind = "gift",
            count = items[0] + 1,
            source = "task",
            {
                drop(items);
            },
        );
        span!("child", parent = &handle, {});
        span!("none", parent = None, {});
        span!("root", root, {});
        span!("beside", inactive, {
            span!("not below", {});
        });
        let name = "variable".to_owned();
        span!(name, {});
    });
    parent.end();
    let spans = harness.finish();
    let price = named(&spans, "price 3");
    assert_eq!(number(price, "basket.items"), Some(3));
    assert_eq!(number(price, "count"), Some(2));
    assert_eq!(price.attribute("basket.kind").and_then(|kind| kind.as_str()), Some("gift"));
    assert_ne!(price.attribute("sentry.op").and_then(|op| op.as_str()), Some("function"));
    let far_away = Some(named(&spans, "far away").span_id.clone());
    assert_eq!(named(&spans, "child").parent_span_id, far_away);
    assert_eq!(named(&spans, "none").parent_span_id, None);
    assert_eq!(named(&spans, "root").parent_span_id, None);
    let outer = Some(named(&spans, "outer").span_id.clone());
    assert_eq!(named(&spans, "beside").parent_span_id, outer);
    assert_eq!(named(&spans, "not below").parent_span_id, outer);
    named(&spans, "variable");
}

#[test]
fn angle_brackets_may_hold_the_header() {
    let harness = Harness::new();
    let n = 4;
    let value = span!(<"price", "n" = n, "more" = n > 3> { n + 1 });
    assert_eq!(value, 5);
    assert_eq!(run(span!(<"later"> async move { n })), 4);
    span!(<"generic", "len" = Vec::<u8>::new().len()> {});
    let spans = harness.finish();
    assert_eq!(number(named(&spans, "price"), "n"), Some(4));
    assert_eq!(number(named(&spans, "generic"), "len"), Some(0));
    named(&spans, "later");
}

// behaviour 21
#[test]
fn an_async_block_is_a_future_that_carries_its_span() {
    async fn inner() -> u8 {
        span!("inner", { 1 })
    }

    let harness = Harness::new();
    let text = "abc".to_owned();
    let future = span!("outer", "len" = text.len(), async move {
        let one = inner().await;
        text.len() + usize::from(one)
    });
    span!("between", {});
    assert_eq!(run(future), 4);
    let borrowed = [1, 2];
    assert_eq!(run(span!("borrows", async { borrowed.len() })), 2);
    let failed = run(span!("fails", async {
        let n: u8 = "x".parse()?;
        Ok::<u8, std::num::ParseIntError>(n)
    }));
    assert!(failed.is_err());
    let spans = harness.finish();
    let outer = named(&spans, "outer");
    assert_eq!(number(outer, "len"), Some(3));
    assert_eq!(named(&spans, "inner").parent_span_id.as_ref(), Some(&outer.span_id));
    assert_eq!(named(&spans, "between").parent_span_id, None);
    assert_eq!(named(&spans, "fails").status, "error");
}

// behaviour 21
#[test]
fn an_endless_future_and_a_nested_await_compile() {
    let harness = Harness::new();
    drop(span!("endless", async {
        loop {
            std::future::ready(()).await;
        }
    }));
    let future = span!("makes a future", {
        let closure = async |n: u8| std::future::ready(n).await;
        closure(3)
    });
    assert_eq!(run(future), 3);
    assert!(harness.finish().iter().any(|span| span.name == "makes a future"));
}

#[tokio::test]
async fn a_future_may_be_awaited_where_it_stands() {
    let harness = Harness::new();
    let value = span!("awaited", async {
        tokio::task::yield_now().await;
        5
    })
    .await;
    assert_eq!(value, 5);
    span!("statement", async {}).await;
    assert_eq!(harness.finish().len(), 2);
}

macro_rules! in_a_span {
    ($name:expr, $body:block) => {
        span!($name, $body)
    };
}

#[test]
fn name_and_block_may_come_from_a_macro() {
    let harness = Harness::new();
    assert_eq!(in_a_span!("from a macro", { 3 }), 3);
    named(&harness.finish(), "from a macro");
}
