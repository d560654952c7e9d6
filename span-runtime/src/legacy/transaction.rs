//! A transaction: the root, and the collector of its children. (behaviours 55 to 57)

use std::fmt;
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::SystemTime;

use super::facts::{Began, Facts, setters};
use super::parcel::{Finished, Parcel};
use super::{Span, SpanStatus, TransactionContext};
use crate::TraceLifecycle;
use crate::client::{Core, Load, LossReason};
use crate::clock::UnixNanos;
use crate::context;
use crate::ids::{Generator, SpanId, TraceId};
use crate::lifecycle::refuse_legacy;
use crate::propagation::TraceHeaders;
use crate::sampling::{self, Rate, SamplingContext, StartAttributes};
use crate::segment::{Segment, Trace, TraceRef};

/// The most child spans of a transaction. (behaviour 56)
pub(super) const MOST_CHILDREN: usize = 1000;

/// A transaction. Clones stand for the same one; it can be used from any thread.
///
/// It is sent when it [finishes](Transaction::finish), or when the last clone of it and of its spans is dropped.
#[derive(Clone)]
pub struct Transaction(pub(super) Option<Arc<Root>>);

pub(super) struct Root {
    core: Arc<Core>,
    /// Its ids, its name and what was decided.
    pub(super) segment: Arc<Segment>,
    pub(super) began: Began,
    /// It started while its thread was unwinding, so that unwinding says nothing about it.
    in_unwinding: bool,
    /// `None` once it has finished.
    collected: Mutex<Option<Collected>>,
}

/// What a transaction has collected.
#[derive(Debug, Default)]
struct Collected {
    facts: Facts,
    children: Vec<Child>,
}

/// A child span that has finished.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) span_id: SpanId,
    pub(super) parent_id: SpanId,
    pub(super) start: UnixNanos,
    pub(super) end: UnixNanos,
    pub(super) facts: Facts,
}

impl Transaction {
    pub(super) fn start(transaction: TransactionContext, call: &'static Location<'static>) -> Self {
        let Some(core) = context::with(|local| local.runtime()).flatten() else { return Transaction(None) };
        if core.lifecycle() != TraceLifecycle::Static {
            refuse_legacy(call);
            return Transaction(None);
        }
        if !core.legacy.traces() || core.is_closed() {
            return Transaction(None);
        }
        let TransactionContext { name, op, source, continued } = transaction;
        let mut ids = Generator::seeded();
        let continued = continued.filter(|incoming| core.settings.welcomes(incoming)).map(Trace::continued);
        let continued =
            continued.map_or_else(|| core.continued.clone().map(TraceRef::Shared), |trace| Some(TraceRef::Own(trace)));
        let trace = continued.unwrap_or_else(|| TraceRef::Own(Trace::new(&mut ids)));
        let rate = match &core.settings.traces_sampler {
            Some(sampler) => {
                sampling::ask(sampler, &SamplingContext::new(&name, StartAttributes::of_op(&op), trace.get()))
            }
            None => Rate::Fixed(core.settings.traces_sample_rate.unwrap_or_default()),
        };
        let decision = sampling::decide(trace.get(), rate, core.halvings());
        core.legacy.span_started();
        let span_id = ids.span_id();
        let segment = Segment::new(Arc::clone(&core), trace, span_id, decision, name, source);
        let collected = Collected { facts: Facts { op, ..Facts::default() }, children: Vec::new() };
        Transaction(Some(Arc::new(Root {
            core,
            segment: Arc::new(segment),
            began: Began::now(),
            in_unwinding: thread::panicking(),
            collected: Mutex::new(Some(collected)),
        })))
    }

    fn with<R>(&self, f: impl FnOnce(&mut Facts) -> R) -> Option<R> {
        self.0.as_ref()?.lock().as_mut().map(|collected| f(&mut collected.facts))
    }

    setters!();

    /// Renames it.
    pub fn set_name(&self, name: impl Into<std::borrow::Cow<'static, str>>) {
        if let Some(root) = &self.0 {
            root.segment.rename(name.into());
        }
    }

    /// Whether it was sampled. What was not is not sent, and counted.
    pub fn is_sampled(&self) -> bool {
        self.0.as_ref().is_some_and(|root| root.segment.sampled)
    }

    /// The id of its trace; `None` if there is no runtime that takes transactions.
    pub fn trace_id(&self) -> Option<TraceId> {
        self.0.as_ref().map(|root| root.segment.trace().id)
    }

    /// The id of its own span.
    pub fn span_id(&self) -> Option<SpanId> {
        self.0.as_ref().map(|root| root.segment.span_id)
    }

    /// Starts a child span.
    #[must_use = "a span that is dropped has finished"]
    pub fn start_child(
        &self,
        op: impl Into<std::borrow::Cow<'static, str>>,
        description: impl Into<std::borrow::Cow<'static, str>>,
    ) -> Span {
        match &self.0 {
            Some(root) => Span::start(root, root.segment.span_id, op.into(), description.into()),
            None => Span(None),
        }
    }

    /// The headers by which another service continues the trace.
    pub fn iter_headers(&self) -> impl Iterator<Item = (&'static str, String)> + use<> {
        self.0.as_ref().map(|root| root.headers(root.segment.span_id)).into_iter().flatten()
    }

    /// Finishes it, and sends it with its child spans that have finished. To finish it again does nothing.
    pub fn finish(self) {
        if let Some(root) = &self.0 {
            root.finish(None);
        }
    }

    /// As [`finish`](Self::finish), with a time of the caller's. A time before the start counts as the start.
    pub fn finish_with_timestamp(self, time: SystemTime) {
        if let Some(root) = &self.0 {
            root.finish(Some(time));
        }
    }
}

impl Root {
    fn lock(&self) -> MutexGuard<'_, Option<Collected>> {
        self.collected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn headers(&self, span_id: SpanId) -> TraceHeaders {
        TraceHeaders::of_span(&self.segment, span_id)
    }

    pub(super) fn child_started(&self) {
        self.core.legacy.span_started();
    }

    /// Takes a child that has finished, or counts it lost.
    pub(super) fn child_finished(&self, child: Child) {
        self.core.legacy.span_ended(&self.segment);
        if !self.segment.sampled {
            return;
        }
        match &mut *self.lock() {
            Some(collected) if collected.children.len() < MOST_CHILDREN => collected.children.push(child),
            // It is full, or has gone without this child.
            _ => self.core.losses.add(LossReason::BufferOverflow, 1),
        }
    }

    fn finish(&self, at: Option<SystemTime>) {
        let Some(Collected { mut facts, children }) = self.lock().take() else { return };
        let core = &self.core;
        core.legacy.span_ended(&self.segment);
        if !self.segment.sampled {
            core.legacy.count_lost(self.segment.loss, 1);
            return;
        }
        if facts.status.is_none() && thread::panicking() && !self.in_unwinding {
            facts.status = Some(SpanStatus::InternalError);
        }
        let end = at.map_or_else(|| self.began.later(), UnixNanos::of).max(self.began.wall());
        let load = Load { spans: (children.len() as u64).saturating_add(1), transactions: 1 };
        let start = self.began.wall();
        let finished = Finished { segment: Arc::clone(&self.segment), start, end, facts, children };
        Parcel::new(finished, load).hand_over(core);
    }
}

impl Drop for Root {
    /// Nobody will finish it any more.
    fn drop(&mut self) {
        self.finish(None);
    }
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction")
            .field("trace_id", &self.segment.trace().id)
            .field("span_id", &self.segment.span_id)
            .field("sampled", &self.segment.sampled)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(root) => root.fmt(f),
            None => f.write_str("Transaction(records nothing)"),
        }
    }
}
