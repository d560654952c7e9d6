//! What is current goes along into the jobs of [`rayon`] 1.
//!
//! ```
//! use rayon::prelude::*;
//! use span_integrations::rayon::InCurrentSpan as _;
//! use span_runtime::start_span;
//!
//! let _import = start_span("import").start();
//! let total: usize = ["a", "bc"]
//!     .par_iter()
//!     .map(|line| {
//!         let _line = start_span("line").start(); // a child of `import`, on whatever thread
//!         line.len()
//!     })
//!     .in_current_span()
//!     .sum();
//! assert_eq!(total, 3);
//!
//! span_integrations::rayon::join(|| start_span("left").start().end(), || start_span("right").start().end());
//! ```
//!
//! # Invariant
//!
//! A job has what was current where it was made, also where a thread that waits for another job takes it up in between. Afterwards
//! that thread has what it had before.
//!
//! # Hook
//!
//! Rayon has none: functions stand in for its own, and an adaptor of parallel iterators. Whatever else takes a closure takes
//! [`in_current_span`]. Jobs that are made without these have what is current on the thread that happens to run them.
//!
//! # Attributes
//!
//! It makes no spans of its own. Those that a panic goes through have status `error`, as everywhere.

mod iter;

use std::fmt;

use ::rayon::ThreadPool;

use crate::common;

pub use iter::{Carried, InCurrentSpan};

/// Makes a closure that runs with what is current here, on whatever thread it is called.
///
/// ```
/// use span_integrations::rayon::in_current_span;
///
/// rayon::spawn_fifo(in_current_span(|| { /* … */ }));
/// ```
pub fn in_current_span<F: FnOnce() -> R, R>(f: F) -> impl FnOnce() -> R + use<F, R> {
    common::in_current_span(f)
}

/// As [`rayon::join`], with what is current here in both.
///
/// ```
/// assert_eq!(span_integrations::rayon::join(|| 1, || 2), (1, 2));
/// ```
pub fn join<A, B, RA, RB>(a: A, b: B) -> (RA, RB)
where
    A: FnOnce() -> RA + Send,
    B: FnOnce() -> RB + Send,
    RA: Send,
    RB: Send,
{
    ::rayon::join(common::in_current_span(a), common::in_current_span(b))
}

/// As [`rayon::spawn`], with what is current here.
///
/// ```
/// let (sender, receiver) = std::sync::mpsc::channel();
/// span_integrations::rayon::spawn(move || sender.send(42).unwrap());
/// assert_eq!(receiver.recv(), Ok(42));
/// ```
pub fn spawn<F: FnOnce() + Send + 'static>(f: F) {
    ::rayon::spawn(common::in_current_span(f));
}

/// As [`ThreadPool::install`], with what is current here.
///
/// It is current for the closure itself and for what that joins by [`join`]; a parallel iterator in it takes it on by
/// [`in_current_span`](InCurrentSpan::in_current_span).
///
/// ```
/// let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
/// assert_eq!(span_integrations::rayon::install(&pool, || 42), 42);
/// ```
pub fn install<F, R>(pool: &ThreadPool, f: F) -> R
where
    F: FnOnce() -> R + Send,
    R: Send,
{
    pool.install(common::in_current_span(f))
}

/// As [`rayon::scope`], with what is current here in the closure and in the jobs that it spawns.
///
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering};
///
/// let sum = AtomicU32::new(0);
/// span_integrations::rayon::scope(|scope| {
///     for number in 1..=3 {
///         let sum = &sum;
///         scope.spawn(move |_| {
///             sum.fetch_add(number, Ordering::Relaxed);
///         });
///     }
/// });
/// assert_eq!(sum.into_inner(), 6);
/// ```
pub fn scope<'scope, F, R>(f: F) -> R
where
    F: FnOnce(Scope<'_, 'scope>) -> R + Send,
    R: Send,
{
    let here = span_runtime::Context::current();
    ::rayon::scope(|scope| here.run(|| f(Scope(scope))))
}

/// A scope to spawn jobs in; made by [`scope`].
#[derive(Clone, Copy)]
pub struct Scope<'s, 'scope>(&'s ::rayon::Scope<'scope>);

impl<'scope> Scope<'_, 'scope> {
    /// As [`rayon::Scope::spawn`], with what is current here.
    pub fn spawn<F>(&self, f: F)
    where
        F: FnOnce(Scope<'_, 'scope>) + Send + 'scope,
    {
        let here = span_runtime::Context::current();
        self.0.spawn(move |scope| here.run(|| f(Scope(scope))));
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
