//! A logger that panics. The logger is the process's, so there is one test.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use span_runtime::testing::{Answer, Receiver};
use span_runtime::{LossReason, Options, Runtime, start_span};
use span_tests::SOON;

static SAID: AtomicUsize = AtomicUsize::new(0);

struct Panics;

impl log::Log for Panics {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        if record.target().starts_with("span_runtime") {
            SAID.fetch_add(1, Ordering::Relaxed);
            // Without the words of a panic, which would stand in the output of the tests.
            std::panic::resume_unwind(Box::new("a fault of the logger's"));
        }
    }

    fn flush(&self) {}
}

// behaviour 48
#[test]
fn a_logger_that_panics_costs_no_span_and_no_thread() {
    log::set_logger(&Panics).expect("there is no other logger");
    log::set_max_level(log::LevelFilter::Trace);
    for pooled in [false, true] {
        let receiver = Receiver::start().expect("a port on loopback");
        let options = Options::new()
            .dsn(receiver.dsn())
            .traces_sample_rate(1.0)
            .pooled_transport(pooled)
            .debug(true)
            .before_send_span(|_| std::panic::resume_unwind(Box::new("a fault of the hook's")))
            // Where nobody listens.
            .spotlight("http://127.0.0.1:9/stream");
        let runtime = Runtime::new(options).expect("the options are valid");
        let entered = runtime.enter();
        for status in [503, 400, 413, 200] {
            receiver.answer_with(Answer::status(status));
            start_span("span").start().end();
            let before = receiver.request_count();
            let deadline = Instant::now() + SOON;
            while receiver.request_count() == before || status != 503 && runtime.stats().buffered > 0 {
                runtime.flush(Duration::from_millis(100));
                assert!(Instant::now() < deadline, "it is asked: {status}");
            }
        }
        // The pause after this one lowers the rate, of which the flusher tells.
        receiver.answer_with(Answer::status(429).header("Retry-After", "60"));
        start_span("span").start().end();
        let deadline = Instant::now() + SOON;
        while runtime.stats().rate_limited == 0 {
            runtime.flush(Duration::from_millis(100));
            assert!(Instant::now() < deadline, "it is refused");
        }
        let before = SAID.load(Ordering::Relaxed);
        while SAID.load(Ordering::Relaxed) == before {
            std::thread::sleep(Duration::from_millis(5));
            assert!(Instant::now() < deadline, "the flusher tells of the rate");
        }
        drop(entered);
        let stats = runtime.stats();
        assert!(runtime.close(SOON), "both threads are there to end");
        assert_eq!((stats.started, stats.buffered, stats.open), (5, 0, 0), "{stats:?}");
        assert_eq!(stats.sent + stats.lost.get(LossReason::SendError), 5, "{stats:?}");
    }
}
