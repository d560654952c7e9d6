//! Trace and span ids: random, never zero, from a generator that each thread seeds from the operating system.
//! (behaviour 42)

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU64;
use std::process;
use std::time::SystemTime;

/// The id of a trace: 16 random bytes, never all zero. Prints as 32 lowercase hexadecimal digits.
///
/// ```
/// # use span_runtime::TraceId;
/// let id: TraceId = "771a43a4192642f0b136d5159a501700".parse()?;
/// assert_eq!(id.to_string(), "771a43a4192642f0b136d5159a501700");
/// assert!("00000000000000000000000000000000".parse::<TraceId>().is_err());
/// # Ok::<(), span_runtime::ParseIdError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId(u128);

/// The id of a span within its trace: 8 random bytes, never all zero. Prints as 16 lowercase hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpanId(NonZeroU64);

/// An id could not be read from text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseIdError {
    digits: usize,
    given: String,
}

impl fmt::Display for ParseIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no id: {} hexadecimal digits that are not all zero would be one", self.given, self.digits)
    }
}

impl std::error::Error for ParseIdError {}

/// Reads exactly so many digits, 32 at most, that are not all zero.
fn parse_hex(text: &str, digits: usize) -> Result<u128, ParseIdError> {
    let append = |id: u128, byte: u8| Some(id << 4 | u128::from(char::from(byte).to_digit(16)?));
    let id = if text.len() == digits { text.bytes().try_fold(0, append) } else { None };
    id.filter(|&id| id != 0).ok_or_else(|| ParseIdError { digits, given: text.chars().take(40).collect() })
}

impl TraceId {
    /// In place of an id where there is none yet.
    pub(crate) const MAX: TraceId = TraceId(u128::MAX);

    pub(crate) fn as_u128(self) -> u128 {
        self.0
    }
}

impl SpanId {
    /// In place of an id where there is none yet.
    pub(crate) const MAX: SpanId = SpanId(NonZeroU64::MAX);

    #[inline]
    pub(crate) fn as_u64(self) -> u64 {
        self.0.get()
    }
}

impl std::str::FromStr for TraceId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        parse_hex(text, 32).map(TraceId)
    }
}

impl std::str::FromStr for SpanId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        // 16 digits fit into 64 bits, and `parse_hex` has refused zero.
        let id = parse_hex(text, 16)?;
        match NonZeroU64::new(id as u64) {
            Some(id) => Ok(SpanId(id)),
            None => Err(ParseIdError { digits: 16, given: text.to_owned() }),
        }
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Makes ids. Each thread has one.
#[derive(Debug)]
pub(crate) struct Generator {
    low: fastrand::Rng,
    /// The other half of a trace id has a seed of its own: one 64-bit state cannot give 128 random bits.
    high: fastrand::Rng,
}

impl Generator {
    /// A generator that is seeded from the operating system, by way of the keys of the standard library's hasher.
    pub(crate) fn seeded() -> Self {
        Generator { low: fastrand::Rng::with_seed(random_seed()), high: fastrand::Rng::with_seed(random_seed()) }
    }

    #[inline]
    pub(crate) fn span_id(&mut self) -> SpanId {
        loop {
            if let Some(id) = NonZeroU64::new(self.low.u64(..)) {
                return SpanId(id);
            }
        }
    }

    pub(crate) fn trace_id(&mut self) -> TraceId {
        loop {
            let id = u128::from(self.high.u64(..)) << 64 | u128::from(self.low.u64(..));
            if id != 0 {
                return TraceId(id);
            }
        }
    }

    /// A random number in [0, 1) with six decimals. (behaviour 25)
    pub(crate) fn sample_rand(&mut self) -> f64 {
        f64::from(self.high.u32(..1_000_000)) / 1e6
    }
}

fn random_seed() -> u64 {
    // Keys from the operating system's generator, which a thread gets once and then counts on from. A process that was forked has those of
    // its parent; what is hashed under them is another there.
    RandomState::new().hash_one((process::id(), SystemTime::now()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    // behaviour 42
    #[test]
    fn ids_are_distinct_over_threads_and_never_zero() {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                std::thread::spawn(|| {
                    let mut ids = Generator::seeded();
                    (0..10_000).map(|_| (ids.span_id(), ids.trace_id())).collect::<Vec<_>>()
                })
            })
            .collect();
        let (mut spans, mut traces) = (HashSet::new(), HashSet::new());
        for thread in threads {
            for (span, trace) in thread.join().expect("the thread generates ids") {
                assert!(span.as_u64() != 0 && trace.as_u128() != 0);
                assert!(spans.insert(span) && traces.insert(trace));
            }
        }
    }

    #[test]
    fn ids_round_trip_and_bad_ones_are_refused() {
        let mut ids = Generator::seeded();
        let (span, trace) = (ids.span_id(), ids.trace_id());
        assert_eq!(span.to_string().parse(), Ok(span));
        assert_eq!(trace.to_string().parse(), Ok(trace));
        for bad in ["", "0", "0000000000000000", "+234567890123456", "12345678901234567", "123456789012345g", "１２"]
        {
            let error = bad.parse::<SpanId>().expect_err("not an id");
            assert!(error.to_string().contains("16 hexadecimal digits"), "{error}");
        }
    }

    #[test]
    fn sample_rand_has_six_decimals_in_the_unit_interval() {
        let mut ids = Generator::seeded();
        for _ in 0..10_000 {
            let rand = ids.sample_rand();
            assert!((0.0..1.0).contains(&rand));
            assert!(format!("{rand}").len() <= "0.123456".len());
        }
    }
}
