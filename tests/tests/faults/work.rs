//! What the program of a round does: threads that make spans in all ways that there are, and a ledger of what they started.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::thread;
use std::time::{Instant, SystemTime};

use fastrand::Rng;
use span_runtime::{
    Instrument, Span, SpanBuilder, SpanGuard, SpanHandle, SpanId, Status, TraceId, continue_trace, new_trace,
    start_span,
};

use super::plan::{IGNORED, Plan, panic_quietly};
use super::{Subject, lock};

/// A span that was started and is to be sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Started {
    pub(crate) serial: u64,
    pub(crate) trace: TraceId,
    pub(crate) id: SpanId,
    pub(crate) parent: Option<SpanId>,
    pub(crate) segment: SpanId,
    pub(crate) name: &'static str,
}

/// Everything that was started in a round.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    serials: AtomicU64,
    /// All of them.
    pub(crate) started: AtomicU64,
    /// Those that are not to be sent, as was known when they started.
    pub(crate) unsent: AtomicU64,
    pub(crate) spans: Mutex<Vec<Started>>,
}

/// Where a span stands, for those below it.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// Nowhere: what starts here is a segment. It may have a parent in another process.
    Outside(Option<SpanId>),
    /// Below this span, which is sent, in this segment.
    Below { parent: SpanId, segment: SpanId },
    /// In a segment that is not sent.
    Unsent,
}

/// A span before its start.
#[derive(Debug, Clone, Copy)]
struct Planned {
    name: &'static str,
    serial: u64,
    place: Place,
}

/// What a span says of itself once it has started.
#[derive(Debug, Clone, Copy)]
struct Says {
    trace: Option<TraceId>,
    id: Option<SpanId>,
    is_sampled: bool,
}

impl From<&Span> for Says {
    fn from(span: &Span) -> Self {
        Says { trace: span.trace_id(), id: span.span_id(), is_sampled: span.is_sampled() }
    }
}

impl From<&SpanGuard> for Says {
    fn from(span: &SpanGuard) -> Self {
        Says { trace: span.trace_id(), id: span.span_id(), is_sampled: span.is_sampled() }
    }
}

/// Has all producers of the plan do their work.
pub(crate) fn produce(plan: &Arc<Plan>, subject: &Subject, ledger: &Arc<Ledger>) {
    let tasks = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().expect("threads");
    let until = Instant::now() + plan.time;
    thread::scope(|scope| {
        for number in 0..plan.producers {
            let mut actor = Actor::new(plan, ledger, plan.rng(&format!("producer {number}")));
            let tasks = tasks.handle();
            scope.spawn(move || {
                let _entered = subject.enter();
                actor.work(tasks, until);
            });
        }
    });
}

/// Somebody who makes spans and takes note of them.
pub(crate) struct Actor {
    plan: Arc<Plan>,
    ledger: Arc<Ledger>,
    rng: Rng,
    noted: Vec<Started>,
    started: u64,
    unsent: u64,
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.ledger.started.fetch_add(self.started, Ordering::Relaxed);
        self.ledger.unsent.fetch_add(self.unsent, Ordering::Relaxed);
        lock(&self.ledger.spans).append(&mut self.noted);
    }
}

const NAMES: [&str; 8] = ["load", "GET /orders/{id}", "query", "ä ö ü", "render", "\"quoted\"\n", "a b c", IGNORED];

impl Actor {
    pub(crate) fn new(plan: &Arc<Plan>, ledger: &Arc<Ledger>, rng: Rng) -> Self {
        let (plan, ledger) = (Arc::clone(plan), Arc::clone(ledger));
        Actor { plan, ledger, rng, noted: Vec::new(), started: 0, unsent: 0 }
    }

    /// Another one, for another thread or task.
    fn another(&mut self) -> Self {
        let rng = self.rng.fork();
        Actor::new(&self.plan, &self.ledger, rng)
    }

    fn is_done(&self) -> bool {
        self.ledger.serials.load(Ordering::Relaxed) >= self.plan.most_spans as u64
    }

    fn work(&mut self, tasks: &tokio::runtime::Handle, until: Instant) {
        // A segment that stays open all the time, and is current.
        let open = self.rng.bool().then(|| self.start(Place::Outside(None), |builder| builder.root()));
        let mut kept = Vec::new();
        while Instant::now() < until && !self.is_done() {
            let place = match &open {
                Some((_, place)) if self.rng.bool() => *place,
                _ => Place::Outside(None),
            };
            match self.rng.u8(0..10) {
                0 | 1 => self.tree(place, 4),
                2 => self.crowd(place),
                3 => self.tasks(place, tasks),
                4 => self.poll_on_many_threads(place),
                5 => self.detach(place, &mut kept),
                6 => self.go_on_elsewhere(),
                7 => self.end_with_a_thread(place),
                8 => self.unwind(place),
                _ => self.end_out_of_order(place),
            }
            let pause = self.plan.pause.mul_f64(self.rng.f64());
            if !pause.is_zero() {
                thread::sleep(pause);
            }
        }
        drop(open);
        // Long after their parents.
        elsewhere(move || kept.into_iter().for_each(Span::end));
    }

    /// A trace with so many spans below its root.
    pub(crate) fn trace(&mut self, children: usize) {
        let (_root, place) = self.start(Place::Outside(None), |builder| builder);
        for _ in 0..children {
            let _ended_at_once = self.start(place, |builder| builder);
        }
    }

    /// Nested spans on one thread.
    fn tree(&mut self, place: Place, depth: usize) {
        let (span, place) = self.start(place, |builder| builder);
        if depth > 0 {
            for _ in 0..self.rng.usize(0..4) {
                self.tree(place, depth - 1);
            }
        }
        if self.rng.u8(0..8) == 0 {
            span.set_status(Status::Error);
            span.end_at(SystemTime::now());
        }
    }

    /// Threads that live for a moment.
    fn crowd(&mut self, place: Place) {
        let (span, place) = self.start(place, |builder| builder);
        let handle = span.handle();
        let actors: Vec<_> = (0..self.rng.usize(1..6)).map(|_| self.another()).collect();
        thread::scope(|scope| {
            for mut actor in actors {
                let handle = &handle;
                scope.spawn(move || {
                    let (span, place) = actor.start(place, |builder| builder.parent(handle));
                    actor.tree(place, 1);
                    drop(span);
                });
            }
        });
    }

    /// Tasks on other threads, some of which are given up.
    fn tasks(&mut self, place: Place, tasks: &tokio::runtime::Handle) {
        let (root, place) = self.start_inactive(place, |builder| builder);
        let handle = root.handle();
        let running: Vec<_> = (0..self.rng.usize(1..5))
            .map(|_| {
                let mut actor = self.another();
                let (span, place) = actor.start_inactive(place, |builder| builder.parent(&handle));
                let steps = self.rng.usize(0..6);
                tasks.spawn(task(actor, place, steps).in_span(span))
            })
            .collect();
        let given_up = self.rng.usize(0..8);
        tasks.block_on(async {
            for (number, task) in running.into_iter().enumerate() {
                if number == given_up {
                    task.abort();
                }
                if let Err(error) = task.await {
                    assert!(error.is_cancelled(), "{error}");
                }
            }
        });
    }

    /// A future that is polled on a new thread each time, and perhaps not to its end.
    fn poll_on_many_threads(&mut self, place: Place) {
        let (span, place) = self.start_inactive(place, |builder| builder);
        let steps = self.rng.usize(0..6);
        let future = task(self.another(), place, steps).in_span(span);
        let mut future: Option<Pin<Box<dyn Future<Output = ()> + Send>>> = Some(Box::pin(future));
        for _ in 0..self.rng.usize(0..10) {
            elsewhere(|| {
                let ready = |future: &mut Pin<Box<dyn Future<Output = ()> + Send>>| {
                    future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
                };
                if future.as_mut().is_some_and(ready) {
                    future = None;
                }
            });
        }
    }

    /// Spans that are current nowhere, ended on another thread, or later.
    fn detach(&mut self, place: Place, kept: &mut Vec<Span>) {
        let (root, place) = self.start(place, |builder| builder);
        let mut spans = Vec::new();
        for _ in 0..self.rng.usize(0..8) {
            let (span, _) = self.start_inactive(place, |builder| builder);
            if self.rng.u8(0..4) == 0 { kept.push(span) } else { spans.push(span) }
        }
        if self.rng.bool() {
            drop(root);
            elsewhere(move || drop(spans));
        } else {
            elsewhere(move || spans.into_iter().for_each(Span::end));
        }
    }

    /// Segments in a trace that began elsewhere, or in one of their own.
    fn go_on_elsewhere(&mut self) {
        let (trace, parent) = (self.rng.u128(1..), self.rng.u64(1..));
        let sampled = ["-1", "-1", "-0", ""][self.rng.usize(0..4)];
        let header = format!("{trace:032x}-{parent:016x}{sampled}");
        let (scope, parent) = match self.rng.u8(0..3) {
            0 => (new_trace(), None),
            1 => {
                let baggage = format!("sentry-trace_id={trace:032x},sentry-sample_rand=0.25,sentry-release=other");
                (continue_trace([("sentry-trace", header), ("baggage", baggage)]), Some(parent))
            }
            _ => (continue_trace([("sentry-trace", header)]), Some(parent)),
        };
        let parent = parent.map(|id| format!("{id:016x}").parse().expect("an id"));
        let _in_trace = scope.enter();
        for _ in 0..self.rng.usize(0..3) {
            let (span, place) = self.start(Place::Outside(parent), |builder| builder);
            assert_eq!(span.trace_id(), Some(scope.trace_id()), "it goes on with its trace");
            self.tree(place, 1);
        }
    }

    /// A span that ends in a destructor when its thread does.
    fn end_with_a_thread(&mut self, place: Place) {
        thread_local!(static LAST: RefCell<Option<(Span, SpanHandle)>> = const { RefCell::new(None) });
        let (span, place) = self.start_inactive(place, |builder| builder);
        let handle = span.handle();
        let mut actor = self.another();
        elsewhere(move || {
            // Sometimes this thread has had no spans before.
            if actor.rng.bool() {
                let _ended_at_once = actor.start(place, |builder| builder.parent(&handle));
            }
            LAST.set(Some((span, handle)));
        });
    }

    /// A panic that goes through spans.
    fn unwind(&mut self, place: Place) {
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            let (_span, place) = self.start(place, |builder| builder);
            let (_inner, _) = self.start(place, |builder| builder);
            panic_quietly();
        }));
        assert!(unwound.is_err(), "it panicked");
    }

    /// An outer span that ends before its inner one.
    fn end_out_of_order(&mut self, place: Place) {
        let (outer, below) = self.start(place, |builder| builder);
        let (inner, below) = self.start(below, |builder| builder);
        drop(outer);
        // A span below a segment that is not sampled is on no stack, so that the end of the segment is the end of what is current.
        if !matches!(below, Place::Unsent) {
            self.tree(below, 0);
        }
        drop(inner);
        self.tree(place, 0);
    }

    /// Starts a current span. `set` may give it a parent.
    fn start(&mut self, place: Place, set: impl FnOnce(SpanBuilder) -> SpanBuilder) -> (SpanGuard, Place) {
        let (planned, builder) = self.plan_span(place);
        let span = set(builder).start();
        let place = self.note(planned, Says::from(&span));
        (span, place)
    }

    fn start_inactive(&mut self, place: Place, set: impl FnOnce(SpanBuilder) -> SpanBuilder) -> (Span, Place) {
        let (planned, builder) = self.plan_span(place);
        let span = set(builder).inactive().start();
        let place = self.note(planned, Says::from(&span));
        (span, place)
    }

    /// A span that says of itself where it should be found.
    fn plan_span(&mut self, place: Place) -> (Planned, SpanBuilder) {
        let name = NAMES[self.rng.usize(0..NAMES.len())];
        let serial = self.ledger.serials.fetch_add(1, Ordering::Relaxed);
        let parent = match place {
            Place::Below { parent, .. } | Place::Outside(Some(parent)) => parent.to_string(),
            Place::Outside(None) | Place::Unsent => "none".to_owned(),
        };
        let builder = match self.rng.bool() {
            true => start_span(name),
            false => start_span(name.to_owned()),
        };
        let mut builder = builder.attribute("serial", serial).attribute("expected.parent", parent);
        // Also where another span is current, except in a trace that was entered, which a root would leave.
        if matches!(place, Place::Outside(None)) {
            builder = builder.root();
        }
        for at in 0..self.rng.usize(0..4) {
            builder = builder.attribute(format!("more.{at}"), at);
        }
        if self.rng.f64() < self.plan.large {
            let size = self.rng.usize(1_000..300_000);
            builder = builder.attribute("large", "x".repeat(size));
        }
        (Planned { name, serial, place }, builder)
    }

    /// Takes note of a span that has started, and says where those below it stand.
    fn note(&mut self, planned: Planned, says: Says) -> Place {
        let ignored = self.plan.ignores && planned.name == IGNORED;
        let (parent, segment) = match planned.place {
            Place::Outside(parent) => (parent, None),
            Place::Below { parent, segment } => (Some(parent), Some(segment)),
            Place::Unsent => (None, None),
        };
        let sent = match planned.place {
            // Only the runtime knows whether a segment is sampled.
            Place::Outside(_) => says.is_sampled && !ignored,
            Place::Below { .. } => !ignored,
            Place::Unsent => false,
        };
        assert_eq!(says.is_sampled, sent, "{planned:?}: {says:?}");
        self.started += 1;
        if let (true, Some(trace), Some(id)) = (sent, says.trace, says.id) {
            let segment = segment.unwrap_or(id);
            let (serial, name) = (planned.serial, planned.name);
            self.noted.push(Started { serial, trace, id, parent, segment, name });
            return Place::Below { parent: id, segment };
        }
        assert!(!sent, "a span that is sent has ids: {planned:?}: {says:?}");
        self.unsent += 1;
        match planned.place {
            // Those below an ignored child are its parent's.
            Place::Below { .. } => planned.place,
            Place::Outside(_) | Place::Unsent => Place::Unsent,
        }
    }
}

/// Steps with pauses, each in a span below the one that the future carries.
async fn task(mut actor: Actor, place: Place, steps: usize) {
    for _ in 0..steps {
        tokio::task::yield_now().await;
        let (span, below) = actor.start_inactive(place, |builder| builder);
        actor = async {
            tokio::task::yield_now().await;
            actor.tree(below, 1);
            actor
        }
        .in_span(span)
        .await;
    }
}

/// Runs something on a thread of its own.
fn elsewhere<R: Send>(what: impl FnOnce() -> R + Send) -> R {
    thread::scope(|scope| scope.spawn(what).join().expect("it does not panic"))
}
