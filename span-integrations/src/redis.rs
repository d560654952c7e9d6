//! Spans of the commands of [`redis`] 1.8 and later, on its blocking and its async connections.
//!
//! ```no_run
//! # async fn example() -> redis::RedisResult<()> {
//! use redis::AsyncCommands as _;
//!
//! let url = "redis://localhost/1";
//! let connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
//! let mut connection = span_integrations::redis::traced(connection).at(url).cache(["page:"]);
//!
//! let page: Option<String> = connection.get("page:/about").await?;
//! # drop(page);
//! # Ok(())
//! # }
//! ```
//!
//! # Invariant
//!
//! Commands and answers are what they are without it. A span ends when its command is answered, fails, or is dropped. Outside of
//! any span nothing is recorded.
//!
//! # Hook
//!
//! [`ConnectionLike`], the blocking one and the [async](aio::ConnectionLike) one, around any connection that is one: a
//! `Connection`, a `MultiplexedConnection`, a `ConnectionManager`, and those of a cluster. Clones of a connection are clones of
//! it with this around it.
//!
//! It does not see what does not go through that trait: connecting, messages that are subscribed to, a `ClusterPipeline` on a blocking
//! connection, and what connections say among themselves, such as to find a cluster's nodes.
//!
//! # Attributes
//!
//! Each span is a child of the current one.
//!
//! | | |
//! | --- | --- |
//! | name | the command, `GET`; `PIPELINE` or `MULTI` for what goes at once |
//! | `sentry.op`, `sentry.origin` | `db.redis`, `auto.db.redis` |
//! | status | `error` where the server refuses a command or does not answer, and for a panic; `span.cancelled` where the answer was not waited for |
//! | `db.system.name` | `redis` |
//! | `db.driver.name` | `redis` |
//! | `db.operation.name` | `GET`, `PIPELINE` |
//! | `db.query.text` | the commands with a `?` for each argument: keys are not recorded, nor are values |
//! | `db.operation.batch.size` | how many commands went at once |
//! | `db.namespace` | the number of the database |
//! | `server.address`, `server.port`, `db.user` | from [the URL](Traced::at), which connections do not tell |
//! | `error.type` | the code that the server gives, such as `WRONGTYPE`, `timeout`, or what kind of error it is |
//!
//! Where [a cache is asked for](Traced::cache), the commands on its keys have instead, or as well:
//!
//! | | |
//! | --- | --- |
//! | name | the keys; may be sensitive |
//! | `sentry.op` | `cache.get`, `cache.put`, `cache.remove` |
//! | `cache.key` | the keys, as a list; may be sensitive |
//! | `cache.hit` | whether one of them was there |
//! | `cache.item_size` | the bytes that were got or put |

use std::borrow::Cow;
use std::sync::Arc;

use ::redis::{Cmd, ConnectionLike, Pipeline, RedisError, RedisFuture, RedisResult, Value, aio};
use span_runtime::{CurrentSpan, Parent, SpanBuilder, current_span, names, register_integration};

use crate::common::{Database, child, fail, nothing, observe};

const ORIGIN: &str = "auto.db.redis";
const NAME: &str = "redis";
const OP: &str = "db.redis";

/// As many commands of a pipeline, and arguments of a command, are shown.
const MOST_SHOWN: usize = 16;

/// Gives the commands on a connection spans.
///
/// ```no_run
/// use redis::Commands as _;
///
/// let connection = redis::Client::open("redis://localhost")?.get_connection()?;
/// let mut connection = span_integrations::redis::traced(connection);
/// let count: u64 = connection.incr("visits", 1)?;
/// # drop(count);
/// # Ok::<(), redis::RedisError>(())
/// ```
pub fn traced<C>(inner: C) -> Traced<C> {
    register_integration(NAME);
    Traced { inner, about: Arc::new(About { database: Database::of(NAME, "redis"), prefixes: Vec::new() }) }
}

/// A connection whose commands have spans; made by [`traced`].
#[derive(Debug, Clone)]
pub struct Traced<C> {
    inner: C,
    about: Arc<About>,
}

#[derive(Debug, Clone)]
struct About {
    database: Database,
    /// What the keys of a cache begin with.
    prefixes: Vec<String>,
}

impl<C> Traced<C> {
    /// Says where the server is, by the URL that it was connected to. Its password goes nowhere.
    ///
    /// ```
    /// # fn example(connection: redis::Connection) {
    /// let connection = span_integrations::redis::traced(connection).at("redis://:secret@cache.example");
    /// # }
    /// ```
    #[must_use]
    pub fn at(self, url: &str) -> Self {
        // Which database it is, the connection knows better.
        let database = Database { namespace: None, ..Database::of(NAME, "redis").at(url) };
        Traced { about: Arc::new(About { database, prefixes: self.about.prefixes.clone() }), ..self }
    }

    /// Takes the keys that begin with one of these for those of a cache, and shows them; `[""]` takes all. Default: none.
    ///
    /// ```
    /// # fn example(connection: redis::Connection) {
    /// let connection = span_integrations::redis::traced(connection).cache(["page:", "price:"]);
    /// # }
    /// ```
    #[must_use]
    pub fn cache<P: Into<String>>(self, prefixes: impl IntoIterator<Item = P>) -> Self {
        let prefixes = prefixes.into_iter().map(Into::into).collect();
        Traced { about: Arc::new(About { database: self.about.database.clone(), prefixes }), ..self }
    }

    /// What is inside, whose commands have no spans.
    pub fn inner(&self) -> &C {
        &self.inner
    }

    /// As [`inner`](Self::inner), to change it.
    pub fn inner_mut(&mut self) -> &mut C {
        &mut self.inner
    }

    /// As [`inner`](Self::inner), for good.
    pub fn into_inner(self) -> C {
        self.inner
    }
}

impl<C: ConnectionLike> Traced<C> {
    /// Does work in the span of these commands.
    fn run<T: Answer>(
        &mut self,
        asked: impl FnOnce(&About) -> Asked,
        work: impl FnOnce(&mut C) -> RedisResult<T>,
    ) -> RedisResult<T> {
        let (span, seen) = self.about.begin(self.inner.get_db(), asked);
        let span = span.start();
        let result = work(&mut self.inner);
        if span.is_sampled() {
            tell(&current_span(), seen, &result);
        }
        result
    }
}

impl<C: ConnectionLike> ConnectionLike for Traced<C> {
    fn req_packed_command(&mut self, packed: &[u8]) -> RedisResult<Value> {
        self.run(|about| about.one(&words(packed)), |inner| inner.req_packed_command(packed))
    }

    fn req_packed_commands(&mut self, packed: &[u8], offset: usize, count: usize) -> RedisResult<Vec<Value>> {
        let asked = |_: &About| {
            let commands = commands(packed);
            // Around the commands of a transaction stand those that make it one.
            match commands.as_slice() {
                [_, inside @ .., _] if offset > 0 => many("MULTI", inside.len(), inside.iter().map(Vec::as_slice)),
                commands => many("PIPELINE", commands.len(), commands.iter().map(Vec::as_slice)),
            }
        };
        self.run(asked, |inner| inner.req_packed_commands(packed, offset, count))
    }

    fn req_command(&mut self, command: &Cmd) -> RedisResult<Value> {
        self.run(|about| about.one(&arguments(command)), |inner| inner.req_command(command))
    }

    fn get_db(&self) -> i64 {
        self.inner.get_db()
    }

    fn supports_pipelining(&self) -> bool {
        self.inner.supports_pipelining()
    }

    fn check_connection(&mut self) -> bool {
        self.inner.check_connection()
    }

    fn is_open(&self) -> bool {
        self.inner.is_open()
    }
}

impl<C: aio::ConnectionLike + Send> aio::ConnectionLike for Traced<C> {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let (span, seen) = self.about.begin(self.inner.get_db(), |about| about.one(&arguments(command)));
            let answer = self.inner.req_packed_command(command);
            observe(span.inactive().start(), answer, |span, result| tell(span, seen, result)).await
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        let asked = |_: &About| {
            let name = if pipeline.is_transaction() { "MULTI" } else { "PIPELINE" };
            let commands: Vec<_> = pipeline.cmd_iter().take(MOST_SHOWN).map(arguments).collect();
            many(name, pipeline.len(), commands.iter().map(Vec::as_slice))
        };
        Box::pin(async move {
            let (span, seen) = self.about.begin(self.inner.get_db(), asked);
            let answer = self.inner.req_packed_commands(pipeline, offset, count);
            observe(span.inactive().start(), answer, |span, result| tell(span, seen, result)).await
        })
    }

    fn get_db(&self) -> i64 {
        self.inner.get_db()
    }
}

/// What a span begins with.
struct Asked {
    /// `GET`, `PIPELINE`.
    operation: String,
    text: String,
    /// Of what goes at once.
    batch: Option<usize>,
    cache: Option<Cache>,
}

/// A command on keys of a cache.
struct Cache {
    op: &'static str,
    keys: Vec<String>,
    /// The bytes that are put.
    size: Option<usize>,
}

/// What is looked for in the answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Errors,
    /// And whether something was there.
    Hits,
}

impl About {
    /// Begins a span; outside of any it records nothing, and nobody looks at what is asked for.
    fn begin(&self, database: i64, asked: impl FnOnce(&About) -> Asked) -> (SpanBuilder, Seen) {
        if !Parent::ONLY_CURRENT.may_record() {
            return (nothing(), Seen::Errors);
        }
        let Asked { operation, text, batch, cache } = asked(self);
        let (op, name) = match &cache {
            Some(cache) => (cache.op, cache.keys.join(", ")),
            None => (OP, operation.clone()),
        };
        let mut span = self.database.describe(child(name, op, ORIGIN));
        span = span.attribute(names::DB_NAMESPACE, database.to_string());
        span = span.attribute(names::DB_OPERATION_NAME, operation).attribute(names::DB_QUERY_TEXT, text);
        if let Some(batch) = batch {
            span = span.attribute(names::DB_OPERATION_BATCH_SIZE, batch as u64);
        }
        let Some(Cache { op, keys, size }) = cache else { return (span, Seen::Errors) };
        if let Some(size) = size {
            span = span.attribute(names::CACHE_ITEM_SIZE, size as u64);
        }
        let seen = if op == "cache.get" { Seen::Hits } else { Seen::Errors };
        (span.attribute(names::CACHE_KEY, keys), seen)
    }

    fn one(&self, words: &[&[u8]]) -> Asked {
        let operation = operation(words);
        let cache = self.cache(&operation, words);
        Asked { text: shown(words), operation, batch: None, cache }
    }

    /// What the command is for a cache, if all of its keys are of one.
    fn cache(&self, operation: &str, words: &[&[u8]]) -> Option<Cache> {
        if self.prefixes.is_empty() {
            return None;
        }
        let arguments = words.get(1..)?;
        let len = |at: usize| arguments.get(at).map(|value| value.len());
        let (op, keys, size): (_, Vec<&[u8]>, _) = match operation {
            "GET" | "GETEX" => ("cache.get", arguments.iter().take(1).copied().collect(), None),
            "MGET" => ("cache.get", arguments.to_vec(), None),
            "SET" | "SETNX" => ("cache.put", arguments.iter().take(1).copied().collect(), len(1)),
            "SETEX" | "PSETEX" => ("cache.put", arguments.iter().take(1).copied().collect(), len(2)),
            "MSET" => {
                let values = arguments.iter().skip(1).step_by(2).map(|value| value.len());
                ("cache.put", arguments.iter().step_by(2).copied().collect(), Some(values.sum()))
            }
            "DEL" | "UNLINK" => ("cache.remove", arguments.to_vec(), None),
            _ => return None,
        };
        let keys: Vec<String> = keys.into_iter().map(|key| String::from_utf8_lossy(key).into_owned()).collect();
        let is_ours = |key: &String| self.prefixes.iter().any(|prefix| key.starts_with(prefix));
        (!keys.is_empty() && keys.iter().all(is_ours)).then_some(Cache { op, keys, size })
    }
}

/// What goes at once.
fn many<'w>(name: &str, batch: usize, commands: impl Iterator<Item = &'w [&'w [u8]]>) -> Asked {
    let text: Vec<String> = commands.take(MOST_SHOWN).map(shown).collect();
    Asked { operation: name.to_owned(), text: text.join("\n"), batch: Some(batch), cache: None }
}

/// The name of a command.
fn operation(words: &[&[u8]]) -> String {
    words.first().map(|word| String::from_utf8_lossy(word).to_ascii_uppercase()).unwrap_or_default()
}

/// A command without its arguments: `SET ? ?`.
fn shown(words: &[&[u8]]) -> String {
    let mut text = operation(words);
    let arguments = words.len().saturating_sub(1);
    text.push_str(&" ?".repeat(arguments.min(MOST_SHOWN)));
    if arguments > MOST_SHOWN {
        text.push_str(" ...");
    }
    text
}

/// The words of a command; one that is put in later, by an iteration, is empty here.
fn arguments(command: &Cmd) -> Vec<&[u8]> {
    let words = command.args_iter().map(|argument| match argument {
        ::redis::Arg::Simple(word) => word,
        _ => b"",
    });
    words.collect()
}

/// The words of the first command that is packed here.
fn words(packed: &[u8]) -> Vec<&[u8]> {
    take_command(packed).map(|(words, _)| words).unwrap_or_default()
}

/// The words of all of them.
fn commands(mut packed: &[u8]) -> Vec<Vec<&[u8]>> {
    let mut commands = Vec::new();
    while let Some((words, rest)) = take_command(packed) {
        commands.push(words);
        packed = rest;
    }
    commands
}

/// Takes a command off the front: `*2\r\n$3\r\nGET\r\n$1\r\na\r\n`.
fn take_command(packed: &[u8]) -> Option<(Vec<&[u8]>, &[u8])> {
    let (count, mut rest) = take_number(packed, b'*')?;
    let mut words = Vec::new();
    for _ in 0..count {
        let (len, behind) = take_number(rest, b'$')?;
        words.push(behind.get(..len)?);
        rest = behind.get(len..)?.strip_prefix(b"\r\n")?;
    }
    Some((words, rest))
}

fn take_number(packed: &[u8], sign: u8) -> Option<(usize, &[u8])> {
    let packed = packed.strip_prefix(&[sign])?;
    let end = packed.iter().position(|&byte| byte == b'\r')?;
    let number = std::str::from_utf8(&packed[..end]).ok()?.parse().ok()?;
    Some((number, packed[end..].strip_prefix(b"\r\n")?))
}

/// What the server answered.
trait Answer {
    /// The code of the error in it.
    fn error(&self) -> Option<&str>;
    /// The bytes of what was found, if anything was.
    fn found(&self) -> Option<usize>;
}

impl Answer for Value {
    fn error(&self) -> Option<&str> {
        match self {
            Value::ServerError(error) => Some(error.code()),
            // What a transaction answers is one list.
            Value::Array(values) => values.error(),
            _ => None,
        }
    }

    fn found(&self) -> Option<usize> {
        match self {
            Value::Nil => None,
            Value::BulkString(bytes) => Some(bytes.len()),
            Value::SimpleString(text) => Some(text.len()),
            Value::Array(values) => values.found(),
            _ => Some(0),
        }
    }
}

impl Answer for Vec<Value> {
    fn error(&self) -> Option<&str> {
        self.iter().find_map(Answer::error)
    }

    fn found(&self) -> Option<usize> {
        self.iter().filter_map(Answer::found).reduce(|sum, bytes| sum + bytes)
    }
}

/// Tells the span how the command went.
fn tell<T: Answer>(span: &CurrentSpan, seen: Seen, result: &RedisResult<T>) {
    let answer = match result {
        Ok(answer) => answer,
        Err(error) => return fail(span, kind(error)),
    };
    if let Some(code) = answer.error() {
        fail(span, code);
    } else if seen == Seen::Hits {
        let found = answer.found();
        span.set_attribute(names::CACHE_HIT, found.is_some());
        if let Some(bytes) = found {
            span.set_attribute(names::CACHE_ITEM_SIZE, bytes as u64);
        }
    }
}

/// The code of the server, or the kind of error. Texts may quote values.
fn kind(error: &RedisError) -> Cow<'_, str> {
    if error.is_timeout() {
        return "timeout".into();
    }
    error.code().unwrap_or_else(|| error.category()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_commands_are_read_and_what_is_none_is_nothing() {
        let mut packed = ::redis::cmd("SET").arg("a\r\n").arg("*1").get_packed_command();
        packed.extend(::redis::cmd("PING").get_packed_command());
        assert_eq!(commands(&packed), [vec![&b"SET"[..], b"a\r\n", b"*1"], vec![b"PING"]]);
        for end in 0..packed.len() {
            assert!(commands(&packed[..end]).len() < 2, "{end}");
        }
        for broken in [
            "",
            "PING\r\n",
            "*1\r\n",
            "*x\r\n$1\r\na\r\n",
            "*1\r\n$9\r\na\r\n",
            "*1\r\n$-1\r\n",
            "*99999999999999999999\r\n",
        ] {
            assert_eq!(words(broken.as_bytes()), [b""; 0], "{broken:?}");
        }
    }

    // behaviour 37
    #[test]
    fn arguments_are_not_shown() {
        assert_eq!(shown(&[b"set", b"key", b"value"]), "SET ? ?");
        assert_eq!(shown(&[&b"MGET"[..]; 18]), format!("MGET{} ...", " ?".repeat(16)));
        assert_eq!(shown(&[]), "");
    }
}
