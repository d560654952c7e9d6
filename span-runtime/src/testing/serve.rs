//! The receiver's threads: one accepts, one more serves each connection.
//!
//! They wait in the kernel or on a condition variable, never by polling. Dropping the
//! [`Receiver`](super::Receiver) wakes them all: it shuts the connections down, rings the condition
//! variable, and connects to the accepting thread.

use std::collections::{HashMap, VecDeque};
use std::io::{self, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::answer::{Course, send_garbage};
use super::http::{ReadError, read_request};
use super::inbox::{Inbox, lock, wait_while};
use super::{Answer, Envelope, Request, request_rules};

/// What the receiver's threads share.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) inbox: Inbox,
    pub(super) desk: Mutex<Desk>,
    /// Wakes answers that hang or wait.
    changed: Condvar,
}

/// What is to be answered, and who is being served.
#[derive(Default)]
pub(super) struct Desk {
    pub(super) stopping: bool,
    pub(super) standing: Answer,
    /// Bumped with each new standing answer: what hangs waits for the next edition.
    pub(super) edition: u64,
    pub(super) next: VecDeque<Answer>,
    opened: u64,
    /// A second handle of each open connection, to shut it down.
    pub(super) connections: HashMap<u64, TcpStream>,
    pub(super) workers: Vec<JoinHandle<()>>,
}

/// Accepts connections until the receiver stops.
pub(super) fn accept_all(listener: &TcpListener, shared: &Arc<Shared>) {
    loop {
        match listener.accept() {
            Ok((stream, _)) => shared.serve_on_thread(stream),
            // A client that left already, or no sockets left: give the system time to recover.
            Err(_) => {
                shared.pause(Duration::from_millis(10));
            }
        }
        if lock(&shared.desk).stopping {
            return;
        }
    }
}

impl Shared {
    pub(super) fn change(&self, change: impl FnOnce(&mut Desk)) {
        change(&mut lock(&self.desk));
        self.changed.notify_all();
    }

    /// Serves a connection on its own thread. If there are no resources for it, it is closed.
    fn serve_on_thread(self: &Arc<Self>, stream: TcpStream) {
        let Ok(handle) = stream.try_clone() else { return };
        let mut desk = lock(&self.desk);
        if desk.stopping {
            return;
        }
        let number = desk.opened;
        desk.opened += 1;
        desk.connections.insert(number, handle);
        let shared = Arc::clone(self);
        let worker = thread::Builder::new().name(format!("span-receiver-{number}")).spawn(move || {
            shared.serve(&stream, number);
            // Said on the socket, because the desk's handle would keep it open; the client may
            // have closed it before.
            let _ = stream.shutdown(Shutdown::Both);
            lock(&shared.desk).connections.remove(&number);
        });
        desk.workers.retain(|worker| !worker.is_finished());
        match worker {
            Ok(worker) => desk.workers.push(worker),
            Err(_) => {
                desk.connections.remove(&number);
            }
        }
    }

    /// Serves the requests of one connection until it ends.
    fn serve(&self, stream: &TcpStream, connection: u64) {
        // Without it a small answer waits for the client's delayed acknowledgement; slower, not wrong.
        let _ = stream.set_nodelay(true);
        let mut reader = BufReader::new(stream);
        loop {
            match read_request(&mut reader, connection) {
                Ok(Some(request)) => {
                    // An error means that the client is gone or that we are being dropped.
                    if !self.handle(request, stream).unwrap_or(false) {
                        return;
                    }
                }
                Ok(None) | Err(ReadError::Gone) => return,
                Err(ReadError::Malformed(status, why)) => {
                    self.inbox.record_violation(format!("http: {why}"));
                    let mut stream = stream;
                    let _ = stream.write_all(&Answer::status(status).head(false));
                    return;
                }
            }
        }
    }

    /// Files a request and answers it; whether the connection stays open.
    fn handle(&self, request: Request, stream: &TcpStream) -> io::Result<bool> {
        let (envelope, violations) = request_rules::check(&request);
        let keep_alive = request.keep_alive;
        let (answer, edition) = self.take_answer();
        self.inbox.record(Some(request), violations);
        match self.ready(answer, edition, stream) {
            Some((answer, edition)) => self.send(&answer, edition, envelope, keep_alive, stream),
            None => Ok(false),
        }
    }

    fn take_answer(&self) -> (Answer, u64) {
        let mut desk = lock(&self.desk);
        let answer = desk.next.pop_front().unwrap_or_else(|| desk.standing.clone());
        (answer, desk.edition)
    }

    /// Sits out hanging and delay; `None` if the receiver stops or the client leaves meanwhile.
    fn ready(&self, mut answer: Answer, mut edition: u64, stream: &TcpStream) -> Option<(Answer, u64)> {
        let mut waited = false;
        while answer.course == Course::Hang {
            (answer, edition) = self.next_edition(edition)?;
            waited = true;
        }
        if !answer.delay.is_zero() {
            if !self.pause(answer.delay) {
                return None;
            }
            waited = true;
        }
        (!waited || is_connected(stream)).then_some((answer, edition))
    }

    /// Sends an answer; whether the connection stays open.
    fn send(
        &self,
        answer: &Answer,
        edition: u64,
        envelope: Option<Envelope>,
        keep_alive: bool,
        mut stream: &TcpStream,
    ) -> io::Result<bool> {
        if answer.accepts() {
            // Before the client can know, so that whatever it was told is to be seen here.
            envelope.into_iter().for_each(|envelope| self.inbox.accept(envelope));
        }
        let mut bytes = answer.head(keep_alive);
        match (answer.course, answer.drip) {
            (Course::Close | Course::Hang, _) => return Ok(false),
            (Course::Garbage, _) => {
                send_garbage(stream)?;
                return Ok(false);
            }
            (Course::HangAfterHeaders, _) => {
                stream.write_all(&bytes)?;
                if self.next_edition(edition).is_none() {
                    return Ok(false);
                }
                stream.write_all(answer.content())?;
            }
            (Course::Whole | Course::CutMidResponse, None) => {
                bytes.extend_from_slice(answer.content());
                stream.write_all(&bytes)?;
            }
            (Course::Whole | Course::CutMidResponse, Some(pause)) => {
                stream.write_all(&bytes)?;
                for byte in answer.content().chunks(1) {
                    if !self.pause(pause) {
                        return Ok(false);
                    }
                    stream.write_all(byte)?;
                }
            }
        }
        Ok(keep_alive && answer.course != Course::CutMidResponse)
    }

    /// Waits for another standing answer than that of `edition`; `None` if the receiver stops.
    fn next_edition(&self, edition: u64) -> Option<(Answer, u64)> {
        let desk = lock(&self.desk);
        wait_while(&self.changed, desk, None, |desk| !desk.stopping && desk.edition == edition);
        let desk = lock(&self.desk);
        (!desk.stopping).then(|| (desk.standing.clone(), desk.edition))
    }

    /// Lets time pass; `false` if the receiver stops meanwhile.
    fn pause(&self, pause: Duration) -> bool {
        let deadline = Instant::now().checked_add(pause);
        let stopped = wait_while(&self.changed, lock(&self.desk), deadline, |desk| !desk.stopping);
        !stopped
    }
}

/// Whether the client still holds its end of the connection open.
fn is_connected(stream: &TcpStream) -> bool {
    if stream.set_nonblocking(true).is_err() {
        return false;
    }
    let connected = match stream.peek(&mut [0]) {
        Ok(bytes) => bytes > 0,
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    };
    stream.set_nonblocking(false).is_ok() && connected
}
