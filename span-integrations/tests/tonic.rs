//! Calls that tonic serves and makes, on the loopback address: a service that is written by hand, of messages that are texts.
#![cfg(feature = "tonic")]
#![forbid(unsafe_code)]

mod served;

use std::convert::Infallible;
use std::future::pending;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, BufMut as _};
use http::uri::PathAndQuery;
use span_integrations::tonic::{Client, client, server};
use span_runtime::testing::Span;
use span_runtime::{Instrument as _, continue_trace, current_span, start_span};
use span_tests::{Harness, SOON};
use tokio::net::TcpListener;
use tokio::sync::{Barrier, mpsc};
use tokio::time::timeout;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::NamedService;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Request, Response, Status, Streaming};
use tower::{Layer as _, Service, service_fn};

use served::{INCOMING, TRACE, all_ended, block_on, text};

/// Messages that are texts.
#[derive(Debug, Clone, Copy)]
struct Text;

impl Codec for Text {
    type Encode = String;
    type Decode = String;
    type Encoder = Text;
    type Decoder = Text;

    fn encoder(&mut self) -> Text {
        Text
    }

    fn decoder(&mut self) -> Text {
        Text
    }
}

impl Encoder for Text {
    type Item = String;
    type Error = Status;

    fn encode(&mut self, text: String, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(text.as_bytes());
        Ok(())
    }
}

impl Decoder for Text {
    type Item = String;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<String>, Status> {
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        String::from_utf8(bytes.into()).map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}

/// The service `shop.Orders`.
#[derive(Debug, Clone, Copy)]
struct Orders;

impl NamedService for Orders {
    const NAME: &'static str = "shop.Orders";
}

impl Service<http::Request<Body>> for Orders {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(Text);
            Ok(match request.uri().path() {
                "/shop.Orders/Get" => grpc.unary(service_fn(get), request).await,
                "/shop.Orders/List" => grpc.server_streaming(service_fn(list), request).await,
                "/shop.Orders/Put" => grpc.client_streaming(service_fn(put), request).await,
                "/shop.Orders/Chat" => grpc.streaming(service_fn(chat), request).await,
                _ => Status::unimplemented("there is no such method").into_http(),
            })
        })
    }
}

async fn get(request: Request<String>) -> Result<Response<String>, Status> {
    let metadata = |name: &str| {
        let value = request.metadata().get(name)?.to_str().ok()?;
        Some(format!("{name}: {value}\n"))
    };
    match request.get_ref().as_str() {
        "headers" => Ok(Response::new(["sentry-trace", "baggage"].into_iter().filter_map(metadata).collect())),
        "nothing" => Err(Status::not_found("there is none")),
        "panic" => panic!("on purpose"),
        "wait" => pending().await,
        order => {
            tokio::task::yield_now().await;
            start_span(format!("load {order}")).start().end();
            Ok(Response::new(format!("order {order}")))
        }
    }
}

type Answers = ReceiverStream<Result<String, Status>>;

async fn list(request: Request<String>) -> Result<Response<Answers>, Status> {
    let (sender, receiver) = mpsc::channel(1);
    let rest = async move {
        sender.send(Ok("one".to_owned())).await.expect("it is read");
        start_span("row").start().end();
        match request.get_ref().as_str() {
            "break" => sender.send(Err(Status::data_loss("on purpose"))).await.expect("it is read"),
            "wait" => pending().await,
            _ => sender.send(Ok("two".to_owned())).await.expect("it is read"),
        }
    };
    tokio::spawn(rest.in_current_span());
    Ok(Response::new(ReceiverStream::new(receiver)))
}

async fn put(request: Request<Streaming<String>>) -> Result<Response<String>, Status> {
    let orders: Result<Vec<String>, Status> = request.into_inner().collect().await;
    Ok(Response::new(orders?.join(", ")))
}

type Echoes = Pin<Box<dyn tokio_stream::Stream<Item = Result<String, Status>> + Send>>;

async fn chat(request: Request<Streaming<String>>) -> Result<Response<Echoes>, Status> {
    let echo = request.into_inner().map(|text| {
        let text = text?;
        assert_ne!(text, "panic", "on purpose");
        start_span(format!("echo {text}")).start().end();
        Ok(format!("you said {text}"))
    });
    Ok(Response::new(Box::pin(echo)))
}

type Grpc = tonic::client::Grpc<Client<Channel>>;

/// A server, and a client for it.
async fn serve(set: impl FnOnce(Server) -> Server, endpoint: impl FnOnce(Endpoint) -> Endpoint) -> Grpc {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let mut builder = set(Server::builder()).layer(server());
    tokio::spawn(builder.add_service(Orders).serve_with_incoming(TcpListenerStream::new(listener)));
    connect(&url, endpoint)
}

fn connect(url: &str, set: impl FnOnce(Endpoint) -> Endpoint) -> Grpc {
    let endpoint = Endpoint::from_shared(url.to_owned()).expect("it is a URL");
    tonic::client::Grpc::new(client(url).layer(set(endpoint).connect_lazy()))
}

async fn ready(grpc: &Grpc) -> Grpc {
    let mut grpc = grpc.clone();
    grpc.ready().await.expect("a channel buffers");
    grpc
}

async fn ask(grpc: &Grpc, message: &'static str) -> Result<String, Status> {
    let path = PathAndQuery::from_static("/shop.Orders/Get");
    ready(grpc).await.unary(Request::new(message.to_owned()), path, Text).await.map(Response::into_inner)
}

async fn ask_for_list(grpc: &Grpc, message: &'static str) -> Streaming<String> {
    let path = PathAndQuery::from_static("/shop.Orders/List");
    let call = ready(grpc).await.server_streaming(Request::new(message.to_owned()), path, Text).await;
    call.expect("the head comes").into_inner()
}

/// Runs a future in a span, with a client of a server.
fn in_request<F: Future>(workers: usize, f: impl FnOnce(Grpc) -> F) -> F::Output {
    block_on(workers, async {
        let grpc = serve(|server| server, |endpoint| endpoint).await;
        f(grpc).in_span(start_span("request").inactive().start()).await
    })
}

const OUTCOME: [&str; 4] = ["sentry.op", "rpc.response.status_code", "error.type", "span.cancelled"];

/// The two spans of a call, one below the other, as text.
fn pair(method: &str, client: &str, server: &str) -> String {
    let line = |indent: &str, op: &str, outcome: &str| {
        let (mark, rest) = match outcome.split_once(' ') {
            Some(("error", rest)) => (" [error]", rest),
            _ if outcome == "error" => (" [error]", ""),
            _ => ("", outcome),
        };
        let space = if rest.is_empty() { "" } else { " " };
        format!("{indent}shop.Orders/{method}{mark} sentry.op=\"grpc.{op}\"{space}{rest}\n")
    };
    line("  ", "client", client) + &line("    ", "server", server)
}

const OK: &str = "rpc.response.status_code=\"OK\"";
const CANCELLED: &str = "span.cancelled=true";

#[test]
fn a_call_has_a_span_on_each_side() {
    for workers in [1, 2] {
        let harness = Harness::new();
        let answer = in_request(workers, |grpc| async move { ask(&grpc, "7").await.expect("it answers") });
        assert_eq!(answer, "order 7");
        let spans = harness.finish();
        let [client, server] = ["grpc.client", "grpc.server"].map(|op| {
            let is_it = |span: &&Span| span.attributes.get("sentry.op").is_some_and(|found| found.value == op);
            spans.iter().find(is_it).expect("it was sent")
        });
        assert!(server.is_segment && !client.is_segment);
        assert_eq!(client.attributes["server.port"].value, server.attributes["server.port"].value);
        assert_eq!(client.attributes["server.address"].value.to_string(), "\"127.0.0.1\"");
        let keys = [
            "sentry.op",
            "sentry.origin",
            "sentry.segment.name.source",
            "rpc.system",
            "rpc.service",
            "rpc.method",
            "rpc.response.status_code",
            "http.response.status_code",
        ];
        let both = "rpc.system=\"grpc\" rpc.service=\"shop.Orders\" rpc.method=\"Get\" rpc.response.status_code=\"OK\" \
            http.response.status_code=200";
        let expected = format!(
            "request sentry.origin=\"manual\" sentry.segment.name.source=\"custom\"\n  \
             shop.Orders/Get sentry.op=\"grpc.client\" sentry.origin=\"auto.grpc.tonic\" {both}\n    \
             shop.Orders/Get sentry.op=\"grpc.server\" sentry.origin=\"auto.grpc.tonic\" \
             sentry.segment.name.source=\"route\" {both}\n      \
             load 7 sentry.origin=\"manual\"\n"
        );
        assert_eq!(text(&spans, &keys), expected, "{workers} workers");
    }
}

#[test]
fn calls_that_fail_say_how() {
    let harness = Harness::new();
    in_request(1, |grpc| async move {
        assert_eq!(ask(&grpc, "nothing").await.expect_err("there is none").code(), Code::NotFound);
        let path = PathAndQuery::from_static("/shop.Orders/Drop");
        let unknown = ready(&grpc).await.unary::<_, String, _>(Request::new(String::new()), path, Text).await;
        assert_eq!(unknown.expect_err("there is no such method").code(), Code::Unimplemented);
        let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
        let nobody = format!("http://{}", closed.local_addr().expect("it is bound"));
        drop(closed);
        ask(&connect(&nobody, |endpoint| endpoint), "7").await.expect_err("nobody listens");
    });
    let (not_found, unimplemented) =
        ("error rpc.response.status_code=\"NOT_FOUND\"", "error rpc.response.status_code=\"UNIMPLEMENTED\"");
    let expected = format!(
        "request\n{}{}  shop.Orders/Get [error] sentry.op=\"grpc.client\" error.type=\"tonic::transport::error::Error\"\n",
        pair("Get", not_found, not_found),
        pair("Drop", unimplemented, unimplemented),
    );
    assert_eq!(text(&harness.finish(), &OUTCOME), expected);
}

#[test]
fn streams_end_with_their_trailers() {
    for workers in [1, 2] {
        let harness = Harness::new();
        in_request(workers, |grpc| async move {
            let listed: Vec<_> = ask_for_list(&grpc, "all").await.map(|row| row.expect("a row")).collect().await;
            assert_eq!(listed, ["one", "two"]);
            let mut broken = ask_for_list(&grpc, "break").await;
            assert_eq!(broken.message().await.expect("a row").as_deref(), Some("one"));
            assert_eq!(broken.message().await.expect_err("it breaks").code(), Code::DataLoss);
            let orders = Request::new(tokio_stream::iter(["7".to_owned(), "8".to_owned()]));
            let path = PathAndQuery::from_static("/shop.Orders/Put");
            let put = ready(&grpc).await.client_streaming(orders, path, Text).await.expect("it answers");
            assert_eq!(put.into_inner(), "7, 8");
            let said = Request::new(tokio_stream::iter(["hello".to_owned()]));
            let path = PathAndQuery::from_static("/shop.Orders/Chat");
            let mut chat = ready(&grpc).await.streaming(said, path, Text).await.expect("it answers").into_inner();
            let heard: Option<String> = chat.message().await.expect("an answer");
            assert_eq!(heard.as_deref(), Some("you said hello"));
            assert_eq!(chat.message().await.expect("it ends well"), None);
        });
        let lost = "error rpc.response.status_code=\"DATA_LOSS\"";
        let expected = format!(
            "request\n{}      row\n{}      row\n{}{}",
            pair("List", OK, OK),
            pair("List", lost, lost),
            pair("Put", OK, OK),
            pair("Chat", OK, OK) + "      echo hello\n",
        );
        assert_eq!(text(&harness.finish(), &OUTCOME), expected, "{workers} workers");
    }
}

/// A stream of messages that goes both ways, and what it is sent by.
async fn chat_with(grpc: &Grpc) -> (mpsc::Sender<String>, Streaming<String>) {
    let (say, said) = mpsc::channel(1);
    let path = PathAndQuery::from_static("/shop.Orders/Chat");
    let call = ready(grpc).await.streaming(Request::new(ReceiverStream::new(said)), path, Text).await;
    (say, call.expect("the head comes").into_inner())
}

#[test]
fn streams_that_take_too_long_are_cancelled_on_both_sides() {
    for workers in [1, 2] {
        let harness = Harness::new();
        block_on(workers, async {
            let grpc = serve(|server| server, |endpoint| endpoint).await;
            let calls = async {
                let limit = Duration::from_millis(300);
                // One that goes there,
                let (put, orders) = mpsc::channel::<String>(1);
                let path = PathAndQuery::from_static("/shop.Orders/Put");
                let mut client = ready(&grpc).await;
                let call =
                    client.client_streaming::<_, _, String, _>(Request::new(ReceiverStream::new(orders)), path, Text);
                assert!(timeout(limit, call).await.is_err(), "there may be another order");
                all_but_one_ended(&harness).await;
                drop(put);
                // one that comes back,
                let mut list = ask_for_list(&grpc, "wait").await;
                assert_eq!(list.message().await.expect("a row").as_deref(), Some("one"));
                assert!(timeout(limit, list.message()).await.is_err());
                drop(list);
                all_but_one_ended(&harness).await;
                // and one that goes both ways.
                let (say, mut heard) = chat_with(&grpc).await;
                say.send("hello".to_owned()).await.expect("it is read");
                assert_eq!(heard.message().await.expect("an answer").as_deref(), Some("you said hello"));
                assert!(timeout(limit, heard.message()).await.is_err());
            };
            calls.in_span(start_span("request").inactive().start()).await;
            all_ended(&harness).await;
        });
        let expected = format!(
            "request\n{}{}      row\n{}      echo hello\n",
            pair("Put", CANCELLED, CANCELLED),
            pair("List", CANCELLED, CANCELLED),
            pair("Chat", CANCELLED, CANCELLED),
        );
        assert_eq!(text(&harness.finish(), &OUTCOME), expected, "{workers} workers");
    }
}

/// Waits until none is open but the request.
async fn all_but_one_ended(harness: &Harness) {
    let ended = async {
        while harness.runtime().stats().open > 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(SOON, ended).await.expect("the calls end");
}

#[test]
fn a_stream_that_panics_is_an_error_and_the_next_one_has_nothing_of_it() {
    for workers in [1, 2] {
        let harness = Harness::new();
        in_request(workers, |grpc| async move {
            let (say, mut heard) = chat_with(&grpc).await;
            say.send("panic".to_owned()).await.expect("it is read");
            heard.message().await.expect_err("the connection is gone");
            let (say, mut heard) = chat_with(&grpc).await;
            say.send("hello".to_owned()).await.expect("it is read");
            assert_eq!(heard.message().await.expect("an answer").as_deref(), Some("you said hello"));
            drop(say);
            assert_eq!(heard.message().await.expect("it ends well"), None);
        });
        let expected = format!(
            "request\n{}{}      echo hello\n",
            pair("Chat", "error error.type=\"tonic::status::Status\"", "error"),
            pair("Chat", OK, OK)
        );
        assert_eq!(text(&harness.finish(), &OUTCOME), expected, "{workers} workers");
    }
}

#[test]
fn calls_that_are_dropped_are_cancelled_on_both_sides() {
    for workers in [1, 2] {
        let harness = Harness::new();
        block_on(workers, async {
            let grpc = serve(|server| server, |endpoint| endpoint).await;
            let calls = async {
                assert!(timeout(Duration::from_millis(300), ask(&grpc, "wait")).await.is_err());
                let mut stream = ask_for_list(&grpc, "wait").await;
                assert_eq!(stream.message().await.expect("a row").as_deref(), Some("one"));
                drop(stream);
            };
            calls.in_span(start_span("request").inactive().start()).await;
            all_ended(&harness).await;
        });
        let expected =
            format!("request\n{}{}      row\n", pair("Get", CANCELLED, CANCELLED), pair("List", CANCELLED, CANCELLED));
        assert_eq!(text(&harness.finish(), &OUTCOME), expected, "{workers} workers");
    }
}

#[test]
fn timeouts_of_server_and_client() {
    let harness = Harness::new();
    block_on(1, async {
        let span = start_span("request").inactive().start();
        let limit = Duration::from_millis(300);
        let calls = async {
            let grpc = serve(|server| server.timeout(limit), |endpoint| endpoint).await;
            let status = ask(&grpc, "wait").await.expect_err("it takes too long");
            assert!(matches!(status.code(), Code::Cancelled | Code::DeadlineExceeded), "{status}");
            current_span().set_attribute(
                "code",
                if status.code() == Code::Cancelled { "CANCELLED" } else { "DEADLINE_EXCEEDED" },
            );
            let grpc = serve(|server| server, |endpoint| endpoint.timeout(limit)).await;
            ask(&grpc, "wait").await.expect_err("it takes too long");
        };
        calls.in_span(span).await;
        all_ended(&harness).await;
    });
    let spans = harness.finish();
    let code = spans.iter().find_map(|span| span.attributes.get("code")).expect("it was noted").value.to_string();
    let told = format!("error rpc.response.status_code={code}");
    let expected = format!(
        "request\n{}{}",
        pair("Get", &told, CANCELLED),
        pair("Get", "error error.type=\"tonic::transport::error::Error\"", CANCELLED),
    );
    assert_eq!(text(&spans, &OUTCOME), expected);
}

#[test]
fn a_handler_that_panics_is_an_error_and_the_next_call_has_nothing_of_it() {
    for workers in [1, 2] {
        let harness = Harness::new();
        in_request(workers, |grpc| async move {
            ask(&grpc, "panic").await.expect_err("the stream is gone");
            ask(&grpc, "7").await.expect("it answers");
        });
        let expected = format!(
            "request\n{}{}      load 7\n",
            pair("Get", "error error.type=\"tonic::transport::error::Error\"", "error"),
            pair("Get", OK, OK)
        );
        assert_eq!(text(&harness.finish(), &OUTCOME), expected, "{workers} workers");
    }
}

#[test]
fn concurrent_calls_never_cross() {
    for workers in [1, 2] {
        let harness = Harness::new();
        in_request(workers, |grpc| async move {
            let both = |name: &'static str, order: &'static str| {
                let grpc = grpc.clone();
                let inside = async move {
                    assert_eq!(ask(&grpc, order).await.expect("it answers"), format!("order {order}"));
                    assert_eq!(current_span().name().as_deref(), Some(name));
                };
                inside.in_span(start_span(name).inactive().start())
            };
            tokio::join!(both("one", "1"), both("two", "2"));
            let (three, four) = (tokio::spawn(both("three", "3")), tokio::spawn(both("four", "4")));
            three.await.expect("it does not panic");
            four.await.expect("it does not panic");
        });
        let text = text(&harness.finish(), &["sentry.op"]);
        assert_eq!(text.lines().count(), 1 + 4 * 4, "{text}");
        for (name, order) in [("one", 1), ("two", 2), ("three", 3), ("four", 4)] {
            let tree = format!(
                "  {name}\n    shop.Orders/Get sentry.op=\"grpc.client\"\n      \
                 shop.Orders/Get sentry.op=\"grpc.server\"\n        load {order}\n"
            );
            assert!(text.contains(&tree), "{workers} workers:\n{text}");
        }
    }
}

#[test]
fn concurrent_streams_never_cross() {
    for workers in [1, 2] {
        let harness = Harness::new();
        in_request(workers, |grpc| async move {
            let barrier = Arc::new(Barrier::new(2));
            let both = |name: &'static str| {
                let (grpc, barrier) = (grpc.clone(), barrier.clone());
                let inside = async move {
                    let (say, mut heard) = chat_with(&grpc).await;
                    // Both are open.
                    barrier.wait().await;
                    for text in [name, "and more"] {
                        say.send(text.to_owned()).await.expect("it is read");
                        assert_eq!(heard.message().await.expect("an answer"), Some(format!("you said {text}")));
                        barrier.wait().await;
                    }
                    drop(say);
                    assert_eq!(heard.message().await.expect("it ends well"), None);
                    assert_eq!(current_span().name().as_deref(), Some(name));
                };
                inside.in_span(start_span(name).inactive().start())
            };
            tokio::join!(both("one"), both("two"));
            let (three, four) = (tokio::spawn(both("three")), tokio::spawn(both("four")));
            three.await.expect("it does not panic");
            four.await.expect("it does not panic");
        });
        let text = text(&harness.finish(), &OUTCOME);
        assert_eq!(text.lines().count(), 1 + 4 * 5, "{text}");
        for name in ["one", "two", "three", "four"] {
            let calls = pair("Chat", OK, OK).replace("  shop", "    shop");
            let tree = format!("  {name}\n{calls}        echo {name}\n        echo and more\n");
            assert!(text.contains(&tree), "{workers} workers:\n{text}");
        }
    }
}

// behaviour 37
#[test]
fn metadata_are_recorded_on_request_and_scrubbed() {
    for is_asked in [false, true] {
        let harness = Harness::new();
        block_on(1, async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
            let url = format!("http://{}", listener.local_addr().expect("it is bound"));
            let recorded: &[&str] = if is_asked { &["authorization", "shop"] } else { &[] };
            let mut builder = Server::builder().layer(server().headers(recorded));
            tokio::spawn(builder.add_service(Orders).serve_with_incoming(TcpListenerStream::new(listener)));
            let mut request = Request::new("7".to_owned());
            request.metadata_mut().insert("authorization", "Bearer secret".parse().expect("it is text"));
            request.metadata_mut().insert("shop", "north".parse().expect("it is text"));
            let path = PathAndQuery::from_static("/shop.Orders/Get");
            let mut grpc = ready(&connect(&url, |endpoint| endpoint)).await;
            grpc.unary::<_, String, _>(request, path, Text).await.expect("it answers");
            all_ended(&harness).await;
        });
        let spans = harness.finish();
        assert!(!format!("{spans:?}").contains("secret"), "{spans:?}");
        let text = text(&spans, &["http.request.header.authorization", "http.request.header.shop"]);
        let shown = " http.request.header.authorization=\"[Filtered]\" http.request.header.shop=\"north\"";
        assert_eq!(text, format!("shop.Orders/Get{}\n  load 7\n", if is_asked { shown } else { "" }));
    }
}

#[test]
fn a_call_in_a_request_of_http_is_its_child() {
    let harness = Harness::new();
    block_on(1, async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let mut builder = Server::builder().layer(span_integrations::tower::layer()).layer(server());
        tokio::spawn(builder.add_service(Orders).serve_with_incoming(TcpListenerStream::new(listener)));
        ask(&connect(&url, |endpoint| endpoint), "nothing").await.expect_err("there is none");
        all_ended(&harness).await;
    });
    let expected = "\
        POST /shop.Orders/Get sentry.op=\"http.server\"\n  \
        shop.Orders/Get [error] sentry.op=\"grpc.server\" rpc.response.status_code=\"NOT_FOUND\"\n";
    assert_eq!(text(&harness.finish(), &OUTCOME), expected);
}

// behaviours 28, 33
#[test]
fn where_nothing_is_recorded_the_trace_is_passed_on_to_its_targets() {
    let call = || {
        block_on(2, async {
            let grpc = serve(|server| server, |endpoint| endpoint).await;
            let asked = async { ask(&grpc, "headers").await.expect("it answers") };
            asked.in_trace(continue_trace([("sentry-trace", INCOMING)])).await
        })
    };
    assert_eq!(call(), format!("sentry-trace: {INCOMING}\n"), "without a runtime");
    let harness = Harness::with(|options| options.traces_sample_rate(1.0).trace_propagation_targets(["elsewhere"]));
    assert_eq!(call(), "", "no target");
    assert_eq!(harness.finish().len(), 1, "the server's");
    let harness = Harness::with(|options| options.traces_sampler(|_| 0.0));
    let sent = call();
    assert!(sent.starts_with(&format!("sentry-trace: {TRACE}-")), "{sent}");
    assert_eq!(harness.finish().len(), 0);
}
