//! Ready-made spans for Rust libraries: one cargo feature and one module a library, both by the library's name, nothing on by default.
//!
//! The table in `docs/integrations.md` says of each module which versions of its library it is for, what it hooks into, and what its
//! spans are like. What has no module needs none to be traced: annotate functions with `#[span]` and wrap calls in `span!`, both from
//! `span-runtime`.
//!
//! # What holds for all modules
//!
//! * **A span of a module has** `sentry.op`, `sentry.origin` as `auto.<category>.<library>`, and a status: `error` where the operation
//!   failed, or panicked, and `span.cancelled` where it was dropped half way.
//! * **A module's spans are segments or children, never as it happens.** What begins work, such as a request that came in, is a segment
//!   where it is no child. What is a part of something, such as a query, is a child, and outside of any span it records
//!   nothing: such spans would be roots of traces of one.
//! * **Headers go out all the same.** Where nothing is recorded, a trace that came in is still passed on, to the targets that
//!   [`trace_propagation_targets`](span_runtime::Options::trace_propagation_targets) allows.
//! * **Sensitive data stay here.** No values that are bound to a query, no bodies, no credentials or query strings of URLs. What says who
//!   somebody is needs [`send_default_pii`](span_runtime::Options::send_default_pii).
//! * **A module can be off.** Without a runtime, or with tracing off, it does what the library does without it. Segments name the
//!   modules that are in use, in `sentry.sdk.integrations`.
//!
//! # The shape of a module
//!
//! For those who add one. Who has read one knows them all:
//!
//! 1. `src/NAME.rs`, or `src/NAME/` with a file for each role. The documentation at its top is in this order: what it does, in one line;
//!    an example that compiles; `# Invariant`, what is kept whatever happens; `# Hook`, what of the library it hooks into and what
//!    that cannot see; `# Attributes`, the span's name, op, origin, status and attributes, and which of them may be sensitive.
//! 2. The feature `NAME` in `Cargo.toml`, with the library by `dep:`, and `#[cfg(feature = "NAME")] pub mod NAME;` below.
//! 3. Names of attributes from [`span_runtime::names`]; one that is missing there is added there. Origin and name stand in the module,
//!    as `const ORIGIN` and `const NAME`. [`register_integration`](span_runtime::register_integration) is called where the user puts
//!    the module to use: in a constructor.
//! 4. Spans from `common::segment` or `common::child`, headers by `common::outgoing`, futures by `common::observe`, and what has several parts
//!    by `common::Work`.
//! 5. `tests/NAME.rs`, against the real library: success, error, timeout, cancellation half way, a panic, two operations at once on one
//!    task and on two threads, no runtime, unsampled. What was recorded is compared as text.
//! 6. A row in `docs/integrations.md`; `tests/documented.rs` looks for it, and for the test.
#![forbid(unsafe_code)]

mod common;

#[cfg(feature = "actix-web")]
pub mod actix_web;
#[cfg(feature = "anyhow")]
pub mod anyhow;
#[cfg(feature = "axum")]
pub mod axum;
#[cfg(feature = "diesel")]
pub mod diesel;
#[cfg(feature = "error")]
pub mod error;
#[cfg(feature = "log")]
pub mod log;
#[cfg(feature = "panic")]
pub mod panic;
#[cfg(feature = "rayon")]
pub mod rayon;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "reqwest")]
pub mod reqwest;
#[cfg(feature = "reqwest-middleware")]
pub mod reqwest_middleware;
#[cfg(feature = "sentry")]
pub mod sentry;
#[cfg(feature = "sqlx")]
pub mod sqlx;
#[cfg(feature = "thread")]
pub mod thread;
#[cfg(feature = "tokio")]
pub mod tokio;
#[cfg(feature = "tonic")]
pub mod tonic;
#[cfg(feature = "tower")]
pub mod tower;
#[cfg(feature = "tracing")]
pub mod tracing;
