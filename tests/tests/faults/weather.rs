//! The server of a round: it fails in all ways, goes away and comes back, and remembers what it was sent and what it said.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use fastrand::Rng;
use span_runtime::testing::Envelope;
use span_tests::endpoint::{Endpoint, Posted};

use super::plan::Plan;
use super::{MARGIN, lock};

/// What an answer says of an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Taken,
    /// Status 429.
    RateLimited,
    /// Another status from 400 to 499.
    Refused,
    /// No answer, or one that calls for another try.
    Unanswered,
}

/// A request that was read to its end.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// Goes up in the order in which requests were read. What answered one may be slower than what answers the next.
    number: u64,
    pub(crate) envelope: Envelope,
    pub(crate) outcome: Outcome,
    /// Whether the client has seen the answer: it was there in time, and the connection was.
    pub(crate) certain: bool,
    /// Whether the request was read while its client still waited.
    pub(crate) timely: bool,
    pub(crate) answered: Instant,
}

/// Which faults there are while the weather is bad.
enum Faults {
    /// Any, as likely as this.
    Any(Mutex<Rng>, f64),
    /// Always this one.
    Only(Fault),
}

/// What a round's server remembers.
pub(crate) struct Log {
    deliveries: Mutex<Vec<Delivery>>,
    violations: Mutex<Vec<String>>,
    faults: Faults,
    /// An answer that comes later than this may come too late.
    in_time: Duration,
    requests: AtomicU64,
    bad: AtomicBool,
    /// Goes up with each change of the weather.
    edition: AtomicU64,
    /// The server is going, and waits for what hangs: that goes on, also if it has begun to hang just now.
    leaving: AtomicBool,
}

impl Log {
    /// One whose server has all faults.
    pub(crate) fn new(plan: &Plan) -> Self {
        Log::of(plan, Faults::Any(Mutex::new(plan.rng("faults")), plan.faults))
    }

    /// One whose server has this fault.
    pub(crate) fn with_fault(plan: &Plan, fault: Fault) -> Self {
        Log::of(plan, Faults::Only(fault))
    }

    fn of(plan: &Plan, faults: Faults) -> Self {
        Log {
            deliveries: Mutex::default(),
            violations: Mutex::default(),
            faults,
            in_time: plan.request_timeout / 4,
            requests: AtomicU64::new(0),
            bad: AtomicBool::new(false),
            edition: AtomicU64::new(0),
            leaving: AtomicBool::new(false),
        }
    }

    /// Everything that arrived, in that order.
    ///
    /// # Panics
    ///
    /// When an envelope was not valid.
    pub(crate) fn deliveries(&self) -> Vec<Delivery> {
        assert_eq!(*lock(&self.violations), [""; 0], "every envelope is valid");
        let mut deliveries = std::mem::take(&mut *lock(&self.deliveries));
        deliveries.sort_unstable_by_key(|delivery| delivery.number);
        deliveries
    }

    /// How many envelopes were taken.
    pub(crate) fn taken(&self) -> usize {
        lock(&self.deliveries).iter().filter(|delivery| delivery.outcome == Outcome::Taken).count()
    }

    fn change(&self, bad: bool) {
        self.bad.store(bad, Ordering::Release);
        self.edition.fetch_add(1, Ordering::AcqRel);
    }

    fn edition(&self) -> u64 {
        self.edition.load(Ordering::Acquire)
    }

    /// Whether what began to hang in this weather still does.
    fn hangs(&self, edition: u64) -> bool {
        self.edition() == edition && !self.leaving.load(Ordering::Acquire)
    }

    fn leave(&self, endpoint: Option<Endpoint>) {
        self.leaving.store(true, Ordering::Release);
        drop(endpoint);
        self.leaving.store(false, Ordering::Release);
    }

    fn draw(&self) -> Fault {
        if !self.bad.load(Ordering::Acquire) {
            return Fault::None;
        }
        match &self.faults {
            Faults::Only(fault) => *fault,
            Faults::Any(rng, likely) => {
                let mut rng = lock(rng);
                if rng.f64() < *likely { FAULTS[rng.usize(0..FAULTS.len())] } else { Fault::None }
            }
        }
    }
}

/// What is done to a request instead of taking it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    None,
    /// The connection ends before the request is read.
    HangUp,
    /// It ends in the middle of the request.
    CutRequest,
    /// Nothing is read for a while.
    TakeNothing,
    HangBeforeHead,
    HangAfterHead,
    /// An answer byte by byte, in time.
    Slow,
    /// Headers without end; if the connection ends before the client's patience does, it may believe the status.
    EndlessHead,
    EndlessBody,
    CutHead,
    /// It ends after the status, which the client may believe or not.
    CutAfterStatus,
    CutBody,
    Garbage,
    Status(u16),
    /// A status with a header that asks for a pause.
    Pause(u16, &'static str),
    RedirectLoop,
}

pub(crate) const FAULTS: [Fault; 30] = [
    Fault::HangUp,
    Fault::CutRequest,
    Fault::TakeNothing,
    Fault::HangBeforeHead,
    Fault::HangAfterHead,
    Fault::Slow,
    Fault::EndlessHead,
    Fault::EndlessBody,
    Fault::CutHead,
    Fault::CutAfterStatus,
    Fault::CutBody,
    Fault::Garbage,
    Fault::RedirectLoop,
    Fault::Status(204),
    Fault::Status(301),
    Fault::Status(400),
    Fault::Status(401),
    Fault::Status(403),
    Fault::Status(413),
    Fault::Status(500),
    Fault::Status(500),
    Fault::Status(502),
    Fault::Status(503),
    Fault::Pause(503, "Retry-After: 1"),
    Fault::Pause(429, "Retry-After: 1"),
    Fault::Pause(429, "X-Sentry-Rate-Limits: 1:span:organization"),
    Fault::Pause(429, "X-Sentry-Rate-Limits: 60:error:key"),
    Fault::Pause(429, "Retry-After: Sun, 06 Nov 1994 08:49:37 GMT"),
    Fault::Pause(200, "X-Sentry-Rate-Limits: 1:span;error:key"),
    Fault::Pause(413, "X-Sentry-Rate-Limits: 60:error:key"),
];

const TAKEN: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

/// Reads from a connection, and knows since when there was something to read.
struct Timed<'a> {
    stream: &'a TcpStream,
    since: Option<Instant>,
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(buffer)?;
        self.since.get_or_insert_with(Instant::now);
        Ok(read)
    }
}

/// Serves a connection.
fn serve(log: &Log, stream: &TcpStream) -> io::Result<()> {
    // The client's time for the first request began with the connection.
    let mut since = Some(Instant::now());
    loop {
        let fault = log.draw();
        match fault {
            Fault::HangUp => return Ok(()),
            Fault::CutRequest => {
                let mut stream = stream;
                return stream.read_exact(&mut [0; 700]);
            }
            Fault::TakeNothing => {
                let edition = log.edition();
                while log.hangs(edition) {
                    thread::sleep(Duration::from_millis(5));
                }
            }
            _ => {}
        }
        let mut timed = Timed { stream, since };
        let Some(posted) = Posted::read(&mut timed)? else { return Ok(()) };
        let number = log.requests.fetch_add(1, Ordering::AcqRel);
        let begin = timed.since.take().unwrap_or_else(Instant::now);
        let timely = begin.elapsed() < log.in_time;
        let (outcome, answer) = answer(log, stream, fault);
        let answered = Instant::now();
        let certain = match outcome {
            // Nobody can take it for something else, except where the status was there.
            Outcome::Unanswered => true,
            _ => {
                answer.is_ok()
                    && begin.elapsed() < log.in_time
                    && !matches!(fault, Fault::CutAfterStatus | Fault::EndlessHead)
            }
        };
        match posted.envelope() {
            Ok(envelope) => {
                lock(&log.deliveries).push(Delivery { number, envelope, outcome, certain, timely, answered });
            }
            Err(violations) => lock(&log.violations).extend(violations),
        }
        if !answer? {
            return Ok(());
        }
        after(log, stream, fault)?;
        since = None;
    }
}

/// Answers as far as it decides what becomes of the envelope; whether there can be another request afterwards.
fn answer(log: &Log, mut stream: &TcpStream, fault: Fault) -> (Outcome, io::Result<bool>) {
    let mut say = |outcome, text: &[u8], goes_on: bool| (outcome, stream.write_all(text).map(|()| goes_on));
    match fault {
        Fault::None | Fault::TakeNothing | Fault::HangUp | Fault::CutRequest => say(Outcome::Taken, TAKEN, true),
        Fault::HangBeforeHead => (Outcome::Unanswered, hang(log, stream).map(|()| false)),
        Fault::HangAfterHead | Fault::EndlessBody | Fault::CutBody => {
            say(Outcome::Taken, b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n", true)
        }
        Fault::Slow => {
            let drip = || {
                TAKEN.iter().try_for_each(|byte| {
                    thread::sleep(Duration::from_millis(3));
                    (&mut &*stream).write_all(&[*byte])
                })
            };
            (Outcome::Taken, drip().map(|()| true))
        }
        Fault::EndlessHead => {
            let edition = log.edition();
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
            while log.hangs(edition) && stream.write_all(b"X-Header: and another\r\n").is_ok() {
                thread::sleep(Duration::from_millis(1));
            }
            (Outcome::Taken, Ok(false))
        }
        Fault::CutHead => say(Outcome::Unanswered, b"HTTP/1.1 20", false),
        Fault::CutAfterStatus => say(Outcome::Taken, b"HTTP/1.1 200 OK\r\nContent-Le", false),
        Fault::Garbage => say(Outcome::Unanswered, b"\x16\x03\x01\x00\xffthis is not HTTP\r\n\r\n", false),
        Fault::Status(status) => say(outcome(status), &head(status, "X-Header: none"), true),
        Fault::Pause(status, header) => say(outcome(status), &head(status, header), true),
        Fault::RedirectLoop => say(Outcome::Unanswered, &head(307, "Location: /api/42/envelope/"), true),
    }
}

fn outcome(status: u16) -> Outcome {
    match status {
        200..=299 => Outcome::Taken,
        429 => Outcome::RateLimited,
        400..=499 => Outcome::Refused,
        _ => Outcome::Unanswered,
    }
}

fn head(status: u16, header: &str) -> Vec<u8> {
    let length = if status == 204 { "X-Body: none" } else { "Content-Length: 0" };
    format!("HTTP/1.1 {status} A status\r\n{header}\r\n{length}\r\n\r\n").into_bytes()
}

/// What comes after the part of an answer that decides.
fn after(log: &Log, mut stream: &TcpStream, fault: Fault) -> io::Result<()> {
    match fault {
        Fault::HangAfterHead => hang(log, stream),
        Fault::EndlessBody => {
            let block = [b'x'; 16 << 10];
            (0..(1 << 30) / block.len()).try_for_each(|_| stream.write_all(&block))
        }
        Fault::CutBody => {
            stream.write_all(b"half")?;
            Err(io::ErrorKind::ConnectionAborted.into())
        }
        _ => Ok(()),
    }
}

/// Waits until the client leaves or the weather changes, and gives up on the connection.
fn hang(log: &Log, mut stream: &TcpStream) -> io::Result<()> {
    let edition = log.edition();
    stream.set_read_timeout(Some(Duration::from_millis(10)))?;
    while log.hangs(edition) {
        match stream.read(&mut [0; 64]) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::ConnectionAborted.into())
}

/// The server, and who decides how it does.
pub(crate) struct Weather {
    addr: SocketAddr,
    log: Arc<Log>,
    endpoint: Arc<Mutex<Option<Endpoint>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Weather {
    /// Weather that changes.
    pub(crate) fn start(plan: &Plan, log: Arc<Log>) -> Self {
        let mut weather = Weather::bad(log);
        let (log, endpoint, stop) =
            (Arc::clone(&weather.log), Arc::clone(&weather.endpoint), Arc::clone(&weather.stop));
        let (rng, gone, addr) = (plan.rng("weather"), plan.gone, weather.addr);
        weather.thread = Some(thread::spawn(move || change(rng, gone, addr, &log, &endpoint, &stop)));
        weather
    }

    /// Weather that is bad until it clears up.
    pub(crate) fn bad(log: Arc<Log>) -> Self {
        let endpoint = listen((Ipv4Addr::LOCALHOST, 0).into(), &log);
        let addr = endpoint.addr();
        log.change(true);
        Weather { addr, log, endpoint: Arc::new(Mutex::new(Some(endpoint))), stop: Arc::default(), thread: None }
    }

    /// Nobody listens until it clears up.
    pub(crate) fn go_away(&self) {
        self.log.leave(lock(&self.endpoint).take());
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// From now on the server is there and does as it should.
    pub(crate) fn clear_up(&self) {
        self.stop.store(true, Ordering::Release);
        let mut endpoint = lock(&self.endpoint);
        self.log.change(false);
        endpoint.get_or_insert_with(|| listen(self.addr, &self.log));
    }
}

impl Drop for Weather {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // What hangs goes on.
        self.log.change(false);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Changes the weather until it is told to stop.
fn change(
    mut rng: Rng,
    gone: f64,
    addr: SocketAddr,
    log: &Arc<Log>,
    endpoint: &Mutex<Option<Endpoint>>,
    stop: &AtomicBool,
) {
    while !stop.load(Ordering::Acquire) {
        let mut endpoint = lock(endpoint);
        if stop.load(Ordering::Acquire) {
            return;
        }
        if rng.f64() < gone {
            log.change(true);
            log.leave(endpoint.take());
        } else {
            log.change(rng.f64() < 0.8);
            endpoint.get_or_insert_with(|| listen(addr, log));
        }
        drop(endpoint);
        thread::sleep(Duration::from_millis(rng.u64(5..500)));
    }
}

fn listen(addr: SocketAddr, log: &Arc<Log>) -> Endpoint {
    let begin = Instant::now();
    loop {
        let log = Arc::clone(log);
        match Endpoint::start_on(addr, move |stream, _| serve(&log, &stream)) {
            Ok(endpoint) => return endpoint,
            // A client that was let down may have been given this port for its own end; it will leave it.
            Err(error) => assert!(begin.elapsed() < MARGIN, "the port is free again: {error}"),
        }
        thread::sleep(Duration::from_millis(5));
    }
}
