//! Spans of requests that [`reqwest`] 0.13 makes.
//!
//! ```
//! use span_integrations::reqwest::Traced as _;
//!
//! # async fn example() -> Result<(), reqwest::Error> {
//! let client = reqwest::Client::new();
//! let stock = client.get("https://stock.example/items/7").send_traced().await?.text().await?;
//! # let _ = stock;
//! # Ok(())
//! # }
//! ```
//!
//! # Invariant
//!
//! A request has one span, below the current one, which ends once: with the last of the response's body, when the response is dropped
//! before that, or when there is none. Outside of any span there is none, and a trace that came in is passed on all the same.
//!
//! # Hook
//!
//! None: `send_traced` and `execute_traced` stand in for `send` and `execute`. The module
//! `reqwest_middleware` of this crate needs no change where requests are made. What the client does by
//! itself is in the one span: redirects, which take the headers along to wherever they lead, and what `reqwest::retry` sends again. There
//! is nothing for `reqwest::blocking`.
//!
//! # Attributes
//!
//! | | |
//! | --- | --- |
//! | name | `GET https://stock.example/items/7`, without credentials and query |
//! | `sentry.op`, `sentry.origin` | `http.client`, `auto.http.reqwest` |
//! | status | `error` for a status code from 400 on, and where there is no response or not all of it; `span.cancelled` where the request was dropped |
//! | `http.request.method`, `url.full`, `server.address`, `server.port` | of the request; of the URL as much as the name has |
//! | `http.response.status_code` | of the response |
//! | `error.type` | `timeout`, `connect`, `redirect`, `builder`, `request`; or the type of what the body failed with |
//!
//! To drop a response before its end is the caller's choice, and cancels nothing.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Once;

use ::reqwest::{Body, Client, Error, Request, RequestBuilder, Response, ResponseBuilderExt as _};
use span_runtime::{Parent, Span, names, register_integration};

use crate::common::{Exchange, Protocol, Side, Url, Work, carry, child, nothing};

const NAME: &str = "reqwest";
const ORIGIN: &str = "auto.http.reqwest";
const OP: &str = "http.client";

/// Lets the requests of a client have spans.
///
/// ```
/// use span_integrations::reqwest::{ExecuteTraced as _, Traced as _};
///
/// # async fn example(client: reqwest::Client, request: reqwest::Request) -> Result<(), reqwest::Error> {
/// client.post("https://stock.example/items").body("7").send_traced().await?;
/// client.execute_traced(request).await?;
/// # Ok(())
/// # }
/// ```
pub trait Traced {
    /// As [`RequestBuilder::send`], in a span.
    ///
    /// # Errors
    ///
    /// As [`RequestBuilder::send`].
    fn send_traced(self) -> impl Future<Output = Result<Response, Error>> + Send;
}

impl Traced for RequestBuilder {
    async fn send_traced(self) -> Result<Response, Error> {
        let (client, request) = self.build_split();
        client.execute_traced(request?).await
    }
}

/// Lets a client execute requests in spans.
pub trait ExecuteTraced {
    /// As [`Client::execute`], in a span.
    ///
    /// # Errors
    ///
    /// As [`Client::execute`].
    fn execute_traced(&self, request: Request) -> impl Future<Output = Result<Response, Error>> + Send;
}

impl ExecuteTraced for Client {
    async fn execute_traced(&self, request: Request) -> Result<Response, Error> {
        register();
        let span = start(&request, ORIGIN, 0);
        traced(span, request, |request| self.execute(request), kind).await
    }
}

/// There is no constructor to do it in, and this is on the way of each request.
fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| register_integration(NAME));
}

/// Starts the span of a request, which has been sent so many times before.
pub(crate) fn start(request: &Request, origin: &'static str, resends: u32) -> Span {
    if !Parent::ONLY_CURRENT.may_record() {
        return nothing().inactive().start();
    }
    let url = Url::of(request.url().as_str());
    let plain = url.plain();
    child(format!("{} {plain}", request.method()), OP, origin)
        .attribute(names::HTTP_REQUEST_METHOD, request.method().as_str())
        .attribute(names::URL_FULL, plain)
        .attribute(names::SERVER_ADDRESS, url.host)
        .attribute(names::SERVER_PORT, url.port.map(i64::from))
        .attribute(names::HTTP_REQUEST_RESEND_COUNT, (resends > 0).then(|| i64::from(resends)))
        .inactive()
        .start()
}

/// Sends a request with the headers of its span, which goes along with the response.
pub(crate) async fn traced<F, E>(
    span: Span,
    mut request: Request,
    send: impl FnOnce(Request) -> F,
    kind: fn(&E) -> &'static str,
) -> Result<Response, E>
where
    F: Future<Output = Result<Response, E>>,
{
    let url = request.url().to_string();
    carry(&span, &url, request.headers_mut());
    if !span.is_sampled() {
        return send(request).await;
    }
    let mut exchange = Exchange::new(Work::new(span), Protocol::Http, Side::Client, request.method());
    let result = {
        let mut sent = pin!(exchange.run(|| send(request)));
        poll_fn(|context| exchange.run(|| sent.as_mut().poll(context))).await
    };
    match result {
        Ok(response) => Ok(with_span(response, exchange)),
        Err(error) => {
            exchange.fail(kind(&error));
            Err(error)
        }
    }
}

fn with_span(response: Response, exchange: Exchange) -> Response {
    // The way there and back keeps all but the URL.
    let mut url = http::Response::builder().url(response.url().clone());
    let mut response = exchange.answered(http::Response::from(response)).map(Body::wrap);
    if let Some(url) = url.extensions_mut() {
        response.extensions_mut().extend(std::mem::take(url));
    }
    Response::from(response)
}

/// What kind of error it is. Its text may have the URL.
pub(crate) fn kind(error: &Error) -> &'static str {
    let kinds: [(bool, &'static str); 4] = [
        (error.is_timeout(), "timeout"),
        (error.is_connect(), "connect"),
        (error.is_redirect(), "redirect"),
        (error.is_builder(), "builder"),
    ];
    kinds.into_iter().find(|(is, _)| *is).map_or("request", |(_, kind)| kind)
}
