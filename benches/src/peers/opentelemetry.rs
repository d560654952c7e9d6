//! tracing with tracing-opentelemetry and the SDK's batch processor, and an exporter that counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider, SpanData, SpanExporter};
use tracing_subscriber::layer::SubscriberExt as _;

use super::Peer;
use crate::workload::owned_text;

#[derive(Debug)]
struct Counting {
    spans: Arc<AtomicU64>,
    misplaced: Arc<AtomicU64>,
}

impl SpanExporter for Counting {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.spans.fetch_add(batch.len() as u64, Ordering::Relaxed);
        if batch.len() == 51 {
            let root = batch.iter().find(|span| span.name == "request").map(|span| span.span_context.span_id());
            let misplaced =
                batch.iter().filter(|span| span.name == "child" && Some(span.parent_span_id) != root).count();
            self.misplaced.fetch_add(misplaced as u64, Ordering::Relaxed);
        }
        Ok(())
    }
}

pub(super) struct Tracing {
    provider: SdkTracerProvider,
    dispatch: tracing::Dispatch,
    spans: Arc<AtomicU64>,
    misplaced: Arc<AtomicU64>,
}

impl Tracing {
    pub(super) fn start() -> Self {
        let (spans, misplaced) = (Arc::default(), Arc::default());
        let exporter = Counting { spans: Arc::clone(&spans), misplaced: Arc::clone(&misplaced) };
        // Its default queue of 2,048 would drop most of a measurement.
        let config = BatchConfigBuilder::default().with_max_queue_size(65_536).build();
        let processor = BatchSpanProcessor::builder(exporter).with_batch_config(config).build();
        let provider = SdkTracerProvider::builder().with_span_processor(processor).build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("benches"));
        let dispatch = tracing::Dispatch::new(tracing_subscriber::registry().with(layer));
        Tracing { provider, dispatch, spans, misplaced }
    }
}

impl Peer for Tracing {
    fn name(&self) -> &'static str {
        "tracing + opentelemetry"
    }

    fn request(&mut self, children: usize, attributes: bool) {
        tracing::dispatcher::with_default(&self.dispatch, || {
            tracing::info_span!("request").in_scope(|| {
                for child in 0..children {
                    if attributes {
                        let user = owned_text(child);
                        let _span = tracing::info_span!("child", kind = "static", child, user).entered();
                    } else {
                        let _span = tracing::info_span!("child").entered();
                    }
                }
            });
        });
    }

    fn flush(&mut self) {
        // An error would show in what was delivered.
        let _ = self.provider.force_flush();
    }

    fn delivered(&self) -> u64 {
        self.spans.load(Ordering::Relaxed)
    }

    fn misplaced(&self) -> u64 {
        self.misplaced.load(Ordering::Relaxed)
    }
}
