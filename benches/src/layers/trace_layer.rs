//! tower-http's `TraceLayer`, which makes a span of tracing with two events, without a subscriber and with two.

use std::io;
use std::sync::Arc;

use axum::Router;
use opentelemetry::trace::{SpanId, TracerProvider as _};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider, SpanData, SpanExporter,
};
use tower_http::trace::TraceLayer;
use tracing::Dispatch;
use tracing_subscriber::layer::SubscriberExt as _;

use super::Installed;
use super::exported::{Exported, Seen};

#[derive(Debug)]
struct Counting(Arc<Exported>);

impl SpanExporter for Counting {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.add(batch.len() as u64, || batch.iter().map(seen).collect());
        Ok(())
    }
}

fn seen(span: &SpanData) -> Seen {
    let has_parent = span.parent_span_id != SpanId::INVALID;
    let trace = || (span.span_context.trace_id().to_string(), span.parent_span_id.to_string());
    Seen::new(span.name.clone(), has_parent.then(trace))
}

/// Without a dispatch there is no subscriber.
#[derive(Default)]
struct Traced {
    dispatch: Option<Dispatch>,
    provider: Option<SdkTracerProvider>,
}

pub(super) fn no_subscriber(_: &Arc<Exported>) -> Box<dyn Installed> {
    Box::<Traced>::default()
}

/// Text that nobody reads, of what is at least `DEBUG`: as which the layer makes its span and its events.
pub(super) fn text(_: &Arc<Exported>) -> Box<dyn Installed> {
    let text = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_writer(io::sink).finish();
    Box::new(Traced { dispatch: Some(Dispatch::new(text)), provider: None })
}

/// As [`peers`](crate::peers) have it.
pub(super) fn opentelemetry(exported: &Arc<Exported>) -> Box<dyn Installed> {
    // Its default queue of 2,048 would drop most of a measurement.
    let config = BatchConfigBuilder::default().with_max_queue_size(65_536).build();
    let processor = BatchSpanProcessor::builder(Counting(Arc::clone(exported))).with_batch_config(config).build();
    let provider = SdkTracerProvider::builder().with_sampler(Sampler::AlwaysOn).with_span_processor(processor).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("benches"));
    let dispatch = Dispatch::new(tracing_subscriber::registry().with(layer));
    Box::new(Traced { dispatch: Some(dispatch), provider: Some(provider) })
}

impl Installed for Traced {
    fn layered(&self, routes: Router) -> Router {
        routes.layer(TraceLayer::new_for_http())
    }

    fn within(&self, serve: &mut dyn FnMut()) {
        match &self.dispatch {
            Some(dispatch) => tracing::dispatcher::with_default(dispatch, serve),
            None => serve(),
        }
    }

    fn flush(&self) {
        // An error would show in what was delivered.
        if let Some(provider) = &self.provider {
            let _ = provider.force_flush();
        }
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        // Places that make spans remember that somebody wanted them, until they are told to ask again.
        self.dispatch = None;
        tracing::callsite::rebuild_interest_cache();
    }
}
