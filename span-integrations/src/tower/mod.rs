//! A segment for each request that a service of `tower` 0.5, or of hyper 1, serves.
//!
//! ```
//! use std::convert::Infallible;
//!
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, service_fn};
//!
//! let service = ServiceBuilder::new()
//!     .layer(span_integrations::tower::layer())
//!     .service(service_fn(|_: Request<String>| async { Ok::<_, Infallible>(Response::new("served".to_owned())) }));
//! # let _ = service;
//! // hyper's: hyper_util::service::TowerToHyperService::new(service)
//! ```
//!
//! # Invariant
//!
//! A request has one span, whatever number of such layers it passes, which is current in the handler and in the body, on whatever thread, and
//! in no other request. It ends once: with the last of the body, with an error or a panic in either, or when either is dropped.
//!
//! # Hook
//!
//! [`Layer`](tower_layer::Layer). The body's end is when its last frame is handed to the server, not when the client has read it. A
//! handler that spawns a task takes what is current along by [`in_current_span`](span_runtime::Instrument::in_current_span). After an upgrade,
//! as that of a websocket, the span has ended.
//!
//! # Attributes
//!
//! The span is a segment of the trace that the headers name, `sentry-trace` with `baggage` or `traceparent`, and of a new trace without them,
//! also where another span is current.
//!
//! | | |
//! | --- | --- |
//! | name | `GET /orders/7`, source `url`; the method and the route where there is one, source `route` |
//! | `sentry.op`, `sentry.origin` | `http.server`, `auto.http.tower` |
//! | status | `error` for a status code from 400 on, a failed body, and a panic; `span.cancelled` where the client went away |
//! | `http.request.method`, `url.path`, `network.protocol.name`, `network.protocol.version` | of the request |
//! | `url.scheme`, `server.address`, `server.port` | where the request says them: in its line, or in `host` |
//! | `http.response.status_code` | of the response |
//! | `error.type` | of an error that the service or the body gave, its type |
//! | `client.address` | with [`client_address`](ServerLayer::client_address); sent with [`send_default_pii`](span_runtime::Options::send_default_pii) only |
//! | `url.query` | with [`query`](ServerLayer::query): may be sensitive; the scrubber filters its values |
//! | `http.request.header.<name>` | of those in [`headers`](ServerLayer::headers): may be sensitive; the scrubber filters what is secret by name |
//!
//! There is no `url.full`, because behind a proxy a server does not know it.

mod layer;
mod service;

pub(crate) use layer::Named;
pub use layer::ServerLayer;
use layer::Settings;
#[cfg(feature = "tonic")]
pub(crate) use layer::service_and_method;
pub use service::{ResponseFuture, Server};
use span_runtime::register_integration;

pub use crate::common::SpanBody;

const NAME: &str = "tower";
const ORIGIN: &str = "auto.http.tower";

/// A layer for services of HTTP.
///
/// ```
/// let layer = span_integrations::tower::layer().headers(["user-agent"]);
/// # let _ = layer;
/// ```
pub fn layer() -> ServerLayer {
    register_integration(NAME);
    ServerLayer::new(Named::Http { origin: ORIGIN, route: |_| None })
}
