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

/// The causes of that error, the nearest first, as texts. (this crate's own: neither has a name for it)
pub const ERROR_CAUSES: &str = "error.causes";
/// The kind of error: a type's name or a protocol's code. (Sentry's conventions, which have it from OpenTelemetry's `error`)
pub const ERROR_TYPE: &str = "error.type";
/// Where in the code it arose, as `file:line:column`. (this crate's own: neither has a name for it)
pub const ERROR_LOCATION: &str = "error.location";
/// The frames of the stack where it arose, as text. (Sentry's conventions, which have it from OpenTelemetry's `exception`)
pub const EXCEPTION_STACKTRACE: &str = "exception.stacktrace";
/// What was said of the status, where there is more to say than that it is an error. (Sentry's conventions)
pub const STATUS_MESSAGE: &str = "sentry.status.message";
/// Which side of a call the span is: `server`, `client`, `producer`, `consumer` or `internal`. (Sentry's conventions)
pub const KIND: &str = "sentry.kind";

/// The port of `server.address`. (Sentry's conventions, which have it from OpenTelemetry's `server`)
pub const SERVER_PORT: &str = "server.port";
/// Who called: an address, sent only with [`send_default_pii`](crate::Options::send_default_pii). (Sentry's conventions, which have it
/// from OpenTelemetry's `client`)
pub const CLIENT_ADDRESS: &str = "client.address";
/// The protocol on top of the transport: `http`. (Sentry's conventions, which have it from OpenTelemetry's `network`)
pub const NETWORK_PROTOCOL_NAME: &str = "network.protocol.name";
/// Its version: `1.1`, `2`. (Sentry's conventions, which have it from OpenTelemetry's `network`)
pub const NETWORK_PROTOCOL_VERSION: &str = "network.protocol.version";
/// What the client says that it is. (Sentry's conventions, which have it from OpenTelemetry's `user_agent`)
pub const USER_AGENT: &str = "user_agent.original";

/// The whole URL. (Sentry's conventions, which have it from OpenTelemetry's `url`)
pub const URL_FULL: &str = "url.full";
/// `https`. (Sentry's conventions, which have it from OpenTelemetry's `url`)
pub const URL_SCHEME: &str = "url.scheme";
/// What is behind the host. (Sentry's conventions, which have it from OpenTelemetry's `url`)
pub const URL_PATH: &str = "url.path";
/// What is behind the question mark. (Sentry's conventions, which have it from OpenTelemetry's `url`)
pub const URL_QUERY: &str = "url.query";
/// What is behind the number sign. (Sentry's conventions, which have it from OpenTelemetry's `url`)
pub const URL_FRAGMENT: &str = "url.fragment";

/// `GET`. (Sentry's conventions, which have it from OpenTelemetry's `http`)
pub const HTTP_REQUEST_METHOD: &str = "http.request.method";
/// How often a request was sent again. (Sentry's conventions, which have it from OpenTelemetry's `http`)
pub const HTTP_REQUEST_RESEND_COUNT: &str = "http.request.resend_count";
/// The bytes of a request's body. (Sentry's conventions, which have it from OpenTelemetry's `http`)
pub const HTTP_REQUEST_BODY_SIZE: &str = "http.request.body.size";
/// 200. (Sentry's conventions, which have it from OpenTelemetry's `http`)
pub const HTTP_RESPONSE_STATUS_CODE: &str = "http.response.status_code";
/// The bytes of a response's body. (Sentry's conventions, which have it from OpenTelemetry's `http`)
pub const HTTP_RESPONSE_BODY_SIZE: &str = "http.response.body.size";
/// The route that matched, with its placeholders. (Sentry's conventions, which have it from OpenTelemetry's `http`)
pub const HTTP_ROUTE: &str = "http.route";

/// `grpc`. (Sentry's conventions, which have it from OpenTelemetry's `rpc`)
pub const RPC_SYSTEM: &str = "rpc.system";
/// The service that is called. (Sentry's conventions, which have it from OpenTelemetry's `rpc`)
pub const RPC_SERVICE: &str = "rpc.service";
/// The method of it. (Sentry's conventions, which have it from OpenTelemetry's `rpc`)
pub const RPC_METHOD: &str = "rpc.method";
/// The status that the call ended with. (Sentry's conventions, which have it from OpenTelemetry's `rpc`)
pub const RPC_RESPONSE_STATUS_CODE: &str = "rpc.response.status_code";

/// `postgresql`, `sqlite`, `redis`. (Sentry's conventions, which have it from OpenTelemetry's `db`)
pub const DB_SYSTEM_NAME: &str = "db.system.name";
/// The database in that system. (Sentry's conventions, which have it from OpenTelemetry's `db`)
pub const DB_NAMESPACE: &str = "db.namespace";
/// The table. (Sentry's conventions, which have it from OpenTelemetry's `db`)
pub const DB_COLLECTION_NAME: &str = "db.collection.name";
/// `SELECT`. (Sentry's conventions, which have it from OpenTelemetry's `db`)
pub const DB_OPERATION_NAME: &str = "db.operation.name";
/// How many operations went in one. (Sentry's conventions, which have it from OpenTelemetry's `db`)
pub const DB_OPERATION_BATCH_SIZE: &str = "db.operation.batch.size";
/// The query, with placeholders and without values. (Sentry's conventions, which have it from OpenTelemetry's `db`)
pub const DB_QUERY_TEXT: &str = "db.query.text";
/// The query in a few words. (Sentry's conventions, which have it from OpenTelemetry's `db`)
pub const DB_QUERY_SUMMARY: &str = "db.query.summary";
/// How many rows came back. (OpenTelemetry's `db`)
pub const DB_RESPONSE_RETURNED_ROWS: &str = "db.response.returned_rows";
/// The library that made the query. (Sentry's conventions)
pub const DB_DRIVER_NAME: &str = "db.driver.name";
/// The database's user. (Sentry's conventions)
pub const DB_USER: &str = "db.user";

/// The keys of what was looked for, as a list. (Sentry's conventions)
pub const CACHE_KEY: &str = "cache.key";
/// Whether it was there. (Sentry's conventions)
pub const CACHE_HIT: &str = "cache.hit";
/// The bytes of it. (Sentry's conventions)
pub const CACHE_ITEM_SIZE: &str = "cache.item_size";

/// What a call of a model does: `chat`, `embeddings`, `execute_tool`. (Sentry's conventions, which have it from OpenTelemetry's `gen_ai`)
pub const GEN_AI_OPERATION_NAME: &str = "gen_ai.operation.name";

/// `kafka`. (Sentry's conventions, which have it from OpenTelemetry's `messaging`)
pub const MESSAGING_SYSTEM: &str = "messaging.system";

/// The file of the code that made the span. (Sentry's conventions, which have it from OpenTelemetry's `code`)
pub const CODE_FILE_PATH: &str = "code.file.path";
/// The line in it. (Sentry's conventions, which have it from OpenTelemetry's `code`)
pub const CODE_LINE_NUMBER: &str = "code.line.number";
/// The module around it. (Sentry's conventions, which have it from OpenTelemetry's `code`; both would rather have it in
/// `code.function.name`, which needs a function's name)
pub const CODE_NAMESPACE: &str = "code.namespace";
/// The level that `tracing` gives a span. (this crate's own: Sentry's conventions have one for logs only)
pub const TRACING_LEVEL: &str = "tracing.level";

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
pub const REQUEST_HEADER: &str = "http.request.header.";
