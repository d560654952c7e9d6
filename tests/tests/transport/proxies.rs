//! Proxies on the way to the server. (behaviour 51)

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use span_runtime::testing::Receiver;
use span_runtime::{Options, Runtime};
use span_tests::SOON;
use span_tests::endpoint::{Endpoint, Posted};

use super::tls::private_service;
use super::{Kind, assert_adds_up, receiver, trace, wait_for};

type Asked = Arc<Mutex<Vec<Posted>>>;

/// A proxy that connects whom it is asked to, if it is asked with this authorisation; and what it was asked.
fn proxy(authorization: Option<&'static str>) -> (Endpoint, Asked) {
    let asked = Asked::default();
    let seen = Arc::clone(&asked);
    let endpoint = Endpoint::start(move |mut stream, _| {
        let Some(posted) = Posted::read(&mut stream)? else { return Ok(()) };
        let allowed = posted.header("proxy-authorization") == authorization;
        let target = posted.head.split(' ').nth(1).unwrap_or_default().to_owned();
        seen.lock().unwrap_or_else(PoisonError::into_inner).push(posted);
        if !allowed {
            return stream.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
        }
        let server = TcpStream::connect(target)?;
        stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
        tunnel(&stream, &server)
    });
    (endpoint, asked)
}

/// Carries bytes in both directions until one side is done.
fn tunnel(client: &TcpStream, server: &TcpStream) -> io::Result<()> {
    fn carry(mut from: &TcpStream, mut to: &TcpStream) {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Both);
        let _ = from.shutdown(std::net::Shutdown::Both);
    }
    thread::scope(|scope| {
        scope.spawn(|| carry(client, server));
        carry(server, client);
    });
    Ok(())
}

fn url(proxy: &Endpoint, user: &str) -> String {
    format!("http://{user}{}", proxy.addr())
}

fn lines(asked: &Asked) -> Vec<String> {
    let asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
    asked.iter().map(|posted| posted.head.lines().next().unwrap_or_default().to_owned()).collect()
}

fn through(proxy: impl Into<String>, receiver: &Receiver) -> Options {
    Kind::Pooled.options(receiver.dsn()).http_proxy(proxy)
}

// behaviour 51
#[test]
fn envelopes_go_through_the_proxy_over_one_connection() {
    let (receiver, (proxy, asked)) = (receiver(), proxy(None));
    let runtime = Runtime::new(through(url(&proxy, ""), &receiver)).expect("the options are valid");
    for _ in 0..5 {
        trace(&runtime);
        assert!(runtime.flush(SOON));
    }
    assert_eq!(lines(&asked), [format!("CONNECT {} HTTP/1.1", receiver.addr())]);
    assert_adds_up(&runtime, &receiver);
}

// behaviours 51, 53: the proxy carries bytes that it cannot read
#[test]
fn tls_goes_through_the_proxy_to_the_server_whose_certificate_is_checked() {
    let ((bundle, endpoint, spans), (proxy, asked)) = (private_service(), proxy(None));
    for believed in [true, false] {
        let options = Kind::Pooled.options(endpoint.dsn("https")).https_proxy(url(&proxy, ""));
        let options = if believed { options.ca_certs(&bundle.0) } else { options };
        let runtime = Runtime::new(options.retry_timeout(Duration::ZERO)).expect("the options are valid");
        trace(&runtime);
        assert_eq!(runtime.flush(SOON), believed);
    }
    assert_eq!(spans.load(Ordering::Acquire), 2);
    let asked = lines(&asked);
    assert!(
        asked.iter().all(|line| *line == format!("CONNECT localhost:{} HTTP/1.1", endpoint.addr().port())),
        "{asked:?}"
    );
}

// behaviour 51
#[test]
fn user_and_password_are_shown_to_the_proxy_and_not_to_the_server() {
    // Of "user:p@ss".
    let (receiver, (proxy, _)) = (receiver(), proxy(Some("Basic dXNlcjpwQHNz")));
    let runtime = Runtime::new(through(url(&proxy, "user:p%40ss@"), &receiver)).expect("the options are valid");
    trace(&runtime);
    assert!(runtime.flush(SOON));
    assert!(receiver.requests().iter().all(|request| request.header("proxy-authorization").is_none()));
    assert_adds_up(&runtime, &receiver);

    let options = through(url(&proxy, "somebody@"), &receiver).retry_timeout(Duration::ZERO);
    let refused = Runtime::new(options).expect("the options are valid");
    trace(&refused);
    assert!(!refused.flush(SOON), "the proxy does not know him");
    assert_eq!((receiver.span_count(), refused.stats().lost.total()), (2, 2));
}

// behaviours 48, 51, 52
#[test]
fn a_proxy_that_is_not_there_or_hangs_or_babbles_is_a_fault_of_the_network() {
    let hangs = Endpoint::start(|mut stream, _| stream.read_to_end(&mut Vec::new()).map(drop));
    let babbles = Endpoint::start(|mut stream, _| {
        Posted::read(&mut stream)?;
        loop {
            stream.write_all(&[b'x'; 1 << 10])?;
        }
    });
    let gone = receiver();
    let addr = gone.addr();
    drop(gone);
    for url in [url(&hangs, ""), url(&babbles, ""), format!("http://{addr}")] {
        let receiver = receiver();
        let runtime = Runtime::new(through(&*url, &receiver)).expect("the options are valid");
        trace(&runtime);
        let begin = Instant::now();
        assert!(!runtime.flush(Duration::from_secs(2)));
        assert_eq!((runtime.stats().buffered, runtime.stats().lost.total()), (2, 0), "{url}: it is tried again");
        assert!(!runtime.close(Duration::from_secs(1)));
        assert!(begin.elapsed() < Duration::from_secs(6), "{url}: {:?}", begin.elapsed());
        assert_eq!(receiver.request_count(), 0, "{url}: nothing goes past the proxy");
    }
    wait_for("no connection is left behind", || hangs.open() + babbles.open() == 0);
}

/// The environment belongs to a process, so that this test runs itself again with the variables.
// behaviour 51
#[test]
fn the_variables_name_the_proxy_where_the_environment_is_read() {
    if let Some(dsn) = std::env::var_os("CHILD_DSN") {
        let reads = std::env::var_os("CHILD_READS").is_some();
        let options = if reads { Options::from_env() } else { Options::new() };
        let options = options.pooled_transport(true).traces_sample_rate(1.0).dsn(dsn.to_string_lossy());
        let runtime = Runtime::new(options).expect("the options are valid");
        trace(&runtime);
        assert!(runtime.close(SOON));
        return;
    }
    let cases: [(&[(&str, &str)], bool); 5] = [
        (&[("CHILD_READS", "1")], true),
        (&[("CHILD_READS", "1"), ("NO_PROXY", "example.com, 127.0.0.1")], false),
        (&[("CHILD_READS", "1"), ("NO_PROXY", "example.com")], true),
        (&[("CHILD_READS", "1"), ("REQUEST_METHOD", "POST")], false),
        (&[], false),
    ];
    for (variables, expected) in cases {
        let (receiver, (proxy, asked)) = (receiver(), proxy(None));
        let child = Command::new(std::env::current_exe().expect("the path of this binary"))
            .args(["--exact", "proxies::the_variables_name_the_proxy_where_the_environment_is_read"])
            .env_clear()
            .env("CHILD_DSN", receiver.dsn())
            .env("HTTP_PROXY", url(&proxy, ""))
            .envs(variables.iter().copied())
            .output()
            .expect("this binary runs");
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
        assert_eq!((receiver.span_count(), !lines(&asked).is_empty()), (2, expected), "{variables:?}");
    }
}
