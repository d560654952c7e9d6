//! The dynamic sampling context of a trace. (behaviours 30, 32, 43)

use super::Baggage;
use crate::client::Settings;
use crate::protocol::trace_header;
use crate::segment::{Segment, Trace};

/// A sampling context that does not change any more, in its two forms.
#[derive(Debug)]
pub(crate) struct Dsc {
    /// For the header `baggage` of requests.
    pub(crate) baggage: Box<str>,
    /// For the header `trace` of envelopes, as JSON.
    pub(crate) json: Box<str>,
}

impl Dsc {
    /// That of the trace of a segment, as it stands: which came with the trace, or is made of what is known now.
    pub(crate) fn freeze(settings: &Settings, segment: &Segment) -> Self {
        let trace = segment.trace();
        let rate = segment.sample_rate.map(|rate| rate.to_string());
        let baggage = match trace.incoming() {
            Some(incoming) if !incoming.is_foreign() => {
                let mut baggage = incoming.clone();
                if let Some(rate) = rate.filter(|_| segment.decided_here) {
                    baggage.set("sample_rate", &rate);
                }
                baggage
            }
            _ => {
                let mut baggage = undecided(settings, trace);
                if let Some(rate) = rate {
                    baggage.set("sample_rate", &rate);
                }
                baggage.set("sampled", if segment.sampled { "true" } else { "false" });
                let name = segment.name();
                // A URL may hold whatever a client sent.
                if !segment.is_named_by_url() && !name.is_empty() {
                    baggage.set("transaction", &settings.privacy().clean_text(&name));
                }
                baggage
            }
        };
        let json = trace_header(&baggage, trace.id, settings.dsn.public_key());
        Dsc { baggage: baggage.to_string().into(), json }
    }
}

/// What is known of a trace that began here before its first segment.
pub(super) fn undecided(settings: &Settings, trace: &Trace) -> Baggage {
    let mut members = vec![
        ("trace_id", trace.id.to_string()),
        ("public_key", settings.dsn.public_key().to_owned()),
        ("sample_rand", format!("{:.6}", trace.sample_rand)),
        ("environment", settings.environment.clone()),
    ];
    members.extend(settings.release.clone().map(|release| ("release", release)));
    members.extend(settings.org_id().map(|org_id| ("org_id", org_id.to_owned())));
    members.into_iter().collect()
}
