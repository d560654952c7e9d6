//! Connections: one for all envelopes, or one for each. (behaviour 53)

use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use span_runtime::testing::{Answer, Receiver};
use span_runtime::{InitError, Options, Runtime};
use span_tests::SOON;
use span_tests::endpoint::{Endpoint, accept_all};

use super::{BOTH, Kind, assert_adds_up, receiver, trace, wait_for};

// behaviour 53
#[test]
fn the_pooled_transport_sends_all_envelopes_over_one_connection() {
    for (kind, expected) in [(Kind::Default, 10), (Kind::Pooled, 1)] {
        let receiver = receiver();
        let runtime = kind.runtime(receiver.dsn());
        for _ in 0..10 {
            trace(&runtime);
            assert!(runtime.flush(SOON));
        }
        let mut connections: Vec<_> = receiver.requests().iter().map(|request| request.connection).collect();
        connections.dedup();
        assert_eq!(connections.len(), expected, "{kind:?}");
        assert_adds_up(&runtime, &receiver);
    }
}

// behaviour 53: also one with an answer that is no success, and a body that is of no use
#[test]
fn a_connection_is_kept_after_any_answer_that_ends() {
    let receiver = receiver();
    let runtime = Kind::Pooled.runtime(receiver.dsn());
    for answer in
        [Answer::status(400), Answer::status(503).body("no".repeat(1000)), Answer::status(200), Answer::status(204)]
    {
        receiver.answer_next(answer);
        trace(&runtime);
        runtime.flush(SOON);
    }
    assert!(receiver.requests().iter().all(|request| request.connection == 0));
    assert_eq!((runtime.stats().sent, runtime.stats().lost.total()), (6, 2), "{}", runtime.stats());
}

// behaviours 52, 53
#[test]
fn a_connection_that_the_server_closed_meanwhile_costs_nothing() {
    let receiver = receiver();
    let (addr, dsn) = (receiver.addr(), receiver.dsn());
    let runtime = Kind::Pooled.runtime(dsn);
    trace(&runtime);
    assert!(runtime.flush(SOON));
    drop(receiver);
    let receiver = Receiver::start_on(addr).expect("the port is free again");
    trace(&runtime);
    assert!(runtime.flush(SOON), "it finds the new one");
    let stats = runtime.stats();
    assert_eq!((stats.sent, stats.lost.total(), receiver.span_count()), (4, 0, 2), "{stats:?}");
}

// behaviour 51
#[test]
fn a_dsn_may_hold_an_ipv6_address_and_a_path() {
    let receiver = Receiver::start_on(SocketAddr::from((Ipv6Addr::LOCALHOST, 0))).expect("a port on ::1");
    let runtime = Kind::Pooled.runtime(receiver.dsn());
    trace(&runtime);
    assert!(runtime.flush(SOON));
    assert_adds_up(&runtime, &receiver);

    let refused = Runtime::new(Kind::Default.options(receiver.dsn())).expect_err("minreq cannot read it");
    assert!(matches!(refused, InitError::NeedsPooledTransport { .. }), "{refused}");

    for kind in BOTH {
        let endpoint = Endpoint::start(|mut stream, _| {
            accept_all(&mut stream, |posted| {
                assert!(posted.head.starts_with("POST /sentry/a/api/42/envelope/ HTTP/1.1\r\n"), "{}", posted.head);
            })
        });
        let runtime = kind.runtime(endpoint.dsn("http").replace("/42", "/sentry/a/42"));
        trace(&runtime);
        assert!(runtime.flush(SOON), "{kind:?}");
    }
}

// behaviours 51, 53
#[test]
fn what_only_the_pooled_transport_can_do_is_refused_with_its_name() {
    let dsn = "https://0123456789abcdef0123456789abcdef@localhost/1";
    type Set = fn(Options) -> Options;
    let cases: [(&str, Set); 3] = [
        ("a proxy", |options| options.https_proxy("http://proxy:3128")),
        ("a proxy", |options| options.http_proxy("http://proxy:3128")),
        ("ca_certs", |options| options.ca_certs("authorities.pem")),
    ];
    for (what, set) in cases {
        let message = Runtime::new(set(Options::new().dsn(dsn))).expect_err(what).to_string();
        assert!(message.starts_with(what) && message.contains("pooled_transport(true)"), "{message}");
    }
    for proxy in ["socks5://proxy:1080", "", "http://", "http://proxy:port", "https://proxy"] {
        let options = Options::new().dsn(dsn).pooled_transport(true).https_proxy(format!("{proxy}#secret"));
        let message = Runtime::new(options).expect_err(proxy).to_string();
        assert!(message.contains("proxy") && !message.contains("secret"), "{message}");
    }
    let message =
        Runtime::new(Options::new().retry_timeout(Duration::from_secs(3600))).expect_err("an hour").to_string();
    assert!(message.contains("3600s") && message.contains("30 min"), "{message}");
}

// behaviour 51
#[test]
fn envelopes_are_compressed_where_that_is_built_in_and_only_there() {
    for kind in BOTH {
        let receiver = receiver();
        let runtime = kind.runtime(receiver.dsn());
        for _ in 0..5 {
            trace(&runtime);
        }
        assert!(runtime.flush(SOON));
        for request in receiver.requests() {
            let (encoding, begins) = if cfg!(feature = "gzip") { (Some("gzip"), 0x1f) } else { (None, b'{') };
            assert_eq!(request.header("content-encoding"), encoding, "{kind:?}");
            assert_eq!(request.body[0], begins, "{kind:?}");
            assert_eq!(request.header("content-length"), Some(&*request.body.len().to_string()), "{kind:?}");
            assert_eq!(request.header("content-type"), Some("application/x-sentry-envelope"), "{kind:?}");
            let client = request.header("user-agent").expect("it introduces itself");
            assert!(client.starts_with("sentry.rust.span-runtime/"), "{kind:?} {client}");
        }
        // The receiver decodes them, and takes nothing else.
        assert_adds_up(&runtime, &receiver);
    }
}

// behaviour 52: without a word, as when a process behind a balancer is replaced
#[test]
fn a_connection_that_breaks_under_a_request_costs_a_try() {
    let receiver = receiver();
    let runtime = Kind::Pooled.runtime(receiver.dsn());
    for _ in 0..3 {
        receiver.answer_next(Answer::status(200));
        receiver.answer_next(Answer::close());
        trace(&runtime);
        trace(&runtime);
        assert!(runtime.flush(SOON));
    }
    wait_for("all of it is through", || runtime.stats().buffered == 0);
    assert_eq!(runtime.stats().lost.total(), 0);
    assert_adds_up(&runtime, &receiver);
}
