//! Certificates: whom the transport believes. (behaviours 51, 53)

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustls::ServerConfig;
use span_runtime::{LossReason, Runtime};
use span_tests::SOON;
use span_tests::endpoint::{Endpoint, Posted, accept_all};
use span_tests::tls::{Authority, self_signed, serve};

use super::{Kind, trace, wait_for};

/// A server with this certificate, and the number of spans that came to it.
fn tls_endpoint(config: ServerConfig) -> (Endpoint, Arc<AtomicUsize>) {
    let (config, spans) = (Arc::new(config), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&spans);
    (Endpoint::start(move |stream, _| serve(stream, &config, |posted| count(&posted, &counted))), spans)
}

fn count(posted: &Posted, spans: &AtomicUsize) {
    spans.fetch_add(posted.envelope().map_or(0, |found| found.spans().len()), Ordering::AcqRel);
}

/// A file of authorities, which goes with the test.
pub(super) struct Bundle(pub(super) PathBuf);

impl Bundle {
    fn new(text: &str) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("span-tests-{}-{number}.pem", std::process::id()));
        std::fs::write(&path, text).expect("the temporary folder can be written to");
        Bundle(path)
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// An authority that certified a server for `localhost`: its file, the server, and the spans that came to it.
pub(super) fn private_service() -> (Bundle, Endpoint, Arc<AtomicUsize>) {
    let authority = Authority::new();
    let (endpoint, spans) = tls_endpoint(authority.certify("localhost", 4000));
    (Bundle::new(authority.pem()), endpoint, spans)
}

// behaviours 51, 53
#[test]
fn a_private_authority_is_believed_where_it_is_named() {
    let (bundle, endpoint, spans) = private_service();
    let options = Kind::Pooled.options(endpoint.dsn("https")).ca_certs(&bundle.0);
    let runtime = Runtime::new(options).expect("the options are valid");
    for _ in 0..5 {
        trace(&runtime);
        assert!(runtime.flush(SOON));
    }
    assert_eq!((spans.load(Ordering::Acquire), endpoint.accepted()), (10, 1), "over one connection");
    assert_eq!((runtime.stats().sent, runtime.stats().lost.total()), (10, 0));
}

// behaviour 51: a bundle is often a long list, with words between
#[test]
fn a_bundle_may_hold_several_authorities_and_comments() {
    let (one, two) = (Authority::new(), Authority::new());
    let (endpoint, spans) = tls_endpoint(two.certify("localhost", 4000));
    let bundle = Bundle::new(&format!("# Ours\n{}\n# Theirs\n{}\n", one.pem(), two.pem()));
    let options = Kind::Pooled.options(endpoint.dsn("https")).ca_certs(&bundle.0);
    let runtime = Runtime::new(options).expect("the options are valid");
    trace(&runtime);
    assert!(runtime.flush(SOON));
    assert_eq!(spans.load(Ordering::Acquire), 2);
}

// behaviours 52, 53: nothing is sent to somebody who is not known, and nothing is lost until it is given up
#[test]
fn a_wrong_certificate_is_refused() {
    let (ours, other) = (Authority::new(), Authority::new());
    let cases = [
        ("another authority's", other.certify("localhost", 4000)),
        ("nobody's", self_signed("localhost")),
        ("for another host", ours.certify("elsewhere.example", 4000)),
        ("expired", ours.certify("localhost", 2021)),
    ];
    for (what, config) in cases {
        let (endpoint, spans) = tls_endpoint(config);
        let bundle = Bundle::new(ours.pem());
        let options = Kind::Pooled.options(endpoint.dsn("https")).ca_certs(&bundle.0);
        refuses(what, Runtime::new(options).expect("the options are valid"), &endpoint, &spans);
    }
}

// behaviour 53
#[test]
fn without_a_word_of_ours_only_public_authorities_are_believed() {
    for kind in super::BOTH {
        let (_bundle, endpoint, spans) = private_service();
        refuses(&format!("{kind:?}"), kind.runtime(endpoint.dsn("https")), &endpoint, &spans);
    }
}

fn refuses(what: &str, runtime: Runtime, endpoint: &Endpoint, spans: &AtomicUsize) {
    trace(&runtime);
    wait_for(what, || endpoint.accepted() >= 2);
    assert_eq!((runtime.stats().buffered, runtime.stats().lost.total()), (2, 0), "{what}: it is tried again");
    assert!(!runtime.close(Duration::from_secs(5)), "{what}");
    assert_eq!(spans.load(Ordering::Acquire), 0, "{what}");
}

// behaviour 53
#[test]
fn a_plain_server_behind_an_https_dsn_is_no_server() {
    for kind in super::BOTH {
        let spans = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&spans);
        let endpoint = Endpoint::start(move |mut stream, _| accept_all(&mut stream, |posted| count(&posted, &counted)));
        let options = kind.options(endpoint.dsn("https")).retry_timeout(Duration::ZERO);
        let runtime = Runtime::new(options).expect("the options are valid");
        trace(&runtime);
        assert!(!runtime.flush(SOON), "{kind:?}");
        assert_eq!(runtime.stats().lost.get(LossReason::NetworkError), 2, "{kind:?}");
        assert_eq!(spans.load(Ordering::Acquire), 0, "{kind:?}");
    }
}

// behaviour 51
#[test]
fn a_file_that_is_no_bundle_is_refused_with_its_name() {
    let missing = PathBuf::from("/does/not/exist.pem");
    let (empty, words) =
        (Bundle::new(""), Bundle::new("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"));
    for path in [&missing, &empty.0, &words.0] {
        let options = Kind::Pooled.options("https://0123456789abcdef0123456789abcdef@localhost/1").ca_certs(path);
        let message = Runtime::new(options).expect_err("it is of no use").to_string();
        assert!(message.contains(&*path.to_string_lossy()) && message.contains("PEM"), "{message}");
    }
}

/// The environment belongs to a process, so that this test runs itself again with the variable.
// behaviour 51
#[test]
fn the_variable_names_the_bundle_where_the_environment_is_read() {
    if let Some(dsn) = std::env::var_os("CHILD_DSN") {
        let options = span_runtime::Options::from_env().pooled_transport(true).traces_sample_rate(1.0);
        let runtime = Runtime::new(options.dsn(dsn.to_string_lossy())).expect("the options are valid");
        trace(&runtime);
        assert!(runtime.close(SOON));
        return;
    }
    let (bundle, endpoint, spans) = private_service();
    let child = Command::new(std::env::current_exe().expect("the path of this binary"))
        .args(["--exact", "tls::the_variable_names_the_bundle_where_the_environment_is_read"])
        .env_clear()
        .env("CHILD_DSN", endpoint.dsn("https"))
        .env("SSL_CERT_FILE", &bundle.0)
        .output()
        .expect("this binary runs");
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    assert_eq!(spans.load(Ordering::Acquire), 2);
}
