//! Panics, on spans.
#![cfg(feature = "panic")]
#![forbid(unsafe_code)]

use std::panic::{self, AssertUnwindSafe, catch_unwind, panic_any};
use std::process::{Command, Stdio};
use std::sync::Once;
use std::{env, thread};

use span_integrations::panic::PanicHook;
use span_runtime::testing::{Receiver, tree};
use span_runtime::{Instrument as _, Options, current_span, start_span};
use span_tests::{Harness, SOON};

const SHOWN: [&str; 3] = ["error.type", "error.message", "error.location"];

/// Installs the hook, once in this process.
fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(span_integrations::panic::install);
}

/// Where the panic is that is this many lines above.
fn location(line: u32) -> String {
    format!("error.location=\"{}:{line}:", file!())
}

/// A text without the columns of locations.
fn without_columns(text: &str) -> String {
    text.lines().map(|line| line.rsplit_once(':').map_or(line, |(before, _)| before).to_owned() + ":\n").collect()
}

#[test]
fn a_panic_is_told_of_by_the_span_that_it_happens_in() {
    install();
    let harness = Harness::new();
    let line = line!() + 4;
    let outer = start_span("outer").start();
    let result = catch_unwind(AssertUnwindSafe(|| {
        let _inner = start_span("inner").start();
        panic!("no order {}", 42);
    }));
    assert!(result.is_err());
    outer.end();
    let text = harness.text(&SHOWN);
    let place = location(line);
    assert_eq!(
        without_columns(&text),
        format!("outer:\n  inner [error] error.type=\"panic\" error.message=\"no order 42\" {place}\n")
    );
}

#[test]
fn a_panic_that_is_caught_in_its_span_leaves_the_status_alone() {
    install();
    let harness = Harness::new();
    {
        let _span = start_span("recovers").start();
        assert!(catch_unwind(|| panic_any(7)).is_err());
    }
    let text = harness.text(&["error.type", "error.message"]);
    assert_eq!(text, "recovers error.type=\"panic\"\n", "and what is no text is no message");
}

#[test]
fn tasks_and_threads_at_once() {
    async fn fails(name: &'static str) {
        tokio::task::yield_now().await;
        panic!("in {name}");
    }
    install();
    let harness = Harness::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("there are threads");
    runtime.block_on(async {
        let tasks = ["one", "two"].map(|name| {
            let span = start_span(name).inactive().start();
            tokio::spawn(fails(name).in_span(span))
        });
        for task in tasks {
            assert!(task.await.expect_err("it panics").is_panic());
        }
        // Both on one task, of which one panics and the other is dropped by the panic.
        let cancelled = std::future::pending::<()>().in_span(start_span("other").inactive().start());
        let both = async { tokio::join!(cancelled, fails("three").in_span(start_span("three").inactive().start())) };
        assert!(tokio::spawn(both.in_current_span()).await.is_err());
    });
    let handle = start_span("thread").inactive().start();
    let parent = handle.handle();
    let failed = thread::spawn(move || {
        let _span = start_span("in a thread").parent(&parent).start();
        panic!("in a thread");
    });
    assert!(failed.join().is_err());
    drop(handle);
    let text = harness.text(&["error.message", "span.cancelled"]);
    let mut trees: Vec<&str> = text.split("---\n").collect();
    trees.sort_unstable();
    let expected = [
        "one [error] error.message=\"in one\"\n",
        "other [error] span.cancelled=true\n",
        "thread\n  in a thread [error] error.message=\"in a thread\"\n",
        "three [error] error.message=\"in three\"\n",
        "two [error] error.message=\"in two\"\n",
    ];
    assert_eq!(trees, expected);
}

#[test]
fn without_a_span_and_unsampled_the_panic_is_what_it_was() {
    install();
    assert!(catch_unwind(|| panic!("nowhere")).is_err());
    let harness = Harness::sampling(0.0);
    let result = catch_unwind(|| {
        let _span = start_span("unsampled").start();
        panic!("on purpose");
    });
    assert_eq!(result.expect_err("it panics").downcast_ref::<&str>(), Some(&"on purpose"));
    assert_eq!(harness.text(&[]), "");
}

#[test]
fn a_panic_while_a_threads_values_are_dropped_does_no_harm() {
    struct AtTheEnd;
    impl Drop for AtTheEnd {
        fn drop(&mut self) {
            let _caught = catch_unwind(|| {
                let _span = start_span("past the end").start();
                panic!("on purpose");
            });
        }
    }
    thread_local!(static AT_THE_END: AtTheEnd = const { AtTheEnd });
    install();
    let harness = Harness::new();
    let root = start_span("root").start();
    let parent = root.handle();
    thread::spawn(move || {
        AT_THE_END.with(|_| {});
        start_span("in time").parent(&parent).start().end();
    })
    .join()
    .expect("it ends as ever");
    root.end();
    assert!(harness.text(&[]).starts_with("root\n  in time\n"));
}

/// The variables by which this program is told to be one that panics, and where to send what it had done.
const CHILD: &str = "SPAN_TESTS_PANIC";
const DSN: &str = "SPAN_TESTS_DSN";

/// Runs a test of this program in a process of its own.
fn child(test: &str, dsn: &str) -> std::process::ExitStatus {
    Command::new(env::current_exe().expect("it is known"))
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, "1")
        .env(DSN, dsn)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("it starts")
}

#[test]
fn a_process_that_aborts_sends_what_had_ended() {
    if env::var(CHILD).is_ok() {
        let options = Options::new().dsn(env::var(DSN).expect("it is told")).traces_sample_rate(1.0);
        let _guard = span_runtime::init(options).expect("the options are valid");
        panic::set_hook(Box::new(|_| std::process::abort()));
        PanicHook::new().flush(SOON).install();
        start_span("had ended").start().end();
        let _lost = start_span("open").start();
        panic!("on purpose");
    }
    let receiver = Receiver::start().expect("there is a port");
    assert!(!child("a_process_that_aborts_sends_what_had_ended", &receiver.dsn()).success());
    // It arrived before the process ended.
    assert_eq!(tree(&receiver.spans()), "had ended\n");
    assert_eq!(receiver.violations(), [""; 0]);
}

#[test]
fn message_and_backtrace_are_recorded_or_not_as_is_asked_for() {
    if env::var(CHILD).is_ok() {
        let options = Options::new().dsn(env::var(DSN).expect("it is told")).traces_sample_rate(1.0);
        let guard = span_runtime::init(options).expect("the options are valid");
        PanicHook::new().message(false).backtrace(true).install();
        let result = catch_unwind(|| {
            let _span = start_span("panics").start();
            panic!("a secret");
        });
        assert!(result.is_err());
        assert_eq!(current_span().span_id(), None);
        assert!(guard.flush(SOON), "it is sent");
        return;
    }
    let receiver = Receiver::start().expect("there is a port");
    assert!(child("message_and_backtrace_are_recorded_or_not_as_is_asked_for", &receiver.dsn()).success());
    let spans = receiver.spans();
    assert_eq!(tree(&spans), "panics [error]\n");
    assert_eq!((spans[0].text("error.type"), spans[0].text("error.message")), (Some("panic"), None));
    let frames = spans[0].text("exception.stacktrace").expect("it was asked for");
    assert!(frames.contains("message_and_backtrace_are_recorded"), "{frames}");
}
