//! tracing with tracing-opentelemetry and the SDK's batch processor, and an exporter that counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider, SpanData, SpanExporter,
};
use tracing::Instrument as _;
use tracing_subscriber::layer::SubscriberExt as _;

use super::{Peer, VERIFIED};
use crate::poll::{PendingOnce, to_completion};
use crate::workload::{OWNED, Shape};

#[derive(Debug, Default, Clone)]
struct Counting {
    spans: Arc<AtomicU64>,
    misplaced: Arc<AtomicU64>,
}

impl SpanExporter for Counting {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.spans.fetch_add(batch.len() as u64, Ordering::Relaxed);
        if batch.len() == VERIFIED + 1 {
            let root = batch.iter().find(|span| span.name == "request").map(|span| span.span_context.span_id());
            let misplaced =
                batch.iter().filter(|span| span.name != "request" && Some(span.parent_span_id) != root).count();
            self.misplaced.fetch_add(misplaced as u64, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// tracing + opentelemetry.
#[derive(Debug, Default)]
pub(super) struct Tracing {
    counting: Counting,
    sampled: Option<Installed>,
    unsampled: Option<Installed>,
}

#[derive(Debug)]
struct Installed {
    provider: SdkTracerProvider,
    dispatch: tracing::Dispatch,
}

impl Installed {
    fn new(counting: &Counting, sampler: Sampler) -> Self {
        // Its default queue of 2,048 would drop most of a measurement.
        let config = BatchConfigBuilder::default().with_max_queue_size(65_536).build();
        let processor = BatchSpanProcessor::builder(counting.clone()).with_batch_config(config).build();
        let provider = SdkTracerProvider::builder().with_sampler(sampler).with_span_processor(processor).build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("benches"));
        let dispatch = tracing::Dispatch::new(tracing_subscriber::registry().with(layer));
        Installed { provider, dispatch }
    }
}

#[tracing::instrument(name = "child", skip_all)]
#[inline(never)]
fn annotated(child: usize) -> usize {
    child
}

fn nested(depth: usize) {
    if depth > 0 {
        let _span = tracing::info_span!("child").entered();
        nested(depth - 1);
    }
}

fn children(shape: Shape) {
    match shape {
        Shape::Attributes(n) => {
            for child in 0..n {
                let user = OWNED.to_owned();
                let _span = tracing::info_span!("child", kind = "static", child, user).entered();
            }
        }
        Shape::Nested(depth) => nested(depth),
        Shape::Functions(n) => {
            for child in 0..n {
                std::hint::black_box(annotated(child));
            }
        }
        Shape::Ready(n) => {
            for _ in 0..n {
                to_completion(async {}.instrument(tracing::info_span!("child")));
            }
        }
        Shape::Pending(n) => {
            for _ in 0..n {
                to_completion(PendingOnce::default().instrument(tracing::info_span!("child")));
            }
        }
        Shape::Children(n)
        | Shape::Eight(n)
        | Shape::Unsampled(n)
        | Shape::NoClient(n)
        | Shape::NoCurrent(n)
        | Shape::Off(n) => {
            for _ in 0..n {
                let _span = tracing::info_span!("child").entered();
            }
        }
    }
}

impl Peer for Tracing {
    fn name(&self) -> &'static str {
        "tracing + opentelemetry"
    }

    fn knows(&self, shape: Shape) -> bool {
        // A span without a parent is a root here; there is no other kind.
        !matches!(shape, Shape::Off(_) | Shape::NoCurrent(_) | Shape::Eight(_))
    }

    fn install(&mut self) {
        self.sampled = Some(Installed::new(&self.counting, Sampler::AlwaysOn));
        self.unsampled = Some(Installed::new(&self.counting, Sampler::AlwaysOff));
    }

    fn request(&self, shape: Shape) {
        let installed = if matches!(shape, Shape::Unsampled(_)) { &self.unsampled } else { &self.sampled };
        let request = || tracing::info_span!("request").in_scope(|| children(shape));
        match installed {
            Some(installed) => tracing::dispatcher::with_default(&installed.dispatch, request),
            None => request(),
        }
    }

    fn flush(&self) {
        // An error would show in what was delivered.
        if let Some(installed) = &self.sampled {
            let _ = installed.provider.force_flush();
        }
    }

    fn delivered(&self) -> u64 {
        self.counting.spans.load(Ordering::Relaxed)
    }

    fn misplaced(&self) -> u64 {
        self.counting.misplaced.load(Ordering::Relaxed)
    }
}
