//! Spans of requests that go through [`reqwest_middleware`] 0.5.
//!
//! ```
//! let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new())
//!     // … one that sends requests again …
//!     .with(span_integrations::reqwest_middleware::middleware())
//!     .build();
//! # let _ = client;
//! ```
//!
//! # Invariant
//!
//! As of [`reqwest`](crate::reqwest), for each time that a request is sent.
//!
//! # Hook
//!
//! [`Middleware`]. Behind one that sends requests again it sees each of the times, and before it the whole. Others behind it are in the span.
//!
//! # Attributes
//!
//! Those of [`reqwest`](crate::reqwest#attributes), with
//!
//! | | |
//! | --- | --- |
//! | `sentry.origin` | `auto.http.reqwest_middleware` |
//! | `http.request.resend_count` | how often the request had been sent before, from the second time on |
//! | `error.type` | also `middleware`, for an error of another one |

use std::future::Future;
use std::pin::Pin;

use ::reqwest::{Request, Response};
use ::reqwest_middleware::{Error, Middleware, Next, Result};
use http::Extensions;
use span_runtime::register_integration;

use crate::reqwest::{kind, start, traced};

const NAME: &str = "reqwest-middleware";
const ORIGIN: &str = "auto.http.reqwest_middleware";

/// A middleware that makes spans of requests.
///
/// ```
/// let middleware = span_integrations::reqwest_middleware::middleware();
/// # let _ = reqwest_middleware::ClientBuilder::new(reqwest::Client::new()).with(middleware);
/// ```
pub fn middleware() -> impl Middleware + Copy {
    register_integration(NAME);
    handle
}

/// How often the request has been sent.
#[derive(Clone, Copy)]
struct Sent(u32);

fn handle<'a>(
    request: Request,
    extensions: &'a mut Extensions,
    next: Next<'a>,
) -> Pin<Box<dyn Future<Output = Result<Response>> + Send + 'a>> {
    let sent = extensions.get::<Sent>().map_or(0, |sent| sent.0);
    extensions.insert(Sent(sent.saturating_add(1)));
    Box::pin(async move {
        let span = start(&request, ORIGIN, sent);
        traced(span, request, |request| next.run(request, extensions), kind_of).await
    })
}

fn kind_of(error: &Error) -> &'static str {
    match error {
        Error::Reqwest(error) => kind(error),
        Error::Middleware(_) => "middleware",
    }
}
