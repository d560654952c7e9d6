//! The dynamic sampling context of a trace. (behaviours 30, 32, 43)

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use super::Baggage;
use crate::client::Settings;
use crate::protocol::{json, write_context};
use crate::segment::{Segment, Trace};

/// A sampling context that does not change any more.
#[derive(Debug)]
pub(crate) struct Dsc {
    context: Context,
    process: Arc<ProcessContext>,
    /// For the header `baggage` of requests, once one was asked for: most traces never leave the process.
    baggage: OnceLock<Box<str>>,
}

#[derive(Debug)]
enum Context {
    /// As it came with the trace.
    AsItCame,
    /// The same, with the rate at which this process decided.
    Came(Box<Baggage>),
    /// What was known here when it was settled, beside what never changes.
    Made { sample_rate: Option<f64>, sampled: bool, transaction: Option<Cow<'static, str>> },
}

/// What is the same for all traces that begin in a process. Apart from the settings, because a trace may be asked for its headers when the
/// runtime that settled its context is gone.
#[derive(Debug)]
pub(crate) struct ProcessContext {
    public_key: String,
    /// What stands behind the random number.
    behind_rand: Vec<(&'static str, String)>,
}

impl ProcessContext {
    pub(crate) fn new(settings: &Settings) -> Self {
        ProcessContext {
            public_key: settings.dsn.public_key().to_owned(),
            behind_rand: constant(settings).map(|(key, value)| (key, value.to_owned())).collect(),
        }
    }
}

/// What of the header `trace` is the same for all traces that begin in a process.
#[derive(Debug)]
pub(crate) struct ContextText {
    /// `","public_key":"...","sample_rand":"`
    behind_id: Box<[u8]>,
    /// `","environment":"..."`, and what there is of the rest.
    behind_rand: Box<[u8]>,
}

impl ContextText {
    pub(crate) fn new(settings: &Settings) -> Self {
        let (mut behind_id, mut behind_rand) = (Vec::new(), Vec::new());
        behind_id.push(b'"');
        member(&mut behind_id, "public_key", settings.dsn.public_key());
        behind_id.extend_from_slice(br#","sample_rand":""#);
        behind_rand.push(b'"');
        for (key, value) in constant(settings) {
            member(&mut behind_rand, key, value);
        }
        ContextText { behind_id: behind_id.into(), behind_rand: behind_rand.into() }
    }
}

/// `,"key":"value"`
fn member(text: &mut Vec<u8>, key: &str, value: &str) {
    text.push(b',');
    json::string(text, key);
    text.push(b':');
    json::string(text, value);
}

/// Those members that are the same for all traces that begin in a process, behind the public key and the random number.
fn constant(settings: &Settings) -> impl Iterator<Item = (&'static str, &str)> {
    let release = settings.release.as_deref().map(|release| ("release", release));
    let org_id = settings.org_id().map(|org_id| ("org_id", org_id));
    [("environment", settings.environment.as_str())].into_iter().chain(release).chain(org_id)
}

impl Dsc {
    /// That of the trace of a segment, as it stands: which came with the trace, or is made of what is known now.
    pub(crate) fn freeze(segment: &Segment) -> Self {
        let context = Context::of(&segment.core.settings, segment);
        Dsc { context, process: Arc::clone(&segment.core.process_context), baggage: OnceLock::new() }
    }

    /// For the header `baggage` of requests, of the trace whose it is.
    pub(crate) fn baggage(&self, trace: &Trace) -> &str {
        self.baggage.get_or_init(|| self.context.baggage(&self.process, trace).into())
    }

    /// Appends it as the header `trace` of envelopes.
    pub(crate) fn write(&self, text: &mut Vec<u8>, constant: &ContextText, settings: &Settings, trace: &Trace) {
        let came = match &self.context {
            Context::AsItCame => trace.incoming(),
            Context::Came(baggage) => Some(&**baggage),
            Context::Made { sample_rate, sampled, transaction } => {
                text.extend_from_slice(br#"{"trace_id":""#);
                json::hex128(text, trace.id.as_u128());
                text.extend_from_slice(&constant.behind_id);
                json::fraction(text, trace.sample_rand);
                text.extend_from_slice(&constant.behind_rand);
                match sample_rate {
                    Some(1.0) => text.extend_from_slice(br#","sample_rate":"1""#),
                    Some(rate) => member(text, "sample_rate", &rate.to_string()),
                    None => {}
                }
                text.extend_from_slice(if *sampled { br#","sampled":"true""# } else { br#","sampled":"false""# });
                if let Some(name) = transaction {
                    member(text, "transaction", name);
                }
                text.push(b'}');
                return;
            }
        };
        write_context(text, came.unwrap_or(&Baggage::default()), trace.id, settings.dsn.public_key());
    }
}

impl Context {
    fn of(settings: &Settings, segment: &Segment) -> Self {
        let rate = segment.sample_rate;
        match segment.trace().incoming() {
            Some(incoming) if !incoming.is_foreign() => match rate.filter(|_| segment.decided_here) {
                None => Context::AsItCame,
                Some(rate) => {
                    let mut baggage = incoming.clone();
                    baggage.set("sample_rate", &rate.to_string());
                    Context::Came(baggage.into())
                }
            },
            _ => {
                let name = segment.name();
                // A URL may hold whatever a client sent.
                let transaction = (!segment.is_named_by_url() && !name.is_empty()).then(|| {
                    let clean = match settings.privacy().clean_text(&name) {
                        Cow::Borrowed(_) => None,
                        Cow::Owned(clean) => Some(Cow::Owned(clean)),
                    };
                    clean.unwrap_or(name)
                });
                Context::Made { sample_rate: rate, sampled: segment.sampled, transaction }
            }
        }
    }

    fn baggage(&self, process: &ProcessContext, trace: &Trace) -> String {
        match self {
            Context::AsItCame => trace.incoming().map(Baggage::to_string).unwrap_or_default(),
            Context::Came(baggage) => baggage.to_string(),
            Context::Made { sample_rate, sampled, transaction } => {
                let mut baggage = undecided(process, trace);
                if let Some(rate) = sample_rate {
                    baggage.set("sample_rate", &rate.to_string());
                }
                baggage.set("sampled", if *sampled { "true" } else { "false" });
                if let Some(name) = transaction {
                    baggage.set("transaction", name);
                }
                baggage.to_string()
            }
        }
    }
}

/// What is known of a trace that began here before its first segment.
pub(super) fn undecided(process: &ProcessContext, trace: &Trace) -> Baggage {
    let (id, rand) = (trace.id.to_string(), format!("{:.6}", trace.sample_rand));
    let own = [("trace_id", id.as_str()), ("public_key", &process.public_key), ("sample_rand", &rand)];
    own.into_iter().chain(process.behind_rand.iter().map(|(key, value)| (*key, value.as_str()))).collect()
}
