//! The names of attributes, in one place.
//!
//! They follow [Sentry's conventions](https://getsentry.github.io/sentry-conventions/) for span attributes and, where those are
//! silent, [OpenTelemetry's](https://opentelemetry.io/docs/specs/semconv/registry/attributes/); each says which. Code elsewhere in
//! this workspace uses these constants, so that a rename upstream is a change of one line here. What does not are the macros and the
//! messages of the compiler, which cannot, and the checker in the module `testing`, which would otherwise believe a wrong name.

/// What kind of work the span is: `function`, `db`, `http.server`, ... (Sentry's conventions)
pub const OP: &str = "sentry.op";
/// Who made the span: `manual`, or `auto.<category>.<library>`. (Sentry's conventions)
pub const ORIGIN: &str = "sentry.origin";
/// `stream` on every span of this crate. (Sentry's conventions)
pub const TRACE_LIFECYCLE: &str = "sentry.trace_lifecycle";
/// The SDK's name. (Sentry's conventions)
pub const SDK_NAME: &str = "sentry.sdk.name";
/// The SDK's version. (Sentry's conventions)
pub const SDK_VERSION: &str = "sentry.sdk.version";
/// The integrations that are in use, on segments. (Sentry's conventions)
pub const SDK_INTEGRATIONS: &str = "sentry.sdk.integrations";
/// The arguments of the process, on segments, where [`record_command_args`](crate::Options::record_command_args) asks for them.
/// (Sentry's conventions, which have it from OpenTelemetry's resource `process`)
pub const COMMAND_ARGS: &str = "process.command_args";
/// The release of the instrumented program. (Sentry's conventions)
pub const RELEASE: &str = "sentry.release";
/// The environment it runs in. (Sentry's conventions)
pub const ENVIRONMENT: &str = "sentry.environment";
/// The distribution of the release. (Sentry's conventions)
pub const DIST: &str = "sentry.dist";
/// `native` on segments. (Sentry's conventions)
pub const PLATFORM: &str = "sentry.platform";
/// The span id of the segment that a span belongs to. (Sentry's conventions)
pub const SEGMENT_ID: &str = "sentry.segment.id";
/// The name of that segment. (Sentry's conventions)
pub const SEGMENT_NAME: &str = "sentry.segment.name";
/// Where a segment's name comes from: `custom`, `url`, `route`, `view`, `component` or `task`. (Sentry's conventions; the SDK documents
/// also know it as `sentry.span.source`)
pub const SEGMENT_NAME_SOURCE: &str = "sentry.segment.name.source";
/// The host that the program runs on. (Sentry's conventions, which have it from OpenTelemetry's `server`)
pub const SERVER_ADDRESS: &str = "server.address";
/// The operating system's id of the thread that started the span, as a string. (Sentry's conventions, which have it from OpenTelemetry's
/// `thread`, where it is a number)
pub const THREAD_ID: &str = "thread.id";
/// The name of that thread. (Sentry's conventions, which have it from OpenTelemetry's `thread`)
pub const THREAD_NAME: &str = "thread.name";
/// The operating system. (Sentry's conventions, which have it from OpenTelemetry's resource `os`)
pub const OS_NAME: &str = "os.name";
/// `rustc`. (Sentry's conventions, which have it from OpenTelemetry's resource `process`)
pub const RUNTIME_NAME: &str = "process.runtime.name";
/// The version of the compiler that built the program. (Sentry's conventions, which have it from OpenTelemetry's resource `process`)
pub const RUNTIME_VERSION: &str = "process.runtime.version";
/// True on the span of a future that was dropped before it completed. (this crate's own: neither has a name for it; behaviour 8)
pub const CANCELLED: &str = "span.cancelled";
/// The text of the error that left an annotated function, where `err` asked for it. (OpenTelemetry's `error`)
pub const ERROR_MESSAGE: &str = "error.message";
/// The `Debug` form of what an annotated function returned, where `ret` asked for it. (this crate's own: neither has a name for it)
pub const RETURN_VALUE: &str = "function.return_value";

/// What Sentry's own names begin with. (Sentry's conventions)
pub(crate) const SENTRY: &str = "sentry.";

/// Attributes that are a query string, or a fragment, by themselves.
pub(crate) const QUERIES: [&str; 5] = [
    // OpenTelemetry's `url`.
    "url.query",
    "url.fragment",
    // Sentry's conventions.
    "http.query",
    "http.fragment",
    // As other tracers write it.
    "http.query_string",
];

/// Attributes that are a URL, or what is behind the host of one.
pub(crate) const URLS: [&str; 6] = [
    // OpenTelemetry's `url`.
    "url.full",
    "url.path",
    // OpenTelemetry's `http`, the former two as they were before `url` was.
    "http.url",
    "http.target",
    "http.route",
    // Sentry's conventions, deprecated.
    "url",
];

/// Attributes that say who somebody is or which address they have.
pub(crate) const PERSONAL: [&str; 12] = [
    // OpenTelemetry's `client`, `network` and `source`.
    "client.address",
    "network.peer.address",
    "source.address",
    // The same as OpenTelemetry called them before.
    "http.client_ip",
    "net.peer.ip",
    "net.sock.peer.addr",
    "net.sock.peer.name",
    // As Sentry's events and applications write it.
    "user",
    "user_id",
    "enduser",
    "ip_address",
    "remote_addr",
];

/// What other such attributes begin with: Sentry's and OpenTelemetry's `user`, OpenTelemetry's `enduser`.
pub(crate) const PERSONAL_FAMILIES: [&str; 2] = ["user.", "enduser."];

/// What the attributes of a request's headers begin with. (Sentry's conventions, which have it from OpenTelemetry's `http`)
pub(crate) const REQUEST_HEADER: &str = "http.request.header.";
