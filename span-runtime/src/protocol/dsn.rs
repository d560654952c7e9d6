//! The data source name: where to send, and with which key.

use std::fmt;

/// A DSN, `{http|https}://{public key}@{host}[:port][/path]/{project id}`, as Sentry's SDK documents define it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Dsn {
    https: bool,
    public_key: String,
    /// Host, with the port if one was given.
    authority: String,
    /// Empty, or a path with a leading slash and none at its end.
    path: String,
    project: u64,
}

/// A DSN could not be read. The text names the part that is wrong, and never shows the key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseDsnError {
    /// There is no `://`, or the scheme before it is neither `http` nor `https`.
    Scheme {
        /// What stands there.
        given: String,
    },
    /// No public key stands before the `@`.
    NoPublicKey,
    /// The public key holds something else than ASCII letters, digits, `-` and `_`.
    PublicKey,
    /// No host stands after the `@`.
    NoHost,
    /// The host holds something that hosts cannot hold.
    Host {
        /// What stands there.
        given: String,
    },
    /// The port is not a number from 1 to 65535.
    Port {
        /// What stands there.
        given: String,
    },
    /// There is nothing after the last slash.
    NoProject,
    /// The project is not a number.
    Project {
        /// What stands there.
        given: String,
    },
    /// The path holds something else than visible ASCII.
    Path,
}

impl fmt::Display for ParseDsnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParseDsnError::Scheme { given } => write!(f, "it starts with `{given}`; http:// or https:// would work"),
            ParseDsnError::NoPublicKey => f.write_str("it has no public key; https://KEY@host/project would work"),
            ParseDsnError::PublicKey => f.write_str("its public key may hold ASCII letters, digits, `-` and `_` only"),
            ParseDsnError::NoHost => f.write_str("it has no host; https://key@HOST/project would work"),
            ParseDsnError::Host { given } => {
                write!(f, "`{given}` is no host name; https://key@HOST/project would work")
            }
            ParseDsnError::Port { given } => write!(f, "the port `{given}` is no number from 1 to 65535"),
            ParseDsnError::NoProject => f.write_str("it has no project; https://key@host/PROJECT would work"),
            ParseDsnError::Project { given } => {
                write!(f, "the project `{given}` is not a number; https://key@host/42 would work")
            }
            ParseDsnError::Path => f.write_str("its path may hold visible ASCII characters only"),
        }
    }
}

impl std::error::Error for ParseDsnError {}

fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

impl Dsn {
    /// Reads a DSN.
    ///
    /// # Errors
    ///
    /// Names the part that is missing or malformed.
    pub(crate) fn parse(text: &str) -> Result<Self, ParseDsnError> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        let https = match scheme {
            "https" => true,
            "http" => false,
            _ => {
                let before_key = text.split('@').next().unwrap_or_default();
                let shown = if scheme.is_empty() { before_key } else { scheme };
                // Without a scheme the key may stand at the beginning: show its first letters only.
                return Err(ParseDsnError::Scheme { given: shown.chars().take(8).collect() });
            }
        };
        let (keys, rest) = rest.split_once('@').ok_or(ParseDsnError::NoPublicKey)?;
        // A secret key after a colon is a relic that SDKs accept and never send.
        let public_key = keys.split(':').next().unwrap_or_default();
        if public_key.is_empty() {
            return Err(ParseDsnError::NoPublicKey);
        }
        if !public_key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
            return Err(ParseDsnError::PublicKey);
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        check_authority(authority)?;
        let path = path.strip_suffix('/').unwrap_or(path);
        let (path, project) = match path.rsplit_once('/') {
            Some((path, project)) => (format!("/{path}"), project),
            None => (String::new(), path),
        };
        if project.is_empty() {
            return Err(ParseDsnError::NoProject);
        }
        let digits = project.bytes().all(|b| b.is_ascii_digit());
        let project = project
            .parse()
            .ok()
            .filter(|_| digits)
            .ok_or_else(|| ParseDsnError::Project { given: shortened(project) })?;
        if !path.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(ParseDsnError::Path);
        }
        Ok(Dsn { https, public_key: public_key.into(), authority: authority.into(), path, project })
    }

    /// For a transport of the user's own that was given without a DSN.
    pub(crate) fn stand_in() -> Self {
        Dsn { https: false, public_key: "0".repeat(32), authority: "localhost".into(), path: String::new(), project: 0 }
    }

    pub(crate) fn is_https(&self) -> bool {
        self.https
    }

    /// The host without the port, and without the brackets of an IPv6 address.
    pub(crate) fn host(&self) -> &str {
        split_authority(&self.authority).0
    }

    /// The port that is given, or else that of the scheme.
    pub(crate) fn port(&self) -> u16 {
        let given = split_authority(&self.authority).1.and_then(|port| port.parse().ok());
        given.unwrap_or(if self.https { 443 } else { 80 })
    }

    /// Whether the host is an IPv6 address.
    pub(crate) fn is_ipv6(&self) -> bool {
        self.authority.starts_with('[')
    }

    pub(crate) fn public_key(&self) -> &str {
        &self.public_key
    }

    /// Where envelopes are posted to.
    pub(crate) fn envelope_url(&self) -> String {
        let scheme = if self.https { "https" } else { "http" };
        format!("{scheme}://{}{}/api/{}/envelope/", self.authority, self.path, self.project)
    }

    /// The DSN without its key, for people.
    pub(crate) fn redacted(&self) -> String {
        let scheme = if self.https { "https" } else { "http" };
        format!("{scheme}://***@{}{}/{}", self.authority, self.path, self.project)
    }

    /// The organisation, where the host begins with one: `o123.ingest.example`.
    pub(crate) fn org_id(&self) -> Option<&str> {
        let label = self.authority.split('.').next()?.strip_prefix('o')?;
        (!label.is_empty() && label.bytes().all(|b| b.is_ascii_digit()) && self.authority.contains('.'))
            .then_some(label)
    }
}

/// Host and port; the host of `[::1]:80` is `::1`.
fn split_authority(authority: &str) -> (&str, Option<&str>) {
    match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, rest)) => (host, Some(rest.strip_prefix(':').unwrap_or(rest))),
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    }
}

/// Whether this is a host, with a port or without one.
pub(crate) fn check_authority(authority: &str) -> Result<(), ParseDsnError> {
    let (host, port) = split_authority(authority);
    if host.is_empty() {
        return Err(ParseDsnError::NoHost);
    }
    let valid =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_') || authority.starts_with('[') && b == b':';
    if !host.bytes().all(valid) {
        return Err(ParseDsnError::Host { given: shortened(host) });
    }
    match port {
        Some(port) if !port.parse::<u16>().is_ok_and(|port| port != 0) => {
            Err(ParseDsnError::Port { given: shortened(port) })
        }
        _ => Ok(()),
    }
}

impl fmt::Debug for Dsn {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    // behaviour 51
    #[test]
    fn forms_of_dsn() {
        let url = |text: &str| Dsn::parse(text).map(|dsn| dsn.envelope_url());
        assert_eq!(url("https://k@o1.ingest.example/42"), Ok("https://o1.ingest.example/api/42/envelope/".into()));
        assert_eq!(url("http://k:secret@host:9000/sentry/a/7"), Ok("http://host:9000/sentry/a/api/7/envelope/".into()));
        assert_eq!(url("http://k@[::1]:80/7/"), Ok("http://[::1]:80/api/7/envelope/".into()));
        assert_eq!(Dsn::parse("https://k@o123.ingest.example/1").ok().as_ref().and_then(Dsn::org_id), Some("123"));
        assert_eq!(Dsn::parse("https://k@ox.ingest.example/1").ok().as_ref().and_then(Dsn::org_id), None);
        assert_eq!(Dsn::parse("https://k@o1/1").ok().as_ref().and_then(Dsn::org_id), None);
    }

    // behaviour 51
    #[test]
    fn hosts_and_ports() {
        for (text, host, port, is_ipv6) in [
            ("https://k@o1.ingest.example/42", "o1.ingest.example", 443, false),
            ("http://k@host/1", "host", 80, false),
            ("http://k@host:9000/sentry/1", "host", 9000, false),
            ("https://k@[::1]/1", "::1", 443, true),
            ("http://k@[::1]:81/1", "::1", 81, true),
        ] {
            let dsn = Dsn::parse(text).expect(text);
            assert_eq!((dsn.host(), dsn.port(), dsn.is_ipv6()), (host, port, is_ipv6), "{text}");
        }
    }

    #[test]
    fn each_part_that_is_wrong_is_named_and_the_key_is_not() {
        let cases = [
            ("", "starts with"),
            ("ftp://KEY@h/1", "`ftp`"),
            ("KEY@h/1", "http:// or https://"),
            ("https://h/1", "no public key"),
            ("https://@h/1", "no public key"),
            ("https://KEY é@h/1", "public key may hold"),
            ("https://KEY@/1", "no host"),
            ("https://KEY@h h/1", "no host name"),
            ("https://KEY@h:0/1", "port `0`"),
            ("https://KEY@h:99999/1", "port `99999`"),
            ("https://KEY@[::1]x/1", "port `x`"),
            ("https://KEY@h", "no project"),
            ("https://KEY@h/", "no project"),
            ("https://KEY@h/abc", "project `abc`"),
            ("https://KEY@h/+1", "project `+1`"),
            ("https://KEY@h/p\u{7}/1", "visible ASCII"),
        ];
        for (text, expected) in cases {
            let text = text.replace("KEY", KEY);
            let message = Dsn::parse(&text).expect_err(&text).to_string();
            assert!(message.contains(expected), "{text}: {message}");
            assert!(!message.contains(KEY), "{message}");
        }
        let dsn = Dsn::parse(&format!("https://{KEY}@h/1")).expect("valid");
        assert!(!format!("{dsn:?}").contains(KEY));
    }
}
