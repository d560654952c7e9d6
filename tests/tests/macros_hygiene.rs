//! The expansions under strict lints, without a prelude, and among names that get in the way.

#![no_implicit_prelude]
#![deny(warnings, clippy::all, clippy::pedantic)]
#![deny(unused_qualifications, single_use_lifetimes, unused_results, let_underscore_drop)]
#![forbid(unsafe_code)]

use ::span_runtime::span;
use ::std::convert::From as _;
use ::std::option::Option::{self, Some};
use ::std::result::Result;
use ::std::string::String;
use ::std::{assert, assert_eq};

::span_runtime::lifecycle!(stream);

// Names that an expansion might stumble over.
mod core {}
mod std {}
mod span_runtime {}
#[expect(unused_macros, reason = "there to be in the way")]
macro_rules! concat {
    () => {};
}
#[expect(unused_macros, reason = "there to be in the way")]
macro_rules! module_path {
    () => {};
}

const __SPAN_SITE: u8 = 1;

#[span]
fn plain() {}

#[span]
fn items_first() -> u8 {
    const LIMIT: u8 = 3;
    LIMIT + __SPAN_SITE
}

#[span]
fn items_first_in_unit() {
    const LIMIT: u8 = 3;
    assert_eq!(LIMIT, items_first() - 1);
}

#[span(args(guard), attributes("x" = __span_value))]
fn named_like_ours(guard: u8, __span_value: u8, __span_held: u8) -> u8 {
    let __span_start = 1;
    guard + __span_value + __span_held + __span_start
}

#[span(args(__span_start))]
async fn named_like_ours_later(__span_start: u8, __span_outcome: &str) -> Result<usize, String> {
    let __span_held = ::std::future::ready(__span_outcome.len()).await;
    Result::Ok(__span_held + usize::from(__span_start))
}

#[span(err, ret)]
fn told() -> Result<u8, String> {
    Result::Ok(1)
}

#[span]
fn never(list: &[u8]) -> ::std::convert::Infallible {
    loop {
        assert!(list.is_empty());
    }
}

#[span(inactive)]
fn inactive() -> Option<u8> {
    Some(1)
}

#[span(inactive)]
fn inactive_unit() {}

#[span(root, source = "task", name = "x")]
fn optioned() -> u8 {
    1
}

fn blocks() -> u8 {
    let __span_held = 1;
    let __span_value = span!("value", "n" = __span_held, { __span_held + 1 });
    span!("unit", {
        assert_eq!(__span_value, 2);
    });
    span!("unit expression", { plain() });
    for _ in 0..2 {
        span!("continue", { continue });
    }
    let parsed: Result<u8, ()> = span!("result", { Result::Ok(2) });
    let future = span!("future", async { __span_value });
    ::std::mem::drop(future);
    '__span: {
        span!("label", {
            if __span_held == 1 {
                break '__span;
            }
        });
    }
    let __span_item = span!("item", {
        const __SPAN_ITEM: u8 = 3;
        __SPAN_ITEM
    });
    if __span_item == 4 {
        span!("diverge", { ::std::process::exit(1) });
    }
    span!("return", { return parsed.unwrap_or(0) })
}

// behaviour 22
#[test]
fn expansions_do_not_mind_what_surrounds_them() {
    let harness = ::span_tests::Harness::new();
    plain();
    assert_eq!(items_first(), 4);
    items_first_in_unit();
    assert_eq!(named_like_ours(1, 2, 3), 7);
    ::std::mem::drop(named_like_ours_later(1, "x"));
    assert!(told().is_ok());
    assert_eq!(inactive(), Some(1));
    inactive_unit();
    assert_eq!(optioned(), 1);
    assert_eq!(blocks(), 2);
    let _ = never as fn(&[u8]) -> ::std::convert::Infallible;
    assert!(harness.finish().len() > 10);
}
