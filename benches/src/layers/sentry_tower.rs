//! The layers of sentry-tower, with a transaction for each request and a transport that counts.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use sentry::protocol::{Context, Envelope, EnvelopeItem, Transaction};
use sentry::{Client, ClientOptions, Hub, Transport};
use sentry_tower::{NewSentryLayer, SentryHttpLayer};

use super::Installed;
use super::exported::{Exported, Seen};

struct Counting(Arc<Exported>);

impl Transport for Counting {
    fn send_envelope(&self, envelope: Envelope) {
        for item in envelope.items() {
            if let EnvelopeItem::Transaction(transaction) = item {
                self.0.add(transaction.spans.len() as u64 + 1, || vec![seen(transaction)]);
            }
        }
    }
}

fn seen(transaction: &Transaction<'_>) -> Seen {
    let trace = transaction.contexts.get("trace").and_then(|context| match context {
        Context::Trace(trace) => Some((trace.trace_id.to_string(), trace.parent_span_id?.to_string())),
        _ => None,
    });
    Seen::new(transaction.name.clone().unwrap_or_default(), trace)
}

struct SentryTower(Arc<Hub>);

fn sentry_tower(exported: &Arc<Exported>, rate: f32) -> Box<dyn Installed> {
    let mut options = ClientOptions::default().traces_sample_rate(rate);
    options.dsn = "http://0123456789abcdef0123456789abcdef@127.0.0.1/1".parse().ok();
    options.transport = Some(Arc::new(Arc::new(Counting(Arc::clone(exported)))));
    let client = Some(Arc::new(Client::with_options(options)));
    Box::new(SentryTower(Arc::new(Hub::new(client, Arc::default()))))
}

pub(super) fn sampled(exported: &Arc<Exported>) -> Box<dyn Installed> {
    sentry_tower(exported, 1.0)
}

pub(super) fn unsampled(exported: &Arc<Exported>) -> Box<dyn Installed> {
    sentry_tower(exported, 0.0)
}

impl Installed for SentryTower {
    fn layered(&self, routes: Router) -> Router {
        // The one that is added last is outermost: a hub for each request, and in it the request's transaction.
        routes.layer(SentryHttpLayer::new().enable_transaction()).layer(NewSentryLayer::<Request<Body>>::new_from_top())
    }

    fn within(&self, serve: &mut dyn FnMut()) {
        Hub::run(Arc::clone(&self.0), serve);
    }

    fn flush(&self) {
        if let Some(client) = self.0.client() {
            client.flush(None);
        }
    }
}
