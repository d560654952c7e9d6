//! Spans of calls that [`tonic`](https://docs.rs/tonic) 0.14 serves and makes.
//!
//! ```
//! use tonic::transport::{Channel, Server};
//! use tower::ServiceBuilder;
//!
//! // A server:
//! let server = Server::builder().layer(span_integrations::tonic::server());
//!
//! // And a client, whose layer has to be told where the channel leads:
//! # fn example() -> Result<(), tonic::transport::Error> {
//! let channel = Channel::from_static("https://stock.example:50051").connect_lazy();
//! let layer = span_integrations::tonic::client("https://stock.example:50051");
//! let channel = ServiceBuilder::new().layer(layer).service(channel);
//! // let client = StockClient::new(channel);
//! # let _ = channel;
//! # Ok(())
//! # }
//! # let _ = server;
//! ```
//!
//! # Invariant
//!
//! A call has one span on each side, whether it is unary or a stream in either direction, which ends once: with the trailers, or where
//! the stream breaks or is dropped. A client's is below the current span; outside of any there is none, and a trace that came in is
//! passed on all the same.
//!
//! # Hook
//!
//! Layers of tower, which see the status where gRPC has it: in the trailers, or in the headers of a response without messages. They need nothing
//! of tonic itself, and serve whatever speaks gRPC through tower. The server's timeout is around its layers: what it ends is cancelled. The headers
//! are the metadata `sentry-trace`, `baggage` and `traceparent`.
//!
//! # Attributes
//!
//! The server's span is a segment, as of [`tower`](crate::tower#attributes).
//!
//! | | |
//! | --- | --- |
//! | name | `stock.Items/Get`; of a server's source `route` |
//! | `sentry.op`, `sentry.origin` | `grpc.server` or `grpc.client`, `auto.grpc.tonic` |
//! | status | `error` for any code but `OK`, for a stream that ends without one, and for a panic; `span.cancelled` where the call was dropped |
//! | `rpc.system`, `rpc.service`, `rpc.method` | `grpc`, `stock.Items`, `Get` |
//! | `server.address`, `server.port` | of `:authority`, or of where the channel leads |
//! | `rpc.response.status_code` | `OK`, `NOT_FOUND`, … |
//! | `http.response.status_code` | of the response |
//! | `error.type` | of an error of the channel or the stream, its type |
//! | `http.request.header.<name>` | metadata, with [`headers`](ServerLayer::headers) |

use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use span_runtime::{Instrument as _, Parent, Span, names, register_integration};
use tower_layer::Layer;
use tower_service::Service;

use crate::common::{Exchange, Protocol, Side, SpanBody, Url, Work, carry, child, nothing};
use crate::tower::{Named, ResponseFuture, ServerLayer, service_and_method};

const NAME: &str = "tonic";
const ORIGIN: &str = "auto.grpc.tonic";
const CLIENT_OP: &str = "grpc.client";

/// A layer for a server of gRPC.
///
/// ```
/// let server = tonic::transport::Server::builder().layer(span_integrations::tonic::server());
/// # let _ = server;
/// ```
pub fn server() -> ServerLayer {
    register_integration(NAME);
    ServerLayer::new(Named::Grpc { origin: ORIGIN })
}

/// A layer for a channel that leads to this URL, such as `https://stock.example:50051`. By it
/// [`trace_propagation_targets`](span_runtime::Options::trace_propagation_targets) are matched: the requests that a channel is given do not
/// have it.
///
/// ```
/// let layer = span_integrations::tonic::client("https://stock.example:50051");
/// # let _ = layer;
/// ```
pub fn client(url: impl AsRef<str>) -> ClientLayer {
    register_integration(NAME);
    ClientLayer { url: url.as_ref().trim_end_matches('/').into() }
}

/// Makes spans of the calls that go through a channel; made by [`client`].
#[derive(Debug, Clone)]
pub struct ClientLayer {
    url: Arc<str>,
}

impl<S> Layer<S> for ClientLayer {
    type Service = Client<S>;

    fn layer(&self, channel: S) -> Client<S> {
        Client { channel, url: self.url.clone() }
    }
}

/// A channel whose calls have spans; made by [`ClientLayer`].
#[derive(Debug, Clone)]
pub struct Client<S> {
    channel: S,
    url: Arc<str>,
}

impl<S> Client<S> {
    fn start(&self, path: &str) -> Span {
        if !Parent::ONLY_CURRENT.may_record() {
            return nothing().inactive().start();
        }
        let url = Url::of(&self.url);
        let (service, method) = service_and_method(path);
        child(path.strip_prefix('/').unwrap_or(path).to_owned(), CLIENT_OP, ORIGIN)
            .attribute(names::RPC_SYSTEM, "grpc")
            .attribute(names::RPC_SERVICE, service)
            .attribute(names::RPC_METHOD, method)
            .attribute(names::SERVER_ADDRESS, url.host)
            .attribute(names::SERVER_PORT, url.port.map(i64::from))
            .inactive()
            .start()
    }
}

impl<S, B, R> Service<Request<B>> for Client<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body,
{
    type Response = Response<SpanBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.channel.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let span = self.start(request.uri().path());
        let url = format!("{}{}", self.url, request.uri().path());
        carry(&span, &url, request.headers_mut());
        if !span.is_sampled() {
            return ResponseFuture::new(self.channel.call(request).in_current_span(), None);
        }
        let mut exchange = Exchange::new(Work::new(span), Protocol::Grpc, Side::Client, request.method());
        let future = exchange.begin(|| self.channel.call(request));
        ResponseFuture::new(future, Some(exchange))
    }
}
