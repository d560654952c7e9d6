//! The way out, in front of servers that refuse, hang, lie and come back: over both transports where both have it.
#![forbid(unsafe_code)]

mod hostile;
mod killed;
mod limits;
mod pooled;
mod proxies;
mod retries;
mod spotlight;
mod tls;

use std::collections::HashSet;
use std::thread;
use std::time::{Duration, Instant};

use span_runtime::testing::Receiver;
use span_runtime::{Options, Runtime, start_span};
use span_tests::SOON;

/// Which transport a case is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Default,
    Pooled,
}

const BOTH: [Kind; 2] = [Kind::Default, Kind::Pooled];

impl Kind {
    /// Options for this transport, which sample everything and take a second for a request.
    fn options(self, dsn: impl Into<String>) -> Options {
        let options = Options::new().dsn(dsn).traces_sample_rate(1.0).request_timeout(Duration::from_secs(1));
        options.pooled_transport(self == Kind::Pooled)
    }

    fn runtime(self, dsn: impl Into<String>) -> Runtime {
        Runtime::new(self.options(dsn)).expect("the options are valid")
    }
}

fn receiver() -> Receiver {
    Receiver::start().expect("a port on loopback")
}

/// Ends a trace of two spans.
fn trace(runtime: &Runtime) {
    let _entered = runtime.enter();
    let _root = start_span("root").start();
    start_span("child").start().end();
}

/// Ends a trace whose envelope fills any socket's buffers.
fn large_trace(runtime: &Runtime) {
    let _entered = runtime.enter();
    start_span("large").attribute("text", "x".repeat(9 << 20)).start().end();
}

#[track_caller]
fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON * 2;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Nothing is open or buffered, every span is accounted for, and what was sent is what arrived, each span once.
#[track_caller]
fn assert_adds_up(runtime: &Runtime, receiver: &Receiver) {
    let stats = runtime.stats();
    assert_eq!((stats.open, stats.buffered), (0, 0), "{stats:?}");
    assert_eq!(stats.started, stats.sent + stats.lost.total(), "{stats:?}");
    let spans = receiver.spans();
    assert_eq!(spans.len() as u64, stats.sent - stats.rate_limited, "{stats:?}");
    let distinct: HashSet<_> = spans.iter().map(|span| (&span.trace_id, &span.span_id)).collect();
    assert_eq!(distinct.len(), spans.len(), "no span twice");
    assert_eq!(receiver.violations(), [""; 0]);
}
