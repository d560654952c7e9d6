//! Which spans and events the layer is shown.

use ::tracing::level_filters::LevelFilter;
use ::tracing::subscriber::Interest;
use ::tracing::{Level, Metadata};
use tracing_subscriber::layer::{Context, Filter};

/// Crates by which spans are sent, or by which a transport of one's own may send them: their spans would be about themselves.
const TRANSPORTS: [&str; 9] =
    ["span_runtime", "minreq", "ureq", "ureq_proto", "rustls", "hyper", "hyper_util", "h2", "reqwest"];

/// Spans up to a level, and events of level `ERROR`, of all crates but those by which spans are sent.
///
/// ```
/// use span_integrations::tracing::{SpanFilter, SpanLayer};
/// use tracing_subscriber::{filter::LevelFilter, prelude::*};
///
/// let debug = SpanLayer::new().with_filter(SpanFilter::up_to(LevelFilter::DEBUG));
/// # let _ = tracing_subscriber::registry().with(debug);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct SpanFilter {
    most: LevelFilter,
}

impl Default for SpanFilter {
    fn default() -> Self {
        SpanFilter { most: LevelFilter::INFO }
    }
}

impl SpanFilter {
    /// Spans up to this level; by default `INFO`.
    pub fn up_to(most: LevelFilter) -> Self {
        SpanFilter { most }
    }

    fn takes(&self, metadata: &Metadata<'_>) -> bool {
        let least = if metadata.is_span() { self.most } else { self.most.min(LevelFilter::ERROR) };
        *metadata.level() <= least && !is_transport(metadata.target())
    }
}

fn is_transport(target: &str) -> bool {
    let krate = target.split("::").next().unwrap_or(target);
    TRANSPORTS.contains(&krate)
}

impl<S> Filter<S> for SpanFilter {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.takes(metadata)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.takes(metadata) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.most.max(Level::ERROR.into()))
    }
}
