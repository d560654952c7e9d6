//! What it costs to read a header depends on its length up to the bounds, and not at all beyond them. (behaviour 29)
//!
//! A counting allocator has to be unsafe code; alone in its binary, so that it counts for nobody else.
#![allow(unsafe_code, reason = "a global allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use span_runtime::propagation::{Baggage, SentryTrace, Traceparent};
use span_runtime::{SpanId, TraceId, continue_trace};

struct Counting;

thread_local! {
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged; counting touches a thread-local without a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.with(|bytes| bytes.set(bytes.get() + layout.size()));
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

const TRACE: &str = "771a43a4192642f0b136d5159a501700";
const SPAN: &str = "b7ad6b7169203331";

/// A member of few bytes is kept as up to three texts, in a list that grows by doubling: the shortest ones cost most.
const PER_BYTE: usize = 32;

/// The room for the first members of a list, and for what an error says.
const ALWAYS: usize = 1024;

/// For a header at the bounds or of any length beyond them.
const AT_MOST: usize = 96 << 10;

/// All that was allocated on the way, also what was given back at once.
fn bytes_of<T>(read: impl FnOnce() -> T) -> usize {
    let before = BYTES.get();
    drop(read());
    BYTES.get() - before
}

/// The name of each way to read a text, and what it allocated.
fn costs(text: &str) -> [(&'static str, usize); 8] {
    [
        ("sentry-trace", bytes_of(|| SentryTrace::parse(text))),
        ("traceparent", bytes_of(|| Traceparent::parse(text))),
        ("baggage", bytes_of(|| Baggage::parse(text))),
        ("a trace's id", bytes_of(|| text.parse::<TraceId>())),
        ("a span's id", bytes_of(|| text.parse::<SpanId>())),
        ("a trace by sentry-trace", bytes_of(|| continue_trace([("sentry-trace", text)]))),
        ("a trace by traceparent", bytes_of(|| continue_trace([("traceparent", text)]))),
        (
            "a trace and its baggage",
            bytes_of(|| continue_trace([("sentry-trace", &*format!("{TRACE}-{SPAN}-1")), ("baggage", text)])),
        ),
    ]
}

/// What a header may be filled with: nothing of one, and what it is dear to read.
fn fillings() -> Vec<String> {
    let mut fillings: Vec<String> =
        ["a", "-", "0", "%", "%41", ",", "=", " ", "\u{1f980}", "a=,", "a=b,", "sentry-a=%41", "sentry-a=%41,"]
            .map(str::to_owned)
            .into();
    // Members with keys of their own.
    fillings.push((0..100).map(|at| format!("sentry-{at}=,")).collect());
    fillings.push((0..100).map(|at| format!("sentry-%{:02x}={},", 0x21 + at % 90, "%c3%a9".repeat(20))).collect());
    fillings
}

/// A filling, over and over, in no more than so many bytes; behind each of the ways in which a header may begin.
fn headers(length: usize) -> impl Iterator<Item = String> {
    let begins = [String::new(), format!("{TRACE}-{SPAN}-1"), format!("01-{TRACE}-{SPAN}-01-"), "sentry-x=".into()];
    fillings().into_iter().flat_map(move |filling| {
        begins.clone().map(|begin| {
            let times = length.saturating_sub(begin.len()) / filling.len();
            begin + &filling.repeat(times)
        })
    })
}

// behaviour 29
#[test]
fn to_read_a_header_takes_a_small_multiple_of_its_length() {
    // What a thread needs once is no header's.
    costs("");
    for length in (0..400).step_by(3).chain([1000, 2000, 4000, 8000, 8192, 8193, 9000, 20_000]) {
        for header in headers(length) {
            for (name, bytes) in costs(&header) {
                let most = PER_BYTE * header.len() + ALWAYS;
                assert!(bytes <= most, "{name}: {bytes} bytes for {} of {header:.80}", header.len());
            }
        }
    }
    // The counter counts.
    let (_, bytes) = costs("sentry-release=shop%401.4")[2];
    assert!(bytes >= "sentry-release=shop%401.4".len(), "{bytes} bytes");
}

// behaviour 29
#[test]
fn to_read_many_megabytes_takes_no_more_than_to_read_what_is_at_the_bounds() {
    costs("");
    for length in [1 << 20, 16 << 20] {
        for header in headers(length) {
            for (name, bytes) in costs(&header) {
                assert!(bytes <= AT_MOST, "{name}: {bytes} bytes for {} of {header:.80}", header.len());
            }
        }
    }
}

// behaviour 29
#[test]
fn to_read_a_million_headers_takes_no_more_than_to_read_what_is_at_the_bounds() {
    costs("");
    for name in ["sentry-trace", "traceparent", "baggage", "x-another"] {
        for value in ["", "a", "sentry-a=1"] {
            let bytes = bytes_of(|| continue_trace(std::iter::repeat_n((name, value), 1_000_000)));
            assert!(bytes <= AT_MOST, "{name}, {value}: {bytes} bytes");
        }
    }
}
