//! Servers that do not keep to HTTP, or keep to it without end. (behaviours 48, 52)

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use span_runtime::testing::Answer;
use span_runtime::{LossReason, Runtime};
use span_tests::SOON;
use span_tests::endpoint::{Endpoint, Posted, accept_all};

use super::{BOTH, Kind, assert_adds_up, large_trace, receiver, trace, wait_for};

const GIGABYTE: usize = 1 << 30;

/// What sockets may swallow of an answer before a client that reads nothing of it stops the server: two of them, of a few MiB each.
const IN_SOCKETS: usize = 32 << 20;

/// Writes the same bytes for as long as the client takes them, a gigabyte at most, and counts them.
fn flood(stream: &mut TcpStream, bytes: &[u8], written: &AtomicUsize) -> io::Result<()> {
    let block = bytes.repeat((64 << 10) / bytes.len());
    for _ in 0..GIGABYTE / block.len() {
        stream.write_all(&block)?;
        written.fetch_add(block.len(), Ordering::Relaxed);
    }
    Ok(())
}

/// Writes bytes one by one.
fn drip(stream: &mut TcpStream, bytes: &[u8], pause: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    for byte in bytes {
        stream.write_all(&[*byte])?;
        std::thread::sleep(pause);
    }
    Ok(())
}

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\n";

// behaviour 52: what is of no use is not read to the end, and what is endless is not kept
#[test]
fn an_answer_of_any_size_costs_neither_memory_nor_time() {
    for kind in BOTH {
        for (what, head, endless, taken) in [
            ("a gigabyte", &b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n"[..], &b"x"[..], true),
            ("a body without a length", b"HTTP/1.1 200 OK\r\n\r\n", b"x", true),
            ("chunks without end", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"4\r\nspan\r\n", true),
            ("headers without end", HEAD, b"X-Header: and another\r\n", false),
            ("a header without end", b"HTTP/1.1 200 OK\r\nX-Header: ", b"x", false),
            ("a status line without end", b"HTTP/1.1 200 ", b"x", false),
            ("a word without end", b"", b"x", false),
        ] {
            let written = Arc::new(AtomicUsize::new(0));
            let endpoint = Endpoint::start({
                let written = Arc::clone(&written);
                move |mut stream, _| {
                    Posted::read(&mut stream)?;
                    stream.write_all(head)?;
                    flood(&mut stream, endless, &written)
                }
            });
            let runtime = kind.runtime(endpoint.dsn("http"));
            trace(&runtime);
            if taken {
                assert!(runtime.flush(SOON), "{kind:?} {what}: the status said that it was taken");
            } else {
                wait_for(what, || endpoint.accepted() >= 3);
                assert_eq!(runtime.stats().buffered, 2, "{kind:?} {what}: it is tried again");
            }
            let begin = Instant::now();
            assert_eq!(runtime.close(Duration::from_secs(10)), taken, "{kind:?} {what}");
            assert!(begin.elapsed() < Duration::from_secs(5), "{kind:?} {what}: {:?}", begin.elapsed());
            let connections = endpoint.accepted();
            let each = written.load(Ordering::Relaxed) / connections;
            assert!(each < IN_SOCKETS, "{kind:?} {what}: {each} bytes of each answer were taken");
        }
    }
}

// behaviours 48, 52: a request ends when its time is up, wherever it stands then
#[test]
fn a_server_that_takes_its_time_is_left_when_the_time_is_up() {
    type Serve = fn(&mut TcpStream) -> io::Result<()>;
    let cases: [(&str, Serve); 5] = [
        ("it says nothing", |stream| {
            Posted::read(stream)?;
            stream.read(&mut [0]).map(drop)
        }),
        ("half a status line", |stream| {
            Posted::read(stream)?;
            stream.write_all(b"HTTP/1.1 2")?;
            stream.read(&mut [0]).map(drop)
        }),
        ("half of the headers", |stream| {
            Posted::read(stream)?;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Le")?;
            stream.read(&mut [0]).map(drop)
        }),
        ("headers byte by byte, without end", |stream| {
            Posted::read(stream)?;
            drip(stream, &b"HTTP/1.1 200 OK\r\nX: ".repeat(1000), Duration::from_millis(20))
        }),
        ("it takes nothing of the request", |_| {
            std::thread::sleep(Duration::from_secs(4));
            Ok(())
        }),
    ];
    for kind in BOTH {
        for (what, serve) in cases {
            // The third connection finds a server in good health.
            let endpoint = Endpoint::start(move |mut stream, number| match number {
                0 | 1 => serve(&mut stream),
                _ => accept_all(&mut stream, |_| {}),
            });
            let runtime = kind.runtime(endpoint.dsn("http"));
            let begin = Instant::now();
            large_trace(&runtime);
            wait_for(what, || endpoint.accepted() == 2);
            wait_for(what, || runtime.stats().sent == 1);
            // Two tries of a second, with their pauses.
            assert!(begin.elapsed() < Duration::from_secs(8), "{kind:?} {what}: {:?}", begin.elapsed());
            assert!(begin.elapsed() > Duration::from_secs(2), "{kind:?} {what}: each try had its second");
            assert_eq!(runtime.stats().lost.total(), 0, "{kind:?} {what}");
        }
    }
}

// behaviour 52: with the head of a 200 the envelope has arrived, whatever becomes of the rest
#[test]
fn what_comes_after_the_head_of_an_answer_does_not_matter() {
    for kind in BOTH {
        for answer in [
            Answer::hang_after_headers(),
            Answer::cut_mid_response(),
            Answer::status(200).body(vec![b'x'; 1000]).drip(Duration::from_millis(50)),
            Answer::status(200).body(vec![b'x'; 1 << 20]),
            Answer::status(204),
        ] {
            let receiver = receiver();
            receiver.answer_with(answer.clone());
            let runtime = kind.runtime(receiver.dsn());
            let begin = Instant::now();
            for _ in 0..2 {
                trace(&runtime);
                assert!(runtime.flush(SOON), "{kind:?} {answer:?}");
            }
            assert!(begin.elapsed() < Duration::from_secs(5), "{kind:?} {answer:?}: {:?}", begin.elapsed());
            assert_eq!((receiver.request_count(), runtime.stats().lost.total()), (2, 0), "{kind:?} {answer:?}");
            assert_adds_up(&runtime, &receiver);
        }
    }
}

// behaviour 52: byte by byte, but in time
#[test]
fn a_slow_answer_in_time_is_an_answer() {
    for kind in BOTH {
        let endpoint = Endpoint::start(|mut stream, _| {
            Posted::read(&mut stream)?;
            drip(&mut stream, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", Duration::from_millis(5))
        });
        let runtime = kind.runtime(endpoint.dsn("http"));
        trace(&runtime);
        assert!(runtime.flush(SOON), "{kind:?}");
        assert_eq!((runtime.stats().sent, endpoint.accepted()), (2, 1), "{kind:?}");
    }
}

// behaviour 52
#[test]
fn what_is_not_http_counts_as_no_answer() {
    for kind in BOTH {
        for garbage in [
            &b"\x16\x03\x01\x00\xff\r\n\r\n"[..],
            b"\r\n\r\n",
            b"SSH-2.0-OpenSSH_9.6\r\n",
            b"HTTP/1.1 OK\r\n\r\n",
            b"HTTP/1.1 99999 OK\r\n\r\n",
            b"<html><body>no</body></html>\r\n\r\n",
            b"\xff\xfe\xfd\n\n",
        ] {
            let endpoint = Endpoint::start(move |mut stream, _| {
                Posted::read(&mut stream)?;
                stream.write_all(garbage)
            });
            let options = kind.options(endpoint.dsn("http")).retry_timeout(Duration::ZERO);
            let runtime = Runtime::new(options).expect("the options are valid");
            trace(&runtime);
            assert!(!runtime.flush(SOON), "{kind:?} {garbage:?}");
            let stats = runtime.stats();
            assert_eq!(stats.lost.get(LossReason::NetworkError), 2, "{kind:?} {garbage:?} {stats:?}");
            assert_eq!((stats.sent, stats.buffered), (0, 0), "{kind:?} {garbage:?}");
        }
    }
}

// behaviours 48, 52: each try in front of it would leave a thread behind, and the envelope with it
#[test]
fn a_server_that_hangs_in_the_handshake_holds_no_more_than_one_connection() {
    for kind in BOTH {
        let endpoint = Endpoint::start(|mut stream, _| {
            let mut sink = [0; 1 << 10];
            while stream.read(&mut sink)? > 0 {}
            Ok(())
        });
        let runtime = kind.runtime(endpoint.dsn("https"));
        trace(&runtime);
        wait_for("it is tried again and again", || endpoint.accepted() >= 4);
        wait_for("what was left behind is gone", || endpoint.open() <= usize::from(kind == Kind::Default));
        let begin = Instant::now();
        assert!(!runtime.close(Duration::from_secs(1)));
        assert!(begin.elapsed() < Duration::from_secs(3), "{kind:?}: {:?}", begin.elapsed());
    }
}
