//! Requests that actix-web serves, on the loopback address and in process.
#![cfg(feature = "actix-web")]
#![forbid(unsafe_code)]

mod served;

use std::future::pending;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{ServerHandle, Service as _};
use actix_web::http::StatusCode;
use actix_web::test as in_process;
use actix_web::web::{self, Bytes, Path, ServiceConfig};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, error};
use span_integrations::actix_web::middleware;
use span_runtime::testing::Tree;
use span_runtime::{Context, Instrument as _, current_span, start_span, trace_headers};
use span_tests::Harness;
use tokio::sync::{Barrier, mpsc};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;

use served::{INCOMING, TRACE, all_ended, hang_up};

/// The attributes that say how a request went.
const OUTCOME: [&str; 4] = ["http.route", "http.response.status_code", "error.type", "span.cancelled"];

/// A body in two parts; the second one is for another task to make, in a span. It may fail, or never come.
async fn streamed(end: Path<String>) -> HttpResponse {
    let (sender, receiver) = mpsc::channel(1);
    let rest = async move {
        sender.send(Ok(Bytes::from_static(b"first"))).await.expect("it is read");
        match end.as_str() {
            "fails" => sender.send(Err(io::Error::other("on purpose"))).await.expect("it is read"),
            "never" => pending().await,
            _ => {
                start_span("part").start().end();
                sender.send(Ok(Bytes::from_static(b"second"))).await.expect("it is read");
            }
        }
    };
    actix_web::rt::spawn(rest.in_current_span());
    HttpResponse::Ok().streaming(ReceiverStream::new(receiver))
}

async fn order(id: Path<u32>) -> String {
    tokio::task::yield_now().await;
    start_span("load").start().end();
    format!("order {id}")
}

async fn panics() -> HttpResponse {
    panic!("on purpose")
}

fn routes(config: &mut ServiceConfig) {
    config
        .route("/orders/{id}", web::get().to(order))
        .route("/orders/{id}", web::head().to(order))
        .route("/headers", web::get().to(|| async { trace_headers().sentry_trace().unwrap_or_default().to_owned() }))
        .route("/refuses", web::get().to(|| async { Err::<String, _>(error::ErrorForbidden("on purpose")) }))
        .route("/broken", web::get().to(|| async { HttpResponse::BadGateway().body("sorry") }))
        .route("/empty", web::get().to(HttpResponse::NoContent))
        .route("/panics", web::get().to(panics))
        .route("/waits", web::get().to(pending::<HttpResponse>))
        .route("/streamed/{end}", web::get().to(streamed))
        .service(web::scope("/admin").route("/users/{id}", web::get().to(|| async { "a user" })));
}

/// A server with so many threads, in each of which the harness's runtime is entered.
fn serve(workers: usize) -> (SocketAddr, ServerHandle) {
    let here = Context::current();
    let app = move || {
        // For as long as the thread is there.
        std::mem::forget(here.enter());
        App::new().wrap(middleware()).configure(routes)
    };
    // A server that allows connections to be half closed sees no difference between one that is and a client that is gone.
    let server = HttpServer::new(app).workers(workers).disable_signals().h1_allow_half_closed(false);
    let server = server.bind((Ipv4Addr::LOCALHOST, 0));
    let server = server.expect("a port is free");
    let address = server.addrs()[0];
    let server = server.run();
    let handle = server.handle();
    actix_web::rt::spawn(server);
    (address, handle)
}

/// Runs a client with a server.
fn with_server<F: Future>(workers: usize, f: impl FnOnce(SocketAddr) -> F) -> F::Output {
    actix_web::rt::System::new().block_on(async {
        let (address, server) = serve(workers);
        let output = f(address).await;
        server.stop(false).await;
        output
    })
}

async fn ask(server: SocketAddr, path: &str) -> Result<String, reqwest::Error> {
    reqwest::get(format!("http://{server}{path}")).await?.text().await
}

// behaviour 37
#[test]
fn a_request_is_named_by_its_route_and_continues_its_trace() {
    for workers in [1, 2] {
        let harness = Harness::new();
        with_server(workers, |server| async move {
            let request = reqwest::Client::new().get(format!("http://{server}/orders/7?token=secret"));
            let request = request.header("authorization", "Bearer secret").header("cookie", "session=secret");
            let response = request.header("sentry-trace", INCOMING).send().await.expect("the server answers");
            assert_eq!(response.text().await.expect("the body comes"), "order 7");
        });
        let spans = harness.finish();
        assert!(spans.iter().all(|span| span.trace_id == TRACE), "one trace");
        assert!(!format!("{spans:?}").contains("secret"), "{spans:?}");
        let request = spans.iter().find(|span| span.is_segment).expect("a segment");
        let value = |key: &str| request.attributes.get(key).map(|attribute| attribute.value.to_string());
        assert_eq!(value("server.address").as_deref(), Some("\"127.0.0.1\""));
        assert!(value("server.port").is_some());
        let keys = [
            "sentry.op",
            "sentry.origin",
            "sentry.segment.name.source",
            "http.request.method",
            "http.route",
            "url.path",
            "url.scheme",
            "url.query",
            "client.address",
            "network.protocol.version",
            "http.response.status_code",
        ];
        let expected = "\
            GET /orders/{id} sentry.op=\"http.server\" sentry.origin=\"auto.http.actix_web\" \
            sentry.segment.name.source=\"route\" http.request.method=\"GET\" http.route=\"/orders/{id}\" \
            url.path=\"/orders/7\" url.scheme=\"http\" network.protocol.version=\"1.1\" http.response.status_code=200 \
            (parent not received)\n  \
            load sentry.origin=\"manual\"\n";
        assert_eq!(Tree::new(&spans).attributes(&keys).to_string(), expected, "{workers} workers");
    }
}

// behaviour 37
#[test]
fn queries_headers_and_addresses_are_recorded_on_request_and_scrubbed() {
    let harness = Harness::with(|options| options.traces_sample_rate(1.0).send_default_pii(true));
    actix_web::rt::System::new().block_on(async {
        let middleware = middleware().query(true).headers(["User-Agent", "Authorization", "x-none", "no name"]);
        let app = in_process::init_service(App::new().wrap(middleware).configure(routes)).await;
        let request =
            in_process::TestRequest::get().uri("/orders/7?page=7&token=secret").peer_addr(([192, 0, 2, 1], 7).into());
        let request = request.insert_header(("user-agent", "curl")).insert_header(("authorization", "Bearer secret"));
        assert_eq!(in_process::call_and_read_body(&app, request.to_request()).await, "order 7");
    });
    let keys = [
        "client.address",
        "url.query",
        "http.request.header.user-agent",
        "http.request.header.authorization",
        "http.request.header.x-none",
    ];
    let text = harness.text(&keys);
    assert!(!text.contains("secret"), "{text}");
    let expected = "\
        GET /orders/{id} client.address=\"192.0.2.1\" url.query=\"page=[Filtered]&token=[Filtered]\" \
        http.request.header.user-agent=\"curl\" http.request.header.authorization=\"[Filtered]\"\n  \
        load\n";
    assert_eq!(text, expected);
}

#[test]
fn how_requests_end() {
    let harness = Harness::new();
    with_server(1, |server| async move {
        ask(server, "/admin/users/7").await.expect("it answers");
        ask(server, "/nowhere/7").await.expect("it answers");
        ask(server, "/refuses").await.expect("it answers");
        ask(server, "/broken").await.expect("it answers");
        ask(server, "/empty").await.expect("it answers");
        let head = reqwest::Client::new().head(format!("http://{server}/orders/7")).send().await;
        assert_eq!(head.expect("it answers").status(), 200);
    });
    let expected = "\
        GET /admin/users/{id} http.route=\"/admin/users/{id}\" http.response.status_code=200\n---\n\
        GET /nowhere/7 [error] http.response.status_code=404\n---\n\
        GET /refuses [error] http.route=\"/refuses\" http.response.status_code=403\n---\n\
        GET /broken [error] http.route=\"/broken\" http.response.status_code=502\n---\n\
        GET /empty http.route=\"/empty\" http.response.status_code=204\n---\n\
        HEAD /orders/{id} http.route=\"/orders/{id}\" http.response.status_code=200\n  \
        load\n";
    assert_eq!(harness.text(&OUTCOME), expected);
}

#[test]
fn an_error_of_a_middleware_further_inside_has_its_status() {
    let harness = Harness::new();
    actix_web::rt::System::new().block_on(async {
        let refuse = App::new().wrap_fn(|_, _| async {
            Err::<actix_web::dev::ServiceResponse, _>(error::ErrorTooManyRequests("on purpose"))
        });
        let app = in_process::init_service(refuse.wrap(middleware()).configure(routes)).await;
        let error = app.call(in_process::TestRequest::get().uri("/empty").to_request()).await.expect_err("it refuses");
        assert_eq!(error.as_response_error().status_code(), StatusCode::TOO_MANY_REQUESTS);
    });
    let expected = "GET /empty [error] http.route=\"/empty\" http.response.status_code=429\n";
    assert_eq!(harness.text(&OUTCOME), expected);
}

#[test]
fn a_request_ends_with_its_body() {
    for workers in [1, 2] {
        let harness = Harness::new();
        with_server(workers, |server| {
            let harness = &harness;
            async move {
                assert_eq!(ask(server, "/streamed/well").await.expect("the body comes"), "firstsecond");
                all_ended(harness).await;
                ask(server, "/streamed/fails").await.expect_err("it breaks half way");
                all_ended(harness).await;
                hang_up(harness, server, "/streamed/never", "first").await;
            }
        });
        let route = "http.route=\"/streamed/{end}\" http.response.status_code=200";
        let expected = format!(
            "GET /streamed/{{end}} {route}\n  part\n---\n\
             GET /streamed/{{end}} [error] {route} error.type={:?}\n---\n\
             GET /streamed/{{end}} {route} span.cancelled=true\n",
            std::any::type_name::<Box<dyn std::error::Error>>(),
        );
        assert_eq!(harness.text(&OUTCOME), expected, "{workers} workers");
    }
}

#[test]
fn panics_cancellation_and_timeouts() {
    for workers in [1, 2] {
        let harness = Harness::new();
        with_server(workers, |server| {
            let harness = &harness;
            async move {
                ask(server, "/panics").await.expect_err("the connection is gone");
                all_ended(harness).await;
                hang_up(harness, server, "/waits", "").await;
                let app = in_process::init_service(App::new().wrap(middleware()).configure(routes)).await;
                let waits = in_process::call_service(&app, in_process::TestRequest::get().uri("/waits").to_request());
                assert!(timeout(Duration::from_millis(1), waits).await.is_err());
                ask(server, "/orders/7").await.expect("it answers, and nothing is left of the others");
                assert_eq!(current_span().span_id(), None);
            }
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
    async fn meet(request: HttpRequest, barrier: web::Data<Barrier>) -> &'static str {
        let id = request.match_info().get("id").expect("the route has one").to_owned();
        current_span().set_attribute("id", id.clone());
        barrier.wait().await;
        start_span(format!("of {id}")).start().end();
        barrier.wait().await;
        assert_eq!(current_span().attribute("id").and_then(|id| id.as_str().map(str::to_owned)), Some(id));
        "met"
    }
    for workers in [1, 2] {
        let harness = Harness::new();
        let barrier = web::Data::from(Arc::new(Barrier::new(2)));
        let here = Context::current();
        let app = move || {
            std::mem::forget(here.enter());
            App::new().app_data(barrier.clone()).wrap(middleware()).route("/meet/{id}", web::get().to(meet))
        };
        actix_web::rt::System::new().block_on(async {
            // In one task.
            let service = in_process::init_service(app()).await;
            let here = |id: &str| in_process::TestRequest::get().uri(&format!("/meet/{id}")).to_request();
            let both = tokio::join!(
                in_process::call_and_read_body(&service, here("one")),
                in_process::call_and_read_body(&service, here("two"))
            );
            assert_eq!(both, (Bytes::from("met"), Bytes::from("met")));
            // And on two connections.
            let server = HttpServer::new(app.clone()).workers(workers).disable_signals().bind((Ipv4Addr::LOCALHOST, 0));
            let server = server.expect("a port is free");
            let address = server.addrs()[0];
            let server = server.run();
            let handle = server.handle();
            actix_web::rt::spawn(server);
            let (three, four) = tokio::join!(ask(address, "/meet/three"), ask(address, "/meet/four"));
            assert_eq!((three.expect("a body"), four.expect("a body")), ("met".to_owned(), "met".to_owned()));
            handle.stop(false).await;
        });
        let text = harness.text(&["id"]);
        for id in ["one", "two", "three", "four"] {
            let tree = format!("GET /meet/{{id}} id=\"{id}\"\n  of {id}\n");
            assert!(text.contains(&tree), "{workers} workers:\n{text}");
        }
        assert_eq!(text.lines().count(), 8 + 3, "four traces: {text}");
    }
}

// A handler's future stays on its thread, so that it can hold a guard while it waits.
#[test]
fn guards_that_are_held_while_a_handler_waits_stay_in_their_request() {
    async fn hold(barrier: web::Data<Barrier>) -> &'static str {
        let held = start_span("held").start();
        barrier.wait().await;
        start_span("below").start().end();
        barrier.wait().await;
        drop(held);
        start_span("beside").start().end();
        "held"
    }
    let harness = Harness::new();
    let barrier = web::Data::new(Barrier::new(2));
    actix_web::rt::System::new().block_on(async {
        let app = App::new().app_data(barrier).wrap(middleware()).route("/hold", web::get().to(hold));
        let app = in_process::init_service(app).await;
        let call = || in_process::call_and_read_body(&app, in_process::TestRequest::get().uri("/hold").to_request());
        assert_eq!(tokio::join!(call(), call()), (Bytes::from("held"), Bytes::from("held")));
        assert_eq!(current_span().span_id(), None);
    });
    let one = "GET /hold\n  held\n    below\n  beside\n";
    assert_eq!(harness.text(&[]), format!("{one}---\n{one}"));
}

#[test]
fn two_middlewares_make_one_span_which_is_a_segment_also_in_another_one() {
    let harness = Harness::new();
    actix_web::rt::System::new().block_on(async {
        let app = App::new().wrap(middleware()).wrap(middleware()).configure(routes);
        let app = in_process::init_service(app).await;
        let inside = async {
            let request = in_process::TestRequest::get().uri("/orders/7").to_request();
            assert_eq!(in_process::call_and_read_body(&app, request).await, "order 7");
        };
        inside.in_span(start_span("main").inactive().start()).await;
    });
    assert_eq!(harness.text(&["span.cancelled"]), "main\n---\nGET /orders/{id}\n  load\n");
}

// behaviours 28, 33
#[test]
fn unsampled_and_without_a_runtime_requests_are_served_and_the_trace_is_passed_on() {
    let call = || {
        with_server(1, |server| async move {
            let request = reqwest::Client::new().get(format!("http://{server}/headers"));
            let response = request.header("sentry-trace", INCOMING).send().await.expect("it answers");
            response.text().await.expect("the body comes")
        })
    };
    assert_eq!(call(), INCOMING, "as it came");
    let harness = Harness::with(|options| options.traces_sampler(|_| 0.0));
    let sent = call();
    assert!(sent.starts_with(TRACE) && sent.ends_with("-0"), "{sent}");
    assert_eq!(harness.text(&[]), "");
}
