//! How much memory a span takes while it waits. (behaviour 45)
//!
//! Memory is the process's, so there is one test. A counting allocator has to be unsafe code, as in `allocation.rs`.
#![allow(unsafe_code, reason = "a global allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use span_runtime::transport::{Response, Transport, TransportError};
use span_runtime::{Options, Runtime};
use span_tests::SOON;

span_runtime::lifecycle!(stream);

/// Bytes that are allocated, as they were asked for.
static LIVE: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged; counting touches an atomic.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`, and all memory is the system's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Answers once it is told to.
struct Hangs(Arc<AtomicBool>);

impl Transport for Hangs {
    fn send(&mut self, _: &[u8]) -> Result<Response, TransportError> {
        while self.0.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(Response::new(200))
    }
}

/// What the user hands over as owned, for each span.
const OWNED: usize = 40;

fn child(at: usize) {
    span!(
        "child",
        "http.request.method" = "GET",
        "http.route" = "/orders/{id}/items",
        "http.response.status_code" = 200,
        "db.system" = "postgresql",
        "db.rows" = at,
        "cache.ratio" = at as f64 / 16.0,
        "cache.hit" = at % 3 == 1,
        "order.id" = "x".repeat(OWNED),
        {}
    );
}

/// What is allocated once nothing has changed for some naps of the flusher.
fn settled() -> usize {
    let deadline = Instant::now() + SOON;
    let (mut live, mut since) = (LIVE.load(Ordering::Relaxed), Instant::now());
    while since.elapsed() < Duration::from_millis(300) {
        assert!(Instant::now() < deadline, "memory settles");
        std::thread::sleep(Duration::from_millis(2));
        let now = LIVE.load(Ordering::Relaxed);
        if now != live {
            (live, since) = (now, Instant::now());
        }
    }
    live
}

/// Bytes that each of so many spans takes while the endpoint hangs, in requests with so many children. What they own comes off.
fn bytes_a_span(children: usize, spans: usize) -> usize {
    let hangs = Arc::new(AtomicBool::new(true));
    let options = Options::new().transport(Hangs(Arc::clone(&hangs))).traces_sample_rate(1.0);
    let options = options.max_buffer_bytes(256 << 20).enable_backpressure_handling(false);
    let runtime = Runtime::new(options).expect("the options are valid");
    let entered = runtime.enter();
    let make = || {
        for request in 0..spans / (children + 1) {
            span!("request", {
                for at in 0..children {
                    child(request + at);
                }
            });
        }
    };
    // The first of them fill the transport's queue, and the pool of chunks. All of them together are far from a quarter of the bound, at which
    // chunks are given back.
    make();
    let before = settled();
    make();
    let after = settled();
    let stats = runtime.stats();
    let made = 2 * (spans / (children + 1) * (children + 1)) as u64;
    assert_eq!((stats.started, stats.buffered, stats.lost.total()), (made, made, 0), "all of them wait: {stats:?}");
    let charged = stats.buffered_bytes / made as usize;
    // What waits is of no further interest, so it is given up.
    drop(entered);
    runtime.close(Duration::ZERO);
    hangs.store(false, Ordering::Relaxed);
    let bytes = (after - before) / spans;
    assert!(charged >= bytes - bytes / 10, "{charged} bytes a span are charged, it takes {bytes}");
    bytes - OWNED
}

// behaviour 45
#[test]
fn a_span_with_eight_attributes_takes_256_bytes_while_it_waits() {
    let bytes = bytes_a_span(999, 40_000);
    println!("{bytes} bytes a span in requests of 1,000");
    assert!(bytes <= 256, "{bytes} bytes a span");
    // Of the rest, each request has its segment.
    let bytes = bytes_a_span(10, 33_000);
    println!("{bytes} bytes a span in requests of 10");
    assert!(bytes <= 256, "{bytes} bytes a span");
}
