//! Panics, with their message and place, on the span that they happen in.
//!
//! ```
//! // Behind `span_runtime::init`, or before it.
//! span_integrations::panic::install();
//! ```
//!
//! # Invariant
//!
//! The hook that was there before runs as ever. Ours never panics, takes no lock that the panicking code may hold, and makes no span.
//!
//! # Hook
//!
//! [`std::panic::set_hook`]. It runs where the panic begins, on the span that is current there, before anything unwinds. The status is
//! not its business: a span becomes an error when the panic leaves it, with this module and without, and one in which the panic is caught
//! stays what it is. A panic that another one resumes, as the pools of rayon and tokio's `JoinError` do, is one.
//!
//! Where panics abort the process, nothing unwinds and no guard is dropped: the spans that are open are lost, and the hook
//! [sends](PanicHook::flush) those that have ended. An exit needs no hook of this module: at [`std::process::exit`] `span-runtime` sends
//! them itself.
//!
//! # Attributes
//!
//! It makes no spans. The one that the panic happens in has:
//!
//! | | |
//! | --- | --- |
//! | `error.type` | `panic` |
//! | `error.message` | the panic's message, where it is a text; may be sensitive: [`message`](PanicHook::message) leaves it out |
//! | `error.location` | where the panic is, as `src/cart.rs:12:5` |
//! | `exception.stacktrace` | the backtrace, with [`backtrace`](PanicHook::backtrace) |

use std::backtrace::Backtrace;
use std::panic::{self, PanicHookInfo};
use std::time::Duration;

use span_runtime::{Parent, current_span, display, names, register_integration};

const NAME: &str = "panic";

/// How long a process that aborts waits for what has ended to be sent.
const BEFORE_ABORT: Duration = Duration::from_secs(2);

/// Installs the hook with its defaults.
///
/// ```
/// span_integrations::panic::install();
/// ```
///
/// # Panics
///
/// In a thread that panics already, as [`std::panic::set_hook`] does.
pub fn install() {
    PanicHook::new().install();
}

/// The hook, before it is installed.
///
/// ```
/// use span_integrations::panic::PanicHook;
///
/// PanicHook::new().message(false).backtrace(true).install();
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is hooked until it is installed"]
pub struct PanicHook {
    message: bool,
    backtrace: bool,
    flush: Option<Duration>,
}

impl Default for PanicHook {
    fn default() -> Self {
        Self::new()
    }
}

impl PanicHook {
    /// One with the defaults.
    pub fn new() -> Self {
        PanicHook { message: true, backtrace: false, flush: cfg!(panic = "abort").then_some(BEFORE_ABORT) }
    }

    /// Whether the panic's message is recorded; true by default. It may quote what the code was given.
    pub fn message(mut self, is_recorded: bool) -> Self {
        self.message = is_recorded;
        self
    }

    /// Whether a backtrace is recorded; false by default. To make one takes milliseconds.
    pub fn backtrace(mut self, is_recorded: bool) -> Self {
        self.backtrace = is_recorded;
        self
    }

    /// Sends the spans that have ended before the panic goes on, which waits for them at most this long: for processes that do not outlive
    /// a panic. The default is 2 s where panics abort, and not to send anything where they unwind.
    pub fn flush(mut self, timeout: Duration) -> Self {
        self.flush = Some(timeout);
        self
    }

    /// Installs it, before the hook that is there.
    ///
    /// # Panics
    ///
    /// In a thread that panics already, as [`std::panic::set_hook`] does.
    pub fn install(self) {
        register_integration(NAME);
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            self.tell(info);
            before(info);
        }));
    }

    fn tell(&self, info: &PanicHookInfo<'_>) {
        let span = current_span();
        if span.is_sampled() {
            span.set_attribute(names::ERROR_TYPE, NAME);
            span.set_attribute(names::ERROR_MESSAGE, message_of(info).filter(|_| self.message));
            span.set_attribute(names::ERROR_LOCATION, info.location().map(|location| location.to_string()));
            if self.backtrace {
                span.set_attribute(names::EXCEPTION_STACKTRACE, display(Backtrace::force_capture()));
            }
        }
        // On a thread of the runtime's own, which does not record, this would wait for itself.
        if let Some(timeout) = self.flush.filter(|_| Parent::ROOT.may_record()) {
            span_runtime::flush(timeout);
        }
    }
}

fn message_of<'i>(info: &'i PanicHookInfo<'_>) -> Option<&'i str> {
    let payload = info.payload();
    payload.downcast_ref::<&'static str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}
