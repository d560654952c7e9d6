//! Records of [`log`] 0.4 with the ids of the current span.
//!
//! ```
//! # struct Stderr;
//! # impl log::Log for Stderr {
//! #     fn enabled(&self, _: &log::Metadata<'_>) -> bool { true }
//! #     fn log(&self, record: &log::Record<'_>) { eprintln!("{}", record.args()); }
//! #     fn flush(&self) {}
//! # }
//! # fn your_logger() -> Stderr { Stderr }
//! // The logger that an application has, with its ids as key-values behind each record:
//! log::set_boxed_logger(Box::new(span_integrations::log::correlated(your_logger())))?;
//! log::set_max_level(log::LevelFilter::Info);
//!
//! let _checkout = span_runtime::start_span("checkout").start();
//! log::info!("priced"); // trace_id=771a43a4192642f0b136d5159a501700 span_id=b7ad6b7169203331
//! # Ok::<(), log::SetLoggerError>(())
//! ```
//!
//! # Invariant
//!
//! Each record reaches the logger behind once, on the thread that it came from, and is otherwise as it was. What that logger logs itself
//! while it has a record reaches it without ids, and is not looked at here.
//!
//! # Hook
//!
//! [`Log`], around another one. Where there is no current span, such as on the threads that send spans, records go on as they are. An error that
//! is logged is not an error of the span: its code says how it went.
//!
//! # Attributes
//!
//! It makes no spans. Records have, as key-values or [before the message](Correlated::in_message):
//!
//! | | |
//! | --- | --- |
//! | `trace_id` | the id of the trace |
//! | `span_id` | the id of the span; below an unsampled segment that of the segment's span |
//!
//! A record that has a key-value `trace_id` by itself is left alone.

use std::cell::Cell;

use ::log::kv::{self, Key, Source, VisitSource};
use ::log::{Log, Metadata, Record};
use span_runtime::{SpanId, TraceId, current_span, register_integration};

const NAME: &str = "log";
const TRACE_ID: &str = "trace_id";
const SPAN_ID: &str = "span_id";

/// Gives the records that go to a logger the ids of the current span.
///
/// ```
/// # fn your_logger() -> Box<dyn log::Log> { Box::new(log::logger()) }
/// let logger = span_integrations::log::correlated(your_logger());
/// # let _: &dyn log::Log = &logger;
/// ```
pub fn correlated<L: Log>(logger: L) -> Correlated<L> {
    register_integration(NAME);
    Correlated { logger, in_message: false }
}

/// A logger whose records have the ids of the current span; made by [`correlated`].
#[derive(Debug, Clone)]
pub struct Correlated<L> {
    logger: L,
    in_message: bool,
}

impl<L> Correlated<L> {
    /// Puts the ids before the message, as text, for a logger that does not show key-values.
    #[must_use]
    pub fn in_message(mut self) -> Self {
        self.in_message = true;
        self
    }

    fn tell(&self, record: &Record<'_>)
    where
        L: Log,
    {
        let Some(Ids { trace_id, span_id }) = Ids::current() else { return self.logger.log(record) };
        if record.key_values().get(Key::from_str(TRACE_ID)).is_some() {
            self.logger.log(record);
        } else if self.in_message {
            let message = record.args();
            let with_ids = format_args!("{TRACE_ID}={trace_id} {SPAN_ID}={span_id} {message}");
            self.logger.log(&record.to_builder().args(with_ids).build());
        } else {
            let with_ids = WithIds { others: record.key_values(), ids: Ids { trace_id, span_id } };
            self.logger.log(&record.to_builder().key_values(&with_ids).build());
        }
    }
}

impl<L: Log> Log for Correlated<L> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.logger.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        match Inside::enter() {
            Some(_inside) if self.logger.enabled(record.metadata()) => self.tell(record),
            _ => self.logger.log(record),
        }
    }

    fn flush(&self) {
        self.logger.flush();
    }
}

struct Ids {
    trace_id: TraceId,
    span_id: SpanId,
}

impl Ids {
    fn current() -> Option<Self> {
        let span = current_span();
        Some(Ids { trace_id: span.trace_id()?, span_id: span.span_id()? })
    }
}

/// Key-values, with the ids behind them.
struct WithIds<'r> {
    others: &'r dyn Source,
    ids: Ids,
}

impl Source for WithIds<'_> {
    fn visit<'v>(&'v self, visitor: &mut dyn VisitSource<'v>) -> Result<(), kv::Error> {
        self.others.visit(visitor)?;
        visitor.visit_pair(Key::from_str(TRACE_ID), kv::Value::from_display(&self.ids.trace_id))?;
        visitor.visit_pair(Key::from_str(SPAN_ID), kv::Value::from_display(&self.ids.span_id))
    }

    fn count(&self) -> usize {
        self.others.count() + 2
    }
}

thread_local! {
    static IS_INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// A logger has a record on this thread.
struct Inside(());

impl Inside {
    /// `None` if one has already, and where the thread is past its end.
    fn enter() -> Option<Self> {
        let was_inside = IS_INSIDE.try_with(|inside| inside.replace(true)).unwrap_or(true);
        (!was_inside).then_some(Inside(()))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let _past_end = IS_INSIDE.try_with(|inside| inside.set(false));
    }
}
