//! The transport's thread: it sends one envelope after the other, again where nobody took it. (behaviour 52)
#![expect(
    clippy::arithmetic_side_effects,
    reason = "half an hour and less after now is a time: `retry_timeout` is no longer. Between two times there is zero at the least"
)]

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::Receiver;

use super::Transport;
use super::backoff::Backoff;
use super::sender::{Outgoing, Queued, Shared, lock};
use crate::client::{Core, LossReason};
use crate::context;

/// While it waits to try again, it looks this often whether something has changed that nobody wakes it for.
const LOOK: Duration = Duration::from_millis(50);

/// However much of a hurry there is, this is the least between two tries.
const LEAST_PAUSE: Duration = Duration::from_millis(100);

/// An envelope of this age is not sent any more. It says when it was made, and from 55 minutes on Sentry takes the difference for a wrong
/// clock, by which it then moves the spans.
const OLDEST: Duration = Duration::from_secs(50 * 60);

/// How the server took an envelope.
enum Taken {
    Yes,
    /// It refused it because there were too many, and counts what was in it.
    RateLimited,
}

/// What one try came to, if not to that.
enum Failure {
    /// It would be the same the next time.
    Lost(LossReason),
    /// Nobody has taken it, or said that it is not wanted.
    Unanswered,
}

pub(super) struct Worker {
    transport: Box<dyn Transport>,
    outgoing: Receiver<Queued>,
    used: crossbeam_channel::Sender<Vec<u8>>,
    shared: Arc<Shared>,
    core: Arc<Core>,
    backoff: Backoff,
    /// The status that envelopes are refused with, once it was told.
    told: Option<u16>,
    told_too_large: bool,
}

impl Worker {
    pub(super) fn new(
        transport: Box<dyn Transport>,
        outgoing: Receiver<Queued>,
        used: crossbeam_channel::Sender<Vec<u8>>,
        shared: Arc<Shared>,
        core: Arc<Core>,
    ) -> Self {
        let backoff = Backoff::default();
        Worker { transport, outgoing, used, shared, core, backoff, told: None, told_too_large: false }
    }

    pub(super) fn run(mut self) {
        // A transport of the user's may be instrumented; its spans would make envelopes for it to send.
        context::silence();
        while let Ok(Queued { outgoing: envelope, since }) = self.outgoing.recv() {
            self.shared.put_in_flight(&envelope);
            let outcome = self.deliver(&envelope, since);
            // Empty if `close` gave up on it meanwhile and counted it.
            if let Some(in_flight) = self.shared.take_in_flight() {
                match outcome {
                    Ok(Taken::Yes) => self.shared.count_sent(&self.core, in_flight),
                    Ok(Taken::RateLimited) => self.shared.count_rate_limited(&self.core, in_flight),
                    Err(reason) => self.shared.count_lost(&self.core, reason, in_flight),
                }
            }
            self.shared.complete(envelope.number);
            // If nobody wants the memory it is freed.
            let _ = self.used.try_send(envelope.envelope.into_buffer());
            self.core.doorbell.ring();
        }
    }

    /// Sends an envelope, again and again while nobody answers for it. It is given up when it was tried for as long as the option says,
    /// when its memory is needed, and after one try while the runtime closes: a server that is down is not asked again and again at the end.
    fn deliver(&mut self, envelope: &Outgoing, since: Instant) -> Result<Taken, LossReason> {
        let until = since + self.core.settings.retry_timeout;
        loop {
            if !self.pause() || since.elapsed() > OLDEST {
                return Err(LossReason::NetworkError);
            }
            if lock(&self.shared.limits).cover(envelope.load, Instant::now()) {
                return Err(LossReason::RatelimitBackoff);
            }
            let last = self.core.is_closed();
            match self.attempt(envelope.envelope.bytes()) {
                Ok(taken) => return Ok(taken),
                Err(Failure::Lost(reason)) => return Err(reason),
                Err(Failure::Unanswered) => {}
            }
            if last || self.backoff.next().is_none_or(|next| next > until) {
                return Err(LossReason::NetworkError);
            }
        }
    }

    /// Waits until the endpoint may be tried again, or until there is a reason not to wait; false if there is one not to try either.
    fn pause(&self) -> bool {
        let begin = Instant::now();
        while let Some(next) = self.backoff.next() {
            let now = Instant::now();
            if self.shared.has_given_up() || self.core.budget.is_over() {
                return false;
            }
            let hurry = now.saturating_duration_since(begin) >= LEAST_PAUSE && self.shared.take_hurry();
            if now >= next || hurry || self.core.is_closed() {
                return true;
            }
            thread::park_timeout(LOOK.min(next - now));
        }
        !self.shared.has_given_up()
    }

    fn attempt(&mut self, envelope: &[u8]) -> Result<Taken, Failure> {
        let transport = &mut self.transport;
        match catch_unwind(AssertUnwindSafe(|| transport.send(envelope))) {
            Ok(Ok(response)) => {
                lock(&self.shared.limits).update(&response, Instant::now(), SystemTime::now());
                self.read(response.status, envelope.len())
            }
            Ok(Err(error)) => Err(self.unanswered(format_args!("{error}"))),
            Err(payload) => {
                // Its destructor is the user's too, and might panic again.
                std::mem::forget(payload);
                context::say(|| log::error!("sentry: the transport panicked; the spans of its envelope are lost"));
                Err(Failure::Lost(LossReason::InternalSdkError))
            }
        }
    }

    /// Reads the status of an answer.
    fn read(&mut self, status: u16, size: usize) -> Result<Taken, Failure> {
        let outcome = match status {
            200..=299 => {
                self.told = None;
                Ok(Taken::Yes)
            }
            429 => {
                context::say(|| log::debug!("sentry: the server asks for a pause"));
                Ok(Taken::RateLimited)
            }
            400..=499 => {
                self.tell_refusal(status, size);
                Err(Failure::Lost(LossReason::SendError))
            }
            300..=399 => {
                return Err(self.unanswered(format_args!("status {status}, and redirects are not followed")));
            }
            _ => return Err(self.unanswered(format_args!("status {status}"))),
        };
        if self.backoff.succeeded() {
            context::say(|| log::info!("sentry: the server answers again"));
        }
        outcome
    }

    /// Said once, until something changes: a wrong DSN would fill the log otherwise.
    fn tell_refusal(&mut self, status: u16, size: usize) {
        if status == 413 && !std::mem::replace(&mut self.told_too_large, true) {
            context::say(|| {
                log::error!(
                    "sentry: the server refused an envelope of {size} bytes as too large; its spans are lost. This is said once"
                );
            });
        } else if status != 413 && self.told.replace(status) != Some(status) {
            context::say(|| {
                log::warn!("sentry: the server refused an envelope with status {status}; its spans are lost");
            });
        } else {
            context::say(|| {
                log::debug!("sentry: the server refused an envelope of {size} bytes with status {status}");
            });
        }
    }

    fn unanswered(&mut self, why: fmt::Arguments<'_>) -> Failure {
        if self.backoff.failed(Instant::now()) {
            context::say(|| {
                log::warn!("sentry: an envelope could not be sent, and what waits is tried again: {why}");
            });
        } else {
            context::say(|| log::debug!("sentry: an envelope could not be sent: {why}"));
        }
        Failure::Unanswered
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::CaptureTransport;
    use crate::transport::{Response, TransportError};
    use crate::{Options, Runtime, start_span};

    fn runtime(transport: impl Transport) -> Runtime {
        Runtime::new(Options::new().transport(transport).traces_sample_rate(1.0)).expect("the options are valid")
    }

    fn span(runtime: &Runtime) {
        let _entered = runtime.enter();
        start_span("span").start().end();
    }

    fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !condition() {
            assert!(Instant::now() < deadline, "{what}");
            thread::sleep(Duration::from_millis(2));
        }
    }

    // behaviours 45, 52
    #[test]
    fn an_envelope_that_waits_is_given_up_when_its_memory_is_needed() {
        let transport = CaptureTransport::new();
        transport.fail_with("nobody is there");
        let runtime = runtime(transport.clone());
        span(&runtime);
        wait_for("it is tried again", || transport.attempts() >= 3);
        let core = runtime.core().expect("it runs");
        let stats = runtime.stats();
        assert_eq!((stats.buffered, stats.lost.total()), (1, 0), "{stats:?}");
        assert!(stats.buffered_bytes > 500, "it is charged for: {stats:?}");

        let needed = core.budget.limit() / 5 * 4;
        core.budget.take(needed);
        wait_for("it is given up", || runtime.stats().lost.get(LossReason::NetworkError) == 1);
        core.budget.give_back(needed);
        transport.answer_with(200);
        span(&runtime);
        wait_for("the next one arrives", || runtime.stats().sent == 1);
        let stats = runtime.stats();
        assert_eq!((stats.started, stats.lost.total(), stats.buffered), (2, 1, 0), "{stats:?}");
    }

    struct Panics(CaptureTransport, u32);

    impl Transport for Panics {
        fn send(&mut self, envelope: &[u8]) -> Result<Response, TransportError> {
            self.1 += 1;
            // Without the words of a panic, which would stand in the output of the tests.
            if self.1 == 1 {
                std::panic::resume_unwind(Box::new("a fault of the user's"))
            } else {
                self.0.send(envelope)
            }
        }
    }

    // behaviours 48, 50
    #[test]
    fn a_transport_that_panics_loses_one_envelope_and_no_more() {
        let transport = CaptureTransport::new();
        let runtime = runtime(Panics(transport.clone(), 0));
        span(&runtime);
        assert!(!runtime.flush(Duration::from_secs(20)));
        span(&runtime);
        assert!(runtime.flush(Duration::from_secs(20)));
        let stats = runtime.stats();
        assert_eq!((stats.sent, stats.lost.get(LossReason::InternalSdkError)), (1, 1), "{stats:?}");
        assert_eq!(transport.span_count(), 1);
    }
}
