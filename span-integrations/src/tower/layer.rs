//! The layer, and how it names and describes requests.

use std::fmt;
use std::net::IpAddr;

use http::header::HOST;
use http::uri::Authority;
use http::{Extensions, HeaderValue, Request, Version};
use span_runtime::{Parent, Span, SpanBuilder, SpanHandle, names};
use tower_layer::Layer;

use super::Server;
use crate::common::{Asked, Head, Protocol, name_of_request, segment};

/// Makes spans of the requests that a service serves; made by [`layer`](super::layer()).
#[derive(Clone)]
pub struct ServerLayer {
    settings: Settings,
}

impl ServerLayer {
    pub(crate) fn new(named: Named) -> Self {
        ServerLayer { settings: Settings { named, asked: Asked::default(), client: None } }
    }

    /// Whether the query string is recorded, as `url.query`; false by default. Its values are filtered, unless the
    /// [`Scrubber`](span_runtime::Scrubber) is off.
    #[must_use]
    pub fn query(mut self, is_recorded: bool) -> Self {
        self.settings.asked.query = is_recorded;
        self
    }

    /// Which headers of a request are recorded, as `http.request.header.<name>`; none by default. What is no name of a header is
    /// left out.
    #[must_use]
    pub fn headers<N: AsRef<str>>(mut self, recorded: impl IntoIterator<Item = N>) -> Self {
        self.settings.asked.headers(recorded);
        self
    }

    /// How the address of the client is found in what the server says of a connection, which a layer does not know by itself. It is
    /// recorded as `client.address`, and sent with [`send_default_pii`](span_runtime::Options::send_default_pii) only.
    ///
    /// ```
    /// use std::net::SocketAddr;
    ///
    /// use axum::extract::ConnectInfo;
    ///
    /// // It is there with `Router::into_make_service_with_connect_info::<SocketAddr>`.
    /// let layer = span_integrations::axum::layer()
    ///     .client_address(|extensions| Some(extensions.get::<ConnectInfo<SocketAddr>>()?.0.ip()));
    /// # let _: axum::Router = axum::Router::new().layer(layer);
    /// ```
    #[must_use]
    pub fn client_address(mut self, find: fn(&Extensions) -> Option<IpAddr>) -> Self {
        self.settings.client = Some(find);
        self
    }
}

impl<S> Layer<S> for ServerLayer {
    type Service = Server<S>;

    fn layer(&self, service: S) -> Server<S> {
        Server { service, settings: self.settings.clone() }
    }
}

impl fmt::Debug for ServerLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerLayer").field("settings", &self.settings).finish()
    }
}

/// What requests are named by.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Named {
    /// A route, where there is one, or the path.
    Http { origin: &'static str, route: fn(&Extensions) -> Option<&str> },
    /// Service and method.
    #[cfg_attr(not(feature = "tonic"), expect(dead_code, reason = "the module `tonic` makes them"))]
    Grpc { origin: &'static str },
}

#[derive(Debug, Clone)]
pub(crate) struct Settings {
    named: Named,
    asked: Asked,
    client: Option<fn(&Extensions) -> Option<IpAddr>>,
}

impl Settings {
    pub(crate) fn protocol(&self) -> Protocol {
        match self.named {
            Named::Http { .. } => Protocol::Http,
            Named::Grpc { .. } => Protocol::Grpc,
        }
    }

    /// Starts the span of a request, with the trace that it belongs to entered; inside of another span of the request, a child of that.
    pub(crate) fn start<B>(&self, request: &Request<B>, outer: Option<&SpanHandle>) -> Span {
        let parent = outer.map_or(Parent::CURRENT, Parent::of);
        let describes = parent.may_record();
        let mut span = self.name(request).parent(parent);
        if describes {
            span = self.describe(span, request);
        }
        span.inactive().start()
    }

    fn name<B>(&self, request: &Request<B>) -> SpanBuilder {
        let path = request.uri().path();
        match self.named {
            Named::Http { origin, .. } => match self.route(request) {
                Some((name, route)) => {
                    segment(name, "http.server", origin, "route").attribute(names::HTTP_ROUTE, route)
                }
                None => segment(name_of_request(request.method().as_str(), path), "http.server", origin, "url"),
            },
            Named::Grpc { origin } => {
                segment(path.strip_prefix('/').unwrap_or(path).to_owned(), "grpc.server", origin, "route")
            }
        }
    }

    /// A name with the route, and the route.
    fn route<'r, B>(&self, request: &'r Request<B>) -> Option<(String, &'r str)> {
        let Named::Http { route, .. } = self.named else { return None };
        let route = route(request.extensions())?;
        Some((name_of_request(request.method().as_str(), route), route))
    }

    /// Gives the route to a span that began further outside, where it was not known.
    pub(crate) fn rename<B>(&self, span: &SpanHandle, request: &Request<B>) {
        if let Some((name, route)) = self.route(request) {
            span.set_name(name);
            span.set_attributes([(names::HTTP_ROUTE, route), (names::SEGMENT_NAME_SOURCE, "route")]);
        }
    }

    fn describe<B>(&self, span: SpanBuilder, request: &Request<B>) -> SpanBuilder {
        let uri = request.uri();
        let span = match self.named {
            Named::Http { .. } => span
                .attribute(names::HTTP_REQUEST_METHOD, request.method().as_str())
                .attribute(names::URL_PATH, uri.path())
                .attribute(names::URL_SCHEME, uri.scheme_str())
                .attribute(names::NETWORK_PROTOCOL_NAME, "http")
                .attribute(names::NETWORK_PROTOCOL_VERSION, version(request.version())),
            Named::Grpc { .. } => {
                let (service, method) = service_and_method(uri.path());
                span.attribute(names::RPC_SYSTEM, "grpc")
                    .attribute(names::RPC_SERVICE, service)
                    .attribute(names::RPC_METHOD, method)
            }
        };
        let host = || request.headers().get(HOST)?.to_str().ok();
        let client = self.client.and_then(|find| find(request.extensions()));
        let head = Head {
            authority: uri.authority().map(Authority::as_str).or_else(host),
            query: uri.query(),
            client: client.map(|address| address.to_string()),
        };
        self.asked.describe(span, head, |name| request.headers().get_all(name).iter().map(text).collect())
    }
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

/// The parts of `/package.Service/Method`.
pub(crate) fn service_and_method(path: &str) -> (&str, &str) {
    let path = path.strip_prefix('/').unwrap_or(path);
    path.split_once('/').unwrap_or((path, ""))
}
