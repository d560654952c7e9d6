//! The bound is one of bytes, whatever the spans are made of. (behaviour 45)
//!
//! Memory is the process's, so there is one test.
#![forbid(unsafe_code)]
#![cfg(target_os = "linux")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use span_runtime::testing::{Answer, Receiver};
use span_runtime::{Options, Runtime, start_span};
use span_tests::SOON;

/// The bound that is set, and what may come on top of it: code and threads, the copies of the envelope that is being sent, and what the
/// allocator keeps for each thread.
const BOUND: usize = 8 << 20;
const ON_TOP: usize = 48 << 20;

/// Resident memory in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("with this line");
    let kilobytes: usize = line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("in kB");
    kilobytes * 1024
}

/// Ends spans with attributes of 100 kB without a pause.
fn produce(runtime: &Runtime, stop: &AtomicBool) {
    let _entered = runtime.enter();
    while !stop.load(Ordering::Relaxed) {
        let _root = start_span("root").start();
        for _ in 0..10 {
            start_span("child").attribute("text", "x".repeat(100 << 10)).start().end();
        }
    }
}

// behaviour 45
#[test]
fn large_attributes_count_as_what_they_are() {
    let before = resident();
    let receiver = Receiver::start().expect("a port on loopback");
    receiver.answer_with(Answer::hang());
    let options = Options::new().dsn(receiver.dsn()).traces_sample_rate(1.0).max_buffer_bytes(BOUND);
    let options = options.enable_backpressure_handling(false).send_client_reports(false);
    let runtime = Runtime::new(options).expect("the options are valid");
    let stop = AtomicBool::new(false);
    let mut highest = (0, 0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| produce(&runtime, &stop));
        }
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(4) {
            highest = (highest.0.max(resident()), highest.1.max(runtime.stats().buffered_bytes));
            thread::sleep(Duration::from_millis(1));
        }
        stop.store(true, Ordering::Relaxed);
    });
    let stats = runtime.stats();
    assert!(highest.1 <= BOUND, "{} bytes were counted: {stats:?}", highest.1);
    assert!(highest.0 < before + BOUND + ON_TOP, "from {before} to {} bytes: {stats:?}", highest.0);
    receiver.answer_with(Answer::status(200));
    let begin = Instant::now();
    while runtime.stats().buffered > 0 {
        assert!(begin.elapsed() < SOON, "what is left is sent: {:?}", runtime.stats());
        runtime.flush(SOON);
    }
    let stats = runtime.stats();
    assert_eq!((stats.started, stats.open), (stats.sent + stats.lost.total(), 0), "{stats:?}");
    // Chunks are kept for what comes next, up to a quarter of the bound.
    assert!(stats.buffered_bytes < BOUND / 2, "what was taken is given back: {stats:?}");
    assert_eq!(receiver.violations(), [""; 0]);
}
