//! What can be set.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::kept::Kept;
use super::way::WayOptions;
use crate::TraceLifecycle;
use crate::filter::{IgnoreRule, Pattern};
use crate::hook::{BeforeSendSpan, FinishedSpan};
use crate::protocol::Dsn;
use crate::sampling::{SamplingContext, TracesSampler};
use crate::scrub::Scrubber;
use crate::transport::Transport;

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
    pub(super) dsn: Option<String>,
    pub(super) traces_sample_rate: Option<f64>,
    pub(super) traces_sampler: Option<TracesSampler>,
    pub(super) ignore_spans: Vec<IgnoreRule>,
    pub(super) before_send_span: Option<BeforeSendSpan>,
    /// `Some(None)` is: none.
    pub(super) scrubber: Option<Option<Scrubber>>,
    pub(super) send_default_pii: bool,
    pub(super) record_command_args: bool,
    pub(super) trace_propagation_targets: Option<Vec<Pattern>>,
    pub(super) propagate_traceparent: bool,
    pub(super) org_id: Option<String>,
    pub(super) strict_trace_continuation: bool,
    pub(super) enable_backpressure_handling: Option<bool>,
    pub(super) release: Option<String>,
    pub(super) environment: Option<String>,
    pub(super) dist: Option<String>,
    pub(super) server_name: Option<String>,
    pub(super) max_buffer_bytes: Option<usize>,
    pub(super) request_timeout: Option<Duration>,
    pub(super) retry_timeout: Option<Duration>,
    pub(super) way: WayOptions,
    pub(super) spotlight: Option<Spotlight>,
    pub(super) shutdown_timeout: Option<Duration>,
    pub(super) exit_hook: Option<bool>,
    pub(super) send_client_reports: Option<bool>,
    pub(super) report_every: Option<Duration>,
    pub(super) debug: Option<bool>,
    pub(super) transport: Option<Box<dyn Transport>>,
    pub(super) trace_lifecycle: Option<TraceLifecycle>,
    /// What the crate declared whose `init` this goes to, where that can be known.
    pub(super) declared: Option<TraceLifecycle>,
    pub(super) from_env: bool,
}

impl Options {
    /// Options at their defaults, without a look at the environment: what a test does must not depend on where it runs. Without a
    /// DSN or a transport nothing is recorded and nothing is sent.
    pub fn new() -> Self {
        Self::default()
    }

    /// Options that fall back to the environment: `SENTRY_DSN`, `SENTRY_TRACES_SAMPLE_RATE`, `SENTRY_RELEASE`,
    /// `SENTRY_ENVIRONMENT`, `SENTRY_DIST`, `SENTRY_SERVER_NAME`, `SENTRY_TRACE_LIFECYCLE`, `SENTRY_DEBUG`, `SENTRY_SPOTLIGHT`; for the
    /// pooled transport also `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY` and `SSL_CERT_FILE`. With `SENTRY_TRACE` and
    /// `SENTRY_BAGGAGE`, which a parent process sets by [`TraceHeaders::variables`](crate::TraceHeaders::variables), all traces of
    /// this process that come from nowhere else continue that of the parent. A variable that is empty counts as not set; one that
    /// holds nonsense is an error from [`init`](crate::init).
    pub fn from_env() -> Self {
        Options { from_env: true, ..Self::default() }
    }

    /// Where to send: `https://<key>@<host>/<project>`. Default: nowhere, which switches everything off, so that a program can be
    /// built with its spans and run where nobody looks at them.
    ///
    /// From the environment: `SENTRY_DSN`. An empty one is none.
    #[must_use]
    pub fn dsn(mut self, dsn: impl Into<String>) -> Self {
        self.dsn = Some(dsn.into());
        self
    }

    /// The share of traces that are recorded, from 0 to 1. Default: not set, which means that tracing is off, as in
    /// every SDK of Sentry: nobody should pay for spans that they did not ask for.
    ///
    /// From the environment: `SENTRY_TRACES_SAMPLE_RATE`.
    #[must_use]
    pub fn traces_sample_rate(mut self, rate: f64) -> Self {
        self.traces_sample_rate = Some(rate);
        self
    }

    /// Decides for each segment by which rate it is sampled, from 0 (not) to 1 (always). It wins over the decision that came with a trace,
    /// and over [`traces_sample_rate`](Self::traces_sample_rate). Default: none; a fixed rate is enough for most.
    ///
    /// It is called on the thread that starts the segment, and keeps that one waiting only. Spans that it starts record nothing. If it
    /// panics or returns something else than a rate, the segment is not sampled; that is said once through `log`.
    ///
    /// ```
    /// use span_runtime::Options;
    ///
    /// let options = Options::new().traces_sampler(|segment| match segment.name() {
    ///     "GET /health" => 0.0,
    ///     _ => segment.parent_sample_rate().unwrap_or(0.25),
    /// });
    /// ```
    #[must_use]
    pub fn traces_sampler(mut self, sampler: impl Fn(&SamplingContext<'_>) -> f64 + Send + Sync + 'static) -> Self {
        let sampler = Kept::new(sampler);
        self.traces_sampler = Some(Arc::new(move |segment| sampler.get().map_or(f64::NAN, |sampler| sampler(segment))));
        self
    }

    /// Spans that are not to be recorded: by name, which is the whole of it, by [`Pattern`], or by [`IgnoreRule`]. Several calls add up.
    /// Default: none; nothing is left out that nobody named.
    ///
    /// A rule is judged when a span starts, on what it starts with. With a segment, all that is below it is left out; any other span is
    /// left out alone, and what is below it becomes the child of its nearest ancestor that is not.
    #[must_use]
    pub fn ignore_spans<R: Into<IgnoreRule>>(mut self, rules: impl IntoIterator<Item = R>) -> Self {
        self.ignore_spans.extend(rules.into_iter().map(Into::into));
        self
    }

    /// Is shown each finished span before it is sent, and may rename it and change its attributes; to leave spans out, there is
    /// [`ignore_spans`](Self::ignore_spans). Default: none, and then there is no thread for it.
    ///
    /// It is called on a thread of its own: a slow one delays what is sent, and nothing else. Spans that it starts record nothing, and a
    /// flush says no at once, as it would wait for what it is inside of. If it panics, the span is sent as it was; that is said once through `log`.
    ///
    /// ```
    /// use span_runtime::Options;
    ///
    /// let options = Options::new().before_send_span(|span| {
    ///     if span.name().starts_with("SELECT") {
    ///         span.set_name("query");
    ///         span.remove_attribute("db.query.text");
    ///     }
    /// });
    /// ```
    #[must_use]
    pub fn before_send_span(mut self, hook: impl Fn(&mut FinishedSpan<'_>) + Send + Sync + 'static) -> Self {
        let hook = Kept::new(hook);
        self.before_send_span = Some(Arc::new(move |span| {
            if let Some(hook) = hook.get() {
                hook(span);
            }
        }));
        self
    }

    /// What filters secrets out of names and attributes; `None` for nothing. Default: a [`Scrubber`] with the words that passwords, tokens
    /// and their kin go by, because what has been sent cannot be taken back.
    #[must_use]
    pub fn scrubber(mut self, scrubber: impl Into<Option<Scrubber>>) -> Self {
        self.scrubber = Some(scrubber.into());
        self
    }

    /// Whether attributes are sent that say who a user is or which address they have: `user.*`, `client.address` and the like.
    /// Default: false; they are left out, whoever set them, because what has been sent cannot be taken back.
    #[must_use]
    pub fn send_default_pii(mut self, send: bool) -> Self {
        self.send_default_pii = send;
        self
    }

    /// Whether the arguments of the process stand on segments, as `process.command_args`. Default: false, because passwords are passed
    /// like that, and the [scrubber](Self::scrubber) knows only those that are called so, as `--password=…` or `--password …`.
    #[must_use]
    pub fn record_command_args(mut self, record: bool) -> Self {
        self.record_command_args = record;
        self
    }

    /// Which URLs are told of a trace by [`trace_headers_for`](crate::trace_headers_for): those that hold one of these texts, or match one
    /// of these [`Pattern`]s. Default: all, as in every SDK of Sentry for servers, because a service mostly calls its own kind. An empty
    /// list is none.
    #[must_use]
    pub fn trace_propagation_targets<P: Into<Pattern>>(mut self, targets: impl IntoIterator<Item = P>) -> Self {
        self.trace_propagation_targets = Some(targets.into_iter().map(Into::into).collect());
        self
    }

    /// Whether W3C's `traceparent` goes out beside `sentry-trace`. Default: false, because it is for services that know nothing of
    /// Sentry, and whoever has those knows.
    #[must_use]
    pub fn propagate_traceparent(mut self, propagate: bool) -> Self {
        self.propagate_traceparent = propagate;
        self
    }

    /// The number of your organisation; a trace of another one is not continued. Default: the one that the host of the DSN begins with, as
    /// in `o123.ingest.sentry.io`, which is right for all but servers of one's own.
    #[must_use]
    pub fn org_id(mut self, org_id: impl Into<String>) -> Self {
        self.org_id = Some(org_id.into());
        self
    }

    /// Whether a trace is continued only if its organisation is known and the same. Default: false: one that does not say where it comes
    /// from is continued, because older SDKs never say.
    #[must_use]
    pub fn strict_trace_continuation(mut self, strict: bool) -> Self {
        self.strict_trace_continuation = strict;
        self
    }

    /// Whether the sample rate is lowered while spans come faster than they can be sent, or the server asks for a pause: by half each
    /// second, to a 1024th at the lowest, and back likewise. What that costs is counted as `backpressure`. Default: true: fewer whole
    /// traces are worth more than the torn remains of all.
    #[must_use]
    pub fn enable_backpressure_handling(mut self, enable: bool) -> Self {
        self.enable_backpressure_handling = Some(enable);
        self
    }

    /// The release of the program, as `name@version`. Default: none; a library cannot know the version of the program that it is in.
    ///
    /// From the environment: `SENTRY_RELEASE`. An empty one is none.
    #[must_use]
    pub fn release(mut self, release: impl Into<String>) -> Self {
        self.release = Some(release.into());
        self
    }

    /// The environment that the program runs in. Default: `production`, as in every SDK of Sentry, so that it is the other environments
    /// that have to say so.
    ///
    /// From the environment: `SENTRY_ENVIRONMENT`.
    #[must_use]
    pub fn environment(mut self, environment: impl Into<String>) -> Self {
        self.environment = Some(environment.into());
        self
    }

    /// The distribution of the release: a build or a variant of it. Default: none; most releases have one.
    ///
    /// From the environment: `SENTRY_DIST`.
    #[must_use]
    pub fn dist(mut self, dist: impl Into<String>) -> Self {
        self.dist = Some(dist.into());
        self
    }

    /// The name of the machine, sent as `server.address`. Default: the host name, where it can be read without a
    /// system call of our own (`HOSTNAME`, or Linux's `/proc/sys/kernel/hostname`), as one machine of many is the first thing that one
    /// looks for. An empty one is none.
    ///
    /// From the environment: `SENTRY_SERVER_NAME`.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// The bound in bytes for everything between a span's end and the socket; from 1 MiB to 1 GiB. Default: 64 MiB, which
    /// holds a burst of 300,000 spans and is little beside a service that makes such bursts. Memory is taken when
    /// it is needed and given back.
    ///
    /// When half of it is used, traces no longer wait for late children. When three quarters are used, whole traces are dropped, the oldest
    /// first, and counted as `buffer_overflow`. Only when the flusher gets no chance to do so does a span that ends find no room; then it is
    /// counted as `queue_overflow`.
    #[must_use]
    pub fn max_buffer_bytes(mut self, bytes: usize) -> Self {
        self.max_buffer_bytes = Some(bytes);
        self
    }

    /// How long one request may take, in whole seconds, from 1 s to a day. Default: 30 s; a request holds up nothing but
    /// the next request.
    #[must_use]
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = Some(timeout);
        self
    }

    /// For how long an envelope is sent again that nobody answered for: that met no connection, a broken one, or a status of 500 and above.
    /// The pauses between the tries grow to 5 s at most. At most 30 min. Default: 5 min, which a restart or a short outage does not
    /// take; zero is to send each once.
    ///
    /// It ends earlier where the memory is needed ([`max_buffer_bytes`](Self::max_buffer_bytes)) or the runtime closes. Its spans
    /// then count as `network_error`.
    #[must_use]
    pub fn retry_timeout(mut self, timeout: Duration) -> Self {
        self.retry_timeout = Some(timeout);
        self
    }

    /// Sends over connections that are kept, rather than over a new one for each envelope. Default: false; most services send an envelope
    /// every few seconds, and a kept connection is of no use to them.
    ///
    /// Take it for many short traces: each is an envelope, and each handshake of TLS costs both sides more than the envelope. Take it also
    /// for what the default transport, minreq, cannot do: [`ca_certs`](Self::ca_certs), [`http_proxy`](Self::http_proxy) and
    /// [`https_proxy`](Self::https_proxy), a DSN with an IPv6 address, a program that links two crypto providers of rustls, and a
    /// connection so slow that an envelope may take longer than [`request_timeout`](Self::request_timeout), where minreq goes on
    /// sending behind what is sent anew.
    ///
    /// It needs the feature `pooled`.
    #[must_use]
    pub fn pooled_transport(mut self, pooled: bool) -> Self {
        self.way.pooled = pooled;
        self
    }

    /// A file with the certificates, in the PEM format, of the authorities that are trusted: instead of Mozilla's, as in every SDK of
    /// Sentry. Default: `SSL_CERT_FILE` with [`from_env`](Self::from_env), else Mozilla's authorities, which are built in. It is read
    /// by [`init`](crate::init), and needs the [pooled transport](Self::pooled_transport).
    #[must_use]
    pub fn ca_certs(mut self, file: impl Into<PathBuf>) -> Self {
        self.way.ca_certs = Some(file.into());
        self
    }

    /// The proxy, `http://[user:password@]host[:port]`, for a DSN that starts with `http://`; also for one with `https://` where no
    /// [`https_proxy`](Self::https_proxy) is given. Default: `HTTP_PROXY` or `http_proxy` with [`from_env`](Self::from_env), unless
    /// `NO_PROXY` names the host; else none. It is asked to `CONNECT`, and needs the [pooled transport](Self::pooled_transport).
    #[must_use]
    pub fn http_proxy(mut self, proxy: impl Into<String>) -> Self {
        self.way.http_proxy = Some(proxy.into());
        self
    }

    /// The proxy for a DSN that starts with `https://`. Default: `HTTPS_PROXY` or `https_proxy` with [`from_env`](Self::from_env), unless
    /// `NO_PROXY` names the host; else that of [`http_proxy`](Self::http_proxy). The rest as there.
    #[must_use]
    pub fn https_proxy(mut self, proxy: impl Into<String>) -> Self {
        self.way.https_proxy = Some(proxy.into());
        self
    }

    /// Shows what is sent to a local viewer, [Spotlight](https://spotlightjs.com), as well: at `http://localhost:8969/stream` for `true`,
    /// or at the URL that is given. Default: `SENTRY_SPOTLIGHT` with [`from_env`](Self::from_env), else false. It is for
    /// development; it delays nothing, is counted nowhere, and where there is no viewer, that is said once through `log`.
    ///
    /// Without a DSN the viewer gets everything: all traces are sampled, and personal data is not left out.
    #[must_use]
    pub fn spotlight(mut self, spotlight: impl Into<Spotlight>) -> Self {
        self.spotlight = Some(spotlight.into());
        self
    }

    /// How long the drop of the guard, or the exit hook, may wait for what is still on its way. Default: 2 s, as in every SDK of Sentry:
    /// enough for a server that answers, and not too long for one that does not.
    #[must_use]
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.shutdown_timeout = Some(timeout);
        self
    }

    /// Whether [`init`](crate::init) has the runtime closed also where the process ends with the guard still there: by
    /// [`std::process::exit`], or by a return from `main` after the guard was forgotten or put into a static. Default: true; what
    /// has finished is lost otherwise. It is registered by C's `atexit`, and so knows nothing of an abort or of a signal that kills. For
    /// a program that has to end at once, or that unloads the library which it is in.
    #[must_use]
    pub fn exit_hook(mut self, on: bool) -> Self {
        self.exit_hook = Some(on);
        self
    }

    /// Whether losses are reported to Sentry. Default: true, so that its charts can tell what is missing.
    #[must_use]
    pub fn send_client_reports(mut self, send: bool) -> Self {
        self.send_client_reports = Some(send);
        self
    }

    /// How often losses go alone, if nothing takes them along. For tests of this crate, which cannot wait for it.
    #[cfg(test)]
    pub(crate) fn report_every(mut self, interval: Duration) -> Self {
        self.report_every = Some(interval);
        self
    }

    /// Whether what the runtime does is told through the crate `log`, at its level `debug`: how it was set up, what became of each
    /// envelope, flushes, and the numbers at the end; spans one by one are not. Default: false, because it is for finding out why nothing
    /// arrives, and noise otherwise. Trouble, such as an envelope that the server refuses, is told without it.
    ///
    /// From the environment: `SENTRY_DEBUG`, which is `true` or `false`.
    #[must_use]
    pub fn debug(mut self, debug: bool) -> Self {
        self.debug = Some(debug);
        self
    }

    /// Sends envelopes by this transport rather than over HTTP to the DSN's host. Default: HTTP, which is what a DSN is for. A DSN is
    /// still wanted for the key in the envelopes; without one a key of zeros stands in. What concerns HTTP, such as proxies, is then without effect.
    #[must_use]
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(Box::new(Kept::new(transport)));
        self
    }

    /// When spans are sent: as they finish, or, with the feature `legacy`, as transactions. Default:
    /// [`Stream`](TraceLifecycle::Stream), also where the legacy API is built in, because a cargo feature that some dependency
    /// switches on must not change what a program does that streams. The `init` of the legacy API, which a crate with
    /// `lifecycle!(static)` calls, has the default [`Static`](TraceLifecycle::Static).
    ///
    /// From the environment: `SENTRY_TRACE_LIFECYCLE`, which is `stream` or `static`.
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
}

/// Whether a local viewer is shown what is sent, and where it is; for [`Options::spotlight`].
///
/// ```
/// use span_runtime::Options;
///
/// let options = Options::new().spotlight(true);
/// let options = Options::new().spotlight("http://localhost:3000/stream");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spotlight(pub(super) Viewer);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Viewer {
    None,
    /// Where viewers are.
    Default,
    At(String),
}

impl From<bool> for Spotlight {
    fn from(on: bool) -> Self {
        Spotlight(if on { Viewer::Default } else { Viewer::None })
    }
}

impl From<&str> for Spotlight {
    fn from(url: &str) -> Self {
        url.to_owned().into()
    }
}

impl From<String> for Spotlight {
    fn from(url: String) -> Self {
        Spotlight(Viewer::At(url))
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
            .field("traces_sampler", &self.traces_sampler.is_some())
            .field("release", &self.release)
            .field("environment", &self.environment)
            .field("ignore_spans", &self.ignore_spans)
            .field("before_send_span", &self.before_send_span.is_some())
            .field("scrubber", &self.scrubber)
            .field("send_default_pii", &self.send_default_pii)
            .field("trace_propagation_targets", &self.trace_propagation_targets)
            .field("org_id", &self.org_id)
            .field("from_env", &self.from_env)
            .finish_non_exhaustive()
    }
}
