//! The names of attributes, in one place.
//!
//! They follow Sentry's conventions for span attributes and, where those are silent, OpenTelemetry's semantic
//! conventions. Code elsewhere in this workspace uses these constants, so that a rename upstream is a change of
//! one line here.

/// What kind of work the span is: `function`, `db`, `http.server`, ...
pub const OP: &str = "sentry.op";
/// Who made the span: `manual`, or `auto.<category>.<library>`.
pub const ORIGIN: &str = "sentry.origin";
/// `stream` on every span of this crate.
pub const TRACE_LIFECYCLE: &str = "sentry.trace_lifecycle";
/// The SDK's name.
pub const SDK_NAME: &str = "sentry.sdk.name";
/// The SDK's version.
pub const SDK_VERSION: &str = "sentry.sdk.version";
/// The integrations that are in use, on segments.
pub const SDK_INTEGRATIONS: &str = "sentry.sdk.integrations";
/// The arguments of the process, on segments, where [`record_command_args`](crate::Options::record_command_args) asks for them.
pub const COMMAND_ARGS: &str = "process.command_args";
/// The release of the instrumented program.
pub const RELEASE: &str = "sentry.release";
/// The environment it runs in.
pub const ENVIRONMENT: &str = "sentry.environment";
/// The distribution of the release.
pub const DIST: &str = "sentry.dist";
/// `native` on segments.
pub const PLATFORM: &str = "sentry.platform";
/// The span id of the segment that a span belongs to.
pub const SEGMENT_ID: &str = "sentry.segment.id";
/// The name of that segment.
pub const SEGMENT_NAME: &str = "sentry.segment.name";
/// Where a segment's name comes from: `custom`, `url`, `route`, `view`, `component` or `task`.
pub const SEGMENT_NAME_SOURCE: &str = "sentry.segment.name.source";
/// The host that the program runs on.
pub const SERVER_ADDRESS: &str = "server.address";
/// The operating system's id of the thread that started the span, as a string.
pub const THREAD_ID: &str = "thread.id";
/// The name of that thread.
pub const THREAD_NAME: &str = "thread.name";
/// The operating system.
pub const OS_NAME: &str = "os.name";
/// `rustc`.
pub const RUNTIME_NAME: &str = "process.runtime.name";
/// The version of the compiler that built the program.
pub const RUNTIME_VERSION: &str = "process.runtime.version";
/// True on the span of a future that was dropped before it completed. (behaviour 8)
pub const CANCELLED: &str = "span.cancelled";
/// The text of the error that left an annotated function, where `err` asked for it.
pub const ERROR_MESSAGE: &str = "error.message";
/// The `Debug` form of what an annotated function returned, where `ret` asked for it.
pub const RETURN_VALUE: &str = "function.return_value";
