//! A transport that sends nowhere and keeps what it is given.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::inbox::{Inbox, lock};
use super::{Envelope, Span};
use crate::transport::{Response, Transport, TransportError};

/// Keeps envelopes in memory, checked as the [`Receiver`](super::Receiver) checks them.
///
/// Clones share what they keep: give one to the runtime and ask the other.
#[derive(Clone, Default)]
pub struct CaptureTransport {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    inbox: Inbox,
    outcome: Mutex<Outcome>,
}

/// What sending an envelope comes to.
enum Outcome {
    Answer { status: u16, rate_limits: Option<String>, retry_after: Option<String> },
    Fail(String),
}

impl Default for Outcome {
    fn default() -> Self {
        Self::Answer { status: 200, rate_limits: None, retry_after: None }
    }
}

impl CaptureTransport {
    /// A transport that has captured nothing yet and answers 200.
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers with this status from now on. Envelopes are kept if it is 2xx.
    pub fn answer_with(&self, status: u16) {
        self.set(Outcome::Answer { status, rate_limits: None, retry_after: None });
    }

    /// Answers from now on with this status and these values of the headers
    /// `X-Sentry-Rate-Limits` and `Retry-After`.
    pub fn answer_with_limits(&self, status: u16, rate_limits: Option<&str>, retry_after: Option<&str>) {
        let (rate_limits, retry_after) = (rate_limits.map(str::to_owned), retry_after.map(str::to_owned));
        self.set(Outcome::Answer { status, rate_limits, retry_after });
    }

    /// Fails from now on, as if the network did, with this message.
    pub fn fail_with(&self, message: impl Into<String>) {
        self.set(Outcome::Fail(message.into()));
    }

    /// How many envelopes were handed over, whatever came of them.
    pub fn attempts(&self) -> usize {
        self.shared.inbox.received()
    }

    /// The envelopes that were answered with a 2xx status and broke no rule, in order.
    pub fn envelopes(&self) -> Vec<Envelope> {
        self.shared.inbox.envelopes()
    }

    /// Every rule that any envelope broke, whatever the answer.
    pub fn violations(&self) -> Vec<String> {
        self.shared.inbox.violations()
    }

    /// The spans of all [`envelopes`](Self::envelopes).
    pub fn spans(&self) -> Vec<Span> {
        self.shared.inbox.spans()
    }

    /// How many [`spans`](Self::spans) there are, without copying them.
    pub fn span_count(&self) -> usize {
        self.shared.inbox.span_count()
    }

    /// The losses told by client reports, summed: reason, category, quantity.
    pub fn client_reports(&self) -> Vec<(String, String, u64)> {
        self.shared.inbox.client_reports()
    }

    /// Waits until the condition holds, which is asked now and after each envelope; `false` if
    /// it does not come to hold in time.
    pub fn wait_until(&self, timeout: Duration, mut condition: impl FnMut(&Self) -> bool) -> bool {
        self.shared.inbox.wait_until(timeout, || condition(self))
    }

    /// A channel of each envelope as it is accepted, from now on.
    pub fn subscribe(&self) -> crossbeam_channel::Receiver<Envelope> {
        self.shared.inbox.subscribe()
    }

    /// Drops all that was captured so far, violations too: for long tests.
    pub fn forget(&self) {
        self.shared.inbox.forget();
    }

    fn set(&self, outcome: Outcome) {
        *lock(&self.shared.outcome) = outcome;
    }
}

impl Transport for CaptureTransport {
    fn send(&mut self, envelope: &[u8]) -> Result<Response, TransportError> {
        let (envelope, violations) = match Envelope::parse(envelope) {
            Ok(envelope) => (Some(envelope), Vec::new()),
            Err(violations) => (None, violations),
        };
        let result = match &*lock(&self.shared.outcome) {
            Outcome::Fail(message) => Err(TransportError::new(message.clone())),
            Outcome::Answer { status, rate_limits, retry_after } => {
                let mut response = Response::new(*status);
                response.rate_limits.clone_from(rate_limits);
                response.retry_after.clone_from(retry_after);
                Ok(response)
            }
        };
        let accepted = result.as_ref().is_ok_and(|response| (200..300).contains(&response.status));
        self.shared.inbox.record(None, violations);
        if accepted {
            envelope.into_iter().for_each(|envelope| self.shared.inbox.accept(envelope));
        }
        result
    }
}

impl fmt::Debug for CaptureTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (attempts, spans) = (self.attempts(), self.span_count());
        f.debug_struct("CaptureTransport").field("attempts", &attempts).field("spans", &spans).finish_non_exhaustive()
    }
}
