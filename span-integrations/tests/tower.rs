//! Requests that services of tower and hyper serve, on the loopback address and in process.
#![cfg(feature = "tower")]
#![forbid(unsafe_code)]

mod served;

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::channel::Channel;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use span_integrations::tower::{Server, ServerLayer, layer};
use span_runtime::testing::Tree;
use span_runtime::{Instrument as _, current_span, start_span, trace_headers};
use span_tests::Harness;
use tokio::net::TcpListener;
use tokio::sync::Barrier;
use tokio::time::timeout;
use tower::{Layer as _, ServiceExt as _, service_fn};

use served::{INCOMING, TRACE, all_ended, block_on, hang_up};

/// The attributes that say how a request went.
const OUTCOME: [&str; 3] = ["http.response.status_code", "error.type", "span.cancelled"];

/// How the error's type is shown.
fn io_error() -> String {
    format!("{:?}", std::any::type_name::<io::Error>())
}

type Body = BoxBody<Bytes, io::Error>;

fn full(text: &'static str) -> Body {
    Full::from(text).map_err(|never: Infallible| match never {}).boxed()
}

/// A body in two parts; the second one is for another task to make, in a span.
fn streamed(fails: bool) -> Body {
    let (mut sender, body) = Channel::new(1);
    let rest = async move {
        sender.send_data(Bytes::from_static(b"first")).await.expect("it is read");
        start_span("part").start().end();
        if fails {
            sender.abort(io::Error::other("on purpose"));
        } else {
            sender.send_data(Bytes::from_static(b"second")).await.expect("it is read");
        }
    };
    tokio::spawn(rest.in_current_span());
    body.boxed()
}

/// A body that has one part and never ends.
fn endless() -> Body {
    let (mut sender, body) = Channel::new(1);
    let rest = async move {
        sender.send_data(Bytes::from_static(b"first")).await.expect("it is read");
        pending::<()>().await;
        drop(sender);
    };
    tokio::spawn(rest);
    body.boxed()
}

async fn handle<B>(request: Request<B>) -> Result<Response<Body>, io::Error> {
    let answer = |status: StatusCode, body: Body| {
        let mut response = Response::new(body);
        *response.status_mut() = status;
        Ok(response)
    };
    match request.uri().path() {
        "/job" => {
            tokio::task::yield_now().await;
            start_span("work").start().end();
            answer(StatusCode::OK, full("done"))
        }
        "/headers" => {
            let headers = trace_headers();
            let mut response = Response::new(full(""));
            let sent = headers.sentry_trace().unwrap_or_default().parse().expect("a value of a header");
            response.headers_mut().insert("sent", sent);
            Ok(response)
        }
        "/missing" => answer(StatusCode::NOT_FOUND, full("there is none")),
        "/broken" => answer(StatusCode::INTERNAL_SERVER_ERROR, full("sorry")),
        "/empty" => answer(StatusCode::NO_CONTENT, Empty::new().map_err(|never: Infallible| match never {}).boxed()),
        "/fails" => Err(io::Error::other("on purpose")),
        "/panics" => panic!("on purpose"),
        "/waits" => pending().await,
        "/streamed" => answer(StatusCode::OK, streamed(false)),
        "/breaks" => answer(StatusCode::OK, streamed(true)),
        "/endless" => answer(StatusCode::OK, endless()),
        path => unreachable!("nobody asks for {path}"),
    }
}

/// A server of hyper's.
async fn serve(layer: ServerLayer) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let service = layer.layer(service_fn(handle::<hyper::body::Incoming>));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("the listener is there");
            let service = TowerToHyperService::new(service.clone());
            // How it ends is the client's to see.
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

async fn get(server: SocketAddr, path: &str) -> Result<String, reqwest::Error> {
    reqwest::get(format!("http://{server}{path}")).await?.text().await
}

/// A service in process, where nothing is between the test and the layer.
async fn call(path: &str) -> Result<Response<span_integrations::tower::SpanBody<Body>>, io::Error> {
    let request = Request::builder().uri(path).body(()).expect("a request");
    layer().layer(service_fn(handle::<()>)).oneshot(request).await
}

// behaviour 37
#[test]
fn a_request_is_a_segment_of_the_trace_that_its_headers_name() {
    for workers in [1, 2] {
        let harness = Harness::new();
        block_on(workers, async {
            let server = serve(layer()).await;
            let request = reqwest::Client::new().get(format!("http://{server}/job?token=secret"));
            let request = request
                .header("sentry-trace", INCOMING)
                .header("authorization", "secret")
                .header("cookie", "session=secret");
            let response = request.send().await.expect("the server answers");
            assert_eq!(response.text().await.expect("the body comes"), "done");
        });
        let spans = harness.finish();
        assert!(spans.iter().all(|span| span.trace_id == TRACE), "one trace");
        let request = &spans.iter().find(|span| span.is_segment).expect("a segment");
        assert_eq!(request.parent_span_id.as_deref(), Some("b7ad6b7169203331"));
        let text = |key: &str| request.attributes.get(key).map(|attribute| attribute.value.to_string());
        assert_eq!(text("server.address").as_deref(), Some("\"127.0.0.1\""));
        assert!(text("server.port").is_some_and(|port| port != "0"), "that of the listener");
        assert_eq!(text("client.address"), None);
        assert!(!format!("{spans:?}").contains("secret"), "{spans:?}");
        let attributes = [
            "sentry.op",
            "sentry.origin",
            "sentry.segment.name.source",
            "http.request.method",
            "url.path",
            "network.protocol.name",
            "network.protocol.version",
            "http.response.status_code",
        ];
        let tree = Tree::new(&spans).attributes(&attributes).to_string();
        let expected = "\
            GET /job sentry.op=\"http.server\" sentry.origin=\"auto.http.tower\" \
            sentry.segment.name.source=\"url\" http.request.method=\"GET\" url.path=\"/job\" \
            network.protocol.name=\"http\" network.protocol.version=\"1.1\" http.response.status_code=200 (parent not received)\n  \
            work sentry.origin=\"manual\"\n";
        assert_eq!(tree, expected, "{workers} workers");
    }
}

#[test]
fn without_headers_a_request_is_a_trace_of_its_own_also_in_another_span() {
    let harness = Harness::new();
    block_on(1, async {
        let inside = async {
            call("/job").await.expect("it answers").into_body().collect().await.expect("the body comes");
        };
        inside.in_span(start_span("main").inactive().start()).await;
    });
    let spans = harness.finish();
    let [main, request] = ["main", "GET /job"].map(|name| spans.iter().find(|span| span.name == name).expect("sent"));
    assert!(request.is_segment && request.parent_span_id.is_none());
    assert_ne!(main.trace_id, request.trace_id);
}

#[test]
fn the_status_is_the_responses() {
    let harness = Harness::new();
    block_on(1, async {
        let server = serve(layer()).await;
        get(server, "/missing").await.expect("it answers");
        get(server, "/broken").await.expect("it answers");
        get(server, "/empty").await.expect("it answers");
        let head = reqwest::Client::new().head(format!("http://{server}/job")).send().await.expect("it answers");
        assert_eq!(head.content_length(), Some(0));
        get(server, "/fails").await.expect_err("hyper hangs up");
    });
    let expected = "\
        GET /missing [error] http.response.status_code=404\n---\n\
        GET /broken [error] http.response.status_code=500\n---\n\
        GET /empty http.response.status_code=204\n---\n\
        HEAD /job http.response.status_code=200\n  \
        work\n---\n\
        GET /fails [error] error.type=IO\n";
    assert_eq!(harness.text(&OUTCOME), expected.replace("IO", &io_error()));
}

#[test]
fn a_request_ends_with_its_body() {
    for workers in [1, 2] {
        let harness = Harness::new();
        block_on(workers, async {
            let server = serve(layer()).await;
            assert_eq!(get(server, "/streamed").await.expect("the body comes"), "firstsecond");
            all_ended(&harness).await;
            get(server, "/breaks").await.expect_err("it breaks half way");
            all_ended(&harness).await;
            hang_up(&harness, server, "/endless", "first").await;
        });
        let spans = harness.finish();
        let ends = |name: &str| spans.iter().find(|span| span.name == name).expect("it was sent").end_timestamp;
        assert!(ends("GET /streamed") >= ends("part"), "the body has a part after the headers");
        let expected = "\
            GET /streamed http.response.status_code=200\n  \
            part\n---\n\
            GET /breaks [error] http.response.status_code=200 error.type=IO\n  \
            part\n---\n\
            GET /endless http.response.status_code=200 span.cancelled=true\n";
        let text = Tree::new(&spans).attributes(&OUTCOME).to_string();
        assert_eq!(text, expected.replace("IO", &io_error()), "{workers} workers");
    }
}

#[test]
fn a_client_that_goes_away_and_a_timeout_cancel() {
    let harness = Harness::new();
    block_on(1, async {
        let server = serve(layer()).await;
        hang_up(&harness, server, "/waits", "").await;
        assert!(timeout(Duration::from_millis(1), call("/waits?in=process")).await.is_err());
        // A response that nobody reads.
        drop(call("/job").await.expect("it answers"));
    });
    let expected = "\
        GET /waits span.cancelled=true\n---\n\
        GET /waits span.cancelled=true\n---\n\
        GET /job http.response.status_code=200 span.cancelled=true\n  \
        work\n";
    assert_eq!(harness.text(&OUTCOME), expected);
}

#[test]
fn what_a_request_drops_is_dropped_in_its_span() {
    struct InDrop;
    impl Drop for InDrop {
        fn drop(&mut self) {
            start_span("while dropping").start().end();
        }
    }
    let harness = Harness::new();
    block_on(1, async {
        let handler = |_: Request<()>| async {
            let _in_drop = InDrop;
            pending::<Result<Response<Body>, Infallible>>().await
        };
        let request = layer().layer(service_fn(handler)).oneshot(Request::new(()));
        assert!(timeout(Duration::from_millis(1), request).await.is_err());
    });
    assert_eq!(harness.text(&["span.cancelled"]), "GET / span.cancelled=true\n  while dropping\n");
}

#[test]
fn a_handler_that_panics_is_an_error_and_the_next_request_has_nothing_of_it() {
    for workers in [1, 2] {
        let harness = Harness::new();
        block_on(workers, async {
            let server = serve(layer()).await;
            get(server, "/panics").await.expect_err("the connection is gone");
            all_ended(&harness).await;
            get(server, "/job").await.expect("it answers");
            assert_eq!(current_span().span_id(), None);
        });
        assert_eq!(
            harness.text(&["span.cancelled"]),
            "GET /panics [error]\n---\nGET /job\n  work\n",
            "{workers} workers"
        );
    }
}

#[test]
fn concurrent_requests_never_cross() {
    for workers in [1, 2] {
        let harness = Harness::new();
        let barrier = Arc::new(Barrier::new(2));
        let handler = move |request: Request<()>| {
            let barrier = barrier.clone();
            async move {
                let name = format!("GET {}", request.uri().path());
                let of = format!("of {}", request.uri().path());
                barrier.wait().await;
                start_span(of).start().end();
                barrier.wait().await;
                assert_eq!(current_span().name(), Some(name));
                Ok::<_, Infallible>(Response::new(full("done")))
            }
        };
        let service = layer().layer(service_fn(handler));
        block_on(workers, async {
            let ask = |path: &'static str| {
                let request = Request::builder().uri(path).body(()).expect("a request");
                let response = service.clone().oneshot(request);
                async { response.await.expect("it answers").into_body().collect().await.expect("the body comes") }
            };
            // On one task, and on two.
            tokio::join!(ask("/one"), ask("/two"));
            let (three, four) = (tokio::spawn(ask("/three")), tokio::spawn(ask("/four")));
            three.await.expect("it does not panic");
            four.await.expect("it does not panic");
        });
        let text = harness.text(&[]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 8 + 3, "four traces: {text}");
        for path in ["/one", "/two", "/three", "/four"] {
            let at = lines.iter().position(|line| *line == format!("GET {path}")).expect("it was sent");
            assert_eq!(lines[at + 1], format!("  of {path}"), "{workers} workers:\n{text}");
        }
    }
}

#[test]
fn two_layers_make_one_span() {
    let harness = Harness::new();
    block_on(1, async {
        let service: Server<Server<_>> = layer().layer(layer().layer(service_fn(handle::<()>)));
        let request = Request::builder().uri("/job").body(()).expect("a request");
        let response = service.oneshot(request).await.expect("it answers");
        response.into_body().collect().await.expect("the body comes");
    });
    assert_eq!(harness.text(&["span.cancelled"]), "GET /job\n  work\n");
}

// behaviour 37
#[test]
fn queries_and_headers_are_recorded_on_request_and_scrubbed() {
    let harness = Harness::new();
    let layer = layer().query(true).headers(["User-Agent", "Authorization", "x-none", "no name"]);
    let service = layer.layer(service_fn(handle::<()>));
    block_on(1, async {
        let request = Request::builder().uri("http://user:pass@shop.example/job?page=7&token=secret");
        let request = request.header("user-agent", "curl").header("authorization", "Bearer secret").body(());
        let response = service.oneshot(request.expect("a request")).await.expect("it answers");
        response.into_body().collect().await.expect("the body comes");
    });
    let keys = [
        "url.scheme",
        "url.query",
        "http.request.header.user-agent",
        "http.request.header.authorization",
        "http.request.header.x-none",
    ];
    let text = harness.text(&keys);
    assert!(!text.contains("secret") && !text.contains("pass"), "{text}");
    let expected = "\
        GET /job url.scheme=\"http\" url.query=\"page=[Filtered]&token=[Filtered]\" \
        http.request.header.user-agent=\"curl\" http.request.header.authorization=\"[Filtered]\"\n  \
        work\n";
    assert_eq!(text, expected);
}

// behaviours 28, 33
#[test]
fn unsampled_and_without_a_runtime_requests_are_served_and_the_trace_is_passed_on() {
    let ask = || {
        block_on(2, async {
            let server = serve(layer()).await;
            let request = reqwest::Client::new().get(format!("http://{server}/headers"));
            let response = request.header("sentry-trace", INCOMING).send().await.expect("it answers");
            response.headers()["sent"].to_str().expect("text").to_owned()
        })
    };
    assert_eq!(ask(), INCOMING, "as it came");
    let harness = Harness::with(|options| options.traces_sampler(|_| 0.0));
    let sent = ask();
    assert!(sent.starts_with(TRACE) && sent.ends_with("-0"), "{sent}");
    assert_eq!(harness.text(&[]), "");
}
