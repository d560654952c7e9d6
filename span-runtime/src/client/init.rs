//! Making a runtime, installing it, and ending it.
#![expect(clippy::arithmetic_side_effects, reason = "a day and less after now is a time")]

use std::marker::PhantomData;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::settings::Resolved;
use super::{Core, InitError, Options, Stats, exit, global};
use crate::context::{self, Entry};
use crate::flusher::{Command, Flusher};
use crate::hand_over::{Budget, Doorbell, hand_over};
use crate::hook::Stage;
use crate::transport;

/// A span runtime: its flusher, its transport, and what they buffer.
///
/// Programs call [`init`], which installs one for the whole process. A test makes its own and [enters](Runtime::enter)
/// it, so that tests run side by side. Spans find their runtime through their parent; only a span without one looks
/// at the thread's entered runtime, and then at the installed one.
///
/// ```
/// use span_runtime::{Options, Runtime, start_span};
/// # use span_runtime::testing::CaptureTransport;
///
/// let transport = CaptureTransport::new();
/// let runtime = Runtime::new(Options::new().transport(transport.clone()).traces_sample_rate(1.0))?;
/// {
///     let _entered = runtime.enter();
///     start_span("work").start().end();
/// }
/// assert!(runtime.flush(std::time::Duration::from_secs(5)));
/// assert_eq!(transport.spans()[0].name, "work");
/// # Ok::<(), span_runtime::InitError>(())
/// ```
///
/// Dropping it closes it.
#[derive(Debug)]
pub struct Runtime {
    /// `None` where there is nowhere to send.
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    core: Arc<Core>,
    flusher: Option<JoinHandle<()>>,
    shutdown_timeout: Duration,
}

impl Runtime {
    /// Makes a runtime and starts its two threads. Without a DSN and without a transport it is one that records
    /// nothing and has no threads.
    ///
    /// # Errors
    ///
    /// When an option or a variable of the environment is invalid, when the DSN wants HTTPS and the feature `tls` is
    /// off, or when no thread can be started.
    pub fn new(options: Options) -> Result<Self, InitError> {
        let Some(Resolved { settings, transport }) = options.resolve()? else { return Ok(Runtime { running: None }) };
        let budget = Arc::new(Budget::new(settings.max_buffer_bytes));
        let doorbell = Arc::new(Doorbell::default());
        let (source, consumer) = hand_over(Arc::clone(&budget), Arc::clone(&doorbell));
        let (control, commands) = unbounded();
        let destination =
            transport.as_ref().map_or_else(|| settings.dsn.redacted(), |_| "a transport of its own".into());
        let transport = transport.map_or_else(|| transport::over_http(&settings), Ok)?;
        let core = Arc::new(Core::new(settings, source, budget, doorbell, control));
        let sender = transport::Sender::start(transport, Arc::clone(&core)).map_err(InitError::Thread)?;
        let shutdown_timeout = core.settings.shutdown_timeout;
        let hook = core.settings.before_send_span.clone().map(|hook| Stage::start(hook, Arc::clone(&core)));
        let hook = hook.transpose().map_err(InitError::Thread)?;
        let flusher = Flusher::new(Arc::clone(&core), consumer, commands, sender, hook);
        let flusher = std::thread::Builder::new()
            .name("span-flusher".into())
            .spawn(move || flusher.run())
            .map_err(InitError::Thread)?;
        global::add(&core);
        match core.settings.is_tracing() {
            true => core.tell(format_args!("spans go to {destination}; {:?}", core.settings)),
            false => core
                .tell(format_args!("tracing is off: neither a sample rate nor a sampler is set; {:?}", core.settings)),
        }
        Ok(Runtime { running: Some(Running { core, flusher: Some(flusher), shutdown_timeout }) })
    }

    /// Makes this the runtime of spans that start on this thread without a parent, until the guard is dropped.
    pub fn enter(&self) -> RuntimeGuard {
        let entered = context::with(|local| {
            local.reseed();
            let token = local.token();
            let entry = match &self.running {
                Some(running) => Entry::Runtime(token, Arc::clone(&running.core)),
                None => Entry::Silence(token),
            };
            (token, local.push(entry))
        });
        RuntimeGuard { entered, not_send: PhantomData }
    }

    /// Hands over everything that has finished before this call, on whatever thread, and waits until it is sent, for
    /// `timeout` at most. Returns whether all of it was sent in time. False at once where it would be waiting for itself, as in a
    /// transport, and in a process that was forked from the runtime's.
    pub fn flush(&self, timeout: Duration) -> bool {
        self.running.as_ref().is_none_or(|running| running.flush(timeout))
    }

    /// Sends what is left, for `timeout` at most, and ends the threads. Returns whether everything was sent. What
    /// could not be sent is counted lost, and so is every span that ends later.
    pub fn close(mut self, timeout: Duration) -> bool {
        self.running.take().is_none_or(|running| running.close(timeout))
    }

    #[cfg(any(test, fuzzing))]
    pub(crate) fn core(&self) -> Option<Arc<Core>> {
        self.running.as_ref().map(|running| Arc::clone(&running.core))
    }

    /// What became of this runtime's spans.
    pub fn stats(&self) -> Stats {
        self.running.as_ref().map(|running| running.core.stats()).unwrap_or_default()
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            let timeout = running.shutdown_timeout;
            running.close(timeout);
        }
    }
}

/// Nobody waits for longer than this, and it is far from where clocks end.
const A_DAY: Duration = Duration::from_secs(86_400);

/// The flusher keeps to a deadline; this is for a machine that does not let it run.
pub(super) const MARGIN: Duration = Duration::from_millis(200);

/// The same at the end, where the numbers are not final before it is through.
const MARGIN_AT_THE_END: Duration = Duration::from_secs(1);

/// Gives the flusher a command, and says until when and where the answer comes. `None` if the flusher has ended.
pub(super) fn give(
    core: &Core,
    timeout: Duration,
    command: impl FnOnce(Instant, Sender<bool>) -> Command,
) -> Option<(Instant, Receiver<bool>)> {
    let deadline = Instant::now() + timeout.min(A_DAY);
    let (done, answer) = bounded(1);
    core.control.send(command(deadline, done)).ok()?;
    core.doorbell.ring();
    Some((deadline, answer))
}

impl Running {
    fn flush(&self, timeout: Duration) -> bool {
        let sent = self.command(timeout, MARGIN, Command::Flush);
        let outcome = if sent { "everything is sent" } else { "not everything was sent" };
        self.core.tell(format_args!("flush, {timeout:?} at most: {outcome}"));
        sent
    }

    fn command(
        &self,
        timeout: Duration,
        margin: Duration,
        command: impl FnOnce(Instant, Sender<bool>) -> Command,
    ) -> bool {
        // In a child of the process that it belongs to there is nobody to do it.
        if !self.core.is_ours() {
            return false;
        }
        let Some((deadline, answer)) = give(&self.core, timeout, command) else { return false };
        // What is to be done is done, but a thread of a runtime would be waiting for itself.
        if context::is_ours() {
            return false;
        }
        // The channel wants to know which thread waits, which one that is past its end cannot say.
        if context::is_there() {
            answer.recv_deadline(deadline + margin).unwrap_or(false)
        } else {
            exit::poll(&answer, deadline + margin)
        }
    }

    fn close(mut self, timeout: Duration) -> bool {
        self.core.close();
        if !self.core.is_ours() {
            // The thread is not one of this process's.
            std::mem::forget(self.flusher.take());
        }
        let sent = self.command(timeout, MARGIN_AT_THE_END, Command::Close);
        if sent {
            // It answered as the last thing it does.
            if let Some(flusher) = self.flusher.take() {
                let _ = flusher.join();
            }
        }
        global::remove(&self.core);
        exit::unwatch(&self.core);
        let outcome = if sent { "everything is sent" } else { "not everything was sent" };
        self.core.tell(format_args!("closed, {outcome}: {}", self.core.stats()));
        sent
    }
}

/// Keeps a runtime entered on this thread; made by [`Runtime::enter`].
#[derive(Debug)]
#[must_use = "the runtime is left when this guard is dropped"]
pub struct RuntimeGuard {
    entered: Option<(u64, u32)>,
    not_send: PhantomData<*const ()>,
}

impl Drop for RuntimeGuard {
    fn drop(&mut self) {
        if let Some((token, index)) = self.entered {
            // What was removed is dropped out here, where nothing is borrowed.
            let _removed = context::with(|local| local.remove(token, index));
        }
    }
}

/// Makes a runtime from options and installs it for the whole process.
///
/// ```no_run
/// use span_runtime::prelude::*;
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let _spans = span_runtime::init(Options::from_env().traces_sample_rate(1.0))?;
///     // ... the program ...
///     Ok(())
/// } // the guard's drop sends what is left, within the shutdown timeout
/// ```
///
/// Without a DSN nothing is installed, nothing is sent, and a span costs about a nanosecond.
///
/// Where the process ends by [`std::process::exit`], or by a return from `main`, and the guard has not been dropped, an exit hook does
/// what its drop would do; see [`Options::exit_hook`]. In a process that was forked from one with a runtime, nothing is recorded
/// until it calls this itself.
///
/// # Errors
///
/// As [`Runtime::new`], and when a runtime is installed already.
pub fn init(options: Options) -> Result<Guard, InitError> {
    let runtime = Runtime::new(options)?;
    match &runtime.running {
        Some(running) if !global::install(&running.core) => Err(InitError::AlreadyInitialized),
        _ => Ok(Guard { runtime: Some(runtime) }),
    }
}

/// Hands over everything that has finished, in the installed runtime; see [`Runtime::flush`]. True if there is none.
pub fn flush(timeout: Duration) -> bool {
    let Some(core) = global::current() else { return true };
    Running { core, flusher: None, shutdown_timeout: timeout }.flush(timeout)
}

/// What became of the installed runtime's spans; all zero if there is none.
pub fn stats() -> Stats {
    global::current().map(|core| core.stats()).unwrap_or_default()
}

/// Keeps the installed runtime alive; made by [`init`]. Its drop sends what is left and ends the runtime.
#[derive(Debug)]
#[must_use = "spans are recorded only while the guard lives; bind it to a variable in `main`"]
pub struct Guard {
    runtime: Option<Runtime>,
}

impl Guard {
    /// As [`Runtime::flush`].
    pub fn flush(&self, timeout: Duration) -> bool {
        self.runtime.as_ref().is_none_or(|runtime| runtime.flush(timeout))
    }

    /// As [`Runtime::stats`].
    pub fn stats(&self) -> Stats {
        self.runtime.as_ref().map(Runtime::stats).unwrap_or_default()
    }

    /// Ends the runtime now; as [`Runtime::close`], with the numbers as they stand at the end.
    pub fn close(mut self, timeout: Duration) -> (bool, Stats) {
        self.uninstall();
        let Some(mut runtime) = self.runtime.take() else { return (true, Stats::default()) };
        let Some(running) = runtime.running.take() else { return (true, Stats::default()) };
        let core = Arc::clone(&running.core);
        (running.close(timeout), core.stats())
    }

    fn uninstall(&self) {
        if let Some(running) = self.runtime.as_ref().and_then(|runtime| runtime.running.as_ref()) {
            global::uninstall(&running.core);
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.uninstall();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
    use std::thread;

    use super::*;
    use crate::testing::CaptureTransport;
    use crate::transport::{Response, Transport, TransportError};
    use crate::{LossReason, start_span};

    const SOON: Duration = Duration::from_secs(20);

    /// One that samples nothing, and reports so often that a test can wait for it.
    fn reporting(transport: &CaptureTransport) -> Runtime {
        let options = Options::new().transport(transport.clone()).traces_sample_rate(0.0);
        Runtime::new(options.report_every(Duration::from_millis(50))).expect("the options are valid")
    }

    fn tells_of(unsampled: u64) -> impl FnMut(&CaptureTransport) -> bool {
        move |transport| transport.client_reports() == [("sample_rate".to_owned(), "span".to_owned(), unsampled)]
    }

    // behaviour 49
    #[test]
    fn losses_go_alone_when_nothing_takes_them_along() {
        let transport = CaptureTransport::new();
        let runtime = reporting(&transport);
        let _entered = runtime.enter();
        for round in 1..=3 {
            start_span("unsampled").start().end();
            assert!(transport.wait_until(SOON, tells_of(round)), "{:?}", transport.client_reports());
        }
        assert!(runtime.close(SOON));
        assert_eq!(transport.attempts(), 3, "where nothing is new there is nothing to tell");
        assert!(transport.envelopes().iter().all(|envelope| envelope.item_types() == ["client_report"]));
        assert_eq!(transport.violations(), [""; 0]);
    }

    // behaviour 49
    #[test]
    fn a_report_that_did_not_arrive_keeps_its_counts_for_the_next() {
        let fails: [fn(&CaptureTransport); 4] = [
            |transport| transport.fail_with("no route"),
            |transport| transport.answer_with(500),
            |transport| transport.answer_with(400),
            |transport| transport.answer_with_limits(429, Some("60:error"), None),
        ];
        for fail in fails {
            let transport = CaptureTransport::new();
            fail(&transport);
            let runtime = reporting(&transport);
            let _entered = runtime.enter();
            start_span("unsampled").start().end();
            assert!(transport.wait_until(SOON, |transport| transport.attempts() >= 2), "it is tried again");
            start_span("unsampled").start().end();
            transport.answer_with(200);
            assert!(transport.wait_until(SOON, tells_of(2)), "{:?}", transport.client_reports());
            assert_eq!(runtime.stats().lost.total(), 2);
        }
    }

    // behaviours 49, 52
    #[test]
    fn while_the_server_takes_nothing_reports_wait() {
        let transport = CaptureTransport::new();
        transport.answer_with_limits(429, None, Some("1"));
        let runtime = reporting(&transport);
        let _entered = runtime.enter();
        let begin = Instant::now();
        start_span("unsampled").start().end();
        assert!(transport.wait_until(SOON, |transport| transport.attempts() == 1));
        transport.answer_with(200);
        start_span("unsampled").start().end();
        assert!(transport.wait_until(SOON, tells_of(2)), "{:?}", transport.client_reports());
        assert!(begin.elapsed() >= Duration::from_secs(1), "{:?}", begin.elapsed());
        assert_eq!(transport.attempts(), 2);
    }

    // behaviour 49, 50
    #[test]
    fn a_span_that_ends_after_the_close_is_counted_lost() {
        let options = Options::new().transport(CaptureTransport::new()).traces_sample_rate(1.0);
        let runtime = Runtime::new(options).expect("the options are valid");
        let core = runtime.running.as_ref().map(|running| Arc::clone(&running.core)).expect("it runs");
        let _entered = runtime.enter();
        let root = start_span("root").start();
        start_span("in time").start().end();
        assert!(runtime.close(Duration::from_secs(10)));
        drop(root);
        let stats = core.stats();
        assert_eq!((stats.started, stats.sent, stats.buffered, stats.open), (2, 1, 0, 0), "{stats:?}");
        assert_eq!(stats.lost.get(LossReason::InternalSdkError), 1, "{stats:?}");
    }

    // behaviours 47, 49, 50
    #[test]
    fn what_ends_in_the_very_moment_of_a_close_is_counted_once() {
        const ROUNDS: u32 = 30;
        const THREADS: u32 = 3;
        let mut late = 0;
        for round in 0..ROUNDS {
            // Little room, so that the rounds are short.
            let options = Options::new().transport(Discard).traces_sample_rate(1.0).max_buffer_bytes(1 << 20);
            let runtime = Runtime::new(options).expect("the options are valid");
            let core = runtime.core().expect("it runs");
            let (ready, closed) = (AtomicU32::new(0), AtomicBool::new(false));
            let handle = {
                let _entered = runtime.enter();
                start_span("root").start().handle()
            };
            thread::scope(|scope| {
                for _ in 0..THREADS {
                    scope.spawn(|| {
                        let _parent = start_span("of the thread").parent(&handle).start();
                        ready.fetch_add(1, Ordering::Relaxed);
                        while !closed.load(Ordering::Relaxed) {
                            drop(crate::private::enter(&CHILD));
                            start_span("with more").attribute("round", round).start().end();
                        }
                    });
                }
                while ready.load(Ordering::Relaxed) < THREADS {
                    std::hint::spin_loop();
                }
                runtime.close(SOON);
                assert!(core.is_over(), "round {round}: threads that never stop do not keep it from its end");
                closed.store(true, Ordering::Relaxed);
            });
            let stats = core.stats();
            assert_eq!((stats.buffered, stats.open), (0, 0), "round {round}: {stats:?}");
            assert_eq!(stats.started, stats.sent + stats.lost.total(), "round {round}: {stats:?}");
            late += stats.lost.get(LossReason::InternalSdkError);
        }
        assert!(late > 0, "some ended after the close, or it was not raced against");
    }

    struct Discard;

    impl Transport for Discard {
        fn send(&mut self, _: &[u8]) -> Result<Response, TransportError> {
            Ok(Response::new(200))
        }
    }

    static CHILD: crate::private::Callsite = crate::private::Callsite::new("child");

    // behaviours 36, 47, 49, 50
    #[test]
    fn what_the_hook_does_not_give_back_is_counted_lost_at_the_close() {
        let (release, gate) = bounded::<()>(0);
        let transport = CaptureTransport::new();
        let options = Options::new().transport(transport.clone()).traces_sample_rate(1.0);
        let options = options.before_send_span(move |_| {
            let _ = gate.recv();
        });
        let runtime = Runtime::new(options).expect("the options are valid");
        let core = runtime.running.as_ref().map(|running| Arc::clone(&running.core)).expect("it runs");
        {
            let _entered = runtime.enter();
            let _root = start_span("root").start();
            start_span("child").start().end();
        }
        assert!(!runtime.close(Duration::from_millis(100)));
        let deadline = Instant::now() + Duration::from_secs(20);
        while core.stats().buffered > 0 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        let stats = core.stats();
        assert_eq!((stats.started, stats.sent, stats.buffered, stats.open), (2, 0, 0, 0), "{stats:?}");
        assert_eq!(stats.lost.get(LossReason::CallbackError), 2, "{stats:?}");
        drop(release);
        assert!(transport.spans().is_empty());
    }
}
