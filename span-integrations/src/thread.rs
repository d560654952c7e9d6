//! What is current goes along into threads of [`std::thread`].
//!
//! ```
//! use span_integrations::thread;
//! use span_runtime::start_span;
//!
//! let _import = start_span("import").start();
//! let chunk = thread::spawn(|| start_span("chunk").start().end()); // a child of `import`
//! # chunk.join().unwrap();
//!
//! let lines = ["a", "b"];
//! thread::scope(|scope| {
//!     for line in &lines {
//!         scope.spawn(move || start_span("line").attribute("line", *line).start().end());
//!     }
//! });
//! ```
//!
//! # Invariant
//!
//! A thread has what was current where it was spawned, a span or a trace or a runtime, until it ends. It does not keep that span open, and
//! what hangs on a span that has ended is its child all the same.
//!
//! # Hook
//!
//! None: the functions stand in for those of [`std::thread`]. For all other places to which closures go, such as
//! [`std::thread::Builder`] and thread pools, there is [`in_current_span`].
//!
//! # Attributes
//!
//! It makes no spans of its own; those that start in the thread have its name and id, as all have.

use std::fmt;
use std::thread::{JoinHandle, ScopedJoinHandle};

use crate::common;

/// Makes a closure that runs with what is current here, on whatever thread it is called.
///
/// ```
/// use span_integrations::thread::in_current_span;
///
/// let worker = std::thread::Builder::new().name("worker".to_owned()).spawn(in_current_span(|| { /* … */ }))?;
/// # worker.join().unwrap();
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn in_current_span<F: FnOnce() -> R, R>(f: F) -> impl FnOnce() -> R + use<F, R> {
    common::in_current_span(f)
}

/// As [`std::thread::spawn`], with what is current here.
///
/// ```
/// let thread = span_integrations::thread::spawn(|| 6 * 7);
/// assert_eq!(thread.join().unwrap(), 42);
/// ```
///
/// # Panics
///
/// Where the operating system cannot make a thread, as [`std::thread::spawn`] does.
pub fn spawn<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    std::thread::spawn(common::in_current_span(f))
}

/// As [`std::thread::scope`], with threads that have what is current where they are spawned.
///
/// ```
/// let numbers = vec![1, 2, 3];
/// let sum = span_integrations::thread::scope(|scope| scope.spawn(|| numbers.iter().sum::<i32>()).join().unwrap());
/// assert_eq!(sum, 6);
/// ```
///
/// # Panics
///
/// Where a thread panicked that nobody joined, as [`std::thread::scope`] does.
pub fn scope<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(Scope<'scope, 'env>) -> T,
{
    std::thread::scope(|scope| f(Scope { scope }))
}

/// A scope to spawn threads in; made by [`scope`]. It is copied into the closures of threads that spawn others, by `move`.
#[derive(Clone, Copy)]
pub struct Scope<'scope, 'env> {
    scope: &'scope std::thread::Scope<'scope, 'env>,
}

impl<'scope> Scope<'scope, '_> {
    /// As [`std::thread::Scope::spawn`], with what is current here.
    ///
    /// # Panics
    ///
    /// Where the operating system cannot make a thread.
    pub fn spawn<F, T>(&self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        self.scope.spawn(common::in_current_span(f))
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.scope.fmt(f)
    }
}
