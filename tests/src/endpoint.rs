//! Servers on the loopback address that do to a client whatever a test says, where the receiver of `span-runtime` keeps to HTTP.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use span_runtime::testing::Envelope;

/// A server that treats each connection as it is told to, on a thread of its own. Its drop ends all of them.
pub struct Endpoint {
    addr: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stopping: AtomicBool,
    accepted: AtomicUsize,
    /// A second handle of each connection that is being served.
    open: Mutex<HashMap<usize, TcpStream>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Endpoint {
    /// Serves connections by this function, which is given the number of each, from 0. What it returns is of no interest: clients go away.
    ///
    /// # Panics
    ///
    /// When there is no port on loopback, or no thread.
    pub fn start(serve: impl Fn(TcpStream, usize) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self::start_on((Ipv4Addr::LOCALHOST, 0).into(), serve).expect("a port on loopback")
    }

    /// As [`start`](Self::start), on this address: for a server that comes back where another was dropped.
    ///
    /// # Errors
    ///
    /// When the port is taken.
    ///
    /// # Panics
    ///
    /// When there is no thread.
    pub fn start_on(
        addr: SocketAddr,
        serve: impl Fn(TcpStream, usize) -> io::Result<()> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(addr)?;
        let addr = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared::default());
        let serve = Arc::new(serve);
        let acceptor = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                for stream in listener.incoming() {
                    if shared.stopping.load(Ordering::Acquire) {
                        return;
                    }
                    if let Ok(stream) = stream {
                        shared.serve(stream, &serve);
                    }
                }
            })
        };
        Ok(Endpoint { addr, shared, acceptor: Some(acceptor) })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// A DSN of it, with this scheme.
    pub fn dsn(&self, scheme: &str) -> String {
        format!("{scheme}://0123456789abcdef0123456789abcdef@localhost:{}/42", self.addr.port())
    }

    /// How many connections there have been.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::Acquire)
    }

    /// How many connections are being served.
    pub fn open(&self) -> usize {
        lock(&self.shared.open).len()
    }
}

impl Shared {
    fn serve<F>(self: &Arc<Self>, stream: TcpStream, serve: &Arc<F>)
    where
        F: Fn(TcpStream, usize) -> io::Result<()> + Send + Sync + 'static,
    {
        let Ok(handle) = stream.try_clone() else { return };
        let number = self.accepted.fetch_add(1, Ordering::AcqRel);
        lock(&self.open).insert(number, handle);
        let (shared, serve) = (Arc::clone(self), Arc::clone(serve));
        let thread = thread::spawn(move || {
            let _ = serve(stream, number);
            if let Some(handle) = lock(&shared.open).remove(&number) {
                let _ = handle.shutdown(Shutdown::Both);
            }
        });
        let mut threads = lock(&self.threads);
        // A thread that ended keeps its stack until it is joined, which would add up.
        for ended in threads.extract_if(.., |thread| thread.is_finished()) {
            let _ = ended.join();
        }
        threads.push(thread);
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("addr", &self.addr).finish_non_exhaustive()
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        // `accept` cannot be interrupted, only satisfied.
        let _ = TcpStream::connect(self.addr);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        for stream in lock(&self.shared.open).values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        for thread in std::mem::take(&mut *lock(&self.shared.threads)) {
            let _ = thread.join();
        }
    }
}

/// A request that was read: its head, and the body that its `Content-Length` announced.
#[derive(Debug)]
pub struct Posted {
    /// The request line and the headers.
    pub head: String,
    /// The body as it came.
    pub body: Vec<u8>,
}

impl Posted {
    /// Reads one; `None` if the client is done.
    ///
    /// # Errors
    ///
    /// When the client breaks off in the middle.
    pub fn read(stream: &mut impl Read) -> io::Result<Option<Self>> {
        let mut head = Vec::new();
        let length = loop {
            if let Some(at) = head.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            let mut block = [0; 4096];
            match stream.read(&mut block)? {
                0 if head.is_empty() => return Ok(None),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => head.extend_from_slice(&block[..read]),
            }
        };
        // Clients wait for the answer before they send another, so that what is behind the head is the body's.
        let body = head.split_off(length);
        let mut posted = Posted { head: String::from_utf8_lossy(&head).into_owned(), body };
        let length = posted.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let begun = posted.body.len();
        posted.body.resize(length, 0);
        if let Some(rest) = posted.body.get_mut(begun..) {
            stream.read_exact(rest)?;
        }
        Ok(Some(posted))
    }

    /// The envelope in the body, which may be compressed.
    ///
    /// # Errors
    ///
    /// Every rule that it breaks.
    pub fn envelope(&self) -> Result<Envelope, Vec<String>> {
        #[cfg(feature = "gzip")]
        if self.header("content-encoding") == Some("gzip") {
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(&*self.body)
                .read_to_end(&mut plain)
                .map_err(|error| vec![format!("the body must be gzip: {error}")])?;
            return Envelope::parse(&plain);
        }
        Envelope::parse(&self.body)
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

/// Answers every request of a connection with a 200 and Relay's body, after it was looked at.
///
/// # Errors
///
/// When the client breaks off.
pub fn accept_all(stream: &mut (impl Read + Write), mut look: impl FnMut(Posted)) -> io::Result<()> {
    while let Some(posted) = Posted::read(stream)? {
        look(posted);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")?;
        stream.flush()?;
    }
    Ok(())
}
