//! HTTP on minreq: one request an envelope, each on a connection of its own. (behaviour 51)

use std::time::Duration;

use super::{Response, Transport, TransportError};
use crate::client::Settings;
use crate::protocol::CLIENT;

/// The most bytes of headers that an answer may have.
const MOST_HEADER_BYTES: usize = 64 << 10;

/// Posts to the DSN's host.
pub(crate) fn http(settings: &Settings) -> Box<dyn Transport> {
    let key = settings.dsn.public_key();
    Box::new(Http {
        url: settings.dsn.envelope_url(),
        auth: format!("Sentry sentry_version=7, sentry_client={CLIENT}, sentry_key={key}"),
        timeout: settings.request_timeout,
    })
}

struct Http {
    url: String,
    auth: String,
    timeout: Duration,
}

impl Transport for Http {
    fn send(&mut self, envelope: &[u8]) -> Result<Response, TransportError> {
        // The body of the answer is not read: nothing in it is of use, and it may be of any size.
        let answer = minreq::post(&self.url)
            .with_header("X-Sentry-Auth", &self.auth)
            .with_header("User-Agent", CLIENT)
            .with_header("Content-Type", "application/x-sentry-envelope")
            .with_body(envelope)
            .with_timeout(self.timeout.as_secs())
            .with_follow_redirects(false)
            .with_max_headers_size(MOST_HEADER_BYTES)
            .with_max_status_line_length(MOST_HEADER_BYTES)
            .send_lazy()
            .map_err(|error| TransportError::new(error.to_string()))?;
        let header = |name: &str| {
            answer.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
        };
        Ok(Response {
            status: answer.status_code,
            rate_limits: header("x-sentry-rate-limits"),
            retry_after: header("retry-after"),
        })
    }
}
