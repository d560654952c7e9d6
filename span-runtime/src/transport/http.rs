//! HTTP on minreq: one request an envelope, each on a connection of its own. (behaviours 51, 53)
//!
//! What minreq 3.0 does not do, and what is made of it here:
//!
//! * It makes each request on a thread, which it leaves behind when the time is up. In a TLS handshake such a thread waits for as long as
//!   the server likes, with the envelope in its hands. So after a request that ran out of time, a handshake of our own comes first; a
//!   server that does not answer that one costs no more threads.
//! * Its TLS panics in a program that links two of rustls's crypto providers and has installed neither. Then it is not called again.
//! * It has no proxies that keep to a deadline, no certificate authorities but Mozilla's, and no addresses of IPv6 in URLs: options that
//!   need one of these ask for the pooled transport.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::body::Body;
#[cfg(feature = "tls")]
use super::handshake::Handshake;
use super::{CONTENT_TYPE, MOST_HEADER_BYTES, Response, Transport, TransportError, auth, say};
use crate::client::Settings;
use crate::protocol::CLIENT;

/// How long a viewer on this machine may take, in seconds.
const VIEWER_SECONDS: u64 = 2;

/// Posts to one URL.
pub(super) struct Http {
    url: String,
    /// For Sentry, which also gets its envelopes compressed. A viewer asks for neither.
    auth: Option<String>,
    seconds: u64,
    /// minreq panicked, and would do so again.
    broken: bool,
    /// The last request ran out of time.
    timed_out: bool,
    #[cfg(feature = "tls")]
    handshake: Option<Handshake>,
}

impl Http {
    /// To the DSN's host.
    pub(super) fn to_sentry(settings: &Settings) -> Self {
        Http {
            auth: Some(auth(settings)),
            seconds: settings.request_timeout.as_secs(),
            #[cfg(feature = "tls")]
            handshake: settings.dsn.is_https().then(|| Handshake::new(&settings.dsn, settings.request_timeout)),
            ..Http::to_viewer(&settings.dsn.envelope_url())
        }
    }

    /// To a viewer.
    pub(super) fn to_viewer(url: &str) -> Self {
        Http {
            url: url.to_owned(),
            auth: None,
            seconds: VIEWER_SECONDS,
            broken: false,
            timed_out: false,
            #[cfg(feature = "tls")]
            handshake: None,
        }
    }

    fn request(&self, envelope: &[u8]) -> minreq::Request {
        let request = minreq::post(&self.url)
            .with_header("User-Agent", CLIENT)
            .with_header("Content-Type", CONTENT_TYPE)
            .with_timeout(self.seconds)
            .with_follow_redirects(false)
            .with_max_headers_size(MOST_HEADER_BYTES)
            .with_max_status_line_length(MOST_HEADER_BYTES);
        let Some(auth) = &self.auth else { return request.with_body(envelope) };
        let body = Body::of(envelope);
        let request = match body.encoding {
            Some(encoding) => request.with_header("Content-Encoding", encoding),
            None => request,
        };
        request.with_header("X-Sentry-Auth", auth).with_body(body.bytes)
    }

    /// Calls minreq, and never again once it has panicked.
    fn guarded<R>(&mut self, call: impl FnOnce() -> Result<R, minreq::Error>) -> Result<R, TransportError> {
        if self.broken {
            return Err(TransportError::new("the HTTP client panicked before; it is not used again"));
        }
        match catch_unwind(AssertUnwindSafe(call)) {
            Ok(result) => result.map_err(|error| {
                self.timed_out =
                    matches!(&error, minreq::Error::IoError(error) if error.kind() == io::ErrorKind::TimedOut);
                TransportError::new(error.to_string())
            }),
            Err(payload) => {
                // Its destructor might panic again.
                std::mem::forget(payload);
                self.broken = true;
                let about = "If the message above is about rustls's CryptoProvider: the program links two of them, and has to install one at \
                             its start; or take span-runtime's pooled transport";
                say(log::Level::Error, format_args!("the HTTP client panicked. {about}"));
                Err(TransportError::new("the HTTP client panicked"))
            }
        }
    }
}

impl Transport for Http {
    fn send(&mut self, envelope: &[u8]) -> Result<Response, TransportError> {
        #[cfg(feature = "tls")]
        if let Some(handshake) = self.handshake.as_ref().filter(|_| self.timed_out) {
            handshake.make()?;
        }
        self.timed_out = false;
        let request = self.request(envelope);
        // The body of the answer is not read: nothing in it is of use, and it may be of any size.
        let answer = self.guarded(|| request.send_lazy())?;
        let all = |name| {
            let named = answer.headers.iter().filter(move |(key, _)| key.eq_ignore_ascii_case(name));
            named.map(|(_, value)| value.trim()).collect()
        };
        Ok(Response::with_headers(answer.status_code, all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_panicked_is_left_alone() {
        let mut http = Http::to_viewer("http://127.0.0.1:1/");
        assert_eq!(http.guarded(|| Ok(7)), Ok(7));
        let failed = http.guarded::<()>(|| std::panic::resume_unwind(Box::new("no provider")));
        assert!(failed.is_err_and(|error| error.to_string().contains("panicked")));
        let again = http.guarded(|| Ok(7)).expect_err("it is not called");
        assert!(again.to_string().contains("not used again"), "{again}");
    }
}
