//! The programs that stand beside this folder, as functions, so that tests can call them.
#![forbid(unsafe_code)]

// Once in a crate, at its root and before the modules: it brings `span!` into scope.
span_runtime::lifecycle!(stream);

pub mod index;
