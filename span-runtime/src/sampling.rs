//! Whether a segment is sampled: decided once, at its start. (behaviours 23 to 27)
//!
//! # Invariants
//!
//! 1. The sampler wins over what was decided where the trace came from, and that over the fixed rate.
//! 2. What is decided here is `sample_rand < rate`, strictly, so that 0 samples nothing and 1 everything; and whoever decides by the same
//!    number and a higher rate samples what is sampled here.
//! 3. The sampler runs with nothing locked or borrowed, and spans that it starts record nothing.
#![expect(
    clippy::arithmetic_side_effects,
    reason = "one less than a number that was seen to be more than 0, or than a million"
)]

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::attributes::Value;
use crate::client::LossReason;
use crate::context;
use crate::ids::{SpanId, TraceId};
use crate::names;
use crate::record::{Attribute, Details, Site};
use crate::segment::Trace;

/// What was decided for a segment, and how.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Decision {
    pub(crate) sampled: bool,
    /// The rate, where it is known.
    pub(crate) rate: Option<f64>,
    /// Whether this process decided, and not the one that the trace came from.
    pub(crate) here: bool,
    /// Why it is not sampled, if it is not.
    pub(crate) loss: LossReason,
}

/// The rate that this process has for a segment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Rate {
    /// `traces_sample_rate`.
    Fixed(f64),
    /// What the sampler said.
    Sampler(f64),
    /// The sampler said something that is no rate.
    Invalid,
    /// The sampler panicked.
    Panicked,
}

/// Decides. `halvings` is how often the rate is halved because the pipeline is unhealthy.
pub(crate) fn decide(trace: &Trace, rate: Rate, halvings: u32) -> Decision {
    let origin = trace.origin.as_deref();
    let decision = |sampled, rate, here, loss| Decision { sampled, rate, here, loss };
    // What the rate would be if the pipeline were healthy, and who it comes from.
    let (healthy, here) = match (rate, origin.and_then(|origin| origin.sampled)) {
        (Rate::Panicked, _) => return decision(false, None, true, LossReason::CallbackError),
        (Rate::Invalid, _) => return decision(false, None, true, LossReason::SampleRate),
        (Rate::Sampler(rate), _) | (Rate::Fixed(rate), None) => (Some(rate), true),
        (Rate::Fixed(_), Some(sampled)) => {
            let rate = origin.and_then(|origin| origin.sample_rate);
            if !sampled || halvings == 0 {
                return decision(sampled, rate, false, LossReason::SampleRate);
            }
            (rate, false)
        }
    };
    let healthy_rate = healthy.unwrap_or(1.0);
    let rate = healthy_rate / f64::from(1_u32 << halvings.min(MOST_HALVINGS));
    let sampled = trace.sample_rand < rate;
    // The parent was sampled whatever the number says; only the halving can have been against it.
    let would_be = trace.sample_rand < healthy_rate || !here;
    let loss = if would_be && halvings > 0 { LossReason::Backpressure } else { LossReason::SampleRate };
    decision(sampled, if here { Some(rate) } else { healthy }, here, loss)
}

/// How far the rate is lowered at most: to 2^-10.
pub(crate) const MOST_HALVINGS: u32 = 10;

/// A number for a trace that came without one: one by which its decision would have been made at its rate, and the same one in every
/// process that makes it up, because it comes from the trace's id. (behaviour 25)
pub(crate) fn agreeing_rand(id: TraceId, sampled: Option<bool>, rate: Option<f64>) -> f64 {
    const ALL: u32 = 1_000_000;
    let id = id.as_u128();
    let mut random = fastrand::Rng::with_seed((id >> 64) as u64 ^ id as u64);
    // How many of the numbers with six decimals are below the rate.
    let below = |rate: f64| {
        // Between 0 and a million, as the rate is between 0 and 1.
        let count = (rate * f64::from(ALL)).ceil() as u32;
        if count > 0 && f64::from(count - 1) / f64::from(ALL) >= rate { count - 1 } else { count }
    };
    let numbers = match (sampled, rate) {
        // A rate of 0 that sampled, or of 1 that did not, agrees with nothing; the nearest is taken.
        (Some(true), Some(rate)) => 0..below(rate).max(1),
        (Some(false), Some(rate)) => below(rate).min(ALL - 1)..ALL,
        _ => 0..ALL,
    };
    f64::from(random.u32(numbers)) / f64::from(ALL)
}

/// Decides by which rate a segment is sampled.
pub(crate) type TracesSampler = Arc<dyn Fn(&SamplingContext<'_>) -> f64 + Send + Sync>;

/// What a [`traces_sampler`](crate::Options::traces_sampler) can decide on: what is known when a segment starts.
pub struct SamplingContext<'a> {
    name: &'a str,
    start: StartAttributes<'a>,
    trace: &'a Trace,
}

impl<'a> SamplingContext<'a> {
    pub(crate) fn new(name: &'a str, start: StartAttributes<'a>, trace: &'a Trace) -> Self {
        SamplingContext { name, start, trace }
    }

    /// The name that the segment starts with.
    pub fn name(&self) -> &str {
        self.name
    }

    /// The attribute with this key, if the span starts with it, or if whoever continued the trace
    /// [added it](crate::TraceScope::sampling_attribute) for the sampler.
    pub fn attribute(&self, key: &str) -> Option<&Value> {
        let added = || self.trace.origin.as_ref()?.for_sampler.iter().find(|attribute| attribute.key == key);
        self.start.get(key).or_else(|| added().map(|attribute| &attribute.value))
    }

    /// The trace that the segment belongs to.
    pub fn trace_id(&self) -> TraceId {
        self.trace.id
    }

    /// The parent in another process.
    pub fn parent_span_id(&self) -> Option<SpanId> {
        self.trace.parent_id()
    }

    /// What was decided there. `None` if there is no parent, or if it left the decision open.
    pub fn parent_sampled(&self) -> Option<bool> {
        self.trace.parent_sampled()
    }

    /// The rate by which it was decided there, from 0 to 1, where that is known.
    pub fn parent_sample_rate(&self) -> Option<f64> {
        self.trace.origin.as_ref()?.sample_rate
    }
}

impl fmt::Debug for SamplingContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SamplingContext")
            .field("name", &self.name)
            .field("trace_id", &self.trace.id)
            .field("parent_sampled", &self.parent_sampled())
            .finish_non_exhaustive()
    }
}

/// The attributes that a span starts with.
#[derive(Debug)]
pub(crate) struct StartAttributes<'a> {
    attributes: &'a [Attribute],
    op: Option<Value>,
}

impl<'a> StartAttributes<'a> {
    pub(crate) fn of(site: Site, details: &'a Details) -> Self {
        StartAttributes { attributes: &details.attributes, op: site.op().map(Value::from_static) }
    }

    /// Those of something that has an operation and nothing else.
    #[cfg(feature = "legacy")]
    pub(crate) fn of_op(op: &str) -> Self {
        StartAttributes { attributes: &[], op: Some(Value::of(op)) }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        let own = self.attributes.iter().find(|attribute| attribute.key == key).map(|attribute| &attribute.value);
        own.or_else(|| self.op.as_ref().filter(|_| key == names::OP))
    }
}

/// Asks the sampler. To be called with nothing borrowed.
pub(crate) fn ask(sampler: &TracesSampler, context: &SamplingContext<'_>) -> Rate {
    match context::call_user(|| sampler(context)) {
        Some(rate) if (0.0..=1.0).contains(&rate) => Rate::Sampler(rate),
        Some(rate) => {
            context::say_once(&INVALID, || {
                log::warn!(
                    "sentry: traces_sampler returned {rate} for `{}`, which is not sampled; a number from 0 (nothing) to 1 (everything) \
                     would work. This is said once",
                    context.name
                );
            });
            Rate::Invalid
        }
        None => {
            context::say_once(&PANICKED, || {
                log::error!(
                    "sentry: traces_sampler panicked for `{}`, which is not sampled. This is said once",
                    context.name
                );
            });
            Rate::Panicked
        }
    }
}

static INVALID: AtomicBool = AtomicBool::new(false);
static PANICKED: AtomicBool = AtomicBool::new(false);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::propagation::{Incoming, SentryTrace};

    fn trace(header: &str, baggage: &str) -> Trace {
        let headers = [("sentry-trace", header), ("baggage", baggage)];
        Trace::continued(Incoming::from_headers(headers).expect("a trace"))
    }

    fn here(sample_rand: f64) -> Trace {
        let mut trace = Trace::new(&mut crate::ids::Generator::seeded());
        trace.sample_rand = sample_rand;
        trace
    }

    const PARENT: &str = "771a43a4192642f0b136d5159a501700-b7ad6b7169203331";

    // behaviour 23
    #[test]
    fn strictly_below_the_rate() {
        let sampled = |rand, rate| decide(&here(rand), Rate::Fixed(rate), 0).sampled;
        assert!(!sampled(0.0, 0.0));
        assert!(!sampled(0.5, 0.5));
        assert!(sampled(0.499_999, 0.5));
        assert!(sampled(0.999_999, 1.0));
    }

    // behaviour 23
    #[test]
    fn the_sampler_wins_over_the_parent_and_the_parent_over_the_rate() {
        for (flag, sampled) in [("-1", true), ("-0", false)] {
            let trace = trace(&format!("{PARENT}{flag}"), "sentry-sample_rand=0.5,sentry-sample_rate=0.25");
            for rate in [0.0, 1.0] {
                let decision = decide(&trace, Rate::Fixed(rate), 0);
                assert_eq!((decision.sampled, decision.rate, decision.here), (sampled, Some(0.25), false));
                let decision = decide(&trace, Rate::Sampler(rate), 0);
                assert_eq!((decision.sampled, decision.rate, decision.here), (rate > 0.5, Some(rate), true));
            }
        }
        let open = trace(PARENT, "sentry-sample_rand=0.5");
        assert!(decide(&open, Rate::Fixed(0.6), 0).sampled && !decide(&open, Rate::Fixed(0.5), 0).sampled);
    }

    // behaviours 24, 27
    #[test]
    fn each_loss_has_its_reason() {
        let loss = |rand, rate, halvings| {
            let decision = decide(&here(rand), rate, halvings);
            assert!(!decision.sampled);
            decision.loss
        };
        assert_eq!(loss(0.5, Rate::Fixed(0.5), 0), LossReason::SampleRate);
        assert_eq!(loss(0.5, Rate::Invalid, 0), LossReason::SampleRate);
        assert_eq!(loss(0.0, Rate::Panicked, 3), LossReason::CallbackError);
        assert_eq!(loss(0.3, Rate::Fixed(0.5), 1), LossReason::Backpressure);
        assert_eq!(loss(0.6, Rate::Sampler(0.5), 1), LossReason::SampleRate);
        assert_eq!(decide(&here(0.2), Rate::Fixed(0.5), 1).rate, Some(0.25), "the rate that was used is what is told");
        assert!(decide(&here(0.000_9), Rate::Fixed(1.0), 99).sampled, "2^-10 is the least");
        // Those that the parent sampled are thinned out as well, by the parent's rate.
        let parent =
            |rand: f64| trace(&format!("{PARENT}-1"), &format!("sentry-sample_rand={rand},sentry-sample_rate=0.5"));
        assert!(decide(&parent(0.2), Rate::Fixed(1.0), 1).sampled);
        let lost = decide(&parent(0.3), Rate::Fixed(1.0), 1);
        assert_eq!((lost.sampled, lost.rate, lost.loss), (false, Some(0.5), LossReason::Backpressure));
    }

    // behaviour 25
    #[test]
    fn a_number_that_is_made_up_agrees_with_what_came_in() {
        let mut ids = crate::ids::Generator::seeded();
        for rate in [1e-9, 0.000_001, 0.1, 0.25, 1.0 / 3.0, 0.7, 0.999_999, 1.0] {
            for _ in 0..1000 {
                let id = ids.trace_id();
                let sampled = agreeing_rand(id, Some(true), Some(rate));
                assert!(sampled < rate, "{sampled} {rate}");
                let unsampled = agreeing_rand(id, Some(false), Some(rate));
                assert!((unsampled >= rate || rate == 1.0) && unsampled < 1.0, "{unsampled} {rate}");
                assert_eq!(sampled, agreeing_rand(id, Some(true), Some(rate)), "the same in every process");
                let any = agreeing_rand(id, None, Some(rate));
                assert!((0.0..1.0).contains(&any) && format!("{any}").len() <= 8);
            }
        }
        assert!((0.0..1.0).contains(&agreeing_rand(ids.trace_id(), Some(true), Some(0.0))));
        assert!(SentryTrace::parse(PARENT).is_some());
    }
}
