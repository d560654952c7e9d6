//! The seam for model checking: what two threads share in the hand-over, from the standard library and crossbeam, or from loom
//! in a test that is built with `--cfg loom`. Nothing else in this module's files may be shared between threads.
//!
//! `park_timeout` is the one thing that is not the same on both sides: loom knows no time, so there a sleep ends only when it is
//! ended. What would be a delay is a deadlock in a model, which loom finds.

#[cfg(all(loom, test))]
pub(super) use super::models::stand_ins::*;
#[cfg(not(all(loom, test)))]
pub(super) use real::*;

#[cfg(not(all(loom, test)))]
mod real {
    pub(crate) use std::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering, fence};
    pub(crate) use std::sync::{Arc, OnceLock};
    pub(crate) use std::thread::{Thread, current, park_timeout};

    pub(crate) use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

    /// The standard library's, with loom's way to its content.
    #[derive(Debug)]
    #[repr(transparent)]
    pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(crate) const fn new(value: T) -> Self {
            UnsafeCell(std::cell::UnsafeCell::new(value))
        }

        /// Nobody else may look at the content during the call.
        #[inline(always)]
        pub(crate) fn with_mut<R>(&self, access: impl FnOnce(*mut T) -> R) -> R {
            access(self.0.get())
        }
    }
}
