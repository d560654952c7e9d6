//! What is current, in threads.
#![cfg(feature = "thread")]
#![forbid(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier;

use span_integrations::thread;
use span_runtime::{current_span, start_span};
use span_tests::Harness;

#[test]
fn threads_and_scoped_threads_have_what_is_current_and_nothing_is_left_behind() {
    let harness = Harness::new();
    let import = start_span("import").start();
    thread::spawn(|| start_span("spawned").start().end()).join().expect("it does not panic");
    let builder = std::thread::Builder::new().name("builder".to_owned());
    let built = builder.spawn(thread::in_current_span(|| start_span("built").start().end()));
    built.expect("there are threads").join().expect("it does not panic");
    let lines = &["a", "b"];
    let sum = thread::scope(|scope| {
        let outer = scope.spawn(move || {
            let span = start_span("scoped").start();
            // A scope goes along, and what is current is what is current there.
            let inner = scope.spawn(move || start_span("nested").attribute("lines", lines.len()).start().end());
            inner.join().expect("it does not panic");
            span.end();
            lines.len()
        });
        outer.join().expect("it does not panic")
    });
    assert_eq!(sum, 2);
    assert_eq!(current_span().name().as_deref(), Some("import"));
    import.end();
    let expected = "\
        import\n  \
        spawned\n  \
        built thread.name=\"builder\"\n  \
        scoped\n    \
        nested lines=2\n";
    let text = harness.text(&["thread.name", "lines"]);
    // The test's own thread has a name as well.
    let named = " thread.name=\"threads_and_scoped_threads_have_what_is_current_and_nothing_is_left_behind\"";
    assert_eq!(text.replace(named, ""), expected);
}

#[test]
fn two_threads_at_once_each_have_their_own() {
    let harness = Harness::new();
    let barrier = Barrier::new(2);
    thread::scope(|scope| {
        for (name, child) in [("one", "of one"), ("two", "of two")] {
            let barrier = &barrier;
            scope.spawn(move || {
                let _span = start_span(name).start();
                barrier.wait();
                thread::spawn(move || start_span(child).start().end()).join().expect("it does not panic");
                barrier.wait();
                assert_eq!(current_span().name().as_deref(), Some(name));
            });
        }
    });
    let text = harness.text(&[]);
    let mut trees: Vec<&str> = text.split("---\n").collect();
    trees.sort_unstable();
    assert_eq!(trees, ["one\n  of one\n", "two\n  of two\n"]);
}

#[test]
fn a_thread_that_outlives_its_span_still_hangs_on_it() {
    let harness = Harness::new();
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    let late = {
        let _request = start_span("request").start();
        thread::spawn(move || {
            receiver.recv().expect("it is told to go on");
            start_span("late").start().end();
        })
    };
    sender.send(()).expect("the thread waits");
    late.join().expect("it does not panic");
    assert_eq!(harness.text(&[]), "request\n  late\n");
}

#[test]
fn a_panic_in_a_thread_is_an_error_of_the_spans_that_it_goes_through() {
    let harness = Harness::new();
    let import = start_span("import").start();
    let failed = thread::spawn(|| {
        let _chunk = start_span("chunk").start();
        panic!("on purpose");
    });
    assert!(failed.join().is_err());
    let all = catch_unwind(AssertUnwindSafe(|| thread::scope(|scope| _ = scope.spawn(|| panic!("on purpose")))));
    assert!(all.is_err());
    assert_eq!(current_span().name().as_deref(), Some("import"));
    import.end();
    assert_eq!(harness.text(&[]), "import\n  chunk [error]\n");
}

#[test]
fn without_a_runtime_and_unsampled_threads_do_their_work() {
    assert_eq!(thread::spawn(|| start_span("nowhere").start().trace_id()).join().expect("it does not panic"), None);
    let harness = Harness::sampling(0.0);
    let root = start_span("root").start();
    thread::spawn(|| start_span("unsampled").start().end()).join().expect("it does not panic");
    root.end();
    assert_eq!(harness.runtime().stats().started, 2, "below `root`");
    assert_eq!(harness.text(&[]), "");
}
