//! sentry, with transactions and a transport that counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sentry::protocol::{Context, Envelope, EnvelopeItem};
use sentry::{Client, ClientOptions, Hub, SentryFutureExt as _, TransactionContext, Transport};

use super::{Peer, VERIFIED};
use crate::poll::{PendingOnce, to_completion};
use crate::workload::{OWNED, Shape};

#[derive(Debug, Default)]
struct Counting {
    spans: AtomicU64,
    misplaced: AtomicU64,
}

impl Transport for Counting {
    fn send_envelope(&self, envelope: Envelope) {
        for item in envelope.items() {
            if let EnvelopeItem::Transaction(transaction) = item {
                self.spans.fetch_add(transaction.spans.len() as u64 + 1, Ordering::Relaxed);
                if transaction.spans.len() == VERIFIED {
                    let root = transaction.contexts.get("trace").and_then(|context| match context {
                        Context::Trace(trace) => Some(trace.span_id),
                        _ => None,
                    });
                    let misplaced = transaction.spans.iter().filter(|span| span.parent_span_id != root).count();
                    self.misplaced.fetch_add(misplaced as u64, Ordering::Relaxed);
                }
            }
        }
    }
}

/// sentry.
#[derive(Default)]
pub(super) struct Transactions {
    counting: Arc<Counting>,
    sampled: Option<Arc<Hub>>,
    unsampled: Option<Arc<Hub>>,
}

impl Transactions {
    fn hub(&self, rate: f32) -> Option<Arc<Hub>> {
        let mut options = ClientOptions::default().traces_sample_rate(rate);
        options.dsn = "http://0123456789abcdef0123456789abcdef@127.0.0.1/1".parse().ok();
        options.transport = Some(Arc::new(Arc::clone(&self.counting)));
        Some(Arc::new(Hub::new(Some(Arc::new(Client::with_options(options))), Arc::default())))
    }
}

fn request(shape: Shape) {
    let transaction = sentry::start_transaction(TransactionContext::new("request", "bench"));
    match shape {
        Shape::Nested(depth) => {
            let mut open = Vec::with_capacity(depth);
            for _ in 0..depth {
                let child = match open.last() {
                    None => transaction.start_child("bench", "child"),
                    Some(parent) => sentry::Span::start_child(parent, "bench", "child"),
                };
                open.push(child);
            }
            while let Some(span) = open.pop() {
                span.finish();
            }
        }
        Shape::Ready(n) | Shape::Pending(n) => {
            let pending = matches!(shape, Shape::Pending(_));
            for _ in 0..n {
                // A hub of its own, whose scope has the span: how its documents have a future carry one.
                let hub = Arc::new(Hub::new_from_top(Hub::current()));
                let span = transaction.start_child("bench", "child");
                hub.configure_scope(|scope| scope.set_span(Some(span.clone().into())));
                let work = async move {
                    if pending {
                        PendingOnce::default().await;
                    }
                    span.finish();
                };
                to_completion(work.bind_hub(hub));
            }
        }
        Shape::Attributes(n) => {
            for child in 0..n {
                let span = transaction.start_child("bench", "child");
                span.set_data("kind", "static".into());
                span.set_data("child", child.into());
                span.set_data("user", OWNED.to_owned().into());
                span.finish();
            }
        }
        Shape::Children(n)
        | Shape::Eight(n)
        | Shape::Functions(n)
        | Shape::Unsampled(n)
        | Shape::Off(n)
        | Shape::NoClient(n)
        | Shape::NoCurrent(n) => {
            for _ in 0..n {
                transaction.start_child("bench", "child").finish();
            }
        }
    }
    transaction.finish();
}

impl Peer for Transactions {
    fn name(&self) -> &'static str {
        "sentry (transactions)"
    }

    fn knows(&self, shape: Shape) -> bool {
        // It has no annotation for functions in this crate, and a child needs a parent by its type.
        !matches!(shape, Shape::Functions(_) | Shape::NoCurrent(_) | Shape::Off(_) | Shape::Eight(_))
    }

    fn install(&mut self) {
        self.sampled = self.hub(1.0);
        self.unsampled = self.hub(0.0);
    }

    fn request(&self, shape: Shape) {
        let hub = if matches!(shape, Shape::Unsampled(_)) { &self.unsampled } else { &self.sampled };
        match hub {
            Some(hub) => Hub::run(Arc::clone(hub), || request(shape)),
            None => request(shape),
        }
    }

    fn flush(&self) {
        for hub in [&self.sampled, &self.unsampled].into_iter().flatten() {
            if let Some(client) = hub.client() {
                client.flush(None);
            }
        }
    }

    fn delivered(&self) -> u64 {
        self.counting.spans.load(Ordering::Relaxed)
    }

    fn misplaced(&self) -> u64 {
        self.counting.misplaced.load(Ordering::Relaxed)
    }
}
