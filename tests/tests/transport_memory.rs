//! Whatever the server does: memory stays within the bound, and the threads that end spans do not notice. (behaviours 45, 48, 52)
//!
//! Memory is the process's, so there is one test.
#![forbid(unsafe_code)]
#![cfg(target_os = "linux")]

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use span_runtime::{Options, Runtime, start_span};
use span_tests::SOON;
use span_tests::endpoint::{Endpoint, Posted, accept_all};

/// The bound that is set, and what may come on top of it: code and threads, the client's copies of the envelope that is being sent, and
/// what the allocator keeps for each thread that has ever allocated. It does not get more with the number of servers.
const BOUND: usize = 8 << 20;
const ON_TOP: usize = 48 << 20;

/// Resident memory in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("with this line");
    let kilobytes: usize = line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("in kB");
    kilobytes * 1024
}

type Serve = fn(&mut TcpStream) -> io::Result<()>;

/// Reads a request, and answers with this and a gigabyte of that.
fn gigabyte(stream: &mut TcpStream, head: &[u8], endless: &[u8]) -> io::Result<()> {
    Posted::read(stream)?;
    stream.write_all(head)?;
    let block = endless.repeat((64 << 10) / endless.len());
    (0..(1 << 30) / block.len()).try_for_each(|_| stream.write_all(&block))
}

/// Reads a request, and gives this answer and no other.
fn answer(stream: &mut TcpStream, answer: &[u8]) -> io::Result<()> {
    Posted::read(stream)?;
    stream.write_all(answer)
}

const SERVERS: [(&str, Serve); 15] = [
    ("takes everything", |stream| accept_all(stream, |_| {})),
    ("reads and says nothing", |stream| stream.read_to_end(&mut Vec::new()).map(drop)),
    ("takes nothing", |_| {
        std::thread::sleep(Duration::from_secs(5));
        Ok(())
    }),
    (REFUSES, |_| Ok(())),
    ("fails", |stream| answer(stream, b"HTTP/1.1 503 no\r\nContent-Length: 0\r\n\r\n")),
    ("finds everything too large", |stream| answer(stream, b"HTTP/1.1 413 no\r\nContent-Length: 0\r\n\r\n")),
    ("asks for a pause", |stream| answer(stream, b"HTTP/1.1 429 no\r\nContent-Length: 0\r\n\r\n")),
    ("sends elsewhere", |stream| {
        answer(stream, b"HTTP/1.1 307 no\r\nLocation: /api/42/envelope/\r\nContent-Length: 0\r\n\r\n")
    }),
    ("answers with garbage", |stream| answer(stream, b"\x16\x03\x01\x00\xff\r\n\r\n")),
    ("hangs after the headers", |stream| {
        answer(stream, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")?;
        stream.read_to_end(&mut Vec::new()).map(drop)
    }),
    ("cuts in mid-response", |stream| answer(stream, b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}")),
    ("answers byte by byte", |stream| {
        Posted::read(stream)?;
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}".iter().try_for_each(|byte| {
            std::thread::sleep(Duration::from_millis(5));
            stream.write_all(&[*byte])
        })
    }),
    ("hangs up", |stream| stream.shutdown(std::net::Shutdown::Both)),
    ("answers with a gigabyte", |stream| {
        gigabyte(stream, b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n", b"x")
    }),
    ("answers with a gigabyte of headers", |stream| {
        gigabyte(stream, b"HTTP/1.1 200 OK\r\n", b"X-Header: and another\r\n")
    }),
];

/// There is no server.
const REFUSES: &str = "refuses";

/// Those that say so, whatever else they do.
const TAKE: [&str; 5] = [
    "takes everything",
    "answers with a gigabyte",
    "hangs after the headers",
    "cuts in mid-response",
    "answers byte by byte",
];

/// Ends 20,000 spans a second for a while, which a good server keeps up with; the highest resident memory meanwhile, and the median of what an end costs.
fn produce(runtime: &Runtime) -> (usize, Duration) {
    let _entered = runtime.enter();
    let (mut highest, mut costs) = (0, Vec::new());
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(2) {
        let _root = start_span("root").start();
        for _ in 0..500 {
            let span = start_span("child").attribute("text", "x".repeat(200)).start();
            let ends = Instant::now();
            span.end();
            costs.push(ends.elapsed());
        }
        highest = highest.max(resident());
        let buffered = runtime.stats().buffered_bytes;
        assert!(buffered <= BOUND, "{buffered}");
        std::thread::sleep(Duration::from_millis(25));
    }
    costs.sort_unstable();
    (highest, costs[costs.len() / 2])
}

// behaviours 45, 48, 52
#[test]
fn memory_and_the_cost_of_a_span_do_not_depend_on_the_server() {
    let before = resident();
    for pooled in [false, true] {
        for (what, serve) in SERVERS {
            let endpoint = Endpoint::start(move |mut stream, _| serve(&mut stream));
            let dsn = endpoint.dsn("http");
            let endpoint = (what != REFUSES).then_some(endpoint);
            let options = Options::new()
                .dsn(dsn)
                .traces_sample_rate(1.0)
                .max_buffer_bytes(BOUND)
                .request_timeout(Duration::from_secs(1))
                .pooled_transport(pooled);
            let runtime = Runtime::new(options).expect("the options are valid");
            let (highest, median) = produce(&runtime);
            let asked = endpoint.as_ref().is_none_or(|endpoint| endpoint.accepted() > 0);
            assert!(asked, "{what}, pooled {pooled}: it was asked");
            assert!(highest < before + BOUND + ON_TOP, "{what}, pooled {pooled}: from {before} to {highest} bytes");
            assert!(median < Duration::from_micros(100), "{what}, pooled {pooled}: {median:?}");
            let stats = runtime.stats();
            let taken = stats.sent - stats.rate_limited;
            assert_eq!(taken > 0, TAKE.contains(&what), "{what}, pooled {pooled}: {stats:?}");
            let begin = Instant::now();
            runtime.close(Duration::from_secs(1));
            assert!(begin.elapsed() < SOON / 4, "{what}, pooled {pooled}: {:?}", begin.elapsed());
        }
    }
}
