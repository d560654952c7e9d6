//! Records with the ids of the current span.
#![cfg(feature = "log")]
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Barrier, Mutex, Once, PoisonError};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use log::kv::{Key, Value, VisitSource};
use log::{Level, LevelFilter, Log, Metadata, Record, info, warn};
use span_integrations::log::correlated;
use span_runtime::testing::CaptureTransport;
use span_runtime::{Context, Instrument as _, Options, Runtime, current_span, start_span};
use span_tests::{Harness, SOON};
use tokio::sync::mpsc;
use tokio::time::timeout;

thread_local! {
    /// What was logged on this thread.
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    /// The logger talks about its own work.
    static IS_CHATTY: Cell<bool> = const { Cell::new(false) };
}

/// What was logged on any thread.
static OF_ALL: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Writes each record as a line, with its key-values.
struct Lines;

impl Log for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Info
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        struct Line(String, usize);
        impl<'v> VisitSource<'v> for Line {
            fn visit_pair(&mut self, key: Key<'v>, value: Value<'v>) -> Result<(), log::kv::Error> {
                self.0.push_str(&format!(" {key}={value}"));
                self.1 += 1;
                Ok(())
            }
        }
        let mut line = Line(record.args().to_string(), 0);
        record.key_values().visit(&mut line).expect("it takes all");
        assert_eq!(record.key_values().count(), line.1);
        if line.0.contains("panic") {
            panic!("on purpose");
        }
        if IS_CHATTY.get() {
            IS_CHATTY.set(false);
            info!("about itself");
        }
        OF_ALL.lock().unwrap_or_else(PoisonError::into_inner).push(line.0.clone());
        LINES.with_borrow_mut(|lines| lines.push(line.0));
    }

    fn flush(&self) {}
}

fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_boxed_logger(Box::new(correlated(Lines))).expect("there is no other");
        log::set_max_level(LevelFilter::Trace);
    });
}

/// What this thread logged since.
fn lines() -> Vec<String> {
    LINES.take()
}

fn ids() -> String {
    let span = current_span();
    format!("trace_id={} span_id={}", span.trace_id().expect("in a span"), span.span_id().expect("in a span"))
}

#[test]
fn records_have_the_ids_of_the_current_span_as_key_values() {
    install();
    let harness = Harness::new();
    info!("nowhere");
    let outer = start_span("outer").start();
    let in_outer = ids();
    info!(order = 42; "in outer");
    let in_inner = {
        let _inner = start_span("inner").start();
        warn!("in inner");
        ids()
    };
    info!("in outer again");
    info!(trace_id = "mine"; "told by the caller");
    outer.end();
    let expected = [
        "nowhere".to_owned(),
        format!("in outer order=42 {in_outer}"),
        format!("in inner {in_inner}"),
        format!("in outer again {in_outer}"),
        "told by the caller trace_id=mine".to_owned(),
    ];
    assert_eq!(lines(), expected);
    assert_eq!(harness.text(&[]), "outer\n  inner\n");
}

#[test]
fn ids_can_stand_before_the_message() {
    let harness = Harness::new();
    let logger = correlated(Lines).in_message();
    let log = |level| logger.log(&Record::builder().level(level).args(format_args!("message {}", 7)).build());
    log(Level::Info);
    let span = start_span("span").start();
    log(Level::Error);
    log(Level::Debug);
    let in_span = ids();
    span.end();
    logger.flush();
    assert_eq!(lines(), ["message 7".to_owned(), format!("{in_span} message 7")]);
    assert_eq!(harness.text(&[]), "span\n", "that an error is logged does not make the span one");
}

#[test]
fn what_the_level_leaves_out_is_not_formatted() {
    struct Unread;
    impl fmt::Display for Unread {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("nobody reads this");
        }
    }
    install();
    let harness = Harness::new();
    let span = start_span("span").start();
    log::debug!("{Unread}");
    span.end();
    assert_eq!(lines(), [""; 0]);
    harness.finish();
}

#[test]
fn spans_that_are_not_sampled_have_ids_as_well() {
    install();
    let harness = Harness::sampling(0.0);
    let root = start_span("root").start();
    let in_root = ids();
    let child = start_span("child").start();
    info!("in child");
    assert_eq!(lines(), [format!("in child {in_root}")]);
    drop((child, root));
    harness.finish();
}

#[test]
fn concurrent_futures_log_with_their_own_ids() {
    install();
    let harness = Harness::new();
    let request = |name: &'static str| {
        let work = async move {
            for _ in 0..2 {
                info!("{name} {}", current_span().span_id().expect("in a span"));
                tokio::task::yield_now().await;
            }
        };
        work.in_span(start_span(name).inactive().start())
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("there is a thread");
    runtime.block_on(async { tokio::join!(request("one"), request("two")) });
    let lines = lines();
    assert_eq!(lines.len(), 4);
    for line in &lines {
        let id = line.split(' ').nth(1).expect("the id that the span says");
        assert!(line.ends_with(&format!("span_id={id}")), "{line}");
    }
    harness.finish();
}

#[test]
fn threads_at_once_log_with_their_own_ids() {
    install();
    let harness = Harness::new();
    let barrier = Barrier::new(2);
    let work = |name: &'static str| {
        let _span = start_span(name).start();
        barrier.wait();
        info!("in {name}");
        barrier.wait();
        assert_eq!(lines(), [format!("in {name} {}", ids())]);
    };
    thread::scope(|scope| {
        for name in ["one", "two"] {
            let (work, here) = (&work, Context::current());
            scope.spawn(move || here.run(|| work(name)));
        }
    });
    harness.finish();
}

#[test]
fn what_is_cancelled_out_of_time_or_in_a_panic_leaves_no_ids_behind() {
    install();
    let harness = Harness::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("there is a thread");
    let in_spans = runtime.block_on(async {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let work = |name: &'static str, fails: bool| {
            let sender = sender.clone();
            let work = async move {
                info!("in {name}");
                sender.send(format!("in {name} {}", ids())).expect("somebody waits");
                tokio::task::yield_now().await;
                assert!(!fails, "on purpose");
                pending::<()>().await;
            };
            work.in_span(start_span(name).inactive().start())
        };
        assert!(timeout(Duration::from_millis(1), work("late", false)).await.is_err());
        info!("behind");
        let mut dropped = Box::pin(work("dropped", false));
        assert!(poll_fn(|context| Poll::Ready(dropped.as_mut().poll(context).is_pending())).await);
        drop(dropped);
        info!("behind");
        assert!(tokio::spawn(work("fails", true).in_current_span()).await.expect_err("it does").is_panic());
        info!("behind");
        drop(sender);
        let mut in_spans = Vec::new();
        while let Some(line) = receiver.recv().await {
            in_spans.extend([line, "behind".to_owned()]);
        }
        in_spans
    });
    assert_eq!(in_spans.len(), 6);
    assert_eq!(lines(), in_spans);
    let expected = "late span.cancelled=true\n---\ndropped span.cancelled=true\n---\nfails [error]\n";
    assert_eq!(harness.text(&["span.cancelled"]), expected);
}

#[test]
fn a_logger_that_logs_and_one_that_panics() {
    install();
    let harness = Harness::new();
    let span = start_span("span").start();
    IS_CHATTY.set(true);
    info!("first");
    assert!(catch_unwind(AssertUnwindSafe(|| info!("panic"))).is_err());
    info!("afterwards");
    let in_span = ids();
    assert_eq!(lines(), ["about itself".to_owned(), format!("first {in_span}"), format!("afterwards {in_span}")]);
    span.end();
    harness.finish();
}

#[test]
fn what_the_threads_that_send_log_has_no_ids_and_makes_no_spans() {
    install();
    let options = Options::new().transport(CaptureTransport::new()).traces_sample_rate(1.0).before_send_span(|span| {
        let _inside = start_span("in the hook").start();
        info!("sending {}", span.name());
    });
    let runtime = Runtime::new(options).expect("the options are valid");
    let entered = runtime.enter();
    start_span("hooked").start().end();
    assert!(runtime.flush(SOON), "it is sent in time");
    drop(entered);
    assert_eq!(runtime.stats().started, 1);
    let lines = OF_ALL.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(lines.iter().any(|line| line == "sending hooked"), "{lines:?}");
}
