//! Code of the user's that this library calls: it is not traced, holds nobody up by a lock, and keeps its panics. (behaviour 48)
//!
//! A process has one logger, so it hears what the runtimes of all tests say, and misbehaves for all of them.
#![forbid(unsafe_code)]

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once, OnceLock, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use span_runtime::testing::CaptureTransport;
use span_runtime::transport::{Response, Transport, TransportError};
use span_runtime::{
    Instrument, LossReason, Options, Runtime, SpanHandle, Stats, debug, display, new_trace, span, start_span,
};
use span_tests::{Harness, SOON};

span_runtime::lifecycle!(stream);

/// What code that is called by a runtime may have got hold of: that runtime, and a span of it.
#[derive(Clone, Default)]
struct Around {
    runtime: Arc<OnceLock<Weak<Runtime>>>,
    parent: Arc<OnceLock<SpanHandle>>,
    calls: Arc<AtomicUsize>,
}

#[span]
fn annotated() {}

#[span]
async fn annotated_async() {
    start_span("inside of a future").start().end();
}

impl Around {
    /// Starts spans by every way there is, and says how many of them record something.
    fn trace_everything(&self) -> usize {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let mut recording = 0;
        let mut see = |trace: Option<span_runtime::TraceId>| recording += usize::from(trace.is_some());
        let runtime = self.runtime.get().and_then(Weak::upgrade);
        let parent = self.parent.get();
        let _entered = runtime.as_ref().map(|runtime| runtime.enter());
        let _trace = new_trace().enter();
        see(start_span("plain").start().trace_id());
        see(start_span("root").root().start().trace_id());
        see(start_span("inactive").inactive().start().trace_id());
        if let Some(parent) = parent {
            see(start_span("of a handle").parent(parent).start().trace_id());
            see(start_span("of a handle, inactive").parent(parent).inactive().start().trace_id());
            span!("block of a handle", parent = parent, {
                see(start_span("below it").start().trace_id());
            });
        }
        span!("block", "key" = 1, {
            see(start_span("in a block").start().trace_id());
        });
        annotated();
        block_on(annotated_async());
        block_on(async { see(start_span("in a trace").start().trace_id()) }.in_trace(new_trace()));
        block_on(async { see(start_span("carried").start().trace_id()) }.in_span(start_span("f").inactive().start()));
        // Whether it is sent is not known in here; that it does not wait for itself is.
        if let Some(runtime) = runtime {
            runtime.flush(Duration::ZERO);
        }
        recording
    }

    fn assert_nothing_recorded(&self, runtime: &Arc<Runtime>, spans: u64, what: &str) {
        assert!(runtime.flush(SOON), "{what}");
        let stats = runtime.stats();
        assert!(self.calls.load(Ordering::Relaxed) > 0, "{what}: it was called");
        assert_eq!((stats.started, stats.sent, stats.open), (spans, spans, 0), "{what}: {stats:?}");
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => panic!("nothing in it waits"),
    }
}

struct Instrumented(CaptureTransport, Around);

impl Transport for Instrumented {
    fn send(&mut self, envelope: &[u8]) -> Result<Response, TransportError> {
        assert_eq!(self.1.trace_everything(), 0, "the requests of the SDK are not traced");
        self.0.send(envelope)
    }
}

fn silent_panic() -> ! {
    // Without the words of a panic, which would stand in the output of the tests.
    std::panic::resume_unwind(Box::new("a fault of the user's"))
}

// behaviours 24, 36, 48
#[test]
fn nothing_that_a_runtime_calls_is_traced_by_whatever_way() {
    for what in ["transport", "hook", "sampler", "logger"] {
        Logger::install();
        let around = Around::default();
        let capture = CaptureTransport::new();
        let options = Options::new().traces_sample_rate(1.0);
        let called = around.clone();
        let options = match what {
            "transport" => options.transport(Instrumented(capture.clone(), called)),
            "hook" => options.transport(capture.clone()).before_send_span(move |_| {
                assert_eq!(called.trace_everything(), 0);
            }),
            "sampler" => options.transport(capture.clone()).traces_sampler(move |_| {
                // A panic would be a loss.
                assert_eq!(called.trace_everything(), 0);
                1.0
            }),
            _ => {
                *LOGGER.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(called);
                options.transport(capture.clone()).debug(true)
            }
        };
        let runtime = Arc::new(Runtime::new(options).expect("the options are valid"));
        around.runtime.set(Arc::downgrade(&runtime)).expect("once");
        let entered = runtime.enter();
        {
            let root = start_span("root").start();
            around.parent.set(root.handle()).expect("once");
            start_span("child").start().end();
            assert!(runtime.flush(SOON), "{what}");
        }
        around.assert_nothing_recorded(&runtime, 2, what);
        assert_eq!(capture.violations(), [""; 0], "{what}");
        drop(entered);
    }
}

/// The logger of this process: it traces as much as it can where a test asks for that, and then panics.
struct Logger(Mutex<Option<Around>>);

static LOGGER: Logger = Logger(Mutex::new(None));
static PANICS: AtomicBool = AtomicBool::new(false);

impl Logger {
    fn install() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            log::set_logger(&LOGGER).expect("there is no other logger");
            log::set_max_level(log::LevelFilter::Debug);
        });
    }
}

impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, _: &log::Record<'_>) {
        let around = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(around) = around {
            assert_eq!(around.trace_everything(), 0, "what is said to a logger is not traced");
        }
        if PANICS.load(Ordering::Relaxed) {
            silent_panic();
        }
    }

    fn flush(&self) {}
}

/// Panics on purpose.
struct Panics;

impl fmt::Display for Panics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("half of ")?;
        silent_panic()
    }
}

impl fmt::Debug for Panics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[span(err)]
fn fails() -> Result<(), Panics> {
    Err(Panics)
}

#[span(ret)]
fn returns() -> Panics {
    Panics
}

// behaviours 14, 48
#[test]
fn a_value_that_panics_while_it_is_written_is_written_as_far_as_it_came() {
    let harness = Harness::new();
    {
        let span = start_span("root").attribute("at start", display(Panics)).start();
        span.set_attribute("set", debug(Panics));
        span!("block", "in a macro" = display(Panics), {});
        assert!(fails().is_err());
        let _ = returns();
    }
    let spans = harness.finish();
    assert_eq!(spans.len(), 4);
    let halves = spans.iter().flat_map(|span| span.attributes.keys().map(move |key| span.text(key)));
    assert_eq!(halves.filter(|text| *text == Some("half of ")).count(), 5, "{spans:?}");
}

/// Panics when it is dropped, as a part of what the user gave.
struct PanicsAtTheEnd(Arc<AtomicUsize>);

impl Drop for PanicsAtTheEnd {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
        silent_panic();
    }
}

impl Transport for PanicsAtTheEnd {
    fn send(&mut self, _: &[u8]) -> Result<Response, TransportError> {
        silent_panic()
    }
}

// behaviours 24, 36, 48, 50
#[test]
fn no_panic_of_the_users_reaches_the_program_from_wherever_it_comes() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let panics = |dropped: &Arc<AtomicUsize>| {
        let (sampler, hook) = (PanicsAtTheEnd(Arc::clone(dropped)), PanicsAtTheEnd(Arc::clone(dropped)));
        Options::new()
            .transport(PanicsAtTheEnd(Arc::clone(dropped)))
            .traces_sampler(move |segment| match segment.name() {
                "bad" => silent_panic(),
                _ => 1.0 + 0.0 * sampler.0.load(Ordering::Relaxed) as f64,
            })
            .before_send_span(move |_| {
                let _ = hook.0.load(Ordering::Relaxed);
                silent_panic()
            })
    };
    // Options that are not used, and such that are refused.
    drop(panics(&dropped));
    assert!(Runtime::new(panics(&dropped).max_buffer_bytes(0)).is_err());
    assert_eq!(dropped.load(Ordering::Relaxed), 6);

    let runtime = Runtime::new(panics(&dropped)).expect("the options are valid");
    let entered = runtime.enter();
    thread::scope(|scope| {
        scope.spawn(|| {
            let _entered = runtime.enter();
            start_span("bad").start().end();
            start_span("on another thread").start().end();
        });
        start_span("good").start().end();
    });
    assert!(!runtime.flush(SOON), "the transport panics");
    let stats = runtime.stats();
    assert_eq!((stats.started, stats.sent), (3, 0), "{stats:?}");
    assert_eq!(stats.lost.get(LossReason::CallbackError), 1, "{stats:?}");
    assert_eq!(stats.lost.get(LossReason::InternalSdkError), 2, "{stats:?}");
    drop(entered);
    runtime.close(SOON);
    // The last that holds the runtime is this thread's lane, which goes in the start of a span some time after the thread has turned to
    // another runtime.
    let deadline = Instant::now() + SOON;
    while dropped.load(Ordering::Relaxed) < 9 {
        assert!(Instant::now() < deadline, "{} of 9", dropped.load(Ordering::Relaxed));
        let harness = Harness::new();
        start_span("of another runtime").start().end();
        assert_eq!(harness.finish().len(), 1);
    }
}

// behaviour 48: it says something on the flusher's thread, on the transport's and on the program's
#[test]
fn a_logger_that_panics_ends_no_thread() {
    Logger::install();
    PANICS.store(true, Ordering::Relaxed);
    let capture = CaptureTransport::new();
    let options = Options::new().transport(capture.clone()).debug(true).traces_sample_rate(1.0);
    let runtime = Runtime::new(options).expect("the options are valid");
    let _entered = runtime.enter();
    for status in [400, 413, 500, 200] {
        capture.answer_with(status);
        start_span("work").start().end();
        let before = capture.attempts();
        runtime.flush(Duration::from_millis(300));
        assert!(capture.wait_until(SOON, |capture| capture.attempts() > before || status == 200), "{status}");
    }
    assert!(runtime.flush(SOON), "the threads are all there");
    let Stats { started, sent, .. } = runtime.stats();
    assert_eq!((started, sent), (4, 2));
    PANICS.store(false, Ordering::Relaxed);
}

// behaviour 48: user code that waits for another thread, which ends spans, changes them, and asks for the numbers
#[test]
fn no_lock_is_held_while_code_of_the_users_runs() {
    /// Does on another thread what needs the locks that there are, and waits for it.
    fn use_all_locks(around: &Around) {
        around.calls.fetch_add(1, Ordering::Relaxed);
        let (runtime, parent) = (around.runtime.get().and_then(Weak::upgrade), around.parent.get().cloned());
        let other = thread::spawn(move || {
            let (Some(runtime), Some(parent)) = (runtime, parent) else { return };
            let _entered = runtime.enter();
            let span = start_span("on another thread").parent(&parent).start();
            span.handle().set_name("renamed");
            parent.set_name("root, renamed");
            parent.set_attribute("key", 1);
            let _ = (parent.name(), parent.trace_headers(), runtime.stats());
            span.end();
        });
        let deadline = Instant::now() + SOON;
        while !other.is_finished() {
            assert!(Instant::now() < deadline, "the other thread waits for this one");
            thread::sleep(Duration::from_micros(100));
        }
    }
    struct Waits(CaptureTransport, Around);
    impl Transport for Waits {
        fn send(&mut self, envelope: &[u8]) -> Result<Response, TransportError> {
            if self.1.calls.load(Ordering::Relaxed) < 20 {
                use_all_locks(&self.1);
            }
            self.0.send(envelope)
        }
    }
    struct Shown<'a>(&'a Around);
    impl fmt::Display for Shown<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            use_all_locks(self.0);
            f.write_str("shown")
        }
    }
    let around = Around::default();
    let capture = CaptureTransport::new();
    let (in_hook, in_sampler) = (around.clone(), around.clone());
    let options = Options::new()
        .transport(Waits(capture.clone(), around.clone()))
        .traces_sampler(move |_| {
            use_all_locks(&in_sampler);
            1.0
        })
        .before_send_span(move |span| {
            if span.name() == "shows" {
                use_all_locks(&in_hook);
            }
        });
    let runtime = Arc::new(Runtime::new(options).expect("the options are valid"));
    around.runtime.set(Arc::downgrade(&runtime)).expect("once");
    let _entered = runtime.enter();
    {
        let root = start_span("root").start();
        around.parent.set(root.handle()).expect("once");
        let span = start_span("shows").attribute("at start", display(Shown(&around))).start();
        span.set_attribute("shown", display(Shown(&around)));
        span.handle().set_attribute("by a handle", display(Shown(&around)));
        span!("block", "key" = display(Shown(&around)), {});
        root.handle().set_attributes([("all", display(Shown(&around)))]);
        start_span("second root").root().start().end();
    }
    assert!(runtime.flush(SOON));
    assert!(around.calls.load(Ordering::Relaxed) > 8, "all of it was called");
    assert_eq!(capture.violations(), [""; 0]);
}
