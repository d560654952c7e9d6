//! A request and its response over HTTP, up to the end of the response's body.

use std::any::type_name;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use ::http::header::CONTENT_LENGTH;
use ::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, response};
use bytes::Buf as _;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use span_runtime::{InContext, Span, Status, names};

use super::{Work, grpc, outgoing, status_of_http};

/// What says how an exchange went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// The status code of the response.
    Http,
    /// The status in the trailers, or in the headers of a response without a body.
    Grpc,
}

/// Which end of an exchange this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// To drop a body before its end is the other side's doing, or a shutdown's.
    Server,
    /// ... and here the caller's, who may have seen enough of it.
    Client,
}

/// The span of an exchange.
pub(crate) struct Exchange {
    work: Work,
    protocol: Protocol,
    side: Side,
    /// A response to `HEAD` has the headers of one with a body.
    is_head: bool,
    has_grpc_status: bool,
}

impl Exchange {
    pub(crate) fn new(work: Work, protocol: Protocol, side: Side, method: &Method) -> Self {
        Exchange { work, protocol, side, is_head: method == Method::HEAD, has_grpc_status: false }
    }

    pub(crate) fn run<R>(&mut self, part: impl FnOnce() -> R) -> R {
        self.work.run(part)
    }

    pub(crate) fn begin<F: Future>(&mut self, call: impl FnOnce() -> F) -> InContext<F> {
        self.work.begin(call)
    }

    pub(crate) fn watch<R>(&mut self, part: impl FnOnce() -> R) -> R {
        self.work.watch(part)
    }

    /// Looks at the head of the response, and lets the span go along with the body.
    pub(crate) fn answered<B: Body>(mut self, response: Response<B>) -> Response<SpanBody<B>> {
        let (parts, body) = response.into_parts();
        self.look(&parts);
        // Of a call that says how it ended in its headers, there is nothing else.
        let has_no_body = self.is_head || self.has_grpc_status || is_without_body(parts.status) || body.is_end_stream();
        let left = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let mut exchange = Some(self);
        if has_no_body {
            exchange.take().into_iter().for_each(Exchange::complete);
        }
        Response::from_parts(parts, SpanBody { body: Some(body), exchange, left })
    }

    fn look(&mut self, parts: &response::Parts) {
        let Some(span) = self.work.span() else { return };
        span.set_attribute(names::HTTP_RESPONSE_STATUS_CODE, parts.status.as_u16());
        if self.protocol == Protocol::Http || parts.status != StatusCode::OK {
            span.set_status(status_of_http(parts.status.as_u16()));
        }
        self.look_for_grpc_status(&parts.headers);
    }

    /// Looks for the status of a call in trailers, or headers.
    fn look_for_grpc_status(&mut self, headers: &HeaderMap) {
        if self.protocol != Protocol::Grpc {
            return;
        }
        if let (Some(span), Some(status)) = (self.work.span(), headers.get(grpc::STATUS)) {
            let code = grpc::Code::of(status.as_bytes());
            span.set_attribute(names::RPC_RESPONSE_STATUS_CODE, code.name());
            span.set_status(code.status());
            self.has_grpc_status = true;
        }
    }

    /// Ends the span of an exchange of which all has been seen.
    fn complete(mut self) {
        // A call that ends without a status is broken.
        if self.protocol == Protocol::Grpc && !self.has_grpc_status {
            if let Some(span) = self.work.span() {
                span.set_status(Status::Error);
            }
        }
        self.work.end();
    }

    /// Ends the span of an exchange that failed with an error of this type, or of this kind.
    pub(crate) fn fail(mut self, kind: &str) {
        self.work.fail(kind);
    }

    /// Ends the span of an exchange whose body is dropped before its end.
    fn give_up(mut self) {
        if self.side == Side::Client && self.protocol == Protocol::Http {
            self.work.end();
        }
    }
}

/// As [`outgoing`], to the headers of a request over HTTP.
pub(crate) fn carry(span: &Span, url: &str, headers: &mut HeaderMap) {
    let existing = |name: &'static str| {
        let values: Vec<&str> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
        (!values.is_empty()).then(|| values.join(","))
    };
    let mut added = Vec::new();
    outgoing(span, url, existing, |name, value| added.push((name, HeaderValue::from_str(value))));
    for (name, value) in added {
        if let Ok(value) = value {
            headers.insert(name, value);
        }
    }
}

/// What has no body whatever its headers say, and what is something else than HTTP from here on.
fn is_without_body(status: StatusCode) -> bool {
    status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

pin_project! {
    /// The body of a response, with the span of the exchange, which is current while the body is polled and ends with it.
    pub struct SpanBody<B: Body> {
        #[pin]
        body: Option<B>,
        exchange: Option<Exchange>,
        // Of the length that the headers state, as much as has not been seen: with nothing left, nobody asks for the end.
        left: Option<u64>,
    }

    impl<B: Body> PinnedDrop for SpanBody<B> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let Some(mut exchange) = this.exchange.take() else { return };
            let is_at_end = *this.left == Some(0) || this.body.as_ref().get_ref().as_ref().is_none_or(Body::is_end_stream);
            // What the body holds is dropped inside of the span.
            exchange.run(|| this.body.set(None));
            if is_at_end {
                exchange.complete();
            } else {
                exchange.give_up();
            }
        }
    }
}

impl<B: Body> SpanBody<B> {
    /// One of an exchange that has another span already.
    pub(crate) fn without_span(body: B) -> Self {
        SpanBody { body: Some(body), exchange: None, left: None }
    }
}

impl<B: Body> Body for SpanBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let mut this = self.project();
        let Some(mut body) = this.body.as_mut().as_pin_mut() else { return Poll::Ready(None) };
        let Some(exchange) = this.exchange.as_mut() else { return body.poll_frame(context) };
        let polled = exchange.run(|| body.as_mut().poll_frame(context));
        let is_over = match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let (Some(data), Some(left)) = (frame.data_ref(), this.left.as_mut()) {
                    *left = left.saturating_sub(u64::try_from(data.remaining()).unwrap_or(u64::MAX));
                }
                if let Some(trailers) = frame.trailers_ref() {
                    exchange.look_for_grpc_status(trailers);
                }
                frame.is_trailers() || body.is_end_stream()
            }
            Poll::Ready(None) => true,
            Poll::Ready(Some(Err(_))) => {
                this.exchange.take().into_iter().for_each(|exchange| exchange.fail(type_name::<B::Error>()));
                false
            }
            Poll::Pending => false,
        };
        if is_over {
            this.exchange.take().into_iter().for_each(Exchange::complete);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl<B: Body> std::fmt::Debug for SpanBody<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SpanBody").field("has_span", &self.exchange.is_some()).finish_non_exhaustive()
    }
}
