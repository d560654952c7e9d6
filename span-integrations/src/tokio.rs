//! What is current goes along into tasks of [`tokio`] 1.
//!
//! ```
//! use span_integrations::tokio::{JoinSet, spawn, spawn_blocking};
//! use span_runtime::prelude::*;
//!
//! # async fn fetch(part: u32) -> u32 { part }
//! #[span(name = "fetch all")]
//! async fn fetch_all() -> Result<u32, tokio::task::JoinError> {
//!     let one = spawn(fetch(1)).await?; // what starts in it is below `fetch all`
//!     let two = spawn_blocking(|| 2).await?;
//!     let mut rest = JoinSet::new();
//!     rest.spawn(fetch(3));
//!     Ok(one + two + rest.join_all().await.iter().sum::<u32>())
//! }
//! # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
//! # assert_eq!(runtime.block_on(fetch_all()).unwrap(), 6);
//! ```
//!
//! # Invariant
//!
//! A task has what was current where it was spawned, a span or a trace or a runtime, at each poll and on whatever thread, also while it is
//! dropped. It does not keep that span open, and what hangs on a span that has ended is its child all the same.
//!
//! # Hook
//!
//! None: functions and types stand in for those of tokio. Whatever else takes a future takes `future.in_current_span()`, of
//! [`Instrument`](span_runtime::Instrument), and whatever takes a closure takes [`in_current_span`]. `block_on` and `block_in_place` stay on
//! their thread, and need nothing.
//!
//! # Attributes
//!
//! It makes no spans of its own. Of a task that is aborted, or whose `JoinSet` is dropped, the spans in it have `span.cancelled`; those
//! that a panic goes through have status `error`.

use std::fmt;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::task::{Context, Poll};

use ::tokio::runtime::Handle;
use ::tokio::task::{self, AbortHandle, JoinHandle};
use span_runtime::Instrument as _;

use crate::common;

/// Makes a closure that runs with what is current here, on whatever thread it is called.
///
/// ```
/// use span_integrations::tokio::in_current_span;
///
/// # fn example(handle: &tokio::runtime::Handle) {
/// handle.spawn_blocking(in_current_span(|| { /* … */ }));
/// # }
/// ```
pub fn in_current_span<F: FnOnce() -> R, R>(f: F) -> impl FnOnce() -> R + use<F, R> {
    common::in_current_span(f)
}

/// As [`tokio::spawn`], with what is current here.
///
/// # Panics
///
/// Outside of a runtime of tokio, as [`tokio::spawn`] does.
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    ::tokio::spawn(future.in_current_span())
}

/// As [`tokio::task::spawn_blocking`], with what is current here.
///
/// # Panics
///
/// Outside of a runtime of tokio, as [`tokio::task::spawn_blocking`] does.
#[track_caller]
pub fn spawn_blocking<F, R>(f: F) -> JoinHandle<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    task::spawn_blocking(common::in_current_span(f))
}

/// As [`tokio::task::spawn_local`], with what is current here.
///
/// # Panics
///
/// Outside of a [`LocalSet`], as [`tokio::task::spawn_local`] does.
#[track_caller]
pub fn spawn_local<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    task::spawn_local(future.in_current_span())
}

/// As [`tokio::task::JoinSet`], with tasks that have what is current where they are spawned. All else is tokio's, by [`Deref`].
///
/// ```
/// use span_integrations::tokio::JoinSet;
///
/// # async fn example() {
/// let mut tasks = JoinSet::new();
/// tasks.spawn(async { 1 });
/// tasks.spawn_blocking(|| 2);
/// while let Some(result) = tasks.join_next().await {
///     println!("{result:?}");
/// }
/// # }
/// ```
pub struct JoinSet<T>(task::JoinSet<T>);

impl<T> JoinSet<T> {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        JoinSet(task::JoinSet::new())
    }

    /// As [`tokio::task::JoinSet::join_all`].
    ///
    /// # Panics
    ///
    /// Where one of the tasks panicked or was aborted.
    pub async fn join_all(self) -> Vec<T>
    where
        T: 'static,
    {
        self.0.join_all().await
    }

    /// The set of tokio's.
    pub fn into_inner(self) -> task::JoinSet<T> {
        self.0
    }
}

impl<T: 'static> JoinSet<T> {
    /// As [`tokio::task::JoinSet::spawn`], with what is current here.
    ///
    /// # Panics
    ///
    /// Outside of a runtime of tokio.
    #[track_caller]
    pub fn spawn<F>(&mut self, future: F) -> AbortHandle
    where
        F: Future<Output = T> + Send + 'static,
        T: Send,
    {
        self.0.spawn(future.in_current_span())
    }

    /// As [`tokio::task::JoinSet::spawn_on`], with what is current here.
    #[track_caller]
    pub fn spawn_on<F>(&mut self, future: F, handle: &Handle) -> AbortHandle
    where
        F: Future<Output = T> + Send + 'static,
        T: Send,
    {
        self.0.spawn_on(future.in_current_span(), handle)
    }

    /// As [`tokio::task::JoinSet::spawn_local`], with what is current here.
    ///
    /// # Panics
    ///
    /// Outside of a [`LocalSet`].
    #[track_caller]
    pub fn spawn_local<F>(&mut self, future: F) -> AbortHandle
    where
        F: Future<Output = T> + 'static,
    {
        self.0.spawn_local(future.in_current_span())
    }

    /// As [`tokio::task::JoinSet::spawn_blocking`], with what is current here.
    ///
    /// # Panics
    ///
    /// Outside of a runtime of tokio.
    #[track_caller]
    pub fn spawn_blocking<F>(&mut self, f: F) -> AbortHandle
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send,
    {
        self.0.spawn_blocking(common::in_current_span(f))
    }
}

impl<T> Default for JoinSet<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> From<task::JoinSet<T>> for JoinSet<T> {
    fn from(set: task::JoinSet<T>) -> Self {
        JoinSet(set)
    }
}

impl<T> Deref for JoinSet<T> {
    type Target = task::JoinSet<T>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<T> DerefMut for JoinSet<T> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl<T> fmt::Debug for JoinSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// As [`tokio::task::LocalSet`], with tasks that have what is current where they are spawned. All else is tokio's, by [`Deref`].
///
/// ```
/// use span_integrations::tokio::LocalSet;
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// let local = LocalSet::new();
/// let task = local.spawn_local(async { 6 * 7 });
/// assert_eq!(local.block_on(&runtime, task).unwrap(), 42);
/// ```
#[derive(Debug, Default)]
pub struct LocalSet(task::LocalSet);

impl LocalSet {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        LocalSet(task::LocalSet::new())
    }

    /// As [`tokio::task::LocalSet::spawn_local`], with what is current here.
    #[track_caller]
    pub fn spawn_local<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.0.spawn_local(future.in_current_span())
    }
}

impl Future for LocalSet {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.get_mut().0).poll(context)
    }
}

impl Deref for LocalSet {
    type Target = task::LocalSet;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}
