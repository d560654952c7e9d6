//! A client that speaks to the receiver as literally as a test needs it to.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, SystemTime};

use super::Draft;
use crate::testing::Receiver;

/// Bounds waits that end at once if all is well.
pub(super) const LONG: Duration = Duration::from_secs(30);

/// A receiver on a free port.
pub(super) fn receiver() -> Receiver {
    Receiver::start().expect("the loopback address has a free port")
}

/// One client connection.
pub(super) struct Client {
    pub(super) reader: BufReader<TcpStream>,
}

/// An answer as a client sees it.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Client {
    pub(super) fn new(receiver: &Receiver) -> Self {
        let stream = TcpStream::connect(receiver.addr()).expect("the receiver listens");
        stream.set_read_timeout(Some(LONG)).expect("the timeout is not zero");
        Self { reader: BufReader::new(stream) }
    }

    pub(super) fn give_up_after(&self, timeout: Duration) {
        self.reader.get_ref().set_read_timeout(Some(timeout)).expect("the timeout is not zero");
    }

    pub(super) fn write(&mut self, bytes: &[u8]) {
        self.reader.get_mut().write_all(bytes).expect("the receiver reads");
    }

    /// Sends a whole request with these further header lines.
    pub(super) fn post(&mut self, headers: &str, body: &[u8]) {
        self.write(head(&format!("Content-Length: {}\r\n{headers}", body.len())).as_bytes());
        self.write(body);
    }

    /// Reads a head, and the body that it announces.
    pub(super) fn read(&mut self) -> io::Result<Answered> {
        let mut answered = self.read_head()?;
        let length = answered.head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let length = length.map_or(0, |length| length.parse().expect("the length is a number"));
        answered.body = vec![0; length];
        self.reader.read_exact(&mut answered.body)?;
        Ok(answered)
    }

    pub(super) fn read_head(&mut self) -> io::Result<Answered> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.reader.read_line(&mut head)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let status = head.get(9..12).and_then(|status| status.parse().ok());
        let status = status.ok_or(io::ErrorKind::InvalidData)?;
        Ok(Answered { status, head, body: Vec::new() })
    }

    /// Whether the receiver closed the connection, with nothing more sent before.
    pub(super) fn is_closed(&mut self) -> bool {
        match self.reader.read(&mut [0]) {
            Ok(bytes) => bytes == 0,
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }
}

/// The head of a request that keeps all rules, with these further lines.
pub(super) fn head(headers: &str) -> String {
    format!(
        "POST /api/42/envelope/ HTTP/1.1\r\nHost: localhost\r\n\
         X-Sentry-Auth: Sentry sentry_version=7, sentry_key=0123456789abcdef0123456789abcdef\r\n{headers}\r\n"
    )
}

/// A valid span envelope of now.
pub(super) fn spans() -> Vec<u8> {
    Draft::spans(SystemTime::now()).bytes()
}

/// Sends spans on a new connection and reads the answer.
pub(super) fn exchange(receiver: &Receiver) -> io::Result<Answered> {
    let mut client = Client::new(receiver);
    client.post("", &spans());
    client.read()
}
