//! A segment for each request that [`actix_web`] 4 serves, named by its route.
//!
//! ```
//! use actix_web::{App, web};
//!
//! let app = App::new()
//!     .wrap(span_integrations::actix_web::middleware())
//!     .route("/orders/{id}", web::get().to(|| async { "an order" }));
//! # let _ = app;
//! ```
//!
//! # Invariant
//!
//! A request has one span, whatever number of such middlewares it passes, which is current in the handler and in the body, and in no other
//! request. It ends once: with the last of the body, with an error or a panic in either, or when either is dropped.
//!
//! # Hook
//!
//! [`Transform`]. The body's end is when its last part is handed to the server, not when the client has read it. What was registered further
//! outside, which is later, is not in the span. That a client of HTTP/1 went away, the server finds out when it writes, and at once with
//! `HttpServer::h1_allow_half_closed(false)`. `actix_web::rt::spawn` takes what is current along by
//! [`in_current_span`](span_runtime::Instrument::in_current_span).
//!
//! # Attributes
//!
//! The span is a segment of the trace that the headers name, `sentry-trace` with `baggage` or `traceparent`, and of a new trace without them,
//! also where another span is current.
//!
//! | | |
//! | --- | --- |
//! | name | `GET /orders/{id}`, source `route`; where no resource matched, `GET /orders/7`, source `url` |
//! | `sentry.op`, `sentry.origin` | `http.server`, `auto.http.actix_web` |
//! | status | `error` for a status code from 400 on, a failed body, and a panic; `span.cancelled` where the client went away |
//! | `http.request.method`, `http.route`, `url.path`, `network.protocol.name`, `network.protocol.version` | of the request |
//! | `url.scheme` | `https` where the server itself speaks TLS |
//! | `server.address`, `server.port` | where the request says them: in its line, or in `host` |
//! | `client.address` | of the connection; sent with [`send_default_pii`](span_runtime::Options::send_default_pii) only |
//! | `http.response.status_code` | of the response, or of the error |
//! | `error.type` | of an error of the body, its type |
//! | `url.query` | with [`query`](ServerMiddleware::query): may be sensitive; the scrubber filters its values |
//! | `http.request.header.<name>` | of those in [`headers`](ServerMiddleware::headers): may be sensitive; the scrubber filters what is secret by name |

use std::any::type_name;
use std::fmt;
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use ::actix_web::body::{BodySize, MessageBody};
use ::actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform};
use ::actix_web::http::header::{HOST, HeaderValue};
use ::actix_web::http::{Method, StatusCode, Version};
use ::actix_web::web::Bytes;
use ::actix_web::{Error, HttpMessage as _};
use pin_project_lite::pin_project;
use span_runtime::{
    InContext, Instrument as _, Parent, Span, SpanBuilder, continue_trace, names, register_integration,
};

use crate::common::{Asked, Head, Work, name_of_request, segment, status_of_http};

const NAME: &str = "actix-web";
const ORIGIN: &str = "auto.http.actix_web";
const OP: &str = "http.server";

/// A middleware for `App::wrap`, to be registered last.
///
/// ```
/// let middleware = span_integrations::actix_web::middleware().headers(["user-agent"]);
/// # let _ = actix_web::App::new().wrap(middleware);
/// ```
pub fn middleware() -> ServerMiddleware {
    register_integration(NAME);
    ServerMiddleware { asked: Asked::default() }
}

/// Makes spans of the requests that an application serves; made by [`middleware`].
#[derive(Debug, Clone)]
pub struct ServerMiddleware {
    asked: Asked,
}

impl ServerMiddleware {
    /// Whether the query string is recorded, as `url.query`; false by default. Its values are filtered, unless the
    /// [`Scrubber`](span_runtime::Scrubber) is off.
    #[must_use]
    pub fn query(mut self, is_recorded: bool) -> Self {
        self.asked.query = is_recorded;
        self
    }

    /// Which headers of a request are recorded, as `http.request.header.<name>`; none by default. What is no name of a header is
    /// left out.
    #[must_use]
    pub fn headers<N: AsRef<str>>(mut self, recorded: impl IntoIterator<Item = N>) -> Self {
        self.asked.headers(recorded);
        self
    }
}

impl<S, B> Transform<S, ServiceRequest> for ServerMiddleware
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    type Response = ServiceResponse<SpanBody<B>>;
    type Error = Error;
    type Transform = Server<S>;
    type InitError = ();
    type Future = Ready<Result<Server<S>, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(Server { service, asked: self.asked.clone() }))
    }
}

/// A service whose requests have spans; made by [`ServerMiddleware`].
#[derive(Debug, Clone)]
pub struct Server<S> {
    service: S,
    asked: Asked,
}

/// What a request has in its extensions once it has a span.
struct InSpan;

impl<S, B> Service<ServiceRequest> for Server<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    type Response = ServiceResponse<SpanBody<B>>;
    type Error = Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.service.poll_ready(context)
    }

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let is_first = request.extensions_mut().insert(InSpan).is_none();
        let is_head = request.method() == Method::HEAD;
        let mut work = is_first.then(|| begin(&self.asked, &request));
        let future = match &mut work {
            Some(work) => work.begin(|| self.service.call(request)),
            // It has what is current in the span further outside.
            None => self.service.call(request).in_current_span(),
        };
        ResponseFuture { future, work, is_head }
    }
}

fn begin(asked: &Asked, request: &ServiceRequest) -> Work {
    let trace = continue_trace(request.headers());
    let _in_trace = trace.enter();
    Work::new(start(asked, request))
}

fn start(asked: &Asked, request: &ServiceRequest) -> Span {
    let (method, route) = (request.method().as_str(), request.match_pattern());
    let mut span = match &route {
        Some(route) => {
            segment(name_of_request(method, route), OP, ORIGIN, "route").attribute(names::HTTP_ROUTE, &**route)
        }
        None => segment(name_of_request(method, request.path()), OP, ORIGIN, "url"),
    };
    if Parent::CURRENT.may_record() {
        span = describe(span, asked, request);
    }
    span.inactive().start()
}

fn describe(span: SpanBuilder, asked: &Asked, request: &ServiceRequest) -> SpanBuilder {
    let span = span
        .attribute(names::HTTP_REQUEST_METHOD, request.method().as_str())
        .attribute(names::URL_PATH, request.path())
        .attribute(names::URL_SCHEME, if request.app_config().secure() { "https" } else { "http" })
        .attribute(names::NETWORK_PROTOCOL_NAME, "http")
        .attribute(names::NETWORK_PROTOCOL_VERSION, version(request.version()));
    let host = || request.headers().get(HOST)?.to_str().ok();
    let head = Head {
        authority: request.uri().authority().map(|authority| authority.as_str()).or_else(host),
        query: request.uri().query(),
        client: request.peer_addr().map(|peer| peer.ip().to_string()),
    };
    asked.describe(span, head, |name| request.headers().get_all(name).map(text).collect())
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

fn version(version: Version) -> Option<&'static str> {
    Some(match version {
        Version::HTTP_09 => "0.9",
        Version::HTTP_10 => "1.0",
        Version::HTTP_11 => "1.1",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => return None,
    })
}

/// Puts the status code on a span.
fn answer(work: &mut Work, code: StatusCode) {
    if let Some(span) = work.span() {
        span.set_attribute(names::HTTP_RESPONSE_STATUS_CODE, code.as_u16());
        span.set_status(status_of_http(code.as_u16()));
    }
}

pin_project! {
    /// The future of a request, with its span, which is current while the future is polled.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F> {
        #[pin]
        future: InContext<F>,
        // Behind the future, so that it is dropped later.
        work: Option<Work>,
        // A response to `HEAD` has the size of one with a body.
        is_head: bool,
    }
}

impl<F, B> Future for ResponseFuture<F>
where
    F: Future<Output = Result<ServiceResponse<B>, Error>>,
    B: MessageBody,
{
    type Output = Result<ServiceResponse<SpanBody<B>>, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(work) = this.work.as_mut() else {
            let polled = this.future.poll(context);
            return polled.map_ok(|response| response.map_body(|_, body| SpanBody::new(body, None, true)));
        };
        let Poll::Ready(result) = work.watch(|| this.future.poll(context)) else { return Poll::Pending };
        match &result {
            Ok(response) => answer(work, response.status()),
            Err(error) => {
                answer(work, error.as_response_error().status_code());
                work.end();
            }
        }
        let (work, is_head) = (this.work.take(), *this.is_head);
        Poll::Ready(result.map(|response| response.map_body(|_, body| SpanBody::new(body, work, is_head))))
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").field("has_span", &self.work.is_some()).finish_non_exhaustive()
    }
}

pin_project! {
    /// The body of a response, with the span of the request, which is current while the body is polled and ends with it.
    pub struct SpanBody<B> {
        #[pin]
        body: Option<B>,
        work: Option<Work>,
        size: BodySize,
        // Of a body whose size is known, as much as has not been seen.
        left: Option<u64>,
    }

    impl<B> PinnedDrop for SpanBody<B> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if let Some(work) = this.work {
                // What the body holds is dropped inside of the span.
                work.run(|| this.body.set(None));
                if *this.left == Some(0) {
                    work.end();
                }
            }
        }
    }
}

impl<B: MessageBody> SpanBody<B> {
    fn new(body: B, mut work: Option<Work>, is_never_sent: bool) -> Self {
        let size = body.size();
        let left = match size {
            BodySize::None => Some(0),
            BodySize::Sized(bytes) => Some(bytes),
            BodySize::Stream => None,
        };
        if let Some(work) = work.as_mut().filter(|_| is_never_sent || left == Some(0)) {
            work.end();
        }
        SpanBody { body: Some(body), work, size, left }
    }
}

impl<B: MessageBody> MessageBody for SpanBody<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.size
    }

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, B::Error>>> {
        let mut this = self.project();
        let Some(body) = this.body.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        let Some(work) = this.work.as_mut() else { return body.poll_next(context) };
        let polled = work.run(|| body.poll_next(context));
        match &polled {
            Poll::Ready(Some(Ok(bytes))) => {
                if let Some(left) = this.left.as_mut() {
                    *left = left.saturating_sub(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
                }
            }
            Poll::Ready(Some(Err(_))) => work.fail(type_name::<B::Error>()),
            Poll::Ready(None) => work.end(),
            Poll::Pending => {}
        }
        polled
    }
}

impl<B> fmt::Debug for SpanBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpanBody").field("has_span", &self.work.is_some()).finish_non_exhaustive()
    }
}
