//! How the DSN's host is reached: by which transport, through which proxy, and whose word on it is believed. (behaviours 51, 53)

use std::path::PathBuf;

use super::InitError;
use super::environment::Environment;
use crate::context;
use crate::protocol::{Dsn, check_authority};

/// The options about it.
#[derive(Default)]
pub(super) struct WayOptions {
    pub(super) pooled: bool,
    pub(super) ca_certs: Option<PathBuf>,
    pub(super) http_proxy: Option<String>,
    pub(super) https_proxy: Option<String>,
}

/// What they come to.
#[derive(Default)]
#[cfg_attr(
    not(all(feature = "pooled", feature = "tls")),
    allow(dead_code, reason = "what knows the rest is not built in")
)]
pub(crate) struct Way {
    pub(crate) pooled: bool,
    /// With the pooled transport only, as the next.
    pub(crate) ca_certs: Option<PathBuf>,
    /// May hold a password.
    pub(crate) proxy: Option<String>,
}

impl WayOptions {
    pub(super) fn resolve(self, environment: &Environment, dsn: &Dsn) -> Result<Way, InitError> {
        if self.pooled && !cfg!(feature = "pooled") {
            return Err(InitError::NoPooledTransport);
        }
        let proxies = Proxies { http: self.http_proxy, https: self.https_proxy };
        let named = environment.proxies(dsn);
        if !self.pooled {
            let needs = |what| Err(InitError::NeedsPooledTransport { what });
            return match (proxies.take(dsn), self.ca_certs) {
                (Some(_), _) => needs("a proxy"),
                (_, Some(_)) => needs("ca_certs"),
                _ if dsn.is_ipv6() => needs("a dsn with an IPv6 address"),
                _ => {
                    if named.take(dsn).is_some() {
                        context::say(|| {
                            log::warn!(
                                "sentry: the environment names a proxy, and only the pooled transport goes through it"
                            );
                        });
                    }
                    Ok(Way::default())
                }
            };
        }
        // What an option says is meant for Sentry; what the environment says is meant for everything, and has exceptions.
        let proxies = Proxies { http: proxies.http.or(named.http), https: proxies.https.or(named.https) };
        let proxy = proxies.take(dsn);
        if !proxy.as_deref().is_none_or(is_proxy) {
            return Err(InitError::Proxy);
        }
        let ca_certs = match self.ca_certs {
            None if dsn.is_https() => environment.text("SSL_CERT_FILE")?.map(PathBuf::from),
            given => given,
        };
        Ok(Way { pooled: true, ca_certs, proxy })
    }
}

/// Where a proxy may be named: an option, or variables of the environment.
pub(super) struct Proxies {
    pub(super) http: Option<String>,
    pub(super) https: Option<String>,
}

impl Proxies {
    /// The proxies of the environment for this host. `read` reads a variable; empty ones count as not set.
    pub(super) fn from_env(dsn: &Dsn, read: impl Fn(&'static str) -> Option<String>) -> Self {
        let exempt = read("NO_PROXY").or_else(|| read("no_proxy")).is_some_and(|list| names(&list, dsn));
        // In a CGI program `HTTP_PROXY` is what a client sent as the header `Proxy`.
        let upper = if read("REQUEST_METHOD").is_some() { None } else { read("HTTP_PROXY") };
        let http = upper.or_else(|| read("http_proxy"));
        let https = read("HTTPS_PROXY").or_else(|| read("https_proxy"));
        if exempt { Proxies { http: None, https: None } } else { Proxies { http, https } }
    }

    /// The one for this DSN.
    pub(super) fn take(self, dsn: &Dsn) -> Option<String> {
        if dsn.is_https() { self.https.or(self.http) } else { self.http }
    }
}

/// Whether this is `[http://][user[:password]@]host[:port][/]`.
fn is_proxy(url: &str) -> bool {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let authority = rest.rsplit_once('@').map_or(rest, |(_, authority)| authority);
    scheme == "http" && check_authority(authority).is_ok()
}

/// Whether a list as in `NO_PROXY` names the host: `*`, a host, or a domain, which stands for what ends in it as well.
fn names(list: &str, dsn: &Dsn) -> bool {
    let host = dsn.host().to_ascii_lowercase();
    list.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty()).any(|entry| {
        let entry = entry.to_ascii_lowercase();
        let (name, port) = match entry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((name, port)) => (name, port.strip_prefix(':')),
            // One colon begins a port; more than one are an IPv6 address.
            None if entry.matches(':').count() == 1 => {
                entry.split_once(':').map_or((&*entry, None), |(name, port)| (name, Some(port)))
            }
            None => (&*entry, None),
        };
        let domain = name.trim_start_matches("*.").trim_start_matches('.');
        let is_it = name == "*" || host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
        is_it && port.is_none_or(|port| port.parse() == Ok(dsn.port()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HTTP: &str = "http://key@o1.ingest.example:8080/1";
    const HTTPS: &str = "https://key@O1.ingest.example/1";

    fn proxy(dsn: &str, variables: &[(&str, &str)]) -> Option<String> {
        let dsn = Dsn::parse(dsn).expect("valid");
        let read =
            |name: &'static str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Proxies::from_env(&dsn, read).take(&dsn)
    }

    // behaviour 51
    #[test]
    fn the_variables_are_those_that_everybody_knows() {
        let both = [("HTTP_PROXY", "a"), ("HTTPS_PROXY", "b")];
        assert_eq!((proxy(HTTP, &both).as_deref(), proxy(HTTPS, &both).as_deref()), (Some("a"), Some("b")));
        let one = [("http_proxy", "c")];
        assert_eq!((proxy(HTTP, &one).as_deref(), proxy(HTTPS, &one).as_deref()), (Some("c"), Some("c")));
        let other = [("https_proxy", "d")];
        assert_eq!((proxy(HTTP, &other), proxy(HTTPS, &other).as_deref()), (None, Some("d")));
        let cgi = [("HTTP_PROXY", "from a client"), ("REQUEST_METHOD", "GET")];
        assert_eq!(proxy(HTTP, &cgi), None);
    }

    // behaviour 51
    #[test]
    fn hosts_that_no_proxy_names_are_reached_without_one() {
        for (list, exempt) in [
            ("*", true),
            ("o1.ingest.example", true),
            ("other, Ingest.Example", true),
            (".ingest.example", true),
            ("*.example", true),
            ("o1.ingest.example:443", true),
            ("o1.ingest.example:80", false),
            ("gest.example", false),
            ("example.com", false),
            ("o1", false),
            ("", false),
            (" , ,", false),
        ] {
            let variables = [("HTTPS_PROXY", "p"), ("NO_PROXY", list)];
            assert_eq!(proxy(HTTPS, &variables).is_none(), exempt, "{list}");
        }
        let v6 = |list| proxy("http://key@[::1]:9/1", &[("http_proxy", "p"), ("no_proxy", list)]).is_none();
        assert!(v6("::1") && v6("[::1]:9") && v6("[::1]") && !v6("[::1]:10") && !v6("::2"));
    }
}
