//! The programs that stand beside this folder, as functions, so that tests can call them.
#![forbid(unsafe_code)]

// Once in a crate, at its root and before the modules: it brings `span!` into scope.
#[cfg(not(feature = "static"))]
span_runtime::lifecycle!(stream);

// With the feature `static`, the same program makes transactions: this brings the legacy API in as `crate::legacy`.
#[cfg(feature = "static")]
span_runtime::lifecycle!(static);

pub mod index;
