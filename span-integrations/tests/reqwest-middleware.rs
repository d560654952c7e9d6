//! Requests that go through reqwest-middleware, against axum on the loopback address.
#![cfg(feature = "reqwest-middleware")]
#![forbid(unsafe_code)]

mod served;

use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use http::Extensions;
use reqwest::{Client, Request, Response};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Next, Result};
use span_integrations::reqwest_middleware::middleware;
use span_runtime::{Instrument as _, continue_trace, current_span, start_span};
use span_tests::Harness;
use tokio::net::TcpListener;
use tokio::time::timeout;

use served::{INCOMING, block_on, text};

const OUTCOME: [&str; 5] =
    ["sentry.op", "http.request.method", "http.response.status_code", "http.request.resend_count", "url.query"];

async fn serve() -> SocketAddr {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let third = || async {
        let asked = ASKED.fetch_add(1, Ordering::Relaxed);
        if asked % 3 == 2 { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
    };
    let echo = |headers: HeaderMap| async move {
        headers.get("sentry-trace").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let app = Router::new().route("/third", get(third)).route("/echo", get(echo)).route("/waits", get(pending::<()>));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

type Answer<'a> = Pin<Box<dyn Future<Output = Result<Response>> + Send + 'a>>;

/// Sends a request again until it is served, as the middlewares do that are for this.
fn retry<'a>(request: Request, extensions: &'a mut Extensions, next: Next<'a>) -> Answer<'a> {
    Box::pin(async move {
        loop {
            let again = request.try_clone().expect("it has no body");
            let response = next.clone().run(again, extensions).await?;
            if !response.status().is_server_error() {
                return Ok(response);
            }
        }
    })
}

fn refuse<'a>(_: Request, _: &'a mut Extensions, _: Next<'a>) -> Answer<'a> {
    Box::pin(async { Err(reqwest_middleware::Error::Middleware(anyhow::anyhow!("on purpose"))) })
}

fn panics<'a>(_: Request, _: &'a mut Extensions, _: Next<'a>) -> Answer<'a> {
    Box::pin(async { panic!("on purpose") })
}

fn client() -> ClientWithMiddleware {
    ClientBuilder::new(Client::new()).with(retry).with(middleware()).build()
}

/// Runs a future in a span, with a server.
fn in_request<F: Future>(workers: usize, f: impl FnOnce(String) -> F) -> F::Output {
    block_on(workers, async {
        let server = serve().await;
        f(format!("http://{server}")).in_span(start_span("request").inactive().start()).await
    })
}

// behaviour 37
#[test]
fn each_time_that_a_request_is_sent_is_a_span() {
    let harness = Harness::new();
    in_request(1, |server| async move {
        for _ in 0..2 {
            let url = format!("{server}/third?token=secret").replace("//", "//app:secret@");
            let response = client().get(url).send().await.expect("the third time");
            assert_eq!(response.status(), 200);
        }
    });
    let one = "  GET http://server/third [error] OP http.response.status_code=503\n  \
        GET http://server/third [error] OP http.response.status_code=503 http.request.resend_count=1\n  \
        GET http://server/third OP http.response.status_code=200 http.request.resend_count=2\n";
    let one = one.replace("OP", "sentry.op=\"http.client\" http.request.method=\"GET\"");
    let spans = harness.finish();
    assert!(!format!("{spans:?}").contains("secret"), "{spans:?}");
    assert_eq!(text(&spans, &OUTCOME), format!("request\n{one}{one}"));
}

#[test]
fn errors_timeouts_cancellation_and_panics() {
    for workers in [1, 2] {
        let harness = Harness::new();
        in_request(workers, |server| async move {
            let impatient = Client::builder().timeout(Duration::from_millis(50)).build().expect("a client");
            let impatient = ClientBuilder::new(impatient).with(middleware()).build();
            let waits = || impatient.get(format!("{server}/waits")).send();
            assert!(waits().await.expect_err("it takes too long").is_timeout());
            let cancelled = client().get(format!("{server}/waits")).send();
            assert!(timeout(Duration::from_millis(50), cancelled).await.is_err());
            let refused = ClientBuilder::new(Client::new()).with(middleware()).with(refuse).build();
            assert!(refused.get(format!("{server}/echo")).send().await.expect_err("it is refused").is_middleware());
            let panicking = ClientBuilder::new(Client::new()).with(middleware()).with(panics).build();
            let panicking = panicking.get(format!("{server}/echo")).send().in_current_span();
            assert!(tokio::spawn(panicking).await.expect_err("it panics").is_panic());
        });
        let expected = "\
            request sentry.origin=\"manual\"\n  \
            GET http://server/waits [error] sentry.origin=O error.type=\"timeout\"\n  \
            GET http://server/waits sentry.origin=O span.cancelled=true\n  \
            GET http://server/echo [error] sentry.origin=O error.type=\"middleware\"\n  \
            GET http://server/echo [error] sentry.origin=O\n";
        let keys = ["sentry.origin", "http.request.resend_count", "error.type", "span.cancelled"];
        let expected = expected.replace("=O", "=\"auto.http.reqwest_middleware\"");
        assert_eq!(text(&harness.finish(), &keys), expected, "{workers} workers");
    }
}

#[test]
fn concurrent_requests_never_cross() {
    for workers in [1, 2] {
        let harness = Harness::new();
        in_request(workers, |server| async move {
            let ask = |name: &'static str| {
                let request = client().get(format!("{server}/echo"));
                let inside = async move {
                    let sent = request.send().await.expect("it answers").text().await.expect("the body comes");
                    current_span().set_attribute("sent", sent);
                };
                inside.in_span(start_span(name).inactive().start())
            };
            tokio::join!(ask("one"), ask("two"));
            let (three, four) = (tokio::spawn(ask("three")), tokio::spawn(ask("four")));
            three.await.expect("it does not panic");
            four.await.expect("it does not panic");
        });
        let spans = harness.finish();
        for name in ["one", "two", "three", "four"] {
            let span = spans.iter().find(|span| span.name == name).expect("it was sent");
            let below: Vec<_> =
                spans.iter().filter(|child| child.parent_span_id.as_ref() == Some(&span.span_id)).collect();
            let [client] = below[..] else { panic!("one request below {name}: {below:?}") };
            let sent = span.attributes["sent"].value.to_string();
            assert_eq!(sent, format!("\"{}-{}-1\"", span.trace_id, client.span_id), "{workers} workers");
        }
        assert_eq!(spans.len(), 9);
    }
}

// behaviours 28, 33
#[test]
fn where_nothing_is_recorded_the_trace_is_passed_on() {
    let ask = || {
        block_on(2, async {
            let server = serve().await;
            let sent =
                async { client().get(format!("http://{server}/echo")).send().await.expect("it answers").text().await };
            sent.in_trace(continue_trace([("sentry-trace", INCOMING)])).await.expect("the body comes")
        })
    };
    assert_eq!(ask(), INCOMING, "without a runtime");
    let harness = Harness::new();
    assert_eq!(ask(), INCOMING, "outside of a span");
    assert_eq!(harness.text(&[]), "");
    let harness = Harness::sampling(0.0);
    let sent = in_request(1, |server| async move {
        client().get(format!("{server}/echo")).send().await.expect("it answers").text().await.expect("the body comes")
    });
    assert!(sent.ends_with("-0"), "{sent}");
    assert_eq!(harness.text(&[]), "");
}
