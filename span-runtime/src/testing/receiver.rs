//! A server on the loopback address that takes envelopes as Sentry does, over real HTTP.
//!
//! Here stands what a test calls; the threads that do the work are in `serve`.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::inbox::lock;
use super::serve::{Shared, accept_all};
use super::{Answer, Envelope, Request, Span};

/// The key and the project of every receiver's DSN.
const PUBLIC_KEY: &str = "0123456789abcdef0123456789abcdef";
const PROJECT: u32 = 42;

/// A loopback HTTP server that keeps and checks what it is sent.
///
/// Dropping it closes all its connections and ends all its threads.
pub struct Receiver {
    addr: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

impl Receiver {
    /// Starts a receiver on a free port of 127.0.0.1 that answers 200 to everything.
    ///
    /// # Errors
    ///
    /// If no socket can be bound or no thread can be started.
    pub fn start() -> io::Result<Self> {
        Self::start_on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    /// Starts a receiver on this address, for one that comes back where another was dropped.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start); also if the port is taken.
    pub fn start_on(addr: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(addr)?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let acceptor = thread::Builder::new().name("span-receiver".into()).spawn({
            let shared = Arc::clone(&shared);
            move || accept_all(&listener, &shared)
        })?;
        Ok(Self { addr, shared, acceptor: Some(acceptor) })
    }

    /// A DSN whose envelopes come here.
    pub fn dsn(&self) -> String {
        format!("http://{PUBLIC_KEY}@{}/{PROJECT}", self.addr)
    }

    /// The address that the receiver listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Answers this way to every request from now on, and to those that hang.
    pub fn answer_with(&self, answer: Answer) {
        self.shared.change(|desk| {
            desk.standing = answer;
            desk.edition += 1;
        });
    }

    /// Answers this way to one request, before the standing answer is used again. Several such
    /// answers are used in the order in which they were given.
    pub fn answer_next(&self, answer: Answer) {
        lock(&self.shared.desk).next.push_back(answer);
    }

    /// All requests, whatever the answer.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.inbox.requests()
    }

    /// How many requests have come, [forgotten](Self::forget) ones included, without copying them.
    pub fn request_count(&self) -> usize {
        self.shared.inbox.received()
    }

    /// The envelopes that were answered with a 2xx status and broke no rule, in that order.
    ///
    /// One that did break a rule is not here: look at [`violations`](Self::violations).
    pub fn envelopes(&self) -> Vec<Envelope> {
        self.shared.inbox.envelopes()
    }

    /// Every rule that any request or body broke, whatever the answer.
    ///
    /// A test should end with `assert_eq!(receiver.violations(), [""; 0])`.
    pub fn violations(&self) -> Vec<String> {
        self.shared.inbox.violations()
    }

    /// The spans of all [`envelopes`](Self::envelopes).
    pub fn spans(&self) -> Vec<Span> {
        self.shared.inbox.spans()
    }

    /// How many [`spans`](Self::spans) there are, without copying them.
    pub fn span_count(&self) -> usize {
        self.shared.inbox.span_count()
    }

    /// The losses told by the client reports of all [`envelopes`](Self::envelopes), summed:
    /// reason, category, quantity, in the order of the first two.
    pub fn client_reports(&self) -> Vec<(String, String, u64)> {
        self.shared.inbox.client_reports()
    }

    /// Waits until the condition holds, which is asked now and whenever something arrives;
    /// `false` if it does not come to hold in time.
    pub fn wait_until(&self, timeout: Duration, mut condition: impl FnMut(&Self) -> bool) -> bool {
        self.shared.inbox.wait_until(timeout, || condition(self))
    }

    /// A channel of each envelope as it is accepted, from now on. It ends with the receiver.
    pub fn subscribe(&self) -> crossbeam_channel::Receiver<Envelope> {
        self.shared.inbox.subscribe()
    }

    /// Drops all that has arrived so far, violations too: for long tests.
    pub fn forget(&self) {
        self.shared.inbox.forget();
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("addr", &self.addr).finish_non_exhaustive()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.change(|desk| {
            desk.stopping = true;
            for stream in desk.connections.values() {
                // Fails if the client was faster, which is as good.
                let _ = stream.shutdown(Shutdown::Both);
            }
        });
        // `accept` cannot be interrupted, only satisfied. If it cannot be (out of sockets), the
        // thread is left behind, which is better than a drop that never returns.
        let woken = TcpStream::connect_timeout(&reachable(self.addr), Duration::from_secs(1)).is_ok();
        if let Some(acceptor) = self.acceptor.take().filter(|acceptor| woken || acceptor.is_finished()) {
            // No thread of ours panics by design; if one did, its message is on stderr already.
            let _ = acceptor.join();
        }
        let workers = std::mem::take(&mut lock(&self.shared.desk).workers);
        for worker in workers {
            let _ = worker.join();
        }
    }
}

/// An address to connect to for a socket that may be bound to all addresses.
fn reachable(mut addr: SocketAddr) -> SocketAddr {
    match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => addr.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => addr.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    addr
}
