//! How long to leave an endpoint alone that does not take anything: exponential backoff with full jitter.
//!
//! It belongs to the endpoint and not to an envelope, so that a full queue does not ask a server that is down once for each.
#![expect(
    clippy::arithmetic_side_effects,
    reason = "some seconds after now is a time, and a part of a duration is a duration"
)]

use std::time::{Duration, Instant};

/// The longest pause after the first failure; each further one doubles it.
const FIRST: Duration = Duration::from_millis(100);

/// The longest pause of all: an endpoint that comes back is found within seconds.
const LONGEST: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(super) struct Backoff {
    /// Since the last success.
    failures: u32,
    next: Option<Instant>,
}

impl Backoff {
    /// It did not work: whether it had worked before. The pause is anything up to the longest that is due, so that many processes which
    /// lost the same server do not come back at the same moment.
    pub(super) fn failed(&mut self, now: Instant) -> bool {
        let longest = longest(self.failures);
        // From 0 to 1, which is what `mul_f64` wants to be multiplied by.
        self.next = Some(now + longest.mul_f64(fastrand::f64()));
        self.failures = self.failures.saturating_add(1);
        self.failures == 1
    }

    /// It worked: whether it had failed before.
    pub(super) fn succeeded(&mut self) -> bool {
        self.next = None;
        std::mem::take(&mut self.failures) > 0
    }

    /// When to try next, if not at once.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }
}

fn longest(failures: u32) -> Duration {
    FIRST.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    // behaviour 52
    #[test]
    fn pauses_grow_to_a_few_seconds_and_are_spread() {
        let milliseconds: Vec<_> = (0..8).map(|failures| longest(failures).as_millis()).collect();
        assert_eq!(milliseconds, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(longest(u32::MAX), LONGEST, "for as long as one likes");

        let now = Instant::now();
        let mut backoff = Backoff { failures: 20, next: None };
        let pauses: Vec<_> = (0..200)
            .map(|_| {
                assert!(!backoff.failed(now), "it had failed before");
                backoff.next().map_or(Duration::ZERO, |next| next - now)
            })
            .collect();
        assert!(pauses.iter().all(|pause| *pause <= LONGEST));
        // That 200 numbers from a uniform distribution miss a quarter of it happens once in 10^25 runs.
        assert!(pauses.iter().any(|pause| *pause < LONGEST / 4) && pauses.iter().any(|pause| *pause > LONGEST / 4 * 3));
    }

    // behaviour 52
    #[test]
    fn a_success_starts_it_anew() {
        let mut backoff = Backoff::default();
        let now = Instant::now();
        assert!(!backoff.succeeded() && backoff.next().is_none(), "there was no failure");
        assert!(backoff.failed(now), "the first");
        (0..30).for_each(|_| assert!(!backoff.failed(now)));
        assert!(backoff.succeeded() && backoff.next().is_none());
        assert!(backoff.failed(now));
        assert!(backoff.next().is_some_and(|next| next <= now + FIRST));
    }
}
