//! sentry, with transactions and a transport that counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sentry::protocol::{Envelope, EnvelopeItem};
use sentry::{Client, ClientOptions, Hub, TransactionContext, Transport};

use super::Peer;
use crate::workload::owned_text;

#[derive(Default)]
struct Counting {
    spans: AtomicU64,
    misplaced: AtomicU64,
}

impl Transport for Counting {
    fn send_envelope(&self, envelope: Envelope) {
        for item in envelope.items() {
            if let EnvelopeItem::Transaction(transaction) = item {
                self.spans.fetch_add(transaction.spans.len() as u64 + 1, Ordering::Relaxed);
                if transaction.spans.len() == 50 {
                    let root = transaction.contexts.get("trace").and_then(|context| match context {
                        sentry::protocol::Context::Trace(trace) => Some(trace.span_id),
                        _ => None,
                    });
                    let misplaced = transaction.spans.iter().filter(|span| span.parent_span_id != root).count();
                    self.misplaced.fetch_add(misplaced as u64, Ordering::Relaxed);
                }
            }
        }
    }
}

pub(super) struct Transactions {
    hub: Arc<Hub>,
    counting: Arc<Counting>,
}

impl Transactions {
    pub(super) fn start() -> Self {
        let counting = Arc::new(Counting::default());
        let mut options = ClientOptions::default().traces_sample_rate(1.0);
        options.dsn = "http://0123456789abcdef0123456789abcdef@127.0.0.1/1".parse().ok();
        options.transport = Some(Arc::new(Arc::clone(&counting)));
        let client = Arc::new(Client::with_options(options));
        Transactions { hub: Arc::new(Hub::new(Some(client), Arc::default())), counting }
    }
}

impl Peer for Transactions {
    fn name(&self) -> &'static str {
        "sentry (transactions)"
    }

    fn request(&mut self, children: usize, attributes: bool) {
        Hub::run(Arc::clone(&self.hub), || {
            let transaction = sentry::start_transaction(TransactionContext::new("request", "bench"));
            for child in 0..children {
                let span = transaction.start_child("bench", "child");
                if attributes {
                    span.set_data("kind", "static".into());
                    span.set_data("child", child.into());
                    span.set_data("user", owned_text(child).into());
                }
                span.finish();
            }
            transaction.finish();
        });
    }

    fn flush(&mut self) {
        if let Some(client) = self.hub.client() {
            client.flush(None);
        }
    }

    fn delivered(&self) -> u64 {
        self.counting.spans.load(Ordering::Relaxed)
    }

    fn misplaced(&self) -> u64 {
        self.counting.misplaced.load(Ordering::Relaxed)
    }
}
