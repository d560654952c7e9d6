//! The path of a span allocates nothing once its thread is warm.
//!
//! A counting allocator has to be unsafe code; this file is the one place outside of the hand-over that has any.
#![allow(unsafe_code, reason = "a global allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::future::{Future, ready};
use std::pin::pin;
use std::task::{Context, Waker};

use span_runtime::transport::{Response, Transport, TransportError};
use span_runtime::{Instrument, Options, Runtime, current_span, start_span};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged; counting touches a thread-local without a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`, and all memory is the system's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Nowhere;

impl Transport for Nowhere {
    fn send(&mut self, _: &[u8]) -> Result<Response, TransportError> {
        Ok(Response::new(200))
    }
}

mod annotated {
    use span_runtime::span;

    #[span]
    pub(super) fn function(depth: u32) -> Result<u32, std::num::ParseIntError> {
        if depth == 0 { "7".parse() } else { function(depth - 1) }
    }

    #[span(name = "with attributes", attributes("depth" = depth, "kind" = "static", "ratio" = 0.5, "flag" = true))]
    pub(super) fn with_attributes(depth: u32) {
        if depth > 0 {
            with_attributes(depth - 1);
        }
    }
}

/// What one round of every kind of span allocates on this thread.
fn allocations_of(round: impl Fn()) -> usize {
    // Chunks come from the pool once the flusher has given some back; until then each 64 slots take a new one. So:
    // the best of many rounds, which is what a warm thread does between two chunks.
    (0..200)
        .map(|_| {
            let before = ALLOCATIONS.get();
            round();
            ALLOCATIONS.get() - before
        })
        .min()
        .unwrap_or(usize::MAX)
}

#[test]
fn a_warm_thread_allocates_nothing_for_spans() {
    let runtime = Runtime::new(Options::new().transport(Nowhere).traces_sample_rate(1.0)).expect("valid");
    let _entered = runtime.enter();
    let _root = start_span("root").start();

    assert_eq!(allocations_of(|| drop(start_span("static name").start())), 0, "a static name");
    assert_eq!(allocations_of(|| drop(annotated::function(3))), 0, "annotated functions, nested");
    assert_eq!(allocations_of(|| annotated::with_attributes(2)), 0, "static and numeric attributes");
    let changed = || {
        let span = start_span("changed").start();
        span.set_attribute("a", 1);
        current_span().set_attribute("b", 0.5);
        current_span().set_attribute("c", "a short text");
        span.set_attribute("d", String::new());
    };
    assert_eq!(allocations_of(changed), 0, "attributes that are set later");
    let future = || {
        let future = pin!(ready(()).in_span(start_span("future").inactive().start()));
        assert!(future.poll(&mut Context::from_waker(Waker::noop())).is_ready());
    };
    assert_eq!(allocations_of(future), 0, "a future that carries a span");
    // The counter counts: a name that is made at run time is the user's allocation, and one to carry it.
    assert!(allocations_of(|| drop(start_span(format!("dynamic {}", 1)).start())) >= 2);
}

#[test]
fn a_warm_thread_allocates_nothing_for_spans_that_are_not_sampled() {
    let runtime = Runtime::new(Options::new().transport(Nowhere).traces_sample_rate(0.0)).expect("valid");
    let _entered = runtime.enter();
    let _root = start_span("root").start();
    assert_eq!(allocations_of(|| annotated::with_attributes(2)), 0);
    assert_eq!(allocations_of(|| drop(start_span("child").start())), 0);
}
