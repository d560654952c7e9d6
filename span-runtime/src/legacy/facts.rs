//! What can be set on a transaction and on a child span alike.
#![expect(clippy::arithmetic_side_effects, reason = "lengths of what is in memory")]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::{Instant, SystemTime};

use super::SpanStatus;
use crate::clock::UnixNanos;
use crate::{Key, Value};

/// What was set until now.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) op: Cow<'static, str>,
    /// Of a child span. A transaction's is its name.
    pub(super) description: Cow<'static, str>,
    pub(super) status: Option<SpanStatus>,
    pub(super) tags: BTreeMap<Cow<'static, str>, String>,
    pub(super) data: BTreeMap<Key, Value>,
}

impl Facts {
    /// Bytes that this is likely to take, here and as JSON.
    pub(super) fn size(&self) -> usize {
        let tags: usize = self.tags.iter().map(|(key, value)| 64 + key.len() + value.len()).sum();
        let data: usize = self
            .data
            .iter()
            .map(|(key, value)| 80 + key.len() + value.owned_bytes() + value.as_str().map_or(0, str::len))
            .sum();
        300 + self.op.len() + self.description.len() + tags + data
    }
}

/// Wall-clock time at the start and monotonic time from there on, so that nothing in a transaction runs backwards.
#[derive(Debug, Clone, Copy)]
pub(super) struct Began {
    wall: UnixNanos,
    monotonic: Instant,
}

impl Began {
    pub(super) fn now() -> Self {
        Began { wall: UnixNanos::of(SystemTime::now()), monotonic: Instant::now() }
    }

    pub(super) fn wall(self) -> UnixNanos {
        self.wall
    }

    /// The time now.
    pub(super) fn later(self) -> UnixNanos {
        let elapsed = u64::try_from(self.monotonic.elapsed().as_nanos()).unwrap_or(u64::MAX);
        UnixNanos(self.wall.0.saturating_add(elapsed))
    }
}

/// The setters, the same on a transaction and on a child span.
macro_rules! setters {
    () => {
        /// Sets what kind of work it is: `http.server`, `db.query`, ... After the end this does nothing, as every setter.
        pub fn set_op(&self, op: impl Into<std::borrow::Cow<'static, str>>) {
            let op = op.into();
            self.with(|facts| facts.op = op);
        }

        /// Says how it ended.
        pub fn set_status(&self, status: $crate::legacy::SpanStatus) {
            self.with(|facts| facts.status = Some(status));
        }

        /// How it ended, if that was said.
        pub fn status(&self) -> Option<$crate::legacy::SpanStatus> {
            self.with(|facts| facts.status).flatten()
        }

        /// Sets a tag: text by which Sentry can search.
        pub fn set_tag(&self, key: impl Into<std::borrow::Cow<'static, str>>, value: impl std::fmt::Display) {
            if self.is_sampled() {
                let (key, value) = (key.into(), value.to_string());
                self.with(|facts| facts.tags.insert(key, value));
            }
        }

        /// Sets a value that is shown with it.
        pub fn set_data(&self, key: impl Into<$crate::Key>, value: impl $crate::AttributeValue) {
            if let Some(value) = value.into_value().filter(|_| self.is_sampled()) {
                let key = key.into();
                self.with(|facts| facts.data.insert(key, value));
            }
        }
    };
}
pub(super) use setters;
