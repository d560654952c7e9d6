//! Authorities, certificates and servers that show them.

use std::fmt;
use std::io;
use std::net::TcpStream;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::endpoint::{Posted, accept_all};

/// An authority of a test's own.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

fn key() -> KeyPair {
    KeyPair::generate().expect("there is randomness")
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// One that nobody knows yet.
    ///
    /// # Panics
    ///
    /// When the system has no randomness.
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = key();
        let pem = params.self_signed(&key).expect("it is complete").pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    /// Its own certificate, for a bundle.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A server's certificate for this host, valid until this year.
    ///
    /// # Panics
    ///
    /// When that is no host.
    pub fn certify(&self, host: &str, until: i32) -> ServerConfig {
        let mut params = CertificateParams::new([host.to_owned()]).expect("a host name");
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let key = key();
        let certificate = params.signed_by(&key, &self.issuer).expect("it is complete");
        server_config(&certificate, &key)
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("pem", &self.pem).finish_non_exhaustive()
    }
}

/// A certificate for this host that no authority signed.
///
/// # Panics
///
/// When that is no host.
pub fn self_signed(host: &str) -> ServerConfig {
    let key = key();
    let certificate = CertificateParams::new([host.to_owned()]).expect("a host name").self_signed(&key);
    server_config(&certificate.expect("it is complete"), &key)
}

fn server_config(certificate: &rcgen::Certificate, key: &KeyPair) -> ServerConfig {
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("rcgen writes what rustls reads");
    ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("they belong together")
}

/// Serves a connection by TLS: everything is taken, once it was looked at.
///
/// # Errors
///
/// When the client breaks off, or does not like the certificate.
pub fn serve(stream: TcpStream, config: &Arc<ServerConfig>, look: impl FnMut(Posted)) -> io::Result<()> {
    let connection = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
    accept_all(&mut StreamOwned::new(connection, stream), look)
}
