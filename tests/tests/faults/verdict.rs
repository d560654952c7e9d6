//! What must hold whatever happened.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value;
use span_runtime::testing::Span;
use span_runtime::{LossReason, Stats};

use super::weather::{Delivery, Outcome};
use super::work::{Ledger, Started};
use super::{Closing, Tally, lock};

/// All that is known of a round.
pub(crate) struct Evidence<'a> {
    pub(crate) max_buffer_bytes: usize,
    pub(crate) stats: &'a Stats,
    /// Whether the runtime closed in front of a server in bad health. It gives up on what is being sent, and so may not see its answer.
    pub(crate) closing: Option<Closing>,
    pub(crate) ledger: &'a Ledger,
    pub(crate) deliveries: &'a [Delivery],
}

/// An answer that was given less than this before a close may not have been read by then.
const UNREAD: Duration = Duration::from_secs(1);

/// What the server said of a span.
#[derive(Debug, Default)]
struct Fate {
    /// The answer that is final, and that the client has seen.
    settled: Option<Outcome>,
    /// Answers that are final, and that the client may not have seen.
    perhaps: Vec<Outcome>,
}

impl Evidence<'_> {
    /// Checks everything, and counts.
    pub(crate) fn judge(&self) -> Tally {
        let started = lock(&self.ledger.spans).iter().map(|span| (span.serial, *span)).collect();
        self.check_contexts();
        let fates = self.fates(&started);
        let is_final = self.closing.is_none_or(|closing| closing.is_final);
        if is_final {
            self.check_sums(started.len() as u64);
            self.check_answers(&fates);
            self.check_reports();
        }
        Tally {
            rounds: 1,
            unfinished: u64::from(!is_final),
            started: self.stats.started,
            sent: self.stats.sent,
            lost: LossReason::ALL.iter().map(|reason| (reason.as_str(), self.stats.lost.get(*reason))).collect(),
            envelopes: self.deliveries.len() as u64,
            uncertain: fates.values().filter(|fate| fate.settled.is_none() && !fate.perhaps.is_empty()).count() as u64,
        }
    }

    /// Every envelope of a trace has the same context.
    fn check_contexts(&self) {
        let mut contexts: HashMap<&str, &Value> = HashMap::new();
        for delivery in self.deliveries {
            if let (Some(trace), Some(context)) = (delivery.envelope.trace_id(), delivery.envelope.header.get("trace"))
            {
                let first = contexts.entry(trace).or_insert(context);
                assert_eq!(*first, context, "the context of a trace does not change");
            }
        }
    }

    /// Whether the client has seen an answer.
    fn is_certain(&self, delivery: &Delivery) -> bool {
        delivery.certain && self.closing.is_none_or(|closing| delivery.answered + UNREAD < closing.begin)
    }

    /// What became of each span that arrived: each is one that was started, as it was started, and does not come again after it was settled.
    fn fates(&self, started: &HashMap<u64, Started>) -> HashMap<u64, Fate> {
        let mut fates: HashMap<u64, Fate> = HashMap::new();
        for delivery in self.deliveries {
            for span in delivery.envelope.spans() {
                let serial = span.attribute("serial").and_then(Value::as_u64).expect("each span has its number");
                check_span(span, started.get(&serial));
                let fate = fates.entry(serial).or_default();
                // A request that was left behind when its time was up may be read after the one in its place.
                let again = fate.settled.filter(|_| delivery.timely);
                assert_eq!(again, None, "{} was settled and came again: {:?}", span.name, delivery.outcome);
                match delivery.outcome {
                    Outcome::Unanswered => {}
                    outcome if self.is_certain(delivery) => fate.settled = Some(outcome),
                    outcome => fate.perhaps.push(outcome),
                }
            }
        }
        fates
    }

    /// Started = sent + lost, and nothing is lost for a reason that cannot be.
    fn check_sums(&self, to_send: u64) {
        let (stats, ledger) = (self.stats, self.ledger);
        assert_eq!((stats.open, stats.buffered), (0, 0), "{stats:?}");
        assert_eq!(stats.started, stats.sent + stats.lost.total(), "{stats:?}");
        assert_eq!(stats.started, ledger.started.load(Ordering::Relaxed), "each start is counted: {stats:?}");
        let unsent = ledger.unsent.load(Ordering::Relaxed);
        assert_eq!(stats.started, to_send + unsent, "{stats:?}");
        let lost = |reason| stats.lost.get(reason);
        let callback = lost(LossReason::CallbackError);
        let known = lost(LossReason::SampleRate) + lost(LossReason::Ignored) + lost(LossReason::Backpressure);
        assert!((known..=known + callback).contains(&unsent), "{unsent} were not to be sent: {stats:?}");
        assert_eq!(lost(LossReason::InternalSdkError), 0, "{stats:?}");
        // Chunks are kept for what comes next, up to a quarter of the bound; all else is given back.
        assert!(self.closing.is_some() || stats.buffered_bytes <= self.max_buffer_bytes / 2, "{stats:?}");
    }

    /// The client has seen what the server said.
    fn check_answers(&self, fates: &HashMap<u64, Fate>) {
        let between = |what: &str, counted: u64, is: fn(Outcome) -> bool| {
            let settled = |fate: &&Fate| fate.settled.is_some_and(is);
            let perhaps = |fate: &&Fate| fate.settled.is_none() && fate.perhaps.iter().any(|outcome| is(*outcome));
            let least = fates.values().filter(settled).count() as u64;
            let most = least + fates.values().filter(perhaps).count() as u64;
            let stats = self.stats;
            assert!((least..=most).contains(&counted), "{what}: {counted}, not from {least} to {most}: {stats:?}");
        };
        let stats = self.stats;
        between("sent", stats.sent, |outcome| matches!(outcome, Outcome::Taken | Outcome::RateLimited));
        between("rate limited", stats.rate_limited, |outcome| outcome == Outcome::RateLimited);
        between("refused", stats.lost.get(LossReason::SendError), |outcome| outcome == Outcome::Refused);
    }

    /// No loss is reported that was none.
    fn check_reports(&self) {
        let mut reported: HashMap<&str, u64> = HashMap::new();
        for delivery in self.deliveries {
            if delivery.outcome == Outcome::Taken && self.is_certain(delivery) {
                for (reason, category, quantity) in delivery.envelope.client_reports() {
                    assert_eq!(category, "span", "{reason}");
                    *reported.entry(reason).or_default() += quantity;
                }
            }
        }
        for reason in LossReason::ALL {
            let told = reported.remove(reason.as_str()).unwrap_or(0);
            let lost = self.stats.lost.get(*reason);
            assert!(told <= lost, "{reason:?}: {told} were reported, {lost} lost");
        }
        assert!(reported.is_empty(), "{reported:?}");
    }
}

/// A span arrived as it was started.
fn check_span(span: &Span, started: Option<&Started>) {
    let Some(started) = started else { panic!("{span:?} was not started, or was not to be sent") };
    assert_eq!(span.trace_id, started.trace.to_string(), "{span:?}");
    assert_eq!(span.span_id, started.id.to_string(), "{span:?}");
    assert_eq!(span.parent_span_id, started.parent.map(|id| id.to_string()), "{span:?}");
    assert_eq!(span.text("expected.parent"), Some(span.parent_span_id.as_deref().unwrap_or("none")), "{span:?}");
    assert_eq!(span.text("sentry.segment.id"), Some(&*started.segment.to_string()), "{span:?}");
    assert_eq!(span.is_segment, started.segment == started.id, "{span:?}");
    let name = span.name.strip_suffix(", seen").unwrap_or(&span.name);
    assert_eq!(name, started.name, "{span:?}");
}
