//! The receiver over real TCP connections: what it reads, keeps and checks.

use std::net::TcpStream;
use std::time::SystemTime;

use super::client::{Client, LONG, exchange, head, receiver, spans};
use super::{CHILD, Draft};
use crate::testing::{Answer, Receiver};

#[test]
fn takes_an_envelope() {
    let receiver = receiver();
    assert_eq!(
        receiver.dsn(),
        format!("http://0123456789abcdef0123456789abcdef@127.0.0.1:{}/42", receiver.addr().port())
    );
    let arriving = receiver.subscribe();
    let answered = exchange(&receiver).expect("the receiver answers");
    assert_eq!((answered.status, answered.body.as_slice()), (200, &b"{}"[..]));
    assert_eq!(receiver.violations(), [""; 0]);
    assert_eq!((receiver.request_count(), receiver.envelopes().len(), receiver.span_count()), (1, 1, 2));
    assert_eq!(receiver.spans()[0].span_id, CHILD);
    assert_eq!(arriving.try_recv().expect("the envelope was handed on").spans().len(), 2);
    let request = &receiver.requests()[0];
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/api/42/envelope/"));
    assert_eq!(request.header("HOST"), Some("localhost"));
    assert_eq!(request.body, receiver.envelopes()[0].raw);
    receiver.forget();
    assert_eq!((receiver.request_count(), receiver.requests().len(), receiver.span_count()), (1, 0, 0));
    drop(receiver);
    assert!(arriving.recv().is_err(), "the channel ends with the receiver");
}

#[test]
fn keeps_connections_and_closes_them_when_asked() {
    let receiver = receiver();
    let mut client = Client::new(&receiver);
    for _ in 0..3 {
        client.post("", &spans());
        let answered = client.read().expect("the receiver answers");
        assert!(!answered.head.contains("Connection"), "{}", answered.head);
    }
    client.post("connection: Close\r\n", &spans());
    let answered = client.read().expect("the receiver answers");
    assert!(answered.head.contains("\r\nConnection: close\r\n"), "{}", answered.head);
    assert!(client.is_closed());
    exchange(&receiver).expect("the receiver answers");
    let connections: Vec<_> = receiver.requests().iter().map(|request| request.connection).collect();
    assert_eq!(connections, [0, 0, 0, 0, 1]);
    assert_eq!(receiver.envelopes().len(), 5);
}

#[test]
fn http_1_0_closes_unless_asked_not_to() {
    let receiver = receiver();
    let mut client = Client::new(&receiver);
    client.write(b"POST / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(client.read().expect("the receiver answers").status, 200);
    client.write(b"POST / HTTP/1.0\r\n\r\n");
    assert_eq!(client.read().expect("the receiver answers").status, 200);
    assert!(client.is_closed());
}

#[test]
fn reads_chunks() {
    let receiver = receiver();
    let mut client = Client::new(&receiver);
    let body = spans();
    client.write(head("Transfer-Encoding: chunked\r\n").as_bytes());
    for chunk in body.chunks(100) {
        client.write(format!("{:X};note=x\r\n", chunk.len()).as_bytes());
        client.write(chunk);
        client.write(b"\r\n");
    }
    client.write(b"0\r\nTrailer: x\r\n\r\n");
    assert_eq!(client.read().expect("the receiver answers").status, 200);
    // The next request begins where the trailers end.
    client.post("", &body);
    assert_eq!(client.read().expect("the receiver answers").status, 200);
    assert_eq!(receiver.violations(), [""; 0]);
    assert_eq!(receiver.envelopes()[0].raw, body);
    assert_eq!(receiver.envelopes().len(), 2);
}

#[test]
fn tells_a_client_to_go_on() {
    let receiver = receiver();
    let mut client = Client::new(&receiver);
    let body = spans();
    client.write(head(&format!("Expect: 100-continue\r\nContent-Length: {}\r\n", body.len())).as_bytes());
    assert_eq!(client.read_head().expect("the receiver wants the body").status, 100);
    client.write(&body);
    assert_eq!(client.read().expect("the receiver answers").status, 200);
}

#[test]
fn refuses_what_is_not_http() {
    let long = format!("POST / HTTP/1.1\r\nLong: {}\r\n\r\n", "x".repeat(64 << 10));
    let cases = [
        ("hello\r\n\r\n", 400, "http: the request line must be method, target and version, found \"hello\""),
        ("GET / HTTP/2.0\r\n\r\n", 400, "http: the version must be HTTP/1.1 or HTTP/1.0, found \"HTTP/2.0\""),
        ("GET / HTTP/1.1\r\n folded\r\n\r\n", 400, "http: a header must be name, colon and value, found \" folded\""),
        ("GET / HTTP/1.1\r\nContent-Length: +1\r\n\r\n", 400, "http: Content-Length must be a number, found \"+1\""),
        ("GET / HTTP/1.1\r\nContent-Length: 268435457\r\n\r\n", 413, "http: a body must have at most 268435456 bytes"),
        (
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
            400,
            "http: a chunk must begin with its size in hex, found \"-1\"",
        ),
        (
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxx\r\n",
            400,
            "http: a chunk must end with a line break after its bytes",
        ),
        (
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
            400,
            "http: a body must have one Content-Length or Transfer-Encoding: chunked, found [\"1\"] and [\"chunked\"]",
        ),
        (&long, 431, "http: a head must have at most 65536 bytes"),
    ];
    for (request, status, violation) in cases {
        let receiver = receiver();
        let mut client = Client::new(&receiver);
        client.write(request.as_bytes());
        assert!(receiver.wait_until(LONG, |receiver| !receiver.violations().is_empty()), "{violation}");
        assert_eq!(receiver.violations(), [violation]);
        // The rest of an overlong request is never read, which may reset the connection.
        if status == 400 {
            assert_eq!(client.read().expect(violation).status, status);
            assert!(client.is_closed());
        }
    }
}

#[test]
fn checks_every_body_and_keeps_the_good() {
    let receiver = receiver();
    let mut client = Client::new(&receiver);
    client.post("", &spans());
    client.read().expect("the receiver answers");
    client.post("", b"{}");
    assert_eq!(client.read().expect("a broken body is answered like any other").status, 200);
    assert_eq!(receiver.violations(), ["request 1: envelope: must have at least one item, found none"]);
    assert_eq!(receiver.envelopes().len(), 1);
}

#[test]
fn sums_client_reports() {
    let receiver = receiver();
    for status in [200, 429, 200] {
        receiver.answer_next(Answer::status(status));
        let mut client = Client::new(&receiver);
        client.post("", &Draft::report(SystemTime::now()).bytes());
        client.read().expect("the receiver answers");
    }
    assert_eq!(
        receiver.client_reports(),
        [("queue_overflow".into(), "span".into(), 6), ("sample_rate".into(), "span".into(), 24)]
    );
}

#[test]
fn comes_back_on_the_same_port() {
    // An address of its own, where there are more than one: on the common one another test could
    // be given the port in between.
    let host = if cfg!(target_os = "linux") { [127, 0, 0, 77] } else { [127, 0, 0, 1] };
    let first = Receiver::start_on((host, 0).into()).expect("the loopback address has a free port");
    let addr = first.addr();
    exchange(&first).expect("the receiver answers");
    let (mut open, dsn) = (Client::new(&first), first.dsn());
    drop(first);
    assert!(open.is_closed());
    assert!(TcpStream::connect(addr).is_err(), "nobody listens");
    let second = Receiver::start_on(addr).expect("the port is free again");
    assert_eq!((second.addr(), second.dsn()), (addr, dsn));
    exchange(&second).expect("the receiver answers");
    assert_eq!(second.request_count(), 1);
}

#[test]
fn serves_many_connections_at_once() {
    let receiver = receiver();
    let hung = {
        receiver.answer_next(Answer::hang());
        let mut client = Client::new(&receiver);
        client.post("", &spans());
        assert!(receiver.wait_until(LONG, |receiver| receiver.request_count() == 1));
        client
    };
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..10 {
                    assert_eq!(exchange(&receiver).expect("the receiver answers").status, 200);
                }
            });
        }
    });
    assert!(receiver.wait_until(LONG, |receiver| receiver.span_count() == 160));
    drop(hung);
}
