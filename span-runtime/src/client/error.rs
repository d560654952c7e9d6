//! What is refused, and with which words.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::settings::{LEAST_BUFFER_BYTES, MOST_BUFFER_BYTES};
use crate::TraceLifecycle;
use crate::protocol::ParseDsnError;

/// Why a runtime could not be made. Nothing was changed and nothing runs.
#[derive(Debug)]
#[non_exhaustive]
pub enum InitError {
    /// The DSN cannot be read.
    Dsn {
        /// The variable of the environment that it comes from, if it was not set in code.
        variable: Option<&'static str>,
        /// What is wrong with it.
        error: ParseDsnError,
    },
    /// The sample rate is not a number from 0 to 1.
    SampleRate {
        /// What was given.
        given: f64,
    },
    /// The bound for buffered bytes is too low to work with, or out of all proportion.
    BufferBytes {
        /// What was given.
        given: usize,
    },
    /// A request needs at least a second, and is given a day at most.
    RequestTimeout {
        /// What was given.
        given: Duration,
    },
    /// What is tried again for too long arrives with a time that is taken for a wrong clock.
    RetryTimeout {
        /// What was given.
        given: Duration,
    },
    /// Something was asked for that the default transport cannot do.
    NeedsPooledTransport {
        /// What it is.
        what: &'static str,
    },
    /// The pooled transport was asked for, and this program was built without it.
    NoPooledTransport,
    /// The file of the option `ca_certs`, or of the variable `SSL_CERT_FILE`, is of no use.
    CaCerts {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The address of the proxy cannot be read. It is not shown, because it may hold a password.
    Proxy,
    /// The option `spotlight` is no URL.
    Spotlight {
        /// What was given.
        given: String,
    },
    /// A pattern of an option cannot be read.
    Pattern {
        /// The option.
        option: &'static str,
        /// What was given.
        given: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The id of the organisation is not a number.
    OrgId {
        /// What was given.
        given: String,
    },
    /// A word that the scrubber is to look for is none that a key could have.
    ScrubbedWord {
        /// What was given.
        given: String,
    },
    /// A variable of the environment holds something else than it should.
    Environment {
        /// The variable.
        name: &'static str,
        /// What it holds.
        given: String,
        /// What would work.
        expected: &'static str,
    },
    /// The option or the environment asks for one lifecycle, and the crate that calls `init` declared the other.
    Lifecycles {
        /// What the option or the environment asks for.
        chosen: TraceLifecycle,
        /// What the crate declared.
        declared: TraceLifecycle,
    },
    /// The static lifecycle was asked for, and this program was built without it.
    NoLegacy,
    /// The DSN asks for HTTPS, and this program was built without it.
    NoTls,
    /// A runtime is installed already; its guard is still alive.
    AlreadyInitialized,
    /// The operating system gave no thread.
    Thread(io::Error),
}

impl fmt::Display for InitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InitError::Dsn { variable: None, error } => write!(f, "malformed dsn: {error}"),
            InitError::Dsn { variable: Some(name), error } => {
                write!(f, "malformed dsn in the environment variable {name}: {error}")
            }
            InitError::SampleRate { given } => {
                write!(f, "traces_sample_rate is {given}; a number from 0 (nothing) to 1 (everything) would work")
            }
            InitError::BufferBytes { given } => {
                write!(
                    f,
                    "max_buffer_bytes is {given}; from {LEAST_BUFFER_BYTES} (1 MiB) to {MOST_BUFFER_BYTES} (1 GiB) would work"
                )
            }
            InitError::RequestTimeout { given } => {
                write!(f, "request_timeout is {given:?}; from 1 s to 86400 s (a day) would work")
            }
            InitError::RetryTimeout { given } => write!(f, "retry_timeout is {given:?}; 30 min or less would work"),
            InitError::NeedsPooledTransport { what } => write!(
                f,
                "{what} needs the pooled transport; switch on span-runtime's feature `pooled`, and call \
                 `Options::pooled_transport(true)`"
            ),
            InitError::NoPooledTransport => f.write_str(
                "the pooled transport was asked for, and span-runtime was built without its feature `pooled`; switch it on",
            ),
            InitError::CaCerts { path, reason } => write!(
                f,
                "the certificates in {} cannot be used: {reason}; a file of certificates in the PEM format would work",
                path.display()
            ),
            InitError::Proxy => {
                f.write_str("the address of the proxy cannot be read; http://[user:password@]host[:port] would work")
            }
            InitError::Spotlight { given } => {
                let given: String = given.chars().take(80).collect();
                write!(f, "spotlight is `{given}`; true, false or a URL with http:// would work")
            }
            InitError::Environment { name, given, expected } => {
                let given: String = given.chars().take(80).collect();
                write!(f, "the environment variable {name} is `{given}`; {expected} would work")
            }
            InitError::Lifecycles { chosen, declared } => {
                let (chosen, declared) = (chosen.as_str(), declared.as_str());
                write!(
                    f,
                    "trace_lifecycle is `{chosen}`, and the crate that calls this `init` declared `{declared}`; leave \
                     trace_lifecycle and SENTRY_TRACE_LIFECYCLE out, or call the other lifecycle's `init`"
                )
            }
            InitError::Pattern { option, given, reason } => {
                write!(f, "{option} holds the pattern `{given}`, which cannot be read: {reason}; `Pattern::text` takes any text as it is")
            }
            InitError::OrgId { given } => write!(
                f,
                "org_id is `{given}`; the number of your organisation would work, as in `o123.ingest.sentry.io`, or leave the \
                 option out"
            ),
            InitError::ScrubbedWord { given } => write!(
                f,
                "scrubber denies `{given}`, which is not one word, so no key has it; a word is what stands between dots, other \
                 signs and capitals: `email` would work for `user.email` and `userEmail`"
            ),
            InitError::NoLegacy => f.write_str(
                "trace_lifecycle is `static`, and span-runtime was built without its feature `legacy`; switch it on, or \
                 leave trace_lifecycle and SENTRY_TRACE_LIFECYCLE out",
            ),
            InitError::NoTls => f.write_str(
                "the dsn starts with https://, and span-runtime was built without its feature `tls`; \
                 switch it on, give a transport of your own, or send to an http:// endpoint",
            ),
            InitError::AlreadyInitialized => f.write_str(
                "a runtime is installed already; keep the guard of the first `init`, or drop it before the next",
            ),
            InitError::Thread(error) => write!(f, "no thread could be started: {error}"),
        }
    }
}

impl std::error::Error for InitError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            InitError::Dsn { error, .. } => Some(error),
            InitError::Thread(error) => Some(error),
            _ => None,
        }
    }
}
