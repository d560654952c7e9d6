//! A crate's declared lifecycle, as the macros' expansions find it. (behaviour 3)
//!
//! [`lifecycle!`](crate::lifecycle!) makes a type alias `__SpanLifecycle` at the root of the crate. An expansion asks for it where two
//! globs are in scope, the crate's root in the inner block and this module in the outer one, so that the alias here is
//! what a crate without a declaration finds. The checks are constants: nothing of them is left at run time.

/// What is declared where nothing is.
pub type __SpanLifecycle = DeclaredNothing;

/// A crate without a declaration: its spans stream.
#[derive(Debug)]
pub struct DeclaredNothing;

/// A crate that declared `lifecycle!(stream)`.
#[derive(Debug)]
pub struct DeclaredStream;

/// A crate that declared `lifecycle!(static)`.
#[derive(Debug)]
pub struct DeclaredStatic;

/// Where `#[span]` may stand.
#[diagnostic::on_unimplemented(
    message = "`#[span]` streams, and this crate declared `span_runtime::lifecycle!(static)`",
    label = "a span of the streaming API, in a crate of the legacy one",
    note = "write `#[transaction(name = \"…\", op = \"…\")]`, or declare `span_runtime::lifecycle!(stream)` and move the crate over"
)]
pub trait Streams {}
impl Streams for DeclaredNothing {}
impl Streams for DeclaredStream {}

/// Where `span!` may stand.
#[diagnostic::on_unimplemented(
    message = "`span!` streams, and this crate declared `span_runtime::lifecycle!(static)`",
    label = "a span of the streaming API, in a crate of the legacy one",
    note = "write `let child = transaction.start_child(\"op\", \"description\");` and `child.finish()`, or declare \
            `span_runtime::lifecycle!(stream)` and move the crate over"
)]
pub trait BlockStreams {}
impl BlockStreams for DeclaredNothing {}
impl BlockStreams for DeclaredStream {}

/// Where `#[transaction]` may stand.
#[diagnostic::on_unimplemented(
    message = "`#[transaction]` belongs to the legacy API, and this crate does not declare `span_runtime::lifecycle!(static)`",
    label = "a transaction, in a crate that streams",
    note = "write `#[span(name = \"…\")]`; the op becomes `attributes(\"sentry.op\" = \"…\")`"
)]
pub trait Transacts {}
impl Transacts for DeclaredStatic {}

/// Compiles in a crate that may use `#[span]`.
pub const fn __span_streams<L: Streams>() {}

/// Compiles in a crate that may use `span!`.
pub const fn __span_block_streams<L: BlockStreams>() {}

/// Compiles in a crate that may use `#[transaction]`.
pub const fn __span_transacts<L: Transacts>() {}
