//! The service, and the future of a request that it serves.

use std::any::type_name;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use span_runtime::{InContext, Instrument as _, SpanHandle, continue_trace};
use tower_service::Service;

use super::Settings;
use crate::common::{Exchange, Protocol, Side, SpanBody, Work};

/// A service whose requests have spans; made by [`ServerLayer`](super::ServerLayer).
#[derive(Debug, Clone)]
pub struct Server<S> {
    pub(super) service: S,
    pub(super) settings: Settings,
}

/// What a request has in its extensions once it has a span.
#[derive(Clone)]
struct InSpan {
    span: SpanHandle,
    protocol: Protocol,
}

impl<S> Server<S> {
    /// Starts the span of a request, unless it has one.
    fn begin<B>(&self, request: &mut Request<B>) -> Option<Exchange> {
        let protocol = self.settings.protocol();
        let outer = request.extensions().get::<InSpan>();
        if let Some(outer) = outer.filter(|outer| outer.protocol == protocol) {
            self.settings.rename(&outer.span, request);
            return None;
        }
        let trace = outer.is_none().then(|| continue_trace(request.headers()));
        let _in_trace = trace.as_ref().map(|trace| trace.enter());
        let span = self.settings.start(request, outer.map(|outer| &outer.span));
        let marker = InSpan { span: span.handle(), protocol };
        let work = Work::new(span);
        request.extensions_mut().insert(marker);
        Some(Exchange::new(work, protocol, Side::Server, request.method()))
    }
}

impl<S, B, R> Service<Request<B>> for Server<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body,
{
    type Response = Response<SpanBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let mut exchange = self.begin(&mut request);
        let future = match &mut exchange {
            Some(exchange) => exchange.begin(|| self.service.call(request)),
            // It has what is current in the span further outside.
            None => self.service.call(request).in_current_span(),
        };
        ResponseFuture { future, exchange }
    }
}

pin_project! {
    /// The future of a request, with its span, which is current while the future is polled.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F> {
        #[pin]
        future: InContext<F>,
        // Behind the future, so that it is dropped later.
        exchange: Option<Exchange>,
    }
}

#[cfg(feature = "tonic")]
impl<F> ResponseFuture<F> {
    pub(crate) fn new(future: InContext<F>, exchange: Option<Exchange>) -> Self {
        ResponseFuture { future, exchange }
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body,
{
    type Output = Result<Response<SpanBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let polled = match this.exchange.as_mut() {
            Some(exchange) => exchange.watch(|| this.future.poll(context)),
            None => this.future.poll(context),
        };
        let Poll::Ready(result) = polled else { return Poll::Pending };
        let exchange = this.exchange.take();
        Poll::Ready(match (result, exchange) {
            (Ok(response), Some(exchange)) => Ok(exchange.answered(response)),
            (Ok(response), None) => Ok(response.map(SpanBody::without_span)),
            (Err(error), exchange) => {
                exchange.into_iter().for_each(|exchange| exchange.fail(type_name::<E>()));
                Err(error)
            }
        })
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").field("has_span", &self.exchange.is_some()).finish_non_exhaustive()
    }
}
