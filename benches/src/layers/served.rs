//! The handler, the requests that it is sent, and what sends them.

use std::future::poll_fn;
use std::pin::Pin;

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::http::header::{ACCEPT, ACCEPT_ENCODING, HOST, USER_AGENT};
use axum::http::{self, HeaderValue, StatusCode};
use axum::routing::get;
use tokio::runtime::{self, Runtime};
use tower_service::Service as _;

/// A request that the router is called with.
pub type Request = http::Request<Body>;

const BODY: &str = "an order";

/// One route, whose handler returns at once.
pub(super) fn routes() -> Router {
    Router::new().route("/orders/{id}", get(|| async { BODY }))
}

/// What requests have in their headers of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incoming {
    /// Nothing: each begins one.
    Nothing,
    /// `sentry-trace` and `baggage`, of another trace each.
    Trace,
}

const PARENT: &str = "b7ad6b7169203331";

impl Incoming {
    /// The trace that this request is part of, and its parent.
    pub(super) fn trace(self, number: usize) -> Option<(String, String)> {
        let id = 0x771a_43a4_1926_42f0_b136_d515_9a50_1700 + number as u128;
        (self == Incoming::Trace).then(|| (format!("{id:032x}"), PARENT.to_owned()))
    }
}

fn text(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).expect("it is ASCII")
}

pub(super) fn request(number: usize, incoming: Incoming, is_sampled: bool) -> Request {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = format!("/orders/{number}?page=2").parse().expect("it is a path with a query");
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::from_static("shop.example:8080"));
    headers.insert(USER_AGENT, HeaderValue::from_static("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Firefox/128.0"));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip, deflate, br"));
    if let Some((trace, parent)) = incoming.trace(number) {
        let (flag, word) = if is_sampled { (1, "true") } else { (0, "false") };
        headers.insert("sentry-trace", text(&format!("{trace}-{parent}-{flag}")));
        let baggage = format!(
            "sentry-trace_id={trace},sentry-public_key=0123456789abcdef0123456789abcdef,sentry-release=shop%401.0.0,\
             sentry-environment=production,sentry-sample_rate=1,sentry-sample_rand=0.25,sentry-sampled={word}"
        );
        headers.insert("baggage", text(&baggage));
    }
    request
}

/// Calls the router in process, on a runtime of one thread, and reads each response to the end of its body.
#[derive(Debug)]
pub struct Server {
    router: Router,
    runtime: Runtime,
}

impl Server {
    pub(super) fn new(router: Router) -> Self {
        let runtime = runtime::Builder::new_current_thread().build().expect("it asks the system for nothing");
        Server { router, runtime }
    }

    /// Serves requests, one after the other.
    pub fn serve(&mut self, requests: Vec<Request>) {
        let router = &mut self.router;
        self.runtime.block_on(async {
            for request in requests {
                let Ok(response) = router.call(request).await;
                assert_eq!(response.status(), StatusCode::OK, "the route is there");
                assert_eq!(read(response.into_body()).await, BODY.len(), "the body is whole");
            }
        });
    }
}

/// Reads a body to its end, and returns how long it was.
async fn read(mut body: Body) -> usize {
    let mut length = 0;
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        length += frame.expect("the body does not fail").data_ref().map_or(0, |data| data.len());
    }
    length
}
