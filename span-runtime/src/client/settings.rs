//! Options that were checked: what the rest of the crate reads.

use std::fmt;
use std::time::Duration;

use super::environment::Environment;
use super::options::{Spotlight, Viewer};
use super::way::Way;
use super::{InitError, Options, tell};
use crate::TraceLifecycle;
use crate::filter::{IgnoreRules, Matcher, Pattern, Where};
use crate::hook::BeforeSendSpan;
use crate::propagation::Incoming;
use crate::protocol::Dsn;
use crate::sampling::TracesSampler;
use crate::scrub::{Privacy, Scrubber};
use crate::transport::{self, Transport};

/// The default of [`Options::max_buffer_bytes`]: about 300,000 spans without attributes, or 60,000 with eight.
pub(crate) const DEFAULT_MAX_BUFFER_BYTES: usize = 64 << 20;

/// The least that [`Options::max_buffer_bytes`] takes.
pub(super) const LEAST_BUFFER_BYTES: usize = 1 << 20;

/// The most that it takes: the hand-over has a place ready for each chunk that could be.
pub(super) const MOST_BUFFER_BYTES: usize = 1 << 30;

/// The default of [`Options::retry_timeout`], and the most that it takes: older envelopes meet what `OLDEST` of the transport is about.
const RETRY_TIMEOUT: Duration = Duration::from_secs(5 * 60);
const LONGEST_RETRY_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// Where a viewer is, unless something else is said. (Spotlight, Sentry's SDK documents)
const VIEWER: &str = "http://localhost:8969/stream";

/// What [`Options::request_timeout`] takes; the clock of a request ends somewhere.
const REQUEST_TIMEOUTS: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);

/// Losses go alone when no envelope took them for this long. (behaviour 49)
const REPORT_EVERY: Duration = Duration::from_secs(30);

impl Options {
    /// Checks everything. `None` if there is nowhere to send.
    pub(crate) fn resolve(mut self) -> Result<Option<Resolved>, InitError> {
        let environment = Environment::new(self.from_env);
        let debug =
            self.debug.map_or_else(|| environment.flag("SENTRY_DEBUG"), |debug| Ok(Some(debug)))?.unwrap_or(false);
        let trace_lifecycle = self.resolve_lifecycle(&environment)?;
        let dsn = self.resolve_dsn(&environment)?;
        let traces_sample_rate = match self.traces_sample_rate {
            Some(rate) => Some(check_rate(rate).ok_or(InitError::SampleRate { given: rate })?),
            None => environment.rate("SENTRY_TRACES_SAMPLE_RATE")?,
        };
        let ignore_spans = IgnoreRules::compile(&self.ignore_spans).map_err(|(given, reason)| InitError::Pattern {
            option: "ignore_spans",
            given,
            reason,
        })?;
        let targets = self.trace_propagation_targets.as_deref().map(compile_targets).transpose()?;
        let org_id = self.org_id.as_deref().map(check_org_id).transpose()?;
        let scrubber = self.scrubber.unwrap_or_else(|| Some(Scrubber::default()));
        if let Some(word) = scrubber.as_ref().and_then(Scrubber::idle_word) {
            return Err(InitError::ScrubbedWord { given: word.to_owned() });
        }
        let max_buffer_bytes = self.max_buffer_bytes.unwrap_or(DEFAULT_MAX_BUFFER_BYTES);
        if !(LEAST_BUFFER_BYTES..=MOST_BUFFER_BYTES).contains(&max_buffer_bytes) {
            return Err(InitError::BufferBytes { given: max_buffer_bytes });
        }
        let request_timeout = self.request_timeout.unwrap_or(Duration::from_secs(30));
        if !REQUEST_TIMEOUTS.contains(&request_timeout) {
            return Err(InitError::RequestTimeout { given: request_timeout });
        }
        let retry_timeout = self.retry_timeout.unwrap_or(RETRY_TIMEOUT);
        if retry_timeout > LONGEST_RETRY_TIMEOUT {
            return Err(InitError::RetryTimeout { given: retry_timeout });
        }
        let mut spotlight = resolve_spotlight(self.spotlight, &environment)?;
        let release = self.release.map_or_else(|| environment.text("SENTRY_RELEASE"), |release| Ok(Some(release)))?;
        let dist = self.dist.map_or_else(|| environment.text("SENTRY_DIST"), |dist| Ok(Some(dist)))?;
        let environment_name =
            self.environment.map_or_else(|| environment.text("SENTRY_ENVIRONMENT"), |name| Ok(Some(name)))?;
        let server_name =
            self.server_name.map_or_else(|| environment.text("SENTRY_SERVER_NAME"), |name| Ok(Some(name)))?;
        // Without a DSN there may be a viewer at least, which is to see everything. (behaviour 54)
        let alone = dsn.is_none() && self.transport.is_none();
        if alone {
            let Some(url) = spotlight.take() else {
                tell(debug, format_args!("there is no dsn and no transport, so nothing is recorded"));
                return Ok(None);
            };
            self.transport = Some(transport::to_viewer(&url));
        }
        let dsn = dsn.unwrap_or_else(Dsn::stand_in);
        let by_http = self.transport.is_none();
        if by_http && dsn.is_https() && !cfg!(feature = "tls") {
            return Err(InitError::NoTls);
        }
        let way = if by_http { self.way.resolve(&environment, &dsn)? } else { Way::default() };
        let mut settings = Settings {
            dsn,
            trace_lifecycle,
            traces_sample_rate: if alone { Some(1.0) } else { traces_sample_rate },
            traces_sampler: self.traces_sampler.filter(|_| !alone),
            ignore_spans,
            before_send_span: self.before_send_span,
            scrubber,
            send_default_pii: self.send_default_pii || alone,
            record_command_args: self.record_command_args,
            targets,
            propagate_traceparent: self.propagate_traceparent,
            org_id,
            strict_trace_continuation: self.strict_trace_continuation,
            enable_backpressure_handling: self.enable_backpressure_handling.unwrap_or(true),
            continued: None,
            release: release.filter(|release| !release.is_empty()),
            environment: environment_name.filter(|name| !name.is_empty()).unwrap_or_else(|| "production".into()),
            dist: dist.filter(|dist| !dist.is_empty()),
            server_name: server_name.or_else(host_name).filter(|name| !name.is_empty()),
            max_buffer_bytes,
            request_timeout,
            retry_timeout,
            way,
            spotlight,
            shutdown_timeout: self.shutdown_timeout.unwrap_or(Duration::from_secs(2)),
            exit_hook: self.exit_hook.unwrap_or(true),
            send_client_reports: self.send_client_reports.unwrap_or(true),
            report_every: self.report_every.unwrap_or(REPORT_EVERY),
            debug,
        };
        if self.from_env {
            settings.continued = Incoming::from_env().filter(|incoming| settings.welcomes(incoming));
        }
        Ok(Some(Resolved { settings, transport: self.transport }))
    }

    fn resolve_dsn(&self, environment: &Environment) -> Result<Option<Dsn>, InitError> {
        let (variable, dsn) = match &self.dsn {
            Some(dsn) => (None, Some(dsn.clone())),
            None => (Some("SENTRY_DSN"), environment.lossy("SENTRY_DSN")),
        };
        let dsn = dsn.filter(|dsn| !dsn.trim().is_empty()).map(|dsn| Dsn::parse(dsn.trim()));
        dsn.transpose().map_err(|error| InitError::Dsn { variable, error })
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
}

/// Options that were checked, and the transport if the user gave one.
pub(crate) struct Resolved {
    pub(crate) settings: Settings,
    pub(crate) transport: Option<Box<dyn Transport>>,
}

/// Options that were checked.
pub(crate) struct Settings {
    pub(crate) dsn: Dsn,
    pub(crate) trace_lifecycle: TraceLifecycle,
    pub(crate) traces_sample_rate: Option<f64>,
    pub(crate) traces_sampler: Option<TracesSampler>,
    pub(crate) ignore_spans: IgnoreRules,
    pub(crate) before_send_span: Option<BeforeSendSpan>,
    pub(crate) scrubber: Option<Scrubber>,
    pub(crate) send_default_pii: bool,
    pub(crate) record_command_args: bool,
    /// Which URLs are told of a trace; `None` is all.
    targets: Option<Vec<Matcher>>,
    pub(crate) propagate_traceparent: bool,
    /// The option; [`Settings::org_id`] knows the DSN's as well.
    org_id: Option<String>,
    strict_trace_continuation: bool,
    pub(crate) enable_backpressure_handling: bool,
    /// The trace that the process was started with.
    pub(crate) continued: Option<Incoming>,
    pub(crate) release: Option<String>,
    pub(crate) environment: String,
    pub(crate) dist: Option<String>,
    pub(crate) server_name: Option<String>,
    pub(crate) max_buffer_bytes: usize,
    pub(crate) request_timeout: Duration,
    pub(crate) retry_timeout: Duration,
    #[cfg_attr(not(feature = "pooled"), allow(dead_code, reason = "there is one transport to choose from"))]
    pub(crate) way: Way,
    /// The URL of a viewer that is shown everything as well.
    pub(crate) spotlight: Option<String>,
    pub(crate) shutdown_timeout: Duration,
    pub(crate) exit_hook: bool,
    pub(crate) send_client_reports: bool,
    /// Losses go alone when no envelope took them for this long.
    pub(crate) report_every: Duration,
    pub(crate) debug: bool,
}

impl Settings {
    /// Whether there is anything that samples.
    pub(crate) fn is_tracing(&self) -> bool {
        self.traces_sample_rate.is_some() || self.traces_sampler.is_some()
    }

    /// The organisation that this process belongs to, as far as is known.
    pub(crate) fn org_id(&self) -> Option<&str> {
        self.org_id.as_deref().or_else(|| self.dsn.org_id())
    }

    /// Whether a trace from another process may be continued. (behaviour 31)
    pub(crate) fn welcomes(&self, incoming: &Incoming) -> bool {
        incoming.is_of(self.org_id(), self.strict_trace_continuation)
    }

    /// What of a span's texts may be sent.
    pub(crate) fn privacy(&self) -> Privacy<'_> {
        Privacy { scrubber: self.scrubber.as_ref(), personal: self.send_default_pii }
    }

    /// Whether a URL is told of a trace.
    pub(crate) fn is_target(&self, url: &str) -> bool {
        self.targets.as_ref().is_none_or(|targets| targets.iter().any(|target| target.matches(url)))
    }
}

impl fmt::Debug for Settings {
    /// Without the DSN's key, so that settings can be logged.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("dsn", &self.dsn)
            .field("trace_lifecycle", &self.trace_lifecycle)
            .field("traces_sample_rate", &self.traces_sample_rate)
            .field("traces_sampler", &self.traces_sampler.is_some())
            .field("release", &self.release)
            .field("environment", &self.environment)
            .finish_non_exhaustive()
    }
}

/// Where the viewer is. The option wins over the environment, except that `true` leaves it to the environment to say where.
fn resolve_spotlight(option: Option<Spotlight>, environment: &Environment) -> Result<Option<String>, InitError> {
    let viewer = match (option, environment.spotlight("SENTRY_SPOTLIGHT")?) {
        (Some(Spotlight(Viewer::Default)), Some(Spotlight(Viewer::At(url)))) => Viewer::At(url),
        (Some(Spotlight(viewer)), _) | (None, Some(Spotlight(viewer))) => viewer,
        (None, None) => Viewer::None,
    };
    match viewer {
        Viewer::None => Ok(None),
        Viewer::Default => Ok(Some(VIEWER.to_owned())),
        Viewer::At(url) if is_url(&url) => Ok(Some(url)),
        Viewer::At(given) => Err(InitError::Spotlight { given }),
    }
}

fn compile_targets(targets: &[Pattern]) -> Result<Vec<Matcher>, InitError> {
    let compile = |target: &Pattern| {
        let error =
            |reason| InitError::Pattern { option: "trace_propagation_targets", given: target.as_str().into(), reason };
        target.compile(Where::Anywhere).map_err(error)
    };
    targets.iter().map(compile).collect()
}

pub(super) fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic()))
}

/// The number of an organisation. A text that is none would match no trace that comes in, and so cut each one.
fn check_org_id(given: &str) -> Result<String, InitError> {
    let id = given.trim();
    let is_number = !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| id.to_owned()).ok_or_else(|| InitError::OrgId { given: given.to_owned() })
}

pub(super) fn check_rate(rate: f64) -> Option<f64> {
    (0.0..=1.0).contains(&rate).then_some(rate)
}

fn host_name() -> Option<String> {
    let from_system = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    std::env::var("HOSTNAME")
        .ok()
        .filter(|name| !name.is_empty())
        .or_else(from_system)
        .map(|name| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    // behaviour 49
    #[test]
    fn losses_that_nothing_takes_along_are_told_of_every_30_seconds() {
        let options = Options::new().transport(crate::testing::CaptureTransport::new());
        let settings = options.resolve().expect("the options are valid").expect("there is somewhere to send").settings;
        assert_eq!(settings.report_every, Duration::from_secs(30));
    }

    #[test]
    fn the_pooled_transport_is_refused_where_it_is_not_built_in() {
        let options = Options::new().dsn("http://0123456789abcdef0123456789abcdef@localhost/1").pooled_transport(true);
        let resolved = options.resolve();
        assert_eq!(resolved.is_ok(), cfg!(feature = "pooled"));
        if let Err(error) = resolved {
            assert!(error.to_string().contains("feature `pooled`"), "{error}");
        }
    }

    #[test]
    fn https_without_tls_is_refused_and_not_tried() {
        let resolved = Options::new().dsn("https://0123456789abcdef0123456789abcdef@localhost/1").resolve();
        assert_eq!(resolved.is_ok(), cfg!(feature = "tls"));
        if let Err(error) = resolved {
            assert!(matches!(error, InitError::NoTls) && error.to_string().contains("feature `tls`"), "{error}");
        }
    }
}
