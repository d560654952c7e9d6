//! Bodies on one line: their braces end up inside of others, and must not be found unnecessary.

#![deny(warnings)]
#![allow(clippy::manual_async_fn, reason = "the form is what is tested")]

use std::future::Future;

use span_runtime::prelude::*;

span_runtime::lifecycle!(stream);

#[span]
#[rustfmt::skip]
fn statement() { drop(value()); }

#[span]
#[rustfmt::skip]
fn expression() { statement() }

#[span]
#[rustfmt::skip]
fn value() -> String { String::new() }

#[span]
#[rustfmt::skip]
fn closure() -> impl Fn(&str) -> usize { |text| text.len() }

#[span]
#[rustfmt::skip]
async fn future() -> u8 { std::future::ready(3).await }

#[span]
#[rustfmt::skip]
fn returned() -> impl Future<Output = u8> { async { 3 } }

#[rustfmt::skip]
fn blocks(n: u8) -> u8 {
    span!("expression", { expression() });
    if n == 1 { span!("return", { return 2 }); }
    span!("value", { n })
}

// behaviour 22
#[tokio::test]
async fn bodies_on_one_line_do_not_warn() {
    let harness = span_tests::Harness::new();
    assert_eq!(usize::from(future().await + returned().await), closure()("abcdef"));
    assert_eq!((blocks(1), blocks(3)), (2, 3));
    assert_eq!(harness.finish().len(), 13);
}
