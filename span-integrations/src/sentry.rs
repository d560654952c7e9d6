//! Errors of sentry-rust 0.49 in the trace of the span that they were captured in, and spans with the options of its client.
//!
//! ```
//! # use sentry_core as sentry;
//! # fn init(options: sentry::ClientOptions) {
//! #     sentry::Hub::current().bind_client(Some(std::sync::Arc::new(sentry::Client::with_options(options))));
//! # }
//! // What an application that has sentry-rust adds is the second line ...
//! let options = sentry::ClientOptions::new().release("shop@1.0.0")
//!     .add_integration(span_integrations::sentry::integration());
//! # /*
//! let _sentry = sentry::init(options);
//! # */ init(options);
//! // ... and this one, behind it: spans are sent before the client is closed.
//! let _spans = span_runtime::init(span_integrations::sentry::options().traces_sample_rate(1.0))?;
//! # Ok::<(), span_runtime::InitError>(())
//! ```
//!
//! # Invariant
//!
//! Each event goes on, and all of it but its trace context is as it was. Where there is no current span that context is left
//! alone as well.
//!
//! # Hook
//!
//! An [`Integration`] of the client, which sees each event on the thread that captures it, behind the scope and its processors:
//! where sentry's own transactions are still in use, an event in a span of ours is in our trace. Logs, metrics, sessions and
//! transactions of sentry-rust pass no integration; they keep the ids of sentry's scope.
//!
//! Of the client's options [`options`] takes what both sides have: DSN, release, environment, server name, organisation, and
//! whether data on persons is sent. How many traces are recorded is said here, because the rate there is for its transactions.
//! Spans have an HTTP client of their own, unless [`transport_of`] is asked for.
//!
//! # Attributes
//!
//! It makes no spans. The context `trace` of events has `trace_id` and `span_id`; below an unsampled segment the latter is the
//! id of the segment's span.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::sentry_core::protocol::{Event, TraceContext};
use ::sentry_core::{Client, ClientOptions, Envelope, Hub, Integration, TransportOptions};
use span_runtime::transport::{Response, Transport, TransportError};
use span_runtime::{Options, current_span, register_integration};

const NAME: &str = "sentry";

/// How long one envelope may take on its way through a transport of sentry-rust before the next one is given to it.
const LONGEST_SEND: Duration = Duration::from_secs(30);

/// Gives the events that a client captures the ids of the current span.
///
/// ```
/// # use sentry_core as sentry;
/// let options = sentry::ClientOptions::new().add_integration(span_integrations::sentry::integration());
/// # assert_eq!(options.integrations.len(), 1);
/// ```
pub fn integration() -> Correlated {
    register_integration(NAME);
    Correlated(())
}

/// An integration of sentry-rust; made by [`integration`].
#[derive(Debug, Clone)]
pub struct Correlated(());

impl Integration for Correlated {
    fn name(&self) -> &'static str {
        "span-runtime"
    }

    fn process_event(&self, mut event: Event<'static>, _: &ClientOptions) -> Option<Event<'static>> {
        if let Some(context) = trace_context() {
            event.contexts.insert("trace".to_owned(), context.into());
        }
        Some(event)
    }
}

/// The current span, as an event has it.
fn trace_context() -> Option<TraceContext> {
    let span = current_span();
    let trace_id = span.trace_id()?.to_string().parse().ok()?;
    let span_id = span.span_id()?.to_string().parse().ok()?;
    Some(TraceContext { trace_id, span_id, ..TraceContext::default() })
}

/// The options of the client of the current hub, for [`init`](span_runtime::init). Without a client nothing is set in them.
///
/// ```no_run
/// // Behind `sentry::init`.
/// let _spans = span_runtime::init(span_integrations::sentry::options().traces_sample_rate(0.1))?;
/// # Ok::<(), span_runtime::InitError>(())
/// ```
pub fn options() -> Options {
    Hub::current().client().map_or_else(Options::new, |client| options_of(&client))
}

/// As [`options`], of this client.
///
/// ```
/// # use sentry_core as sentry;
/// let client = sentry::Client::with_options(sentry::ClientOptions::new().environment("staging"));
/// let options = span_integrations::sentry::options_of(&client).traces_sample_rate(1.0);
/// # drop(options);
/// ```
pub fn options_of(client: &Client) -> Options {
    let theirs = client.options();
    let mut options = Options::new()
        .send_default_pii(theirs.send_default_pii)
        .strict_trace_continuation(theirs.strict_trace_continuation)
        .shutdown_timeout(theirs.shutdown_timeout);
    if let Some(dsn) = &theirs.dsn {
        options = options.dsn(dsn.to_string());
    }
    if let Some(release) = &theirs.release {
        options = options.release(release.as_ref());
    }
    if let Some(environment) = &theirs.environment {
        options = options.environment(environment.as_ref());
    }
    if let Some(name) = &theirs.server_name {
        options = options.server_name(name.as_ref());
    }
    if let Some(org_id) = &theirs.org_id {
        options = options.org_id(org_id.to_string());
    }
    options
}

/// A transport like the client's, by the same factory and with the same options, such as proxies; `None` if the client has no DSN or no
/// transport. A factory that is a transport, in an `Arc`, is that transport.
///
/// What a transport of sentry-rust does with an envelope it does not say: each that it was given counts as sent, and what the server
/// says of rate limits is heard there only.
///
/// ```
/// # use sentry_core as sentry;
/// # let client = sentry::Client::with_options(sentry::ClientOptions::new());
/// let mut options = span_integrations::sentry::options_of(&client);
/// if let Some(transport) = span_integrations::sentry::transport_of(&client) {
///     options = options.transport(transport);
/// }
/// # drop(options);
/// ```
pub fn transport_of(client: &Client) -> Option<Reused> {
    let factory = client.options().transport.as_ref()?;
    let options = TransportOptions::try_from_client_options(client.options())?;
    Some(Reused(factory.create_transport_with_options(options)))
}

/// A transport of sentry-rust that sends spans; made by [`transport_of`].
pub struct Reused(Arc<dyn sentry_core::Transport>);

impl fmt::Debug for Reused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reused").finish_non_exhaustive()
    }
}

impl Transport for Reused {
    fn send(&mut self, envelope: &[u8]) -> Result<Response, TransportError> {
        // It has no type for spans, and does not need to look into the envelope.
        let envelope = Envelope::from_bytes_raw(envelope.to_vec());
        self.0.send_envelope(envelope.map_err(|error| TransportError::new(error.to_string()))?);
        // Its queue drops what does not fit, so there is one envelope in it at most. One that takes longer is still on its way.
        let _in_time = self.0.flush(LONGEST_SEND);
        Ok(Response::new(200))
    }
}
