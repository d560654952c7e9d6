//! Until when the server wants to be spared. (behaviour 52; rate limiting, Sentry's SDK documents)
//!
//! Invariant: a pause only ever gets longer by what an answer says, and none is longer than [`LONGEST`].

use std::time::{Duration, Instant, SystemTime};

use super::Response;
use crate::client::Load;

/// The pause after a 429 that names none.
const BARE: Duration = Duration::from_secs(60);

/// A mistaken header must not switch a service's spans off for good.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The most entries of a header that are read.
const MOST_ENTRIES: usize = 1000;

/// By category, until when nothing is to be sent.
#[derive(Debug, Default, Clone)]
pub(crate) struct RateLimits {
    all: Option<Instant>,
    spans: Option<Instant>,
    #[cfg(feature = "legacy")]
    transactions: Option<Instant>,
}

impl RateLimits {
    /// Takes in what an answer says: `X-Sentry-Rate-Limits` whatever its status, or else, with status 429, `Retry-After`.
    pub(crate) fn update(&mut self, response: &Response, now: Instant, wall: SystemTime) {
        if let Some(header) = &response.rate_limits {
            self.read(header, now);
        } else if response.status == 429 {
            let pause = response.retry_after.as_deref().and_then(|text| retry_after(text, wall)).unwrap_or(BARE);
            extend(&mut self.all, pause, now);
        }
    }

    /// Reads `seconds:category;category:scope:...`, separated by commas. What cannot be read is passed over, one by one.
    fn read(&mut self, header: &str, now: Instant) {
        for entry in header.split(',').take(MOST_ENTRIES) {
            let mut parts = entry.split(':').map(str::trim);
            let Some(pause) = parts.next().and_then(seconds) else { continue };
            let Some(categories) = parts.next() else { continue };
            for category in categories.split(';').map(str::trim) {
                match category {
                    "" => extend(&mut self.all, pause, now),
                    "span" => extend(&mut self.spans, pause, now),
                    #[cfg(feature = "legacy")]
                    "transaction" => extend(&mut self.transactions, pause, now),
                    _ => {}
                }
            }
        }
    }

    /// Until when no spans are to be sent, if that is still to come.
    pub(crate) fn spans_until(&self, now: Instant) -> Option<Instant> {
        self.all.max(self.spans).filter(|until| *until > now)
    }

    /// The same for transactions.
    #[cfg(feature = "legacy")]
    pub(crate) fn transactions_until(&self, now: Instant) -> Option<Instant> {
        self.all.max(self.transactions).filter(|until| *until > now)
    }

    /// Whether what an envelope carries is not to be sent now.
    pub(crate) fn cover(&self, load: Load, now: Instant) -> bool {
        #[cfg(feature = "legacy")]
        if load.transactions > 0 {
            return self.transactions_until(now).is_some();
        }
        let until = if load.spans > 0 { self.spans_until(now) } else { self.everything_until(now) };
        until.is_some()
    }

    /// Until when nothing at all is to be sent, not even a report.
    pub(crate) fn everything_until(&self, now: Instant) -> Option<Instant> {
        self.all.filter(|until| *until > now)
    }
}

fn extend(until: &mut Option<Instant>, pause: Duration, now: Instant) {
    *until = (*until).max(now.checked_add(pause.min(LONGEST)));
}

/// A number of seconds, with a fraction or without.
fn seconds(text: &str) -> Option<Duration> {
    let seconds: f64 = text.parse().ok().filter(|seconds: &f64| seconds.is_finite() && *seconds >= 0.0)?;
    Some(Duration::from_secs_f64(seconds.ceil().min(LONGEST.as_secs_f64())))
}

/// Seconds, or a date. A date that has passed is no pause.
fn retry_after(text: &str, wall: SystemTime) -> Option<Duration> {
    let text = text.trim();
    let date = || httpdate::parse_http_date(text).ok().map(|date| date.duration_since(wall).unwrap_or_default());
    seconds(text).or_else(date)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For how many seconds spans, everything, and (in builds that have them) transactions are paused.
    fn pauses(status: u16, rate_limits: Option<&str>, retry_after: Option<&str>) -> (u64, u64) {
        let (now, wall) = (Instant::now(), SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777));
        let mut limits = RateLimits::default();
        let response = Response {
            status,
            rate_limits: rate_limits.map(str::to_owned),
            retry_after: retry_after.map(str::to_owned),
        };
        limits.update(&response, now, wall);
        let left = |until: Option<Instant>| until.map_or(0, |until| until.duration_since(now).as_secs());
        (left(limits.spans_until(now)), left(limits.everything_until(now)))
    }

    // behaviour 52
    #[test]
    fn the_header_counts_whatever_the_status() {
        for (header, expected) in [
            ("60:span:organization", (60, 0)),
            (" 60 : error;span : key : reason : ns , 5:transaction", (60, 0)),
            ("10::organization", (10, 10)),
            ("10:;error", (10, 10)),
            ("5:span, 70:span:key, 30:span", (70, 0)),
            ("2.1:span", (3, 0)),
            ("60:error;log_item:organization", (0, 0)),
            ("60", (0, 0)),
            ("", (0, 0)),
            ("x:span,-1:span,nan:span,inf:span,:span,7:span", (7, 0)),
            ("1e300:span", (86_400, 0)),
        ] {
            for status in [200, 429, 503] {
                assert_eq!(pauses(status, Some(header), Some("99")), expected, "{header} {status}");
            }
        }
        assert_eq!(pauses(200, Some(&"9:error,".repeat(1 << 20)), None), (0, 0));
    }

    // behaviour 52
    #[test]
    fn retry_after_counts_with_429_only() {
        for (header, expected) in [
            (None, 60),
            (Some("7"), 7),
            (Some(" 1.5 "), 2),
            (Some("0"), 0),
            (Some("Sun, 06 Nov 1994 08:50:37 GMT"), 60 + 12 - 12),
            (Some("Sun, 06 Nov 1994 08:00:00 GMT"), 0),
            (Some("soon"), 60),
            (Some(""), 60),
            (Some("999999999"), 86_400),
        ] {
            assert_eq!(pauses(429, None, header), (expected, expected), "{header:?}");
            assert_eq!(pauses(503, None, header), (0, 0), "{header:?}");
        }
    }

    // behaviour 52
    #[test]
    fn a_shorter_pause_does_not_shorten_a_longer_one() {
        let now = Instant::now();
        let mut limits = RateLimits::default();
        for seconds in ["60", "5"] {
            let response = Response { retry_after: Some(seconds.into()), ..Response::new(429) };
            limits.update(&response, now, SystemTime::now());
        }
        assert_eq!(limits.spans_until(now), now.checked_add(Duration::from_secs(60)));
        assert_eq!(limits.spans_until(now + Duration::from_secs(61)), None, "it ends by itself");
    }
}
