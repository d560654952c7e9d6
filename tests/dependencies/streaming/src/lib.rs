//! A library whose spans stream. It knows nothing of the program that it is used in.
#![forbid(unsafe_code)]

span_runtime::lifecycle!(stream);

use span_runtime::prelude::*;
use span_runtime::{Span, SpanId};

/// How many places in this file start a span or ask for the current one.
pub const CALL_SITES: usize = 7;

/// Goes by every place once. What is returned is the sum of what the instrumented code computed, to show that it ran.
pub fn work() -> u32 {
    let mut sum = annotated(1) + span!("block", "n" = 2, { 2 }) + with_attributes(3);
    let guard = start_span("by hand").start();
    sum += 4;
    drop(guard);
    let span: Span = start_span("inactive").inactive().start();
    sum += 5;
    span.end();
    sum
}

#[span]
fn annotated(n: u32) -> u32 {
    n
}

#[span(name = format!("with {n}"), attributes("n" = n))]
fn with_attributes(n: u32) -> u32 {
    n
}

/// The id of the current span.
pub fn current() -> Option<SpanId> {
    current_span().span_id()
}

/// An annotated future.
#[span]
pub async fn later(n: u32) -> u32 {
    std::future::ready(n).await
}
