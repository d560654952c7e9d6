//! The layer of span-integrations.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use span_runtime::transport::{Response, Transport, TransportError};
use span_runtime::{Guard, Options, init};

use super::Installed;
use super::exported::{Exported, Seen};
use crate::envelope::{item_count, text_behind};

span_runtime::lifecycle!(stream);

/// Takes envelopes as fast as they come. They are serialised in full all the same.
#[derive(Debug)]
struct Counting(Arc<Exported>);

impl Transport for Counting {
    fn send(&mut self, envelope: &[u8]) -> Result<Response, TransportError> {
        self.0.add(item_count(envelope), || seen(envelope).into_iter().collect());
        Ok(Response::new(200))
    }
}

/// The span in an envelope, which has one: each request is of another trace.
fn seen(envelope: &[u8]) -> Option<Seen> {
    let envelope = String::from_utf8_lossy(envelope);
    let text = |key| text_behind(&envelope, key).map(str::to_owned);
    let trace = text("parent_span_id").and_then(|parent| Some((text("trace_id")?, parent)));
    // Whatever else has a name, as the SDK has, stands in front of the spans, or behind a span's own.
    let span = envelope.lines().nth(2)?;
    Some(Seen::new(text_behind(span, "name")?, trace))
}

/// The runtime, if there is one.
struct Ours(Option<Guard>);

fn ours(exported: &Arc<Exported>, rate: Option<f64>) -> Box<dyn Installed> {
    let options = Options::new().transport(Counting(Arc::clone(exported))).enable_backpressure_handling(false);
    let options = match rate {
        Some(rate) => options.traces_sample_rate(rate),
        None => options,
    };
    Box::new(Ours(Some(init(options).expect("the options are valid"))))
}

pub(super) fn sampled(exported: &Arc<Exported>) -> Box<dyn Installed> {
    ours(exported, Some(1.0))
}

pub(super) fn unsampled(exported: &Arc<Exported>) -> Box<dyn Installed> {
    ours(exported, Some(0.0))
}

/// A client that sends no spans.
pub(super) fn off(exported: &Arc<Exported>) -> Box<dyn Installed> {
    ours(exported, None)
}

pub(super) fn no_client(_: &Arc<Exported>) -> Box<dyn Installed> {
    Box::new(Ours(None))
}

impl Installed for Ours {
    fn layered(&self, routes: Router) -> Router {
        routes.layer(span_integrations::axum::layer())
    }

    fn flush(&self) {
        if let Some(guard) = &self.0 {
            guard.flush(Duration::from_secs(30));
        }
    }
}
