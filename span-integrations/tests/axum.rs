//! Requests that axum serves, by their routes.
#![cfg(feature = "axum")]
#![forbid(unsafe_code)]

mod served;

use std::convert::Infallible;
use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Path};
use axum::http::{Request, StatusCode};
use axum::routing::{get, post};
use http_body_util::channel::Channel;
use span_integrations::axum::layer;
use span_runtime::testing::Tree;
use span_runtime::{Instrument as _, current_span, start_span};
use span_tests::Harness;
use tokio::net::TcpListener;
use tokio::sync::Barrier;
use tokio::time::timeout;
use tower::ServiceExt as _;

use served::{INCOMING, TRACE, all_ended, block_on, hang_up};

/// The attributes that say how a request went.
const OUTCOME: [&str; 4] = ["http.route", "http.response.status_code", "error.type", "span.cancelled"];

async fn order(Path(id): Path<u32>) -> String {
    start_span("load").start().end();
    format!("order {id}")
}

/// A body in two parts; the second one is for another task to make, in a span. It may fail, or never come.
fn streamed(end: &'static str) -> Body {
    let (mut sender, body) = Channel::<Bytes, std::io::Error>::new(1);
    let rest = async move {
        sender.send_data(Bytes::from_static(b"first")).await.expect("it is read");
        match end {
            "fails" => sender.abort(std::io::Error::other("on purpose")),
            "never" => pending().await,
            _ => {
                start_span("part").start().end();
                sender.send_data(Bytes::from_static(b"second")).await.expect("it is read");
            }
        }
    };
    tokio::spawn(rest.in_current_span());
    Body::new(body)
}

fn routes() -> Router {
    Router::new()
        .route("/orders/{id}", get(order))
        .route("/orders", post(|| async { StatusCode::CREATED }))
        .route("/broken", get(|| async { (StatusCode::BAD_GATEWAY, "sorry") }))
        .route(
            "/streamed/{end}",
            get(|Path(end): Path<String>| async move {
                streamed(if end == "fails" {
                    "fails"
                } else if end == "never" {
                    "never"
                } else {
                    "well"
                })
            }),
        )
        .route(
            "/panics",
            get(|| async {
                if current_span().name().is_some() {
                    panic!("on purpose")
                }
            }),
        )
        .route("/waits", get(pending::<()>))
        .nest("/admin", Router::new().route("/users/{id}", get(|| async { "a user" })))
}

async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

async fn ask(server: SocketAddr, path: &str) -> Result<String, reqwest::Error> {
    reqwest::get(format!("http://{server}{path}")).await?.text().await
}

// behaviour 37
#[test]
fn a_request_is_named_by_its_route_and_continues_its_trace() {
    for workers in [1, 2] {
        let harness = Harness::new();
        block_on(workers, async {
            let server = serve(routes().layer(layer())).await;
            let request = reqwest::Client::new().get(format!("http://{server}/orders/7?token=secret"));
            let request = request.header("authorization", "Bearer secret").header("cookie", "session=secret");
            let response = request.header("sentry-trace", INCOMING).send().await.expect("the server answers");
            assert_eq!(response.text().await.expect("the body comes"), "order 7");
        });
        let spans = harness.finish();
        assert!(spans.iter().all(|span| span.trace_id == TRACE), "one trace");
        assert!(!format!("{spans:?}").contains("secret"), "{spans:?}");
        let keys = [
            "sentry.op",
            "sentry.origin",
            "sentry.segment.name.source",
            "http.request.method",
            "http.route",
            "url.path",
            "url.query",
            "http.response.status_code",
        ];
        let expected = "\
            GET /orders/{id} sentry.op=\"http.server\" sentry.origin=\"auto.http.axum\" \
            sentry.segment.name.source=\"route\" http.request.method=\"GET\" http.route=\"/orders/{id}\" \
            url.path=\"/orders/7\" http.response.status_code=200 (parent not received)\n  \
            load sentry.origin=\"manual\"\n";
        assert_eq!(Tree::new(&spans).attributes(&keys).to_string(), expected, "{workers} workers");
    }
}

// behaviour 37
#[test]
fn the_address_of_the_client_is_sent_where_data_on_persons_are() {
    for (is_sent, shown) in [(false, ""), (true, " client.address=\"127.0.0.1\"")] {
        let harness = Harness::with(|options| options.traces_sample_rate(1.0).send_default_pii(is_sent));
        block_on(1, async {
            let layer = layer();
            let layer = layer.client_address(|found| Some(found.get::<ConnectInfo<SocketAddr>>()?.0.ip()));
            ask(serve(routes().layer(layer)).await, "/orders/7").await.expect("it answers");
        });
        assert_eq!(harness.text(&["client.address"]), format!("GET /orders/{{id}}{shown}\n  load\n"));
    }
}

#[test]
fn routes_that_are_nested_that_do_not_match_and_that_fail() {
    let harness = Harness::new();
    block_on(1, async {
        let server = serve(routes().layer(layer())).await;
        ask(server, "/admin/users/7").await.expect("it answers");
        ask(server, "/nowhere/7").await.expect("it answers");
        ask(server, "/orders").await.expect("the method is wrong");
        ask(server, "/broken").await.expect("it answers");
        let order = reqwest::Client::new().post(format!("http://{server}/orders")).send().await.expect("it answers");
        assert_eq!(order.status(), 201);
    });
    let expected = "\
        GET /admin/users/{id} http.route=\"/admin/users/{id}\" http.response.status_code=200\n---\n\
        GET /nowhere/7 [error] http.response.status_code=404\n---\n\
        GET /orders [error] http.route=\"/orders\" http.response.status_code=405\n---\n\
        GET /broken [error] http.route=\"/broken\" http.response.status_code=502\n---\n\
        POST /orders http.route=\"/orders\" http.response.status_code=201\n";
    assert_eq!(harness.text(&OUTCOME), expected);
}

#[test]
fn a_layer_around_the_router_gets_the_route_from_one_inside() {
    let harness = Harness::new();
    block_on(1, async {
        let app = Router::new().fallback_service(routes().layer(layer())).layer(span_integrations::tower::layer());
        let server = serve(app).await;
        ask(server, "/orders/7").await.expect("it answers");
    });
    let expected = "\
        GET /orders/{id} sentry.origin=\"auto.http.tower\" sentry.segment.name.source=\"route\" http.route=\"/orders/{id}\" http.response.status_code=200\n  \
        load sentry.origin=\"manual\"\n";
    assert_eq!(
        harness.text(&["sentry.origin", "sentry.segment.name.source", "http.route", "http.response.status_code"]),
        expected
    );
}

#[test]
fn a_request_ends_with_its_body() {
    for workers in [1, 2] {
        let harness = Harness::new();
        block_on(workers, async {
            let server = serve(routes().layer(layer())).await;
            assert_eq!(ask(server, "/streamed/well").await.expect("the body comes"), "firstsecond");
            all_ended(&harness).await;
            ask(server, "/streamed/fails").await.expect_err("it breaks half way");
            all_ended(&harness).await;
            hang_up(&harness, server, "/streamed/never", "first").await;
        });
        let route = "http.route=\"/streamed/{end}\" http.response.status_code=200";
        let expected = format!(
            "GET /streamed/{{end}} {route}\n  part\n---\n\
             GET /streamed/{{end}} [error] {route} error.type=\"axum_core::error::Error\"\n---\n\
             GET /streamed/{{end}} {route} span.cancelled=true\n"
        );
        assert_eq!(harness.text(&OUTCOME), expected, "{workers} workers");
    }
}

#[test]
fn panics_cancellation_and_timeouts() {
    for workers in [1, 2] {
        let harness = Harness::new();
        block_on(workers, async {
            let app = routes().layer(layer());
            let server = serve(app.clone()).await;
            ask(server, "/panics").await.expect_err("the connection is gone");
            all_ended(&harness).await;
            hang_up(&harness, server, "/waits", "").await;
            let request = Request::builder().uri("/waits").body(Body::empty()).expect("a request");
            assert!(timeout(Duration::from_millis(1), app.oneshot(request)).await.is_err());
            ask(server, "/orders/7").await.expect("it answers, and nothing is left of the others");
        });
        let expected = "\
            GET /panics [error] http.route=\"/panics\"\n---\n\
            GET /waits http.route=\"/waits\" span.cancelled=true\n---\n\
            GET /waits http.route=\"/waits\" span.cancelled=true\n---\n\
            GET /orders/{id} http.route=\"/orders/{id}\" http.response.status_code=200\n  \
            load\n";
        assert_eq!(harness.text(&OUTCOME), expected, "{workers} workers");
    }
}

#[test]
fn concurrent_requests_never_cross() {
    for workers in [1, 2] {
        let harness = Harness::new();
        block_on(workers, async {
            let barrier = Arc::new(Barrier::new(2));
            let handler = move |request: Request<Body>| {
                let barrier = barrier.clone();
                async move {
                    let id = request.uri().path().trim_start_matches("/meet/").to_owned();
                    current_span().set_attribute("id", id.clone());
                    barrier.wait().await;
                    start_span(format!("of {id}")).start().end();
                    barrier.wait().await;
                    assert_eq!(current_span().attribute("id").and_then(|id| id.as_str().map(str::to_owned)), Some(id));
                    Ok::<_, Infallible>(axum::response::Response::new(Body::from("met")))
                }
            };
            let app: Router = Router::new().route_service("/meet/{id}", tower::service_fn(handler)).layer(layer());
            let server = serve(app.clone()).await;
            // In one task, and on two connections.
            let here = |id: &str| {
                let request = Request::builder().uri(format!("/meet/{id}")).body(Body::empty()).expect("a request");
                let response = app.clone().oneshot(request);
                async { axum::body::to_bytes(response.await.expect("it answers").into_body(), 9).await }
            };
            let (one, two) = tokio::join!(here("one"), here("two"));
            assert_eq!((one.expect("a body"), two.expect("a body")), (Bytes::from("met"), Bytes::from("met")));
            let (three, four) = tokio::join!(ask(server, "/meet/three"), ask(server, "/meet/four"));
            assert_eq!((three.expect("a body"), four.expect("a body")), ("met".to_owned(), "met".to_owned()));
        });
        let text = harness.text(&["id"]);
        for id in ["one", "two", "three", "four"] {
            let tree = format!("GET /meet/{{id}} id=\"{id}\"\n  of {id}\n");
            assert!(text.contains(&tree), "{workers} workers:\n{text}");
        }
        assert_eq!(text.lines().count(), 8 + 3, "four traces: {text}");
    }
}

#[test]
fn unsampled_and_without_a_runtime_requests_are_served() {
    let answer = || {
        block_on(2, async {
            let server = serve(routes().layer(layer())).await;
            ask(server, "/orders/7").await.expect("it answers")
        })
    };
    assert_eq!(answer(), "order 7");
    let harness = Harness::sampling(0.0);
    assert_eq!(answer(), "order 7");
    assert_eq!(harness.runtime().stats().started, 2, "the request and what is below it");
    assert_eq!(harness.text(&[]), "");
}
