//! What becomes of spans that are not sent, and who is told; pauses that the server asks for; flushing and closing.
//! (behaviours 47, 49, 50, 52)
#![forbid(unsafe_code)]

#[cfg(target_os = "linux")]
use std::env;
#[cfg(target_os = "linux")]
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, OnceLock, PoisonError, RwLock, Weak};
use std::thread;
use std::time::{Duration, Instant};

use span_runtime::testing::{Answer, CaptureTransport, Envelope, Receiver};
use span_runtime::transport::{Response, Transport, TransportError};
use span_runtime::{LossReason, Options, Runtime, SamplingContext, Stats, continue_trace, start_span};
use span_tests::SOON;

fn receiver() -> Receiver {
    Receiver::start().expect("a port on loopback")
}

fn runtime(receiver: &Receiver, set: impl FnOnce(Options) -> Options) -> Runtime {
    let options = Options::new().dsn(receiver.dsn()).traces_sample_rate(1.0);
    Runtime::new(set(options)).expect("the options are valid")
}

fn wait_for(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !condition() {
        assert!(Instant::now() < deadline, "it did not come about");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Losses as client reports tell them: reason, category, quantity.
type Told = Vec<(String, String, u64)>;

/// What was counted, in the form and the order of what is told.
fn counted(stats: &Stats) -> Told {
    let told = |(reason, count): (LossReason, u64)| (reason.as_str().to_owned(), "span".to_owned(), count);
    let mut counts: Told = stats.lost.iter().map(told).collect();
    counts.sort();
    counts
}

/// Every span is somewhere, exactly.
#[track_caller]
fn assert_adds_up(stats: &Stats) {
    assert_eq!(stats.started, stats.sent + stats.lost.total() + stats.buffered + stats.open, "{stats:?}");
}

/// Closes, and finds that the server was told what was counted, reason by reason, and nothing twice.
#[track_caller]
fn assert_told(runtime: Runtime, told: impl FnOnce() -> Told) {
    let stats = runtime.stats();
    assert_adds_up(&stats);
    assert_eq!((stats.open, stats.buffered), (0, 0), "{stats:?}");
    assert!(runtime.close(SOON), "there is nothing left but a report");
    assert_eq!(told(), counted(&stats));
}

/// As [`assert_told`], where these and no others were lost, and the rest arrived.
#[track_caller]
fn assert_lost_and_told(runtime: Runtime, receiver: &Receiver, expected: &[(LossReason, u64)]) {
    let stats = runtime.stats();
    assert_eq!(stats.lost.iter().collect::<Vec<_>>(), expected);
    assert_eq!(receiver.span_count() as u64, stats.sent - stats.rate_limited, "{stats:?}");
    assert_told(runtime, || receiver.client_reports());
    assert_eq!(receiver.violations(), [""; 0]);
}

// behaviours 49, 50
#[test]
fn unsampled_spans_are_counted_as_they_end() {
    let receiver = receiver();
    let runtime = runtime(&receiver, |options| options.traces_sample_rate(0.0));
    let _entered = runtime.enter();
    let root = start_span("root").start();
    let open = start_span("open").start();
    start_span("ended").start().end();
    let stats = runtime.stats();
    assert_eq!((stats.started, stats.lost.get(LossReason::SampleRate), stats.open), (3, 1, 2), "{stats:?}");
    assert_adds_up(&stats);
    let handle = root.handle();
    thread::scope(|scope| {
        scope.spawn(|| start_span("on another thread").parent(&handle).start().end());
    });
    drop((open, root));
    // One whose parent was decided against elsewhere is no exception.
    let headers = [("sentry-trace", "771a43a4192642f0b136d5159a501700-b7ad6b7169203331-0")];
    {
        let _trace = continue_trace(headers).enter();
        start_span("continued").start().end();
    }
    assert_lost_and_told(runtime, &receiver, &[(LossReason::SampleRate, 5)]);
}

// behaviours 35, 49, 50
#[test]
fn ignored_spans_are_counted_and_those_below_an_ignored_segment_as_well() {
    let receiver = receiver();
    let runtime = runtime(&receiver, |options| options.ignore_spans(["noise", "GET /health"]));
    let _entered = runtime.enter();
    {
        let _root = start_span("root").start();
        let _noise = start_span("noise").start();
        start_span("kept").start().end();
    }
    {
        let _health = start_span("GET /health").start();
        let _child = start_span("child").start();
        start_span("grandchild").start().end();
        assert_eq!(runtime.stats().lost.get(LossReason::Ignored), 2, "those that have ended");
    }
    assert!(runtime.flush(SOON));
    assert_eq!(runtime.stats().sent, 2);
    assert_lost_and_told(runtime, &receiver, &[(LossReason::Ignored, 4)]);
}

/// Samples by name: nothing that is called `unsampled`, all else; and panics for `bad`.
fn by_name(segment: &SamplingContext<'_>) -> f64 {
    assert_ne!(segment.name(), "bad", "the sampler panics");
    if segment.name() == "unsampled" { 0.0 } else { 1.0 }
}

// behaviours 24, 49, 50
#[test]
fn spans_of_a_segment_whose_sampler_panicked_are_counted_as_its_fault() {
    let receiver = receiver();
    let runtime = runtime(&receiver, |options| options.traces_sampler(by_name));
    let _entered = runtime.enter();
    {
        let _bad = start_span("bad").start();
        start_span("child").start().end();
    }
    start_span("unsampled").start().end();
    start_span("good").start().end();
    assert!(runtime.flush(SOON));
    assert_lost_and_told(runtime, &receiver, &[(LossReason::SampleRate, 1), (LossReason::CallbackError, 2)]);
}

// behaviours 27, 49, 50, 52
#[test]
fn what_a_lowered_rate_costs_is_counted_as_backpressure() {
    let receiver = receiver();
    receiver.answer_with(Answer::status(200).header("X-Sentry-Rate-Limits", "2:span:organization"));
    let runtime = runtime(&receiver, |options| options);
    let _entered = runtime.enter();
    wait_for(|| {
        {
            let _segment = start_span("segment").start();
            start_span("child").start().end();
        }
        runtime.stats().lost.get(LossReason::Backpressure) > 0
    });
    receiver.answer_with(Answer::status(200));
    wait_for(|| runtime.flush(SOON));
    let stats = runtime.stats();
    assert_eq!(stats.lost.get(LossReason::Backpressure) % 2, 0, "whole traces: {stats:?}");
    assert_eq!(receiver.span_count() as u64, stats.sent);
    assert_told(runtime, || receiver.client_reports());
    assert_eq!(receiver.violations(), [""; 0]);
}

// behaviours 45, 49, 50
#[test]
fn spans_that_find_no_room_are_counted_and_told_once_there_is_room() {
    let receiver = receiver();
    let gate = Arc::new(RwLock::new(()));
    let passes = Arc::clone(&gate);
    // What is with the hook keeps its room, and it does not come back from it.
    let closed = gate.write().expect("nobody else has it");
    let runtime = runtime(&receiver, |options| {
        options.max_buffer_bytes(1 << 20).before_send_span(move |_| {
            let _open = passes.read();
        })
    });
    let _entered = runtime.enter();
    let deadline = Instant::now() + SOON;
    while runtime.stats().lost.get(LossReason::QueueOverflow) == 0 {
        assert!(Instant::now() < deadline, "a bound of 1 MiB is reached: {:?}", runtime.stats());
        let _segment = start_span("segment").start();
        for _ in 0..1000 {
            start_span("child").start().end();
        }
    }
    drop(closed);
    wait_for(|| {
        runtime.flush(SOON);
        runtime.stats().buffered == 0
    });
    assert_eq!(receiver.span_count() as u64, runtime.stats().sent);
    assert_told(runtime, || receiver.client_reports());
    assert_eq!(receiver.violations(), [""; 0]);
}

// behaviours 44, 49, 50
#[test]
fn a_span_that_is_too_large_for_an_envelope_is_counted_and_told_alone() {
    let receiver = receiver();
    let runtime = runtime(&receiver, |options| options);
    let _entered = runtime.enter();
    {
        let _root = start_span("root").start();
        start_span("too large").attribute("text", "x".repeat(11 << 20)).start().end();
    }
    assert!(!runtime.flush(SOON), "one span was lost");
    assert_lost_and_told(runtime, &receiver, &[(LossReason::BufferOverflow, 1)]);
}

// behaviours 49, 50, 52
#[test]
fn what_the_server_does_not_take_is_told_once_it_takes_something() {
    for (answer, reason) in [
        (Answer::status(400), LossReason::SendError),
        (Answer::status(413), LossReason::SendError),
        (Answer::status(500), LossReason::NetworkError),
        (Answer::close(), LossReason::NetworkError),
    ] {
        let receiver = receiver();
        receiver.answer_with(answer);
        let runtime = runtime(&receiver, |options| options.retry_timeout(Duration::ZERO));
        let _entered = runtime.enter();
        {
            let _root = start_span("root").start();
            start_span("child").start().end();
        }
        assert!(!runtime.flush(SOON));
        wait_for(|| runtime.stats().lost.get(reason) == 2);
        receiver.answer_with(Answer::status(200));
        start_span("after").start().end();
        assert!(runtime.flush(SOON));
        assert_lost_and_told(runtime, &receiver, &[(reason, 2)]);
    }
}

/// Sends by another one, unless what stands before says otherwise.
struct Staged<F>(CaptureTransport, F);

impl<F: FnMut(&[u8]) -> Option<Result<Response, TransportError>> + Send + 'static> Transport for Staged<F> {
    fn send(&mut self, envelope: &[u8]) -> Result<Response, TransportError> {
        (self.1)(envelope).unwrap_or_else(|| self.0.send(envelope))
    }
}

/// A runtime with a transport that may answer by itself, and is asked once for each envelope, and the one where all else goes.
fn staged(
    stage: impl FnMut(&[u8]) -> Option<Result<Response, TransportError>> + Send + 'static,
) -> (Runtime, CaptureTransport) {
    let capture = CaptureTransport::new();
    let options = Options::new().transport(Staged(capture.clone(), stage)).traces_sampler(by_name);
    let options = options.retry_timeout(Duration::ZERO);
    (Runtime::new(options).expect("the options are valid"), capture)
}

// behaviours 49, 50
#[test]
fn what_a_fault_of_the_transport_loses_is_counted_as_such() {
    let faulty = Arc::new(AtomicBool::new(true));
    let fault = Arc::clone(&faulty);
    let (runtime, capture) = staged(move |_| {
        assert!(!fault.swap(false, Ordering::AcqRel), "the transport panics");
        None
    });
    let _entered = runtime.enter();
    {
        let _root = start_span("root").start();
        start_span("child").start().end();
    }
    assert!(!runtime.flush(SOON));
    start_span("after").start().end();
    assert!(runtime.flush(SOON));
    let stats = runtime.stats();
    assert_eq!(stats.lost.iter().collect::<Vec<_>>(), [(LossReason::InternalSdkError, 2)]);
    assert_eq!((stats.sent, capture.span_count()), (1, 1));
    assert_told(runtime, || capture.client_reports());
}

// behaviour 49
#[test]
fn losses_ride_on_an_envelope_of_spans() {
    let receiver = receiver();
    let runtime = runtime(&receiver, |options| options.traces_sampler(by_name));
    let _entered = runtime.enter();
    for _ in 0..3 {
        start_span("unsampled").start().end();
    }
    // Once a second at most, so that one of the next takes them along.
    wait_for(|| {
        start_span("sent").start().end();
        assert!(runtime.flush(SOON));
        !receiver.client_reports().is_empty()
    });
    let envelopes = receiver.envelopes();
    let riding: Vec<&Envelope> = envelopes.iter().filter(|envelope| !envelope.client_reports().is_empty()).collect();
    assert_eq!(riding.len(), 1);
    assert_eq!(riding[0].item_types(), ["span", "client_report"]);
    assert_eq!(riding[0].client_reports(), [("sample_rate".to_owned(), "span".to_owned(), 3)]);
    assert_lost_and_told(runtime, &receiver, &[(LossReason::SampleRate, 3)]);
}

/// What may go wrong with an envelope that had a report.
fn failures() -> [fn() -> Result<Response, TransportError>; 4] {
    fn rate_limited() -> Result<Response, TransportError> {
        let mut response = Response::new(429);
        response.rate_limits = Some("1:span:organization".into());
        Ok(response)
    }
    [|| Err(TransportError::new("no route")), || Ok(Response::new(500)), || Ok(Response::new(400)), rate_limited]
}

// behaviours 49, 52
#[test]
fn a_report_that_is_lost_with_its_envelope_is_told_again() {
    for failure in failures() {
        let (fails, lost_reports) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
        let (failing, lost) = (Arc::clone(&fails), Arc::clone(&lost_reports));
        let (runtime, capture) = staged(move |bytes| {
            let refused = failing.load(Ordering::Acquire).then(failure);
            let envelope = Envelope::parse(bytes).expect("the receiving end would accept it");
            if refused.is_some() && !envelope.client_reports().is_empty() {
                lost.fetch_add(1, Ordering::AcqRel);
            }
            refused
        });
        let _entered = runtime.enter();
        for _ in 0..3 {
            start_span("unsampled").start().end();
        }
        wait_for(|| {
            start_span("refused").start().end();
            runtime.flush(SOON);
            lost_reports.load(Ordering::Acquire) > 0
        });
        fails.store(false, Ordering::Release);
        wait_for(|| {
            start_span("sent").start().end();
            runtime.flush(SOON)
        });
        let stats = runtime.stats();
        assert_eq!(stats.lost.get(LossReason::SampleRate), 3, "{stats:?}");
        assert_eq!(capture.span_count() as u64, stats.sent - stats.rate_limited);
        assert_told(runtime, || capture.client_reports());
    }
}

/// What an answer means for the spans that come after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pause {
    /// They go on.
    None,
    /// They are dropped; reports still go.
    Spans,
    /// Nothing goes, not even a report.
    Everything,
}

fn limited(status: u16, limits: &str) -> Answer {
    Answer::status(status).header("X-Sentry-Rate-Limits", limits)
}

fn retry_after(status: u16, value: &str) -> Answer {
    Answer::status(status).header("Retry-After", value)
}

// behaviours 49, 50, 52
#[test]
fn a_pause_is_kept_for_what_it_is_asked_for() {
    let cases = [
        (Answer::status(429), Pause::Everything),
        (retry_after(429, "3600"), Pause::Everything),
        (retry_after(429, "Thu, 31 Dec 2099 23:59:59 GMT"), Pause::Everything),
        (retry_after(429, "Wed, 21 Oct 2015 07:28:00 GMT"), Pause::None),
        (retry_after(429, "3600").header("X-Sentry-Rate-Limits", "3600:error:organization"), Pause::None),
        (limited(429, "3600:span:organization"), Pause::Spans),
        (limited(429, "3600::organization"), Pause::Everything),
        (limited(429, " 3600:error;transaction : key , 3600: error ;span: key : quota "), Pause::Spans),
        (limited(200, "3600:span:organization"), Pause::Spans),
        (limited(200, "3600::organization"), Pause::Everything),
        (limited(200, "3600:error;transaction;log_item:organization"), Pause::None),
        (retry_after(200, "3600"), Pause::None),
    ];
    for (answer, pause) in cases {
        let receiver = receiver();
        receiver.answer_next(answer.clone());
        let shown = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&shown);
        let runtime = runtime(&receiver, |options| {
            options.before_send_span(move |span| sink.lock().expect("one at a time").push(span.name().to_owned()))
        });
        let _entered = runtime.enter();
        start_span("answered").start().end();
        assert!(runtime.flush(SOON), "the server has seen it, whatever it made of it: {answer:?}");
        let stats = runtime.stats();
        assert_eq!((stats.sent, stats.lost.total()), (1, 0), "the server counts what it refuses: {answer:?}");
        assert_eq!(stats.rate_limited, 1 - receiver.span_count() as u64, "{answer:?}");
        {
            let _root = start_span("afterwards").start();
            start_span("child").start().end();
        }
        assert_eq!(runtime.flush(SOON), pause == Pause::None, "{answer:?}");
        let shown = shown.lock().expect("nobody panicked in there").clone();
        let stats = runtime.stats();
        assert_adds_up(&stats);
        match pause {
            Pause::None => assert_eq!((stats.sent, stats.lost.total(), shown.len()), (3, 0, 3), "{answer:?}"),
            Pause::Spans | Pause::Everything => {
                assert_eq!(stats.lost.iter().collect::<Vec<_>>(), [(LossReason::RatelimitBackoff, 2)], "{answer:?}");
                assert_eq!(shown, ["answered"], "no work goes into what is dropped: {answer:?}");
                assert_eq!(receiver.request_count(), 1, "{answer:?}");
            }
        }
        assert!(runtime.close(SOON));
        match pause {
            Pause::None => assert_eq!(receiver.client_reports(), []),
            Pause::Spans => assert_eq!(receiver.client_reports(), counted(&stats), "{answer:?}"),
            Pause::Everything => assert_eq!(receiver.request_count(), 1, "{answer:?}"),
        }
        assert_eq!(receiver.violations(), [""; 0]);
    }
}

// behaviours 49, 50, 52
#[test]
fn after_a_pause_spans_flow_again() {
    for answer in [retry_after(429, "1"), limited(429, "1:span:key"), limited(200, "1::key")] {
        let receiver = receiver();
        receiver.answer_next(answer.clone());
        let runtime = runtime(&receiver, |options| options.enable_backpressure_handling(false));
        let _entered = runtime.enter();
        let asked = Instant::now();
        start_span("answered").start().end();
        assert!(runtime.flush(SOON));
        let mut dropped = 0;
        wait_for(|| {
            start_span("afterwards").start().end();
            let sent = runtime.flush(SOON);
            dropped += u64::from(!sent);
            sent
        });
        assert!(asked.elapsed() >= Duration::from_secs(1), "{answer:?}");
        assert!(dropped > 0, "{answer:?}");
        assert_lost_and_told(runtime, &receiver, &[(LossReason::RatelimitBackoff, dropped)]);
    }
}

// behaviours 36, 52
#[test]
fn what_is_with_the_hook_when_a_pause_begins_is_dropped_as_well() {
    let receiver = receiver();
    receiver.answer_with(Answer::hang());
    let gate = Arc::new(RwLock::new(()));
    let closed = gate.write().expect("nobody else has it");
    let (passes, held) = (Arc::clone(&gate), Arc::new(AtomicBool::new(false)));
    let is_held = Arc::clone(&held);
    let runtime = runtime(&receiver, |options| {
        options.before_send_span(move |span| {
            if span.name() == "held" {
                is_held.store(true, Ordering::Release);
                let _open = passes.read();
            }
        })
    });
    let _entered = runtime.enter();
    start_span("answered").start().end();
    assert!(receiver.wait_until(SOON, |receiver| receiver.request_count() == 1));
    start_span("held").start().end();
    wait_for(|| held.load(Ordering::Acquire));
    receiver.answer_with(Answer::status(429));
    wait_for(|| runtime.stats().rate_limited == 1);
    drop(closed);
    wait_for(|| runtime.stats().lost.get(LossReason::RatelimitBackoff) == 1);
    assert!(runtime.close(SOON));
    assert_eq!(receiver.request_count(), 1);
}

// behaviour 47
#[test]
fn a_flush_sends_what_ended_on_any_thread_whoever_asks() {
    let receiver = receiver();
    let runtime = runtime(&receiver, |options| options);
    let (ended, flushed) = (Barrier::new(5), Barrier::new(5));
    thread::scope(|scope| {
        for thread in 0..4 {
            let (runtime, receiver, ended, flushed) = (&runtime, &receiver, &ended, &flushed);
            scope.spawn(move || {
                let _entered = runtime.enter();
                start_span("on an idle thread").start().end();
                ended.wait();
                flushed.wait();
                for _ in 0..20 {
                    start_span(format!("of thread {thread}")).start().end();
                    assert!(runtime.flush(SOON), "four at once");
                }
                let of_this_thread =
                    receiver.spans().iter().filter(|span| span.name.ends_with(&*thread.to_string())).count();
                assert_eq!(of_this_thread, 20);
            });
        }
        ended.wait();
        assert!(runtime.flush(SOON));
        assert_eq!(receiver.span_count(), 4, "their threads have done nothing for it");
        flushed.wait();
    });
    assert_eq!(receiver.span_count(), 84);
    assert_lost_and_told(runtime, &receiver, &[]);
}

// behaviour 47
#[test]
fn a_flush_from_inside_of_a_span_leaves_it_open() {
    let receiver = receiver();
    let runtime = runtime(&receiver, |options| options);
    let _entered = runtime.enter();
    let root = start_span("root").start();
    assert!(runtime.flush(SOON), "there is nothing to send");
    start_span("child").start().end();
    assert!(runtime.flush(Duration::MAX));
    let stats = runtime.stats();
    assert_eq!((stats.sent, stats.open, receiver.span_count()), (1, 1, 1), "{stats:?}");
    assert_adds_up(&stats);
    drop(root);
    assert!(runtime.flush(SOON));
    assert_lost_and_told(runtime, &receiver, &[]);
}

// behaviour 47
#[test]
fn a_flush_says_whether_it_was_in_time() {
    let receiver = receiver();
    receiver.answer_with(Answer::hang());
    let runtime = runtime(&receiver, |options| options);
    let _entered = runtime.enter();
    start_span("slow").start().end();
    for timeout in [Duration::ZERO, Duration::from_millis(100)] {
        let begin = Instant::now();
        assert!(!runtime.flush(timeout));
        assert!((timeout..Duration::from_secs(5)).contains(&begin.elapsed()), "{timeout:?}: {:?}", begin.elapsed());
    }
    assert_eq!(runtime.stats().buffered, 1, "late is not lost");
    receiver.answer_with(Answer::status(200));
    assert!(runtime.flush(SOON));
    assert_lost_and_told(runtime, &receiver, &[]);
}

// behaviours 44, 47
#[test]
fn a_flush_waits_for_all_envelopes_that_a_batch_becomes() {
    let receiver = receiver();
    receiver.answer_with(Answer::hang());
    receiver.answer_next(Answer::status(200));
    let runtime = runtime(&receiver, |options| options);
    let _entered = runtime.enter();
    let root = start_span("root").start();
    for _ in 0..3 {
        // Control characters take six bytes each, which no estimate expects.
        start_span("large").attribute("text", "\u{1}".repeat(900_000)).start().end();
    }
    assert!(!runtime.flush(Duration::from_secs(2)), "the second hangs");
    assert!(receiver.request_count() <= 2);
    receiver.answer_with(Answer::status(200));
    drop(root);
    assert!(runtime.flush(SOON));
    assert!(receiver.envelopes().len() >= 3);
    assert_lost_and_told(runtime, &receiver, &[]);
}

/// Where a callback finds the runtime that it is called by.
#[derive(Clone, Default)]
struct Own(Arc<OnceLock<Weak<Runtime>>>, Arc<Mutex<Vec<bool>>>);

impl Own {
    /// Flushes, and keeps what came of it.
    fn flush(&self) {
        let runtime = self.0.get().and_then(Weak::upgrade).expect("it is kept until this has been called");
        let sent = runtime.flush(Duration::from_millis(100));
        self.1.lock().unwrap_or_else(PoisonError::into_inner).push(sent);
    }

    fn outcomes(&self) -> Vec<bool> {
        self.1.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

// behaviours 47, 48
#[test]
fn a_flush_from_a_thread_that_would_have_to_do_it_keeps_to_its_bound() {
    let (sampler, hook, transport) = (Own::default(), Own::default(), Own::default());
    let capture = CaptureTransport::new();
    let flushing = transport.clone();
    let staged = Staged(capture.clone(), move |_: &[u8]| {
        flushing.flush();
        None
    });
    let (in_sampler, in_hook) = (sampler.clone(), hook.clone());
    let options = Options::new()
        .transport(staged)
        .traces_sampler(move |_| {
            in_sampler.flush();
            1.0
        })
        .before_send_span(move |_| in_hook.flush());
    let runtime = Arc::new(Runtime::new(options).expect("the options are valid"));
    for own in [&sampler, &hook, &transport] {
        own.0.set(Arc::downgrade(&runtime)).expect("once");
    }
    let _entered = runtime.enter();
    let begin = Instant::now();
    start_span("segment").start().end();
    assert!(runtime.flush(SOON));
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert_eq!(sampler.outcomes(), [true], "a thread of the program's own can wait for it");
    assert_eq!(hook.outcomes(), [false], "it would be waiting for itself");
    assert_eq!(transport.outcomes(), [false], "it would be waiting for itself");
    assert_eq!(capture.span_count(), 1);
}

/// Threads and what is installed belong to a process, so each case has one: this test binary again, which runs the test below.
#[cfg(target_os = "linux")]
fn child(case: &str, receiver: &Receiver) {
    let this = env::current_exe().expect("the path of this binary");
    let output = Command::new(this)
        .args(["--exact", "child_process", "--nocapture", "--test-threads=1"])
        .env("CHILD", case)
        .env("CHILD_DSN", receiver.dsn())
        .output()
        .expect("this binary runs");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{case}: {} {}", text(&output.stdout), text(&output.stderr));
}

#[test]
#[cfg(target_os = "linux")]
fn child_process() {
    let (Ok(case), Ok(dsn)) = (env::var("CHILD"), env::var("CHILD_DSN")) else {
        return; // run by the others only
    };
    let options = Options::new().dsn(dsn).traces_sample_rate(1.0).before_send_span(|_| {});
    let options = options.shutdown_timeout(Duration::from_millis(500)).request_timeout(Duration::from_secs(1));
    let options = if case == "answers" { options.shutdown_timeout(SOON) } else { options };
    let guard = span_runtime::init(options).expect("nothing else in this process installs a runtime");
    let root = start_span("open all the time").start();
    start_span("on the main thread").start().end();
    thread::scope(|scope| {
        scope.spawn(|| start_span("on another thread").start().end());
    });
    wait_for(|| own_threads() == ["span-flusher", "span-hook", "span-transport"]);
    if case == "closes" {
        let (sent, stats) = guard.close(SOON);
        assert!(sent);
        assert_eq!((stats.started, stats.sent, stats.lost.total(), stats.open), (3, 2, 0, 1), "{stats:?}");
    } else {
        let begin = Instant::now();
        drop(guard);
        let (least, most) = if case == "hangs" { (500, 5_000) } else { (0, 5_000) };
        let bound = Duration::from_millis(least)..Duration::from_millis(most);
        assert!(bound.contains(&begin.elapsed()), "{:?}", begin.elapsed());
    }
    wait_for(|| own_threads().is_empty());
    drop(root);
    assert_eq!(start_span("afterwards").start().trace_id(), None);
    assert!(span_runtime::flush(SOON), "there is nothing to flush");
    assert_eq!(span_runtime::stats(), Stats::default());
}

/// The names of threads that belong to a runtime.
#[cfg(target_os = "linux")]
fn own_threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux has it");
    // One may end between the two readings.
    let name = |task: std::io::Result<std::fs::DirEntry>| std::fs::read_to_string(task.ok()?.path().join("comm")).ok();
    let names = tasks.filter_map(name).map(|name| name.trim_end().to_owned());
    let mut own: Vec<String> = names.filter(|name| name.starts_with("span-")).collect();
    own.sort();
    own.dedup();
    own
}

// behaviour 47
#[test]
#[cfg(target_os = "linux")]
fn the_drop_of_the_guard_sends_what_has_ended_and_ends_the_threads() {
    let receiver = receiver();
    child("answers", &receiver);
    let mut names: Vec<String> = receiver.spans().into_iter().map(|span| span.name).collect();
    names.sort();
    assert_eq!(names, ["on another thread", "on the main thread"]);
    assert_eq!(receiver.violations(), [""; 0]);
}

// behaviour 47
#[test]
#[cfg(target_os = "linux")]
fn the_drop_of_the_guard_keeps_to_its_bound_and_ends_the_threads() {
    let receiver = receiver();
    receiver.answer_with(Answer::hang());
    child("hangs", &receiver);
    assert!(receiver.request_count() > 0);
}

// behaviours 47, 50
#[test]
#[cfg(target_os = "linux")]
fn a_close_ends_the_threads_and_says_what_became_of_all_spans() {
    let receiver = receiver();
    child("closes", &receiver);
    assert_eq!(receiver.span_count(), 2);
    assert_eq!(receiver.violations(), [""; 0]);
}
