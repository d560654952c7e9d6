//! A segment for each request that [`axum`] 0.8 serves, named by its route.
//!
//! ```
//! use axum::{Router, routing::get};
//!
//! let app: Router = Router::new()
//!     .route("/orders/{id}", get(|| async { "an order" }))
//!     .layer(span_integrations::axum::layer()); // behind the routes: it is for those above it
//! ```
//!
//! # Invariant
//!
//! As of [`tower`](crate::tower): one span for each request, which ends once, with the body.
//!
//! # Hook
//!
//! The [layer of `tower`](crate::tower), which finds axum's [`MatchedPath`]. That is known inside of
//! [`Router::layer`](::axum::Router::layer) only: around the whole router the layer names requests by their paths, and one inside then gives
//! the same span its route.
//!
//! # Attributes
//!
//! Those of [`tower`](crate::tower#attributes), with
//!
//! | | |
//! | --- | --- |
//! | name | `GET /orders/{id}`, source `route`; where no route matched, `GET /orders/7`, source `url` |
//! | `sentry.origin` | `auto.http.axum` |
//! | `http.route` | `/orders/{id}` |

use ::axum::extract::MatchedPath;
use span_runtime::register_integration;

use crate::tower::{Named, ServerLayer};

const NAME: &str = "axum";
const ORIGIN: &str = "auto.http.axum";

/// A layer for [`Router::layer`](::axum::Router::layer).
///
/// ```
/// let layer = span_integrations::axum::layer().headers(["user-agent"]);
/// # let _: axum::Router = axum::Router::new().layer(layer);
/// ```
pub fn layer() -> ServerLayer {
    register_integration(NAME);
    ServerLayer::new(Named::Http {
        origin: ORIGIN,
        route: |extensions| extensions.get::<MatchedPath>().map(MatchedPath::as_str),
    })
}
