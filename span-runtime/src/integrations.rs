//! The integrations that are in use, which segments name. (behaviour 39)

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

static REGISTERED: Mutex<Vec<&'static str>> = Mutex::new(Vec::new());
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Has segments name an integration in `sentry.sdk.integrations`, from now on and in all runtimes of the process; to be called by the
/// integration, once or as often as one likes.
///
/// What it makes of a library's work are spans as any other: the attributes that it [starts them
/// with](crate::SpanBuilder::attribute) are seen by sampling and by `ignore_spans`, and
/// [`names::ORIGIN`](crate::names::ORIGIN) among them says who made them.
///
/// ```
/// use span_runtime::{names, register_integration, start_span};
///
/// register_integration("shop-queue");
/// start_span("process order").attribute(names::ORIGIN, "auto.queue.shop").attribute(names::OP, "queue.process").start().end();
/// ```
pub fn register_integration(name: &'static str) {
    let mut registered = REGISTERED.lock().unwrap_or_else(PoisonError::into_inner);
    if !registered.contains(&name) {
        registered.push(name);
        // Release: whoever sees the count finds the name; the lock sees to it as well.
        COUNT.store(registered.len(), Ordering::Release);
    }
}

/// How many there are.
pub(crate) fn count() -> usize {
    COUNT.load(Ordering::Acquire)
}

/// All of them, in the order in which they registered.
pub(crate) fn registered() -> Vec<&'static str> {
    REGISTERED.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
