//! A program that comes to the end which its first argument names, for `tests/tests/ends.rs`. It is a program of its own, because a
//! test has neither a `main` nor an exit.
//!
//! What it finds wrong itself is a panic, or an exit with another code than the one that is expected.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, OnceLock, mpsc};
use std::time::{Duration, Instant};
use std::{env, mem, panic, process, thread};

use span_runtime::transport::{Response, Transport, TransportError};
use span_runtime::{Guard, Options, Span, SpanGuard, SpanHandle, Stats, TraceScope, init, new_trace, start_span};

span_runtime::lifecycle!(stream);

const SOON: Duration = Duration::from_secs(20);

/// What the program exits with where it calls `exit`, so that nothing else is taken for it.
const CODE: i32 = 7;

fn main() {
    let end = env::args().nth(1).expect("the end is the first argument");
    match &*end {
        "return" => {
            mem::forget(start());
            work();
        }
        "static" => {
            static GUARD: OnceLock<Guard> = OnceLock::new();
            GUARD.get_or_init(start);
            work();
        }
        "exit" => {
            let _guard = start();
            work();
            process::exit(CODE);
        }
        "exit_in_span" => {
            let _guard = start();
            work();
            let _open = start_span("around the exit").start();
            process::exit(CODE);
        }
        "exit_on_another_thread" => {
            let _guard = start();
            work();
            let _ = thread::spawn(|| {
                let _open = start_span("around the exit").start();
                process::exit(CODE)
            })
            .join();
        }
        "exit_on_many_threads" => {
            let _guard = start();
            work();
            let all = Arc::new(Barrier::new(4));
            for _ in 0..4 {
                let all = Arc::clone(&all);
                thread::spawn(move || {
                    all.wait();
                    process::exit(CODE)
                });
            }
            wait_for_the_end();
        }
        "exit_without_the_hook" => {
            let _guard = init(options().exit_hook(false)).expect("the options are valid");
            mem::forget(start_span("root, which would leave soon after its end").start());
            start_span("child").start().end();
            process::exit(CODE);
        }
        "exit_after_the_guard" => {
            let guard = start();
            work();
            drop(guard);
            process::exit(CODE);
        }
        "exit_while_the_guard_is_dropped" => {
            let guard = start();
            work();
            let (begins, has_begun) = mpsc::channel();
            thread::spawn(move || {
                let _ = begins.send(());
                drop(guard);
            });
            has_begun.recv_timeout(SOON).expect("it is about to drop the guard");
            // The runtime is being closed, or is about to be: whichever it is, what finished goes out.
            while span_runtime::stats() != Stats::default() {
                thread::sleep(Duration::from_micros(10));
            }
            process::exit(CODE);
        }
        "exit_with_threads_that_go_on" => {
            let _guard = init(options().shutdown_timeout(SOON)).expect("the options are valid");
            work();
            for _ in 0..2 {
                thread::spawn(|| {
                    let _open = start_span("held by a thread that goes on").start();
                    loop {
                        start_span("ends all the time").start().end();
                        thread::sleep(Duration::from_micros(200));
                    }
                });
            }
            thread::sleep(Duration::from_millis(50));
            process::exit(CODE);
        }
        "exit_in_front_of_a_server_that_hangs" => {
            let _guard = init(options().shutdown_timeout(Duration::from_millis(500))).expect("the options are valid");
            work();
            process::exit(CODE);
        }
        "exit_in_a_sampler" => {
            let options = options().traces_sampler(|segment| match segment.name() {
                "exits" => process::exit(CODE),
                _ => 1.0,
            });
            let _guard = init(options).expect("the options are valid");
            work();
            start_span("exits").start().end();
        }
        "exit_in_a_hook" => {
            let _guard = init(patient().before_send_span(|_| process::exit(CODE))).expect("the options are valid");
            work();
            wait_for_the_end();
        }
        "exit_in_a_transport" => {
            struct Exits;
            impl Transport for Exits {
                fn send(&mut self, _: &[u8]) -> Result<Response, TransportError> {
                    process::exit(CODE)
                }
            }
            let _guard = init(patient().transport(Exits)).expect("the options are valid");
            work();
            wait_for_the_end();
        }
        "exit_in_a_logger" => {
            log::set_logger(&Exits).expect("there is no other logger");
            let _guard = init(patient().debug(true)).expect("the options are valid");
            log::set_max_level(log::LevelFilter::Debug);
            work();
            wait_for_the_end();
        }
        "panic" => {
            let _guard = start();
            work();
            let _open = start_span("around the panic").start();
            panic!("as it was asked to");
        }
        "abort" => {
            let guard = start();
            work();
            assert!(guard.flush(SOON), "what ended before the flush is sent");
            mem::forget(start_span("root").start());
            start_span("after the flush").start().end();
            process::abort();
        }
        "sigterm" => {
            let guard = start();
            work();
            assert!(guard.flush(SOON), "what ended before the flush is sent");
            mem::forget(start_span("root").start());
            start_span("after the flush").start().end();
            signals::terminate();
            wait_for_the_end();
        }
        "sigterm_with_a_handler" => {
            let _guard = start();
            let told = signals::told_to_terminate();
            let _open = start_span("until it is told").start();
            work();
            signals::terminate();
            while !told.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(1));
            }
        }
        "thread_locals" => thread_locals(),
        "close_and_start_anew" => {
            let guard = start();
            work();
            let open = start_span("open at the close").start();
            let (sent, stats) = guard.close(SOON);
            assert!(sent, "{stats:?}");
            assert_eq!((stats.started, stats.sent, stats.open), (3, 2, 1), "{stats:?}");
            assert_eq!(start_span("below it").start().trace_id(), None);
            drop(open);
            assert_eq!(start_span("after the close").start().trace_id(), None);
            let _guard = start();
            start_span("of the second").start().end();
        }
        "fork_and_leave" => forks::leave(),
        "fork_and_go_on" => forks::go_on(),
        "fork_and_start_anew" => forks::start_anew(),
        "fork_and_begin_traces" => forks::begin_traces(),
        "fork_in_a_crowd" => forks::in_a_crowd(),
        other => panic!("there is no end called {other}"),
    }
}

fn options() -> Options {
    let dsn = env::var("ENDS_DSN").expect("the receiver's DSN");
    Options::new().dsn(dsn).traces_sample_rate(1.0).shutdown_timeout(SOON)
}

/// Options of a runtime that would wait for very long, if it waited for itself.
fn patient() -> Options {
    options().shutdown_timeout(Duration::from_secs(300))
}

fn start() -> Guard {
    init(options()).expect("nothing else installs a runtime")
}

/// Two segments, on two threads, both finished.
fn work() {
    start_span("on the main thread").start().end();
    thread::spawn(|| start_span("on another thread").start().end()).join().expect("it does not panic");
}

/// Another thread is about to end the process.
fn wait_for_the_end() {
    thread::sleep(3 * SOON);
    panic!("nobody has ended the process");
}

/// A logger that ends the process from the first of the runtime's threads that says something.
struct Exits;

impl log::Log for Exits {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, _: &log::Record<'_>) {
        if thread::current().name().is_some_and(|name| name.starts_with("span-")) {
            process::exit(CODE);
        }
    }

    fn flush(&self) {}
}

/// What a thread-local value holds until the thread's end, and what it does then.
#[derive(Default)]
struct Held {
    name: &'static str,
    span: Option<Span>,
    guard: Option<SpanGuard>,
    /// Whether a span that starts here records something.
    records: bool,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.span.take();
        self.guard.take();
        let started = start_span(format!("started by {}", self.name)).start();
        assert_eq!(started.trace_id().is_some(), self.records, "{}", self.name);
        drop(started);
        start_span("inactive").parent(None::<&Span>).inactive().start().end();
        span!("by a macro", "key" = 1, {});
        assert!(span_runtime::flush(SOON), "a flush works here as well");
    }
}

thread_local! {
    /// Known to the thread before anything of the runtime is, and dropped after it.
    static OUTER: RefCell<Held> = RefCell::default();
    /// The other way round.
    static INNER: RefCell<Held> = RefCell::default();
}

fn thread_locals() {
    let guard = start();
    let ran = thread::spawn(|| {
        OUTER.with_borrow_mut(|held| held.name = "outer");
        let root = start_span("root").start();
        INNER.with_borrow_mut(|held| (held.name, held.records) = ("inner", true));
        OUTER.with_borrow_mut(|held| held.span = Some(start_span("held by outer").inactive().start()));
        INNER.with_borrow_mut(|held| held.span = Some(start_span("held by inner").inactive().start()));
        OUTER.with_borrow_mut(|held| held.guard = Some(start_span("current, held by outer").start()));
        INNER.with_borrow_mut(|held| held.guard = Some(root));
    });
    ran.join().expect("nothing panics at the end of the thread");
    let (sent, stats) = guard.close(SOON);
    assert!(sent, "{stats:?}");
    // Two of `Held` each start three; those of the outer one record nothing, and so are none.
    assert_eq!((stats.started, stats.sent, stats.open, stats.buffered), (7, 7, 0, 0), "{stats:?}");
}

mod signals {
    use super::{Arc, AtomicBool};

    use signal_hook::consts::SIGTERM;

    pub(super) fn terminate() {
        signal_hook::low_level::raise(SIGTERM).expect("a process may send itself a signal");
    }

    /// A flag that is set by the signal, in place of the end of the process.
    pub(super) fn told_to_terminate() -> Arc<AtomicBool> {
        let told = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(SIGTERM, Arc::clone(&told)).expect("the signal can be handled");
        told
    }
}

mod forks {
    use super::*;

    use fork::{Fork, fork, waitpid};

    /// Forks; `true` in the child.
    fn forked() -> Option<i32> {
        match fork().expect("the system lets it fork") {
            Fork::Child => None,
            Fork::Parent(child) => Some(child),
        }
    }

    /// Waits for a child, which exits with [`CODE`] if it found everything as it should be.
    fn await_child(child: i32) {
        let status = waitpid(child).expect("it is a child of this process");
        assert_eq!(status >> 8, CODE, "what the child found: {status:#x}");
        assert_eq!(status & 0x7f, 0, "it was not killed: {status:#x}");
    }

    /// Runs `f` in a child, within spans of the parent's, which go on.
    fn in_child(f: impl FnOnce(Guard)) {
        let guard = start();
        let root = start_span("root").start();
        start_span("before the fork").start().end();
        let Some(child) = forked() else {
            // The test waits for as long as this process does.
            let begin = Instant::now();
            f(guard);
            assert!(begin.elapsed() < SOON / 2, "nothing in the child waits: {:?}", begin.elapsed());
            process::exit(CODE);
        };
        start_span("while the child runs").start().end();
        await_child(child);
        start_span("after the child").start().end();
        root.end();
        let (sent, stats) = guard.close(SOON);
        assert!(sent, "{stats:?}");
        assert_eq!((stats.started, stats.sent), (4, 4), "{stats:?}");
    }

    pub(super) fn leave() {
        // The exit hook is the child's as well, and so is what ends with the thread.
        in_child(mem::forget);
    }

    pub(super) fn go_on() {
        in_child(|guard| {
            for _ in 0..200 {
                start_span("in the child").start().end();
            }
            let open = start_span("root in the child").root().start();
            thread::spawn(|| {
                start_span("on a thread of the child").start().end();
                span_runtime::current_span().set_attribute("key", 1);
            })
            .join()
            .expect("it does not panic");
            assert_eq!(start_span("once it is known").root().start().trace_id(), None);
            assert!(!span_runtime::flush(Duration::MAX), "nothing of the child's is sent");
            assert!(!guard.flush(Duration::MAX), "nothing of the child's is sent");
            open.end();
            let stats = guard.stats();
            assert!(stats.started > 100 && stats.lost.total() > 100, "{stats:?}");
            assert_eq!((stats.buffered, stats.open), (0, 1), "the root is the parent's: {stats:?}");
            assert_eq!(stats.started, stats.sent + stats.lost.total() + stats.open, "{stats:?}");
            let (sent, _) = guard.close(Duration::MAX);
            assert!(!sent, "nothing of the child's is sent");
        });
    }

    pub(super) fn start_anew() {
        let mut guard = Some(start());
        start_span("before the fork").start().end();
        // Ids are drawn on this thread before and after the forks, by the parent and by both children.
        let children = ["first", "second"].map(|which| {
            let Some(child) = forked() else {
                drop(guard.take());
                let guard = start();
                for _ in 0..100 {
                    start_span(format!("of the {which} child")).start().end();
                }
                let (sent, stats) = guard.close(SOON);
                assert!(sent, "{stats:?}");
                assert_eq!((stats.started, stats.sent), (100, 100), "{stats:?}");
                // And what `exit` would send is the child's own.
                mem::forget(start());
                start_span(format!("of the {which} child")).start().end();
                process::exit(CODE);
            };
            child
        });
        for _ in 0..100 {
            start_span("of the parent").start().end();
        }
        children.into_iter().for_each(await_child);
        let (sent, stats) = guard.expect("it is the child's that was taken").close(SOON);
        assert!(sent, "{stats:?}");
        assert_eq!((stats.started, stats.sent), (101, 101), "{stats:?}");
    }

    pub(super) fn begin_traces() {
        let mut guard = Some(start());
        let segment = |scope: TraceScope, name: &'static str| {
            let _entered = scope.enter();
            start_span(name).start().end();
        };
        segment(new_trace(), "before the fork");
        let children = ["first", "second"].map(|_| {
            let Some(child) = forked() else {
                // The runtime that is installed is the parent's still.
                let before = new_trace();
                drop(guard.take());
                let guard = start();
                segment(before, "of a child");
                segment(new_trace(), "of a child");
                let (sent, stats) = guard.close(SOON);
                assert!(sent, "{stats:?}");
                process::exit(CODE);
            };
            child
        });
        segment(new_trace(), "of the parent");
        segment(new_trace(), "of the parent");
        children.into_iter().for_each(await_child);
        let (sent, stats) = guard.expect("it is the child's that was taken").close(SOON);
        assert!(sent, "{stats:?}");
    }

    /// Wants all that another thread may have held at the fork.
    fn look_around(handle: &SpanHandle) {
        handle.set_name("in the child");
        handle.set_attribute("in", "the child");
        let threads = [(); 2].map(|()| {
            let handle = handle.clone();
            thread::spawn(move || start_span("on a thread of the child").parent(&handle).start().end())
        });
        threads.into_iter().for_each(|thread| thread.join().expect("it does not panic"));
        // Zeros, if another thread was just counting.
        let stats = span_runtime::stats();
        assert_eq!((stats.buffered, stats.sent <= stats.started), (0, true), "{stats:?}");
        assert!(!span_runtime::flush(Duration::MAX), "nothing of the child's is sent");
    }

    /// Forks again and again, whatever the other threads hold at that moment.
    pub(super) fn in_a_crowd() {
        const FORKS: u32 = 60;
        let guard = start();
        let root = start_span("root").start();
        let handle = root.handle();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let mut shared = start_span("renamed").parent(&handle).inactive().start();
                    while !done.load(Ordering::Relaxed) {
                        // Locks of all kinds: a thread that comes and goes, a handle, a segment's name, the sums.
                        thread::scope(|scope| {
                            scope.spawn(|| start_span("short").parent(&handle).start().end());
                        });
                        handle.set_name("root, renamed");
                        shared.set_attribute("again", 1);
                        assert!(span_runtime::stats().started > 0);
                        thread::sleep(Duration::from_micros(100));
                    }
                });
            }
            for _ in 0..FORKS {
                let Some(child) = forked() else {
                    // Caught, because the scope would wait for threads that the child does not have.
                    let held = panic::catch_unwind(AssertUnwindSafe(|| look_around(&handle)));
                    process::exit(if held.is_ok() { CODE } else { 1 });
                };
                await_child(child);
            }
            done.store(true, Ordering::Relaxed);
        });
        root.end();
        let (sent, stats) = guard.close(SOON);
        assert!(sent && stats.started == stats.sent, "{stats:?}");
    }
}
