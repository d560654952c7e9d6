//! From a reading of the time stamp counter to a point in time. (behaviour 41)
//!
//! A span reads the counter twice and nothing else. The flusher turns readings into time:
//!
//! * *Elapsed* time since the runtime began is the counter's, corrected against the operating system's monotonic
//!   clock. The correction is the ratio of the two since the beginning, so it gets better the longer the
//!   process runs, and a process that is up for months does not drift.
//! * The *wall clock* is added once per segment, when the flusher first sees it: start is wall-clock, all else is
//!   monotonic from there. A wall clock that steps in the middle of a trace does not move its spans against
//!   each other.
//!
//! Invariant: within a segment, the order of two readings is the order of their timestamps, and an end is never
//! before its start.

use std::time::{Duration, Instant as StdInstant, SystemTime, UNIX_EPOCH};

pub(crate) use fastant::Instant as Reading;

/// Between two looks at the operating system's clocks.
const REFRESH: Duration = Duration::from_secs(1);

/// Below this the ratio of the two clocks says more about the reading of them than about their rates.
const BASELINE: Duration = Duration::from_millis(200);

/// A wall-clock time as nanoseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct UnixNanos(pub(crate) u64);

impl UnixNanos {
    pub(crate) fn of(time: SystemTime) -> Self {
        // A time before 1970 is 1970; one beyond the year 2500 does not fit into 64 bits and is cut there.
        UnixNanos(nanos(time.duration_since(UNIX_EPOCH).unwrap_or_default()))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The two clocks side by side; the flusher has one.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    counter_origin: Reading,
    monotonic_origin: StdInstant,
    /// True nanoseconds per nanosecond that the counter shows.
    ratio: f64,
    refreshed: StdInstant,
    /// Wall clock at the origin, as the wall clock stands now.
    wall_origin: u64,
}

impl Clock {
    pub(crate) fn new() -> Self {
        let now = StdInstant::now();
        Clock {
            counter_origin: Reading::now(),
            monotonic_origin: now,
            ratio: 1.0,
            refreshed: now,
            wall_origin: UnixNanos::of(SystemTime::now()).0,
        }
    }

    /// Compares the clocks again, if the last time is long enough ago.
    pub(crate) fn refresh(&mut self, now: StdInstant) {
        if now.saturating_duration_since(self.refreshed) >= REFRESH {
            self.refreshed = now;
            self.compare(StdInstant::now(), Reading::now(), SystemTime::now());
        }
    }

    fn compare(&mut self, monotonic: StdInstant, counter: Reading, wall: SystemTime) {
        let elapsed = monotonic.saturating_duration_since(self.monotonic_origin);
        let shown = counter.duration_since(self.counter_origin);
        if elapsed >= BASELINE && !shown.is_zero() {
            self.ratio = elapsed.as_secs_f64() / shown.as_secs_f64();
        }
        self.wall_origin = UnixNanos::of(wall).0.saturating_sub(nanos(elapsed));
    }

    /// What a segment that is seen for the first time now adds to its spans' elapsed time.
    pub(crate) fn wall_origin(&self) -> u64 {
        self.wall_origin
    }

    /// The wall-clock time of a reading, for a segment with this wall origin.
    pub(crate) fn time(&self, reading: Reading, wall_origin: u64) -> UnixNanos {
        let offset = |duration: Duration| (duration.as_nanos() as f64 * self.ratio) as u64;
        UnixNanos(match reading.checked_duration_since(self.counter_origin) {
            Some(after) => wall_origin.saturating_add(offset(after)),
            None => wall_origin.saturating_sub(offset(self.counter_origin.duration_since(reading))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // behaviour 41
    #[test]
    fn a_wall_clock_that_steps_moves_no_span_of_a_segment_that_was_seen() {
        let mut clock = Clock::new();
        let seen = clock.wall_origin();
        let reading = Reading::now();
        let before = clock.time(reading, seen);
        let monotonic = StdInstant::now();
        clock.compare(monotonic, Reading::now(), SystemTime::now() - Duration::from_secs(7200));
        assert_eq!(clock.time(reading, seen), before);
        // A segment that starts now is told the new time.
        let after = clock.time(reading, clock.wall_origin());
        assert!(before.0 - after.0 > 7_000_000_000_000, "{before:?} {after:?}");
    }

    // behaviour 41
    #[test]
    fn the_order_of_readings_is_the_order_of_times() {
        let clock = Clock::new();
        let mut last = UnixNanos(0);
        for _ in 0..1000 {
            let time = clock.time(Reading::now(), clock.wall_origin());
            assert!(time >= last);
            last = time;
        }
        let now = UnixNanos::of(SystemTime::now());
        assert!(now.0.abs_diff(last.0) < 1_000_000_000, "{now:?} {last:?}");
    }

    #[test]
    fn a_counter_that_runs_fast_is_corrected() {
        let mut clock = Clock::new();
        let counter = clock.counter_origin + Duration::from_secs(101);
        clock.compare(clock.monotonic_origin + Duration::from_secs(100), counter, SystemTime::now());
        let time = clock.time(counter, 0).0;
        assert!(time.abs_diff(100_000_000_000) < 1_000_000, "{time}");
    }
}
