//! HTTP on ureq, which keeps its connection from one envelope to the next. (behaviours 51, 53)
//!
//! A connection over TLS costs a round trip or two and a few hundred microseconds of computing, which an envelope of a short trace does
//! not. It is also what knows proxies and certificate authorities of one's own.

use std::io;
use std::time::Duration;

use ureq::{Agent, Proxy};

use super::body::Body;
use super::{CONTENT_TYPE, MOST_HEADER_BYTES, Response, Transport, TransportError, auth};
use crate::client::{InitError, Settings};
use crate::protocol::CLIENT;

/// An answer's body is read up to here, so that the connection can be used again; nothing in it is of use.
const MOST_BODY_BYTES: u64 = 64 << 10;

/// How long that may take. The envelope has been answered for by then.
const BODY_TIMEOUT: Duration = Duration::from_secs(1);

/// How long an unused connection is kept. Most servers and what stands before them keep theirs for longer.
const IDLE: Duration = Duration::from_secs(15);

pub(super) struct Pooled {
    agent: Agent,
    url: String,
    auth: String,
}

impl Pooled {
    pub(super) fn new(settings: &Settings) -> Result<Self, InitError> {
        let config = Agent::config_builder()
            .timeout_global(Some(settings.request_timeout))
            .timeout_recv_body(Some(BODY_TIMEOUT))
            .max_response_header_size(MOST_HEADER_BYTES)
            // A status is an answer, and a redirect is one too.
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_connections_per_host(1)
            .max_idle_age(IDLE)
            .user_agent(CLIENT)
            // The environment is read by the options, or not at all.
            .proxy(proxy(settings)?);
        #[cfg(feature = "tls")]
        let config = config.tls_config(tls(settings)?);
        Ok(Pooled { agent: config.build().into(), url: settings.dsn.envelope_url(), auth: auth(settings) })
    }
}

impl Transport for Pooled {
    fn send(&mut self, envelope: &[u8]) -> Result<Response, TransportError> {
        let body = Body::of(envelope);
        let request =
            self.agent.post(&self.url).header("X-Sentry-Auth", &self.auth).header("Content-Type", CONTENT_TYPE);
        let request = match body.encoding {
            Some(encoding) => request.header("Content-Encoding", encoding),
            None => request,
        };
        let answer = request.send(&*body.bytes).map_err(|error| TransportError::new(error.to_string()))?;
        let all = |name| answer.headers().get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
        let response = Response::with_headers(answer.status().as_u16(), all);
        let mut rest = answer.into_body().into_with_config().limit(MOST_BODY_BYTES).reader();
        // If it does not end in time, or is too large, the connection is closed and the next envelope makes another.
        let _ = io::copy(&mut rest, &mut io::sink());
        Ok(response)
    }
}

fn proxy(settings: &Settings) -> Result<Option<Proxy>, InitError> {
    let Some(url) = &settings.way.proxy else { return Ok(None) };
    Proxy::new(url).map(Some).map_err(|_| InitError::Proxy)
}

/// Certificates are verified: by the authorities that the options name, else by Mozilla's.
#[cfg(feature = "tls")]
fn tls(settings: &Settings) -> Result<ureq::tls::TlsConfig, InitError> {
    use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

    let roots = match &settings.way.ca_certs {
        None => RootCerts::WebPki,
        Some(path) => {
            let unusable = |reason: String| InitError::CaCerts { path: path.clone(), reason };
            let text = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
            let mut certificates = Vec::new();
            let mut store = rustls::RootCertStore::empty();
            for item in parse_pem(&text) {
                if let PemItem::Certificate(one) = item.map_err(|error| unusable(error.to_string()))? {
                    // A bundle may hold one that no library reads; all others are of use.
                    if store.add(one.der().into()).is_ok() {
                        certificates.push(one);
                    }
                }
            }
            if certificates.is_empty() {
                return Err(unusable("there is no certificate in it".into()));
            }
            RootCerts::from(certificates)
        }
    };
    let provider = super::handshake::provider();
    Ok(TlsConfig::builder().root_certs(roots).unversioned_rustls_crypto_provider(provider).build())
}
