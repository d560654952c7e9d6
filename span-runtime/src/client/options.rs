//! What can be set, and what is refused.

use std::env;
use std::fmt;
use std::io;
use std::time::Duration;

use crate::TraceLifecycle;
use crate::protocol::{Dsn, ParseDsnError};
use crate::transport::Transport;

/// The default of [`Options::max_buffer_bytes`]: about 300,000 spans without attributes, or 60,000 with eight.
pub(crate) const DEFAULT_MAX_BUFFER_BYTES: usize = 64 << 20;

/// The least that [`Options::max_buffer_bytes`] takes.
const LEAST_BUFFER_BYTES: usize = 1 << 20;

/// How a runtime is set up: where it sends, what it samples, what it adds to every span.
///
/// ```
/// use span_runtime::Options;
///
/// let options = Options::new()
///     .dsn("https://0123456789abcdef0123456789abcdef@o1.ingest.sentry.io/42")
///     .traces_sample_rate(0.25)
///     .release("checkout@1.4.2")
///     .environment("staging");
/// ```
///
/// What was not set is read from the environment by [`Options::from_env`]; what was set by a call wins over it.
#[derive(Default)]
#[non_exhaustive]
pub struct Options {
    dsn: Option<String>,
    traces_sample_rate: Option<f64>,
    release: Option<String>,
    environment: Option<String>,
    dist: Option<String>,
    server_name: Option<String>,
    max_buffer_bytes: Option<usize>,
    request_timeout: Option<Duration>,
    shutdown_timeout: Option<Duration>,
    send_client_reports: Option<bool>,
    transport: Option<Box<dyn Transport>>,
    trace_lifecycle: Option<TraceLifecycle>,
    /// What the crate declared whose `init` this goes to, where that can be known.
    declared: Option<TraceLifecycle>,
    from_env: bool,
}

impl Options {
    /// Options at their defaults, without a look at the environment. Without a DSN or a transport nothing is recorded
    /// and nothing is sent.
    pub fn new() -> Self {
        Self::default()
    }

    /// Options that fall back to the environment: `SENTRY_DSN`, `SENTRY_TRACES_SAMPLE_RATE`, `SENTRY_RELEASE`,
    /// `SENTRY_ENVIRONMENT`, `SENTRY_DIST`, `SENTRY_SERVER_NAME`, `SENTRY_TRACE_LIFECYCLE`. A variable that is empty counts as not set; one that
    /// holds nonsense is an error from [`init`](crate::init).
    pub fn from_env() -> Self {
        Options { from_env: true, ..Self::default() }
    }

    /// Where to send: `https://<key>@<host>/<project>`. Default: nowhere, which switches everything off.
    #[must_use]
    pub fn dsn(mut self, dsn: impl Into<String>) -> Self {
        self.dsn = Some(dsn.into());
        self
    }

    /// The share of traces that are recorded, from 0 to 1. Default: not set, which means that tracing is off, as in
    /// every SDK of Sentry: nobody should pay for spans that they did not ask for.
    #[must_use]
    pub fn traces_sample_rate(mut self, rate: f64) -> Self {
        self.traces_sample_rate = Some(rate);
        self
    }

    /// The release of the program, as `name@version`. Default: none.
    #[must_use]
    pub fn release(mut self, release: impl Into<String>) -> Self {
        self.release = Some(release.into());
        self
    }

    /// The environment that the program runs in. Default: `production`, as in every SDK of Sentry.
    #[must_use]
    pub fn environment(mut self, environment: impl Into<String>) -> Self {
        self.environment = Some(environment.into());
        self
    }

    /// The distribution of the release. Default: none.
    #[must_use]
    pub fn dist(mut self, dist: impl Into<String>) -> Self {
        self.dist = Some(dist.into());
        self
    }

    /// The name of the machine, sent as `server.address`. Default: the host name, where it can be read without a
    /// system call of our own (`HOSTNAME`, or Linux's `/proc/sys/kernel/hostname`).
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// The bound in bytes for everything between a span's end and the socket; at least 1 MiB. Default: 64 MiB, which
    /// holds a burst of 300,000 spans and is little beside a service that makes such bursts. Memory is taken when
    /// it is needed and given back.
    ///
    /// When three quarters of it are used, whole traces are dropped, the oldest first, and counted as
    /// `buffer_overflow`. Only when the flusher gets no chance to do so does a span that ends find no room; then it is
    /// counted as `queue_overflow`.
    #[must_use]
    pub fn max_buffer_bytes(mut self, bytes: usize) -> Self {
        self.max_buffer_bytes = Some(bytes);
        self
    }

    /// How long one request may take, in whole seconds, at least 1. Default: 30 s; a request holds up nothing but
    /// the next request.
    #[must_use]
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = Some(timeout);
        self
    }

    /// How long the drop of the guard may wait for what is still on its way. Default: 2 s, as in every SDK of Sentry.
    #[must_use]
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.shutdown_timeout = Some(timeout);
        self
    }

    /// Whether losses are reported to Sentry. Default: true, so that its charts can tell what is missing.
    #[must_use]
    pub fn send_client_reports(mut self, send: bool) -> Self {
        self.send_client_reports = Some(send);
        self
    }

    /// Sends envelopes by this transport rather than over HTTP to the DSN's host. A DSN is still wanted for the key in
    /// the envelopes; without one a key of zeros stands in.
    #[must_use]
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(Box::new(transport));
        self
    }

    /// When spans are sent: as they finish, or, with the feature `legacy`, as transactions. Default:
    /// [`Stream`](TraceLifecycle::Stream), also where the legacy API is built in, because a cargo feature that some dependency
    /// switches on must not change what a program does that streams. The `init` of the legacy API, which a crate with
    /// `lifecycle!(static)` calls, has the default [`Static`](TraceLifecycle::Static).
    #[must_use]
    pub fn trace_lifecycle(mut self, lifecycle: TraceLifecycle) -> Self {
        self.trace_lifecycle = Some(lifecycle);
        self
    }

    /// These options go to the `init` of a crate that declared this lifecycle.
    #[cfg(feature = "legacy")]
    pub(crate) fn declared(mut self, lifecycle: TraceLifecycle) -> Self {
        self.declared = Some(lifecycle);
        self
    }

    fn resolve_lifecycle(&self, environment: &Environment) -> Result<TraceLifecycle, InitError> {
        let chosen = match self.trace_lifecycle {
            Some(lifecycle) => Some(lifecycle),
            None => environment.lifecycle("SENTRY_TRACE_LIFECYCLE")?,
        };
        match (chosen, self.declared) {
            (Some(chosen), Some(declared)) if chosen != declared => Err(InitError::Lifecycles { chosen, declared }),
            (Some(TraceLifecycle::Static), _) if !cfg!(feature = "legacy") => Err(InitError::NoLegacy),
            _ => Ok(chosen.or(self.declared).unwrap_or_default()),
        }
    }

    /// Checks everything. `None` if there is nowhere to send.
    pub(crate) fn resolve(self) -> Result<Option<Resolved>, InitError> {
        let environment = Environment { read: self.from_env };
        let trace_lifecycle = self.resolve_lifecycle(&environment)?;
        let dsn = match self.dsn {
            Some(dsn) => Some(dsn),
            None => environment.text("SENTRY_DSN")?,
        };
        let dsn = dsn.filter(|dsn| !dsn.trim().is_empty()).map(|dsn| Dsn::parse(dsn.trim())).transpose()?;
        let traces_sample_rate = match self.traces_sample_rate {
            Some(rate) => Some(check_rate(rate).ok_or(InitError::SampleRate { given: rate })?),
            None => environment.rate("SENTRY_TRACES_SAMPLE_RATE")?,
        };
        let max_buffer_bytes = self.max_buffer_bytes.unwrap_or(DEFAULT_MAX_BUFFER_BYTES);
        if max_buffer_bytes < LEAST_BUFFER_BYTES {
            return Err(InitError::BufferBytes { given: max_buffer_bytes });
        }
        let request_timeout = self.request_timeout.unwrap_or(Duration::from_secs(30));
        if request_timeout < Duration::from_secs(1) {
            return Err(InitError::RequestTimeout { given: request_timeout });
        }
        let release = self.release.map_or_else(|| environment.text("SENTRY_RELEASE"), |release| Ok(Some(release)))?;
        let dist = self.dist.map_or_else(|| environment.text("SENTRY_DIST"), |dist| Ok(Some(dist)))?;
        let environment_name =
            self.environment.map_or_else(|| environment.text("SENTRY_ENVIRONMENT"), |name| Ok(Some(name)))?;
        let server_name =
            self.server_name.map_or_else(|| environment.text("SENTRY_SERVER_NAME"), |name| Ok(Some(name)))?;
        let dsn = match (dsn, &self.transport) {
            (Some(dsn), _) => dsn,
            (None, Some(_)) => Dsn::stand_in(),
            (None, None) => return Ok(None),
        };
        if self.transport.is_none() && dsn.is_https() && !cfg!(feature = "tls") {
            return Err(InitError::NoTls);
        }
        let settings = Settings {
            dsn,
            trace_lifecycle,
            traces_sample_rate,
            release: release.filter(|release| !release.is_empty()),
            environment: environment_name.filter(|name| !name.is_empty()).unwrap_or_else(|| "production".into()),
            dist: dist.filter(|dist| !dist.is_empty()),
            server_name: server_name.or_else(host_name).filter(|name| !name.is_empty()),
            max_buffer_bytes,
            request_timeout,
            shutdown_timeout: self.shutdown_timeout.unwrap_or(Duration::from_secs(2)),
            send_client_reports: self.send_client_reports.unwrap_or(true),
        };
        Ok(Some(Resolved { settings, transport: self.transport }))
    }
}

impl fmt::Debug for Options {
    /// Without the DSN's key, so that options can be logged.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field(
                "dsn",
                &self.dsn.as_deref().map(|dsn| Dsn::parse(dsn).map_or("malformed".into(), |dsn| dsn.redacted())),
            )
            .field("trace_lifecycle", &self.trace_lifecycle)
            .field("traces_sample_rate", &self.traces_sample_rate)
            .field("release", &self.release)
            .field("environment", &self.environment)
            .field("from_env", &self.from_env)
            .finish_non_exhaustive()
    }
}

/// Options that were checked, and the transport if the user gave one.
pub(crate) struct Resolved {
    pub(crate) settings: Settings,
    pub(crate) transport: Option<Box<dyn Transport>>,
}

/// Options that were checked.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) dsn: Dsn,
    pub(crate) trace_lifecycle: TraceLifecycle,
    pub(crate) traces_sample_rate: Option<f64>,
    pub(crate) release: Option<String>,
    pub(crate) environment: String,
    pub(crate) dist: Option<String>,
    pub(crate) server_name: Option<String>,
    pub(crate) max_buffer_bytes: usize,
    pub(crate) request_timeout: Duration,
    pub(crate) shutdown_timeout: Duration,
    pub(crate) send_client_reports: bool,
}

fn check_rate(rate: f64) -> Option<f64> {
    (0.0..=1.0).contains(&rate).then_some(rate)
}

fn host_name() -> Option<String> {
    let from_system = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    env::var("HOSTNAME").ok().filter(|name| !name.is_empty()).or_else(from_system).map(|name| name.trim().to_owned())
}

/// The process's environment, if it is to be read.
struct Environment {
    read: bool,
}

impl Environment {
    fn text(&self, name: &'static str) -> Result<Option<String>, InitError> {
        if !self.read {
            return Ok(None);
        }
        match env::var(name) {
            Ok(value) if value.trim().is_empty() => Ok(None),
            Ok(value) => Ok(Some(value.trim().to_owned())),
            Err(env::VarError::NotPresent) => Ok(None),
            Err(env::VarError::NotUnicode(value)) => Err(InitError::Environment {
                name,
                given: value.to_string_lossy().into_owned(),
                expected: "text in UTF-8",
            }),
        }
    }

    fn lifecycle(&self, name: &'static str) -> Result<Option<TraceLifecycle>, InitError> {
        let Some(given) = self.text(name)? else { return Ok(None) };
        match TraceLifecycle::by_name(&given) {
            Some(lifecycle) => Ok(Some(lifecycle)),
            None => Err(InitError::Environment { name, given, expected: "`stream` or `static`" }),
        }
    }

    fn rate(&self, name: &'static str) -> Result<Option<f64>, InitError> {
        let Some(given) = self.text(name)? else { return Ok(None) };
        match given.parse().ok().and_then(check_rate) {
            Some(rate) => Ok(Some(rate)),
            None => Err(InitError::Environment { name, given, expected: "a number from 0 to 1" }),
        }
    }
}

/// Why a runtime could not be made. Nothing was changed and nothing runs.
#[derive(Debug)]
#[non_exhaustive]
pub enum InitError {
    /// The DSN cannot be read.
    Dsn(ParseDsnError),
    /// The sample rate is not a number from 0 to 1.
    SampleRate {
        /// What was given.
        given: f64,
    },
    /// The bound for buffered bytes is too low to work with.
    BufferBytes {
        /// What was given.
        given: usize,
    },
    /// A request needs at least a second.
    RequestTimeout {
        /// What was given.
        given: Duration,
    },
    /// A variable of the environment holds something else than it should.
    Environment {
        /// The variable.
        name: &'static str,
        /// What it holds.
        given: String,
        /// What would work.
        expected: &'static str,
    },
    /// The option or the environment asks for one lifecycle, and the crate that calls `init` declared the other.
    Lifecycles {
        /// What the option or the environment asks for.
        chosen: TraceLifecycle,
        /// What the crate declared.
        declared: TraceLifecycle,
    },
    /// The static lifecycle was asked for, and this program was built without it.
    NoLegacy,
    /// The DSN asks for HTTPS, and this program was built without it.
    NoTls,
    /// A runtime is installed already; its guard is still alive.
    AlreadyInitialized,
    /// The operating system gave no thread.
    Thread(io::Error),
}

impl fmt::Display for InitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InitError::Dsn(error) => write!(f, "malformed dsn: {error}"),
            InitError::SampleRate { given } => {
                write!(f, "traces_sample_rate is {given}; a number from 0 (nothing) to 1 (everything) would work")
            }
            InitError::BufferBytes { given } => {
                write!(f, "max_buffer_bytes is {given}; {LEAST_BUFFER_BYTES} (1 MiB) or more would work")
            }
            InitError::RequestTimeout { given } => write!(f, "request_timeout is {given:?}; 1 s or more would work"),
            InitError::Environment { name, given, expected } => {
                let given: String = given.chars().take(80).collect();
                write!(f, "the environment variable {name} is `{given}`; {expected} would work")
            }
            InitError::Lifecycles { chosen, declared } => {
                let (chosen, declared) = (chosen.as_str(), declared.as_str());
                write!(
                    f,
                    "trace_lifecycle is `{chosen}`, and the crate that calls this `init` declared `{declared}`; leave \
                     trace_lifecycle and SENTRY_TRACE_LIFECYCLE out, or call the other lifecycle's `init`"
                )
            }
            InitError::NoLegacy => f.write_str(
                "trace_lifecycle is `static`, and span-runtime was built without its feature `legacy`; switch it on, or \
                 leave trace_lifecycle and SENTRY_TRACE_LIFECYCLE out",
            ),
            InitError::NoTls => f.write_str(
                "the dsn starts with https://, and span-runtime was built without its feature `tls`; \
                 switch it on, give a transport of your own, or send to an http:// endpoint",
            ),
            InitError::AlreadyInitialized => f.write_str(
                "a runtime is installed already; keep the guard of the first `init`, or drop it before the next",
            ),
            InitError::Thread(error) => write!(f, "no thread could be started: {error}"),
        }
    }
}

impl std::error::Error for InitError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            InitError::Dsn(error) => Some(error),
            InitError::Thread(error) => Some(error),
            _ => None,
        }
    }
}

impl From<ParseDsnError> for InitError {
    fn from(error: ParseDsnError) -> Self {
        InitError::Dsn(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_without_tls_is_refused_and_not_tried() {
        let resolved = Options::new().dsn("https://0123456789abcdef0123456789abcdef@localhost/1").resolve();
        assert_eq!(resolved.is_ok(), cfg!(feature = "tls"));
        if let Err(error) = resolved {
            assert!(matches!(error, InitError::NoTls) && error.to_string().contains("feature `tls`"), "{error}");
        }
    }
}
