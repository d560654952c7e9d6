//! What a round does, drawn from its seed.

use std::net::SocketAddr;
use std::time::Duration;

use fastrand::Rng;
use span_runtime::{FinishedSpan, IgnoreRule, Options, SamplingContext, start_span};

/// Spans of this name are ignored where the plan says so.
pub(crate) const IGNORED: &str = "ignored";

/// All that is drawn before a round begins.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) max_buffer_bytes: usize,
    pub(crate) request_timeout: Duration,
    retry_timeout: Duration,
    pub(crate) sampling: Sampling,
    pub(crate) ignores: bool,
    hook: Hook,
    pooled: bool,
    backpressure: bool,
    reports: bool,
    /// How many threads produce, for how long, and how many spans all of them may start.
    pub(crate) producers: usize,
    pub(crate) time: Duration,
    pub(crate) most_spans: usize,
    /// How long a producer pauses between two pieces of work, at most.
    pub(crate) pause: Duration,
    /// How likely it is that an attribute is large.
    pub(crate) large: f64,
    /// How likely a flush is each time that somebody thinks of it.
    pub(crate) flushes: f64,
    /// How likely a fault is while the weather is bad, and how likely it is that the server is gone then.
    pub(crate) faults: f64,
    pub(crate) gone: f64,
    pub(crate) ending: Ending,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Sampling {
    Rate(f64),
    /// A function, which does not always say what it should.
    Sampler,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Hook {
    None,
    /// It changes each span.
    Changes,
    /// It panics at some.
    Panics,
    /// It takes its time.
    Slow,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Ending {
    /// The server recovers, and everything is sent.
    Flush,
    /// The runtime, which is that of the process, closes in front of the server as it is.
    Close(Duration),
}

impl Plan {
    pub(crate) fn draw(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let rng = &mut rng;
        let seconds = Duration::from_secs;
        Plan {
            seed,
            max_buffer_bytes: one_of(rng, [1 << 20, 2 << 20, 8 << 20, 64 << 20]),
            request_timeout: one_of(rng, [seconds(4), seconds(6)]),
            retry_timeout: one_of(rng, [Duration::ZERO, seconds(1), seconds(5), seconds(300), seconds(300)]),
            sampling: one_of(
                rng,
                [Sampling::Rate(1.0), Sampling::Rate(1.0), Sampling::Rate(0.5), Sampling::Rate(0.0), Sampling::Sampler],
            ),
            ignores: rng.bool(),
            hook: one_of(rng, [Hook::None, Hook::None, Hook::Changes, Hook::Panics, Hook::Slow]),
            pooled: rng.bool(),
            backpressure: rng.bool(),
            reports: rng.f64() < 0.8,
            producers: rng.usize(1..7),
            time: Duration::from_millis(rng.u64(100..2_000)),
            most_spans: one_of(rng, [500, 5_000, 20_000, 40_000]),
            pause: one_of(rng, [Duration::ZERO, Duration::from_millis(2), Duration::from_millis(20)]),
            large: one_of(rng, [0.0, 0.001, 0.02]),
            flushes: one_of(rng, [0.0, 0.1, 0.9]),
            faults: one_of(rng, [0.0, 0.3, 0.7, 1.0]),
            gone: one_of(rng, [0.0, 0.2, 0.6]),
            ending: match rng.u8(0..4) {
                0 => Ending::Close(Duration::from_millis(rng.u64(0..1_500))),
                _ => Ending::Flush,
            },
        }
    }

    /// One in which only the server has faults.
    pub(crate) fn plain(pooled: bool) -> Self {
        Plan {
            max_buffer_bytes: 2 << 20,
            request_timeout: Duration::from_secs(4),
            retry_timeout: Duration::from_secs(300),
            sampling: Sampling::Rate(1.0),
            ignores: false,
            hook: Hook::None,
            pooled,
            backpressure: false,
            reports: true,
            large: 0.0,
            ending: Ending::Flush,
            ..Plan::draw(0)
        }
    }

    /// A generator for one part of the round.
    pub(crate) fn rng(&self, part: &str) -> Rng {
        let part = part.bytes().fold(self.seed, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
        Rng::with_seed(part ^ 0x9e37_79b9_7f4a_7c15)
    }

    pub(crate) fn options(&self, server: SocketAddr) -> Options {
        let options = Options::new()
            .dsn(format!("http://0123456789abcdef0123456789abcdef@{server}/42"))
            .max_buffer_bytes(self.max_buffer_bytes)
            .request_timeout(self.request_timeout)
            .retry_timeout(self.retry_timeout)
            .pooled_transport(self.pooled)
            .enable_backpressure_handling(self.backpressure)
            .send_client_reports(self.reports);
        let options = match self.sampling {
            Sampling::Rate(rate) => options.traces_sample_rate(rate),
            Sampling::Sampler => options.traces_sampler(sample),
        };
        let options = match self.ignores {
            true => options.ignore_spans([IgnoreRule::name(IGNORED)]),
            false => options,
        };
        match self.hook {
            Hook::None => options,
            Hook::Changes => options.before_send_span(change),
            Hook::Panics => options.before_send_span(|span| {
                if span.attribute("serial").and_then(|serial| serial.as_i64()).is_some_and(|serial| serial % 7 == 0) {
                    panic_quietly();
                }
                change(span);
            }),
            Hook::Slow => options.before_send_span(|span| {
                std::thread::sleep(Duration::from_micros(100));
                change(span);
            }),
        }
    }
}

fn one_of<T: Copy, const N: usize>(rng: &mut Rng, all: [T; N]) -> T {
    all[rng.usize(0..N)]
}

/// A panic without its words, which would stand in the output.
pub(crate) fn panic_quietly() {
    std::panic::resume_unwind(Box::new("a fault of the user's"));
}

fn sample(context: &SamplingContext<'_>) -> f64 {
    // Records nothing here.
    start_span("in the sampler").start().end();
    match context.trace_id().to_string().as_bytes().last() {
        Some(b'0') => f64::NAN,
        Some(b'1') => 7.0,
        Some(b'2') => {
            panic_quietly();
            0.0
        }
        Some(b'3') => 0.0,
        Some(b'4') => 0.5,
        _ => 1.0,
    }
}

fn change(span: &mut FinishedSpan<'_>) {
    // Nor here.
    start_span("in the hook").start().end();
    span.set_attribute("seen", true);
    if !span.is_segment() {
        span.set_name(format!("{}, seen", span.name()));
    }
}
