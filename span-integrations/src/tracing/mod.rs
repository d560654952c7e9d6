//! The spans of [`tracing`] 0.1, by a layer of tracing-subscriber 0.3.
//!
//! One line brings in every crate that makes spans with `tracing`.
//!
//! ```
//! use tracing_subscriber::prelude::*;
//!
//! tracing_subscriber::registry()
//!     .with(tracing_subscriber::fmt::layer())
//!     .with(span_integrations::tracing::layer())
//!     .init();
//!
//! #[tracing::instrument(fields(otel.name = "checkout", order.id = order))]
//! fn checkout(order: u64) {
//!     // Of both worlds: a child of the span of tracing, and current inside of it.
//!     let _basket = span_runtime::start_span("price basket").start();
//! }
//! # checkout(42);
//! ```
//!
//! [`layer()`] takes spans from the level `INFO` on. Any other choice is made as with all layers, with [`SpanFilter`] or one of tracing-subscriber's:
//! `SpanLayer::new().with_filter(…)`.
//!
//! # Invariant
//!
//! * A span of tracing is current for `span-runtime` exactly where it is entered: on each thread, at each poll, as often as at once. What
//!   starts there is its child, in either world.
//! * Nothing of the user's, no `Debug` and no sampler, runs while a span's data are locked.
//! * What our own threads do, which send the spans, is no span, whatever the filter lets through. The crates that they use are
//!   left out by [`SpanFilter`] as well.
//!
//! # Hook
//!
//! `Layer` of tracing-subscriber, on its registry. What tracing does not tell cannot be seen:
//!
//! * Whether a future was dropped before it completed: such spans have no `span.cancelled`.
//! * The parent of a span that a filter left out. Its children hang on the nearest ancestor that was not left out.
//! * A span that `follows_from` names and that was closed before: there is no link to it.
//!
//! Spans have no events in Sentry's protocol of streamed spans, so that events do not become part of one. An event of level `ERROR` makes
//! the span that it is in an error, which is how `#[instrument(err)]` tells of one; [`error_events`](SpanLayer::error_events) turns that
//! off. Of an event that is nearer to one of our own spans nothing is taken. To find the logs of a trace there is [`correlated`].
//!
//! # Attributes
//!
//! | | |
//! | --- | --- |
//! | name | the span's name, or the field `otel.name` or `sentry.name` |
//! | `sentry.op` | the field `sentry.op`, or by `otel.kind` and the fields there are at the start, such as `http.server`, `db`, `queue.publish`, `gen_ai.chat`; or none |
//! | `sentry.segment.name.source` | `route` where there is a field `http.route`, otherwise `custom` |
//! | `sentry.origin` | `auto.function.tracing` |
//! | status | `error` by the field `otel.status_code`, by a field `error`, by an event of level `ERROR`, or by a panic |
//! | `sentry.kind` | the field `otel.kind`, in small letters |
//! | `sentry.status.message` | the field `otel.status_description` |
//! | `error.message`, `error.causes` | the field `error` of the span or of an event of level `ERROR` |
//! | `tracing.level`, `code.file.path`, `code.line.number`, `code.namespace` | with [`metadata`](SpanLayer::metadata) |
//! | others | the span's fields by their names, also those recorded later |
//!
//! The fields `sentry.trace` and `sentry.baggage` continue a trace, where nothing is current.
//!
//! Fields may be sensitive: `#[instrument]` makes one of each argument, unless it is told to skip them.
//! [`fields`](SpanLayer::fields) leaves some or all of them out. Secrets are filtered as in all spans.

mod correlate;
mod fields;
mod filter;
mod layer;

pub use correlate::{Correlated, correlated};
pub use filter::SpanFilter;
pub use layer::{SpanLayer, layer};

const NAME: &str = "tracing";
const ORIGIN: &str = "auto.function.tracing";
