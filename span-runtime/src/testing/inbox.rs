//! What has arrived, and the waiting for it; shared by the receiver and the capture transport.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use super::{Envelope, Request, Span};

/// Everything that arrived. Each change wakes all that wait.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    arrived: Mutex<Arrived>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Arrived {
    /// Bumped with each change, so that a change between a look and a wait is not slept through.
    changes: u64,
    /// How many bodies came in, accepted or not, forgotten or not.
    received: usize,
    requests: Vec<Request>,
    violations: Vec<String>,
    envelopes: Vec<Envelope>,
    span_count: usize,
    subscribers: Vec<Sender<Envelope>>,
}

impl Inbox {
    /// Files a body that came in: the request that brought it, if any, and the rules it broke.
    pub(super) fn record(&self, request: Option<Request>, violations: Vec<String>) {
        self.change(|arrived| {
            let number = arrived.received;
            arrived.received += 1;
            arrived.requests.extend(request);
            let numbered = violations.into_iter().map(|words| format!("request {number}: {words}"));
            arrived.violations.extend(numbered);
        });
    }

    /// Files a rule that was broken by something that is no request.
    pub(super) fn record_violation(&self, words: String) {
        self.change(|arrived| arrived.violations.push(words));
    }

    /// Files an envelope that was taken, and hands it to all subscribers.
    pub(super) fn accept(&self, envelope: Envelope) {
        self.change(|arrived| {
            // Sent under the lock, so that every subscriber sees the order of `envelopes`; the
            // channels are unbounded, so this does not wait.
            arrived.subscribers.retain(|subscriber| subscriber.send(envelope.clone()).is_ok());
            arrived.span_count += envelope.spans().len();
            arrived.envelopes.push(envelope);
        });
    }

    pub(super) fn forget(&self) {
        self.change(|arrived| {
            arrived.requests.clear();
            arrived.violations.clear();
            arrived.envelopes.clear();
            arrived.span_count = 0;
        });
    }

    pub(super) fn received(&self) -> usize {
        lock(&self.arrived).received
    }

    pub(super) fn span_count(&self) -> usize {
        lock(&self.arrived).span_count
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        lock(&self.arrived).requests.clone()
    }

    pub(super) fn violations(&self) -> Vec<String> {
        lock(&self.arrived).violations.clone()
    }

    pub(super) fn envelopes(&self) -> Vec<Envelope> {
        lock(&self.arrived).envelopes.clone()
    }

    pub(super) fn spans(&self) -> Vec<Span> {
        lock(&self.arrived).envelopes.iter().flat_map(Envelope::spans).cloned().collect()
    }

    /// The losses of all client reports, summed, ordered by reason and category.
    pub(super) fn client_reports(&self) -> Vec<(String, String, u64)> {
        let mut sums = BTreeMap::new();
        for (reason, category, quantity) in lock(&self.arrived).envelopes.iter().flat_map(Envelope::client_reports) {
            let sum: &mut u64 = sums.entry((reason.clone(), category.clone())).or_default();
            *sum = sum.saturating_add(*quantity);
        }
        sums.into_iter().map(|((reason, category), sum)| (reason, category, sum)).collect()
    }

    pub(super) fn subscribe(&self) -> crossbeam_channel::Receiver<Envelope> {
        let (sender, receiver) = crossbeam_channel::unbounded();
        lock(&self.arrived).subscribers.push(sender);
        receiver
    }

    /// Waits until the condition holds. It is asked without any lock held, at least once, and
    /// again after each change.
    pub(super) fn wait_until(&self, timeout: Duration, mut condition: impl FnMut() -> bool) -> bool {
        // No deadline if the timeout reaches beyond what the clock can say.
        let deadline = Instant::now().checked_add(timeout);
        loop {
            let seen = lock(&self.arrived).changes;
            if condition() {
                return true;
            }
            let arrived = lock(&self.arrived);
            if !wait_while(&self.changed, arrived, deadline, |arrived| arrived.changes == seen) {
                return false;
            }
        }
    }

    fn change(&self, change: impl FnOnce(&mut Arrived)) {
        let mut arrived = lock(&self.arrived);
        change(&mut arrived);
        arrived.changes += 1;
        drop(arrived);
        self.changed.notify_all();
    }
}

/// Locks a mutex, also after a panic elsewhere: no critical section here leaves a broken state.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sleeps while `busy` holds, at most to the deadline; whether it ended before.
pub(super) fn wait_while<T>(
    condvar: &Condvar,
    mut guard: MutexGuard<'_, T>,
    deadline: Option<Instant>,
    mut busy: impl FnMut(&mut T) -> bool,
) -> bool {
    while busy(&mut guard) {
        guard = match deadline {
            None => condvar.wait(guard).unwrap_or_else(PoisonError::into_inner),
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return false;
                }
                condvar.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0
            }
        };
    }
    true
}
