//! A trace that does not end takes no more memory than one that does. (behaviour 46)
#![forbid(unsafe_code)]
#![cfg(target_os = "linux")]

use std::time::{Duration, Instant};

use span_runtime::testing::Receiver;
use span_runtime::transport::{Response, Transport, TransportError};
use span_runtime::{Options, Runtime, start_span};
use span_tests::SOON;

/// Resident memory in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("with this line");
    let kilobytes: usize = line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("in kB");
    kilobytes * 1024
}

struct Counted(std::sync::Arc<std::sync::atomic::AtomicUsize>);

impl Transport for Counted {
    fn send(&mut self, envelope: &[u8]) -> Result<Response, TransportError> {
        self.0.fetch_add(envelope.len(), std::sync::atomic::Ordering::Relaxed);
        Ok(Response::new(200))
    }
}

fn children(runtime: &Runtime, count: usize) {
    for at in 0..count {
        start_span("child").attribute("at", at).start().end();
        // At a rate that the flusher sustains on a busy machine: this is about memory, not about losses.
        if at % 10_000 == 0 {
            assert!(runtime.flush(SOON));
        }
    }
    assert!(runtime.flush(SOON));
}

#[test]
fn a_million_children_under_one_open_root_do_not_make_memory_grow() {
    let bytes = std::sync::Arc::default();
    let transport = Counted(std::sync::Arc::clone(&bytes));
    let runtime = Runtime::new(Options::new().transport(transport).traces_sample_rate(1.0)).expect("valid");
    let _entered = runtime.enter();
    let root = start_span("root").start();
    children(&runtime, 200_000);
    let before = resident();
    children(&runtime, 800_000);
    let after = resident();
    // A single byte kept per child would be 0.8 MB; a pointer 6.4 MB.
    assert!(after < before + (4 << 20), "from {before} to {after} bytes");
    drop(root);
    assert!(runtime.flush(SOON));
    let stats = runtime.stats();
    assert_eq!((stats.started, stats.sent, stats.lost.total()), (1_000_001, 1_000_001, 0), "{stats:?}");
    assert!(bytes.load(std::sync::atomic::Ordering::Relaxed) > 500_000_000, "they were really sent");
}

// behaviour 46
#[test]
fn a_root_that_stays_open_for_20_seconds_streams_all_the_while() {
    let receiver = Receiver::start().expect("a port on loopback");
    let runtime = Runtime::new(Options::new().dsn(receiver.dsn()).traces_sample_rate(1.0)).expect("valid");
    let entered = runtime.enter();
    let root = start_span("root").start();
    let opened = Instant::now();
    let mut sent = 0;
    while opened.elapsed() < Duration::from_secs(20) {
        let ended = Instant::now();
        start_span("child").start().end();
        sent += 1;
        assert!(receiver.wait_until(Duration::from_secs(6), |receiver| receiver.span_count() >= sent), "child {sent}");
        assert!(ended.elapsed() < Duration::from_secs(6));
    }
    drop(root);
    drop(entered);
    assert!(runtime.close(SOON));
    assert_eq!(receiver.span_count(), sent + 1);
    assert_eq!(receiver.violations(), [""; 0]);
}
