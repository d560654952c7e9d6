//! Requests that reqwest makes, against axum on the loopback address.
#![cfg(feature = "reqwest")]
#![forbid(unsafe_code)]

mod served;

use std::collections::BTreeMap;
use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Redirect;
use axum::routing::{get, post};
use http_body_util::channel::Channel;
use reqwest::{Client, Response};
use span_integrations::reqwest::{ExecuteTraced as _, Traced as _};
use span_runtime::testing::Tree;
use span_runtime::{Instrument as _, continue_trace, current_span, start_span};
use span_tests::Harness;
use tokio::net::TcpListener;
use tokio::time::timeout;

use served::{INCOMING, TRACE, block_on, text};

/// The attributes that say how a request went.
const OUTCOME: [&str; 3] = ["http.response.status_code", "error.type", "span.cancelled"];

/// A body that comes in parts, and fails or never ends.
fn parts(end: &'static str) -> Body {
    let (mut sender, body) = Channel::<Bytes, std::io::Error>::new(1);
    tokio::spawn(async move {
        sender.send_data(Bytes::from_static(b"first")).await.expect("it is read");
        match end {
            "fails" => sender.abort(std::io::Error::other("on purpose")),
            "never" => pending().await,
            _ => sender.send_data(Bytes::from_static(b"second")).await.expect("it is read"),
        }
    });
    Body::new(body)
}

/// What came in of the trace, a header a line.
async fn echo(headers: HeaderMap) -> String {
    let ours = ["sentry-trace", "baggage", "traceparent"];
    let lines = ours.iter().filter_map(|name| Some(format!("{name}: {}\n", headers.get(*name)?.to_str().ok()?)));
    lines.collect()
}

async fn status(Path(code): Path<u16>, Query(_): Query<BTreeMap<String, String>>) -> StatusCode {
    StatusCode::from_u16(code).expect("the test asks for one")
}

async fn serve() -> SocketAddr {
    let app = Router::new()
        .route("/echo", get(echo))
        .route("/echo", post(|body: String| async move { body }))
        .route("/status/{code}", get(status))
        .route("/redirect", get(|| async { Redirect::to("/status/200") }))
        .route("/waits", get(pending::<()>))
        .route("/parts", get(|| async { parts("well") }))
        .route("/fails", get(|| async { parts("fails") }))
        .route("/never", get(|| async { parts("never") }));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

async fn ask(server: SocketAddr, path: &str) -> Result<Response, reqwest::Error> {
    Client::new().get(format!("http://{server}{path}")).send_traced().await
}

/// Runs a future in a span, with a server.
fn in_request<F: Future>(workers: usize, f: impl FnOnce(SocketAddr) -> F) -> F::Output {
    block_on(workers, async {
        let server = serve().await;
        f(server).in_span(start_span("request").inactive().start()).await
    })
}

// behaviour 37
#[test]
fn a_request_is_a_child_and_takes_the_trace_along() {
    for workers in [1, 2] {
        let harness = Harness::with(|options| options.traces_sample_rate(1.0).propagate_traceparent(true));
        let (sent, trace_id, port) = in_request(workers, |server| async move {
            let url = format!("http://user:pass@{server}/echo?token=secret#top");
            let request = Client::new().get(url).header("baggage", "theirs=1");
            let response = request.send_traced().await.expect("it answers");
            assert!(response.url().as_str().ends_with("/echo?token=secret"), "the URL stays: {}", response.url());
            assert!(response.remote_addr().is_some(), "what is in extensions stays");
            assert!(response.content_length().is_some(), "the length is known");
            let trace_id = current_span().trace_id().expect("in a span").to_string();
            (response.text().await.expect("the body comes"), trace_id, server.port())
        });
        let spans = harness.finish();
        let told = format!("{spans:?}");
        assert!(!told.contains("pass") && !told.contains("secret") && !told.contains("top"), "{told}");
        let client = spans.iter().find(|span| !span.is_segment).expect("it was sent");
        assert!(sent.contains(&format!("sentry-trace: {trace_id}-{}-1\n", client.span_id)), "{sent}");
        assert!(sent.contains(&format!("traceparent: 00-{trace_id}-{}-01\n", client.span_id)), "{sent}");
        assert!(sent.contains(&format!("sentry-trace_id={trace_id}")) && sent.contains("theirs=1"), "{sent}");
        let keys = [
            "sentry.op",
            "sentry.origin",
            "http.request.method",
            "url.full",
            "url.query",
            "http.request.resend_count",
            "http.response.status_code",
        ];
        let expected = format!(
            "request sentry.origin=\"manual\"\n  \
             GET http://127.0.0.1:{port}/echo sentry.op=\"http.client\" sentry.origin=\"auto.http.reqwest\" \
             http.request.method=\"GET\" url.full=\"http://127.0.0.1:{port}/echo\" http.response.status_code=200\n"
        );
        assert_eq!(Tree::new(&spans).attributes(&keys).to_string(), expected, "{workers} workers");
        let value = |key: &str| client.attributes[key].value.to_string();
        assert_eq!((value("server.address"), value("server.port")), ("\"127.0.0.1\"".to_owned(), port.to_string()));
    }
}

// behaviour 28
#[test]
fn outside_of_a_span_nothing_is_recorded_and_the_trace_goes_to_its_targets() {
    let harness =
        Harness::with(|options| options.traces_sample_rate(1.0).trace_propagation_targets(["http://127.0.0.1:"]));
    block_on(1, async {
        let server = serve().await;
        let ask = |host: &str| {
            let url = format!("http://{host}:{}/echo", server.port());
            async move { Client::new().get(url).send_traced().await.expect("it answers").text().await.expect("a body") }
        };
        assert_eq!(ask("127.0.0.1").await, "", "there is no trace");
        let trace = continue_trace([("sentry-trace", INCOMING)]);
        let sent = ask("127.0.0.1").in_trace(trace.clone()).await;
        assert!(sent.starts_with(&format!("sentry-trace: {INCOMING}\n")), "{sent}");
        assert_eq!(ask("localhost").in_trace(trace).await, "", "no target");
    });
    assert_eq!(harness.runtime().stats().started, 0);
    assert_eq!(harness.text(&[]), "");
}

#[test]
fn how_requests_end() {
    let harness = Harness::new();
    in_request(1, |server| async move {
        assert_eq!(ask(server, "/status/404").await.expect("it answers").status(), 404);
        assert_eq!(ask(server, "/status/503").await.expect("it answers").status(), 503);
        assert_eq!(ask(server, "/redirect").await.expect("it answers").url().path(), "/status/200");
        let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
        let nobody = closed.local_addr().expect("it is bound");
        drop(closed);
        assert!(ask(nobody, "/status/201").await.expect_err("nobody listens").is_connect());
        let impatient = Client::builder().timeout(Duration::from_millis(50)).build().expect("a client");
        let waits = impatient.get(format!("http://{server}/waits"));
        assert!(waits.send_traced().await.expect_err("it takes too long").is_timeout());
        let never = Client::new().get(format!("http://{server}/never")).timeout(Duration::from_secs(2));
        let body = never.send_traced().await.expect("the head comes in time").text().await;
        assert!(body.expect_err("the rest takes too long").is_timeout(), "what the error is stays");
        let builder = Client::new().get("no url").send_traced().await;
        assert!(builder.expect_err("nothing is sent").is_builder());
    });
    let expected = "\
        request\n  \
        GET http://server/status/404 [error] http.response.status_code=404\n  \
        GET http://server/status/503 [error] http.response.status_code=503\n  \
        GET http://server/redirect http.response.status_code=200\n  \
        GET http://server/status/201 [error] error.type=\"connect\"\n  \
        GET http://server/waits [error] error.type=\"timeout\"\n  \
        GET http://server/never [error] http.response.status_code=200 error.type=\"reqwest::error::Error\"\n";
    assert_eq!(text(&harness.finish(), &OUTCOME), expected);
}

#[test]
fn a_request_ends_with_the_body_of_its_response() {
    for workers in [1, 2] {
        let harness = Harness::new();
        in_request(workers, |server| async move {
            let response = ask(server, "/parts").await.expect("it answers");
            start_span("before the body").start().end();
            assert_eq!(response.text().await.expect("the body comes"), "firstsecond");
            let mut response = ask(server, "/never").await.expect("it answers");
            assert_eq!(response.chunk().await.expect("it comes").as_deref(), Some(b"first".as_slice()));
            drop(response);
            ask(server, "/fails").await.expect("it answers").text().await.expect_err("it breaks half way");
            let upload = Client::new().post(format!("http://{server}/echo"));
            let (mut sender, body) = Channel::<Bytes, std::io::Error>::new(1);
            let send = async {
                sender.send_data(Bytes::from_static(b"in ")).await.expect("it is read");
                sender.send_data(Bytes::from_static(b"parts")).await.expect("it is read");
                drop(sender);
            };
            let (response, ()) = tokio::join!(upload.body(reqwest::Body::wrap(body)).send_traced(), send);
            assert_eq!(response.expect("it answers").text().await.expect("a body"), "in parts");
        });
        let spans = harness.finish();
        let find = |name: &str| spans.iter().find(|span| span.name.ends_with(name)).expect("it was sent");
        assert!(find("/parts").end_timestamp >= find("before the body").end_timestamp);
        let expected = "\
            request\n  \
            GET http://server/parts http.response.status_code=200\n  \
            before the body\n  \
            GET http://server/never http.response.status_code=200\n  \
            GET http://server/fails [error] http.response.status_code=200 error.type=\"reqwest::error::Error\"\n  \
            POST http://server/echo http.response.status_code=200\n";
        assert_eq!(text(&spans, &OUTCOME), expected, "{workers} workers");
    }
}

#[test]
fn a_request_that_is_dropped_is_cancelled_and_one_beside_a_panic_as_well() {
    let harness = Harness::new();
    in_request(2, |server| async move {
        assert!(timeout(Duration::from_millis(50), ask(server, "/waits")).await.is_err());
        let panics = async {
            tokio::task::yield_now().await;
            panic!("on purpose");
        };
        let both = async move {
            let ((), _response) = tokio::join!(panics, ask(server, "/waits"));
        };
        let task = tokio::spawn(both.in_span(start_span("task").inactive().start()));
        assert!(task.await.expect_err("it panics").is_panic());
        ask(server, "/status/200").await.expect("it answers, and nothing is left of the others");
    });
    let expected = "\
        request\n  \
        GET http://server/waits span.cancelled=true\n  \
        task [error]\n    \
        GET http://server/waits [error] span.cancelled=true\n  \
        GET http://server/status/200 http.response.status_code=200\n";
    assert_eq!(text(&harness.finish(), &OUTCOME), expected);
}

#[test]
fn concurrent_requests_never_cross() {
    for workers in [1, 2] {
        let harness = Harness::new();
        in_request(workers, |server| async move {
            let pair = |name: &'static str| {
                let inside = async move {
                    let (one, two) = tokio::join!(ask(server, "/status/201"), ask(server, "/status/202"));
                    assert_eq!((one.expect("a").status().as_u16(), two.expect("b").status().as_u16()), (201, 202));
                    assert_eq!(current_span().name().as_deref(), Some(name));
                };
                inside.in_span(start_span(name).inactive().start())
            };
            tokio::join!(pair("one"), pair("two"));
            let (three, four) = (tokio::spawn(pair("three")), tokio::spawn(pair("four")));
            three.await.expect("it does not panic");
            four.await.expect("it does not panic");
        });
        let text = text(&harness.finish(), &["http.response.status_code"]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 13, "{text}");
        for name in ["one", "two", "three", "four"] {
            let at = lines.iter().position(|line| line.trim() == name).expect("it was sent");
            let mut below = [lines[at + 1], lines[at + 2]];
            below.sort_unstable();
            let expected =
                [201, 202].map(|code| format!("    GET http://server/status/{code} http.response.status_code={code}"));
            assert_eq!(below, expected, "{workers} workers:\n{text}");
        }
    }
}

// behaviour 33
#[test]
fn unsampled_and_without_a_runtime_requests_are_sent() {
    let sent = |client: Client| {
        in_request(2, |server| async move {
            let request = client.get(format!("http://{server}/echo")).build().expect("a request");
            client.execute_traced(request).await.expect("it answers").text().await.expect("the body comes")
        })
    };
    assert_eq!(sent(Client::new()), "");
    let harness = Harness::with(|options| options.traces_sampler(|_| 0.0));
    let headers = sent(Client::new());
    let first = headers.lines().next().expect("a header");
    assert!(first.starts_with("sentry-trace: ") && first.ends_with("-0") && !first.contains(TRACE), "{headers}");
    assert_eq!(harness.text(&[]), "");
}
