//! Ready-made spans for Rust libraries: one cargo feature and one module a library, nothing on by default.
//!
//! No library has its module yet. Until one has, annotate functions with `#[span]` and wrap calls in
//! `span!`, both from `span-runtime`.
#![forbid(unsafe_code)]
