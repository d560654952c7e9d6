//! What the tests of servers and clients share.
#![allow(dead_code, unreachable_pub, reason = "each test uses some of it")]

use std::future::Future;
use std::mem;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use span_runtime::Context;
use span_runtime::testing::{Span, Tree};
use span_tests::{Harness, SOON};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A trace that comes in, and the headers by which it does.
pub const TRACE: &str = "771a43a4192642f0b136d5159a501700";
pub const INCOMING: &str = "771a43a4192642f0b136d5159a501700-b7ad6b7169203331-1";

/// Runs a future on a runtime of this thread alone, or of several, on each of which the harness's is entered.
///
/// Tasks that are left are dropped before this returns.
pub fn block_on<F: Future>(workers: usize, future: F) -> F::Output {
    let mut builder = match workers {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let here = Context::current();
    // For as long as the thread is there.
    let enter = move || mem::forget(here.enter());
    if workers > 1 {
        builder.on_thread_start(enter);
    }
    let runtime = builder.worker_threads(workers).enable_all().build().expect("there are threads");
    let output = runtime.block_on(future);
    drop(runtime);
    output
}

/// Waits until all spans have ended that have started.
pub async fn all_ended(harness: &Harness) {
    let begun = Instant::now();
    while harness.runtime().stats().open > 0 {
        assert!(begun.elapsed() < SOON, "a span is still open: {}", harness.runtime().stats());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Waits until so many spans have started.
pub async fn have_started(harness: &Harness, spans: u64) {
    let begun = Instant::now();
    while harness.runtime().stats().started < spans {
        assert!(begun.elapsed() < SOON, "none has started: {}", harness.runtime().stats());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// A client that sends a request and hangs up at once, or once it has read this much.
pub async fn hang_up(harness: &Harness, server: SocketAddr, path: &str, until: &str) {
    let started = harness.runtime().stats().started;
    let mut stream = TcpStream::connect(server).await.expect("the server is there");
    let request = format!("GET {path} HTTP/1.1\r\nhost: shop.example\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("the server reads");
    have_started(harness, started + 1).await;
    let mut seen = Vec::new();
    while !until.is_empty() && !String::from_utf8_lossy(&seen).contains(until) {
        let read = stream.read_buf(&mut seen).await.expect("the server answers");
        assert!(read > 0, "the server goes on: {}", String::from_utf8_lossy(&seen));
    }
    drop(stream);
    all_ended(harness).await;
}

/// Spans as an indented text, with these attributes, and without the ports of this run.
pub fn text(spans: &[Span], attributes: &[&str]) -> String {
    let text = Tree::new(spans).attributes(attributes).to_string();
    let mut parts = text.split("http://127.0.0.1:");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + "http://server" + part.trim_start_matches(|c: char| c.is_ascii_digit()))
}
