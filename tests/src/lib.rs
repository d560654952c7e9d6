//! What the end-to-end tests share.
#![forbid(unsafe_code)]

pub mod endpoint;
pub mod servers;
pub mod tls;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use span_runtime::testing::{CaptureTransport, Span, Tree};
use span_runtime::{Options, Runtime, RuntimeGuard};

/// How long a test waits for something that should happen at once.
pub const SOON: Duration = Duration::from_secs(20);

/// A runtime of a test's own, entered on the test's thread, whose envelopes stay in memory.
#[derive(Debug)]
pub struct Harness {
    entered: RuntimeGuard,
    runtime: Runtime,
    transport: CaptureTransport,
}

impl Default for Harness {
    fn default() -> Self {
        Self::new()
    }
}

impl Harness {
    /// One that samples everything.
    ///
    /// # Panics
    ///
    /// When the runtime cannot be made.
    pub fn new() -> Self {
        Self::sampling(1.0)
    }

    /// One with this sample rate.
    ///
    /// # Panics
    ///
    /// When the runtime cannot be made.
    pub fn sampling(rate: f64) -> Self {
        Self::with(|options| options.traces_sample_rate(rate))
    }

    /// One with these options.
    ///
    /// # Panics
    ///
    /// When the runtime cannot be made.
    pub fn with(set: impl FnOnce(Options) -> Options) -> Self {
        let transport = CaptureTransport::new();
        let options = set(Options::new().transport(transport.clone()));
        let runtime = Runtime::new(options).expect("the options are valid");
        let entered = runtime.enter();
        Harness { entered, runtime, transport }
    }

    /// The runtime.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Where its envelopes go.
    pub fn transport(&self) -> &CaptureTransport {
        &self.transport
    }

    /// Sends what has finished and returns all spans that arrived, having checked that none is missing.
    ///
    /// # Panics
    ///
    /// When something is still open or was lost.
    pub fn finish(self) -> Vec<Span> {
        assert!(self.runtime.flush(SOON), "everything is sent in time");
        let stats = self.runtime.stats();
        assert_eq!((stats.open, stats.buffered), (0, 0), "{stats}");
        assert_eq!(stats.started, stats.sent + stats.lost.total(), "{stats}");
        assert_eq!(self.transport.violations(), [""; 0], "the receiving end would accept everything");
        let spans = self.transport.spans();
        assert_eq!(spans.len() as u64, stats.sent, "what was sent is what arrived");
        drop(self.entered);
        spans
    }

    /// As [`finish`](Self::finish), as an indented text, with these attributes.
    ///
    /// # Panics
    ///
    /// As [`finish`](Self::finish).
    pub fn text(self, attributes: &[&str]) -> String {
        Tree::new(&self.finish()).attributes(attributes).to_string()
    }
}

/// The warnings of this process. A logger is the process's, so a test that uses this is alone in its binary.
#[derive(Debug, Default)]
pub struct Warnings(Mutex<Vec<String>>);

impl Warnings {
    /// Begins to collect.
    ///
    /// # Panics
    ///
    /// When there is a logger already.
    pub fn install() -> &'static Self {
        let warnings: &'static Warnings = Box::leak(Box::default());
        log::set_logger(warnings).expect("there is no other logger");
        log::set_max_level(log::LevelFilter::Warn);
        warnings
    }

    /// What was said until now.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl log::Log for Warnings {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &log::Record<'_>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(record.args().to_string());
    }

    fn flush(&self) {}
}

/// The code in `docs/migration.md` compiles and runs as documentation tests of this crate, which depends on what it comes from.
#[cfg(all(doctest, feature = "legacy"))]
#[doc = include_str!("../../docs/migration.md")]
#[derive(Debug)]
pub struct MigrationGuide;

/// The example in `docs/configuration.md` compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../../docs/configuration.md")]
#[derive(Debug)]
pub struct Configuration;

/// The example of `#[transaction]`, which needs a runtime with the feature `legacy` as this crate has it.
#[cfg(all(doctest, feature = "legacy"))]
#[doc = include_str!("../../span-macros/src/docs/transaction.md")]
#[derive(Debug)]
pub struct TransactionMacro;
