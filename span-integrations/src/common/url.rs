//! What of a URL may be told.

/// A URL in its parts, without its credentials. Nothing is decoded, and what is no URL is all path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Url<'u> {
    pub(crate) scheme: &'u str,
    /// Without the brackets of an IPv6 address.
    pub(crate) host: &'u str,
    /// As written, or the scheme's.
    pub(crate) port: Option<u16>,
    pub(crate) path: &'u str,
    /// Without its sign.
    pub(crate) query: Option<&'u str>,
    /// Without its sign.
    pub(crate) fragment: Option<&'u str>,
    /// Host and port as they were written.
    authority: &'u str,
}

impl<'u> Url<'u> {
    /// Takes a URL apart, or what is behind the host of one.
    pub(crate) fn of(text: &'u str) -> Self {
        let (rest, fragment) = cut(text, '#');
        let (rest, query) = cut(rest, '?');
        let (scheme, authority, path) = match rest.split_once("://") {
            Some((scheme, rest)) => {
                let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                (scheme, authority.rsplit_once('@').map_or(authority, |(_, authority)| authority), path)
            }
            None => ("", "", rest),
        };
        let (host, port) = host_and_port(authority);
        let port = port.or(match scheme {
            "http" | "ws" => Some(80),
            "https" | "wss" => Some(443),
            _ => None,
        });
        Url { scheme, host, port, path, query, fragment, authority }
    }

    /// The URL without credentials, query and fragment: what a span is named by, and what is recorded as `url.full`.
    pub(crate) fn plain(&self) -> String {
        if self.scheme.is_empty() {
            self.path.to_owned()
        } else {
            format!("{}://{}{}", self.scheme, self.authority, self.path)
        }
    }
}

/// Host and port of a server, as a request has them in its line or in `host`.
pub(crate) fn server_of(authority: &str) -> Option<(&str, Option<i64>)> {
    let authority = authority.rsplit_once('@').map_or(authority, |(_, authority)| authority);
    let (host, port) = host_and_port(authority);
    (!host.is_empty()).then(|| (host, port.map(i64::from)))
}

fn cut(text: &str, sign: char) -> (&str, Option<&str>) {
    text.split_once(sign).map_or((text, None), |(before, behind)| (before, Some(behind)))
}

fn host_and_port(authority: &str) -> (&str, Option<u16>) {
    if let Some((host, rest)) = authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (host, rest.strip_prefix(':').and_then(|port| port.parse().ok()));
    }
    match authority.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok()),
        None => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // behaviour 37
    #[test]
    fn parts_and_no_credentials() {
        let url = Url::of("https://user:p%40ss@host.example:8443/a/b?x=1&y#top");
        assert_eq!((url.scheme, url.host, url.port, url.path), ("https", "host.example", Some(8443), "/a/b"));
        assert_eq!((url.query, url.fragment), (Some("x=1&y"), Some("top")));
        assert_eq!(url.plain(), "https://host.example:8443/a/b");
        for (text, host, port, plain) in [
            ("http://host", "host", Some(80), "http://host"),
            ("wss://host/", "host", Some(443), "wss://host/"),
            ("http://[::1]:80/", "::1", Some(80), "http://[::1]:80/"),
            ("https://[::1]?a", "::1", Some(443), "https://[::1]"),
            ("postgres://app:pw@db/shop", "db", None, "postgres://db/shop"),
            ("/a/b?c", "", None, "/a/b"),
            ("", "", None, ""),
            ("a://b@c@d/@e", "d", None, "a://d/@e"),
            ("http://host:none/", "host", Some(80), "http://host:none/"),
        ] {
            let url = Url::of(text);
            assert_eq!((url.host, url.port, url.plain().as_str()), (host, port, plain), "{text}");
        }
    }
}
