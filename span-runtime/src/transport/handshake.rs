//! A TLS handshake for its own sake, to see whether a server still makes them.
#![expect(
    clippy::arithmetic_side_effects,
    reason = "a day and less after now is a time: `request_timeout` is no longer"
)]

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::TransportError;
use crate::protocol::Dsn;

/// What rustls computes with: what the program installed for all, else the one that is in the tree.
pub(super) fn provider() -> Arc<CryptoProvider> {
    CryptoProvider::get_default().cloned().unwrap_or_else(|| Arc::new(aws_lc_rs::default_provider()))
}

pub(super) struct Handshake {
    host: String,
    port: u16,
    timeout: Duration,
}

impl Handshake {
    pub(super) fn new(dsn: &Dsn, timeout: Duration) -> Self {
        Handshake { host: dsn.host().to_owned(), port: dsn.port(), timeout }
    }

    /// Connects, shakes hands, and hangs up.
    pub(super) fn make(&self) -> Result<(), TransportError> {
        let failed = |error: &dyn std::fmt::Display| TransportError::new(format!("no TLS handshake: {error}"));
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(&error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(self.host.clone()).map_err(|error| failed(&error))?;
        let mut connection = ClientConnection::new(Arc::new(config), name).map_err(|error| failed(&error))?;
        let mut stream = self.connect().map_err(|error| failed(&error))?;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream).map_err(|error| failed(&error))?;
        }
        Ok(())
    }

    fn connect(&self) -> io::Result<Timed> {
        let deadline = Instant::now() + self.timeout;
        let mut error = io::Error::from(io::ErrorKind::NotFound);
        for address in (self.host.as_str(), self.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, left(deadline)?) {
                Ok(stream) => return Ok(Timed { stream, deadline }),
                Err(failed) => error = failed,
            }
        }
        Err(error)
    }
}

/// A connection whose every wait ends at the deadline.
struct Timed {
    stream: TcpStream,
    deadline: Instant,
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(left(self.deadline)?))?;
        self.stream.read(buffer)
    }
}

impl Write for Timed {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(left(self.deadline)?))?;
        self.stream.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
