//! Log lines that say which span they are from.

use std::fmt;

use ::tracing::{Event, Subscriber};
use span_runtime::current_span;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Puts `trace_id=… span_id=…` before each line of a format, where there is a current span: for formats that are text.
///
/// ```
/// use span_integrations::tracing::correlated;
/// use tracing_subscriber::{fmt, prelude::*};
///
/// let lines = fmt::layer().event_format(correlated(fmt::format()));
/// # let _ = tracing_subscriber::registry().with(lines);
/// ```
pub fn correlated<F>(format: F) -> Correlated<F> {
    Correlated(format)
}

/// A format with the ids of the current span before each line; made by [`correlated`].
#[derive(Debug, Clone)]
pub struct Correlated<F>(F);

impl<S, N, F> FormatEvent<S, N> for Correlated<F>
where
    S: Subscriber + for<'l> LookupSpan<'l>,
    N: for<'w> FormatFields<'w> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let span = current_span();
        if let (Some(trace_id), Some(span_id)) = (span.trace_id(), span.span_id()) {
            write!(writer, "trace_id={trace_id} span_id={span_id} ")?;
        }
        self.0.format_event(context, writer, event)
    }
}
