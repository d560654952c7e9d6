//! What the tests of databases share.
#![allow(dead_code, unreachable_pub, reason = "each test uses some of it")]

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;

use span_runtime::{Instrument as _, names, start_span};

/// The attributes that say where a query of SQL went.
pub const WHERE: [&str; 8] = [
    names::ORIGIN,
    names::DB_SYSTEM_NAME,
    names::DB_DRIVER_NAME,
    names::DB_QUERY_TEXT,
    names::DB_NAMESPACE,
    names::SERVER_ADDRESS,
    names::SERVER_PORT,
    names::DB_USER,
];

/// Runs a future in a span, on a runtime of several threads.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("there are threads").block_on(future.in_span(start_span("request").inactive().start()))
}

/// What follows a `request`, below it.
pub fn tree(lines: &[&str]) -> String {
    let lines = lines.iter().map(|line| format!("  {line}\n"));
    std::iter::once("request\n".to_owned()).chain(lines).collect()
}

/// Whether a future panics, which is caught before it is dropped, as tasks do it.
pub async fn panics<T>(future: impl Future<Output = T>) -> bool {
    let mut future = Box::pin(future);
    let polled = poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
        polled.map_or(Poll::Ready(true), |poll| poll.map(|_| false))
    });
    polled.await
}
