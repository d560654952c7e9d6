//! A runtime as its threads see it: options, counters, and the way to the flusher.

mod environment;
mod error;
mod exit;
pub(crate) mod fork;
pub(crate) mod global;
mod init;
mod kept;
#[allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "lengths of what is in memory, and 64 bits, which count spans for longer than a machine lasts"
)]
mod lane;
mod losses;
mod options;
mod settings;
mod stats;
mod way;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use crossbeam_channel::Sender;

use crate::TraceLifecycle;
use crate::context;
use crate::hand_over::{Budget, Doorbell, Source};
use crate::propagation::ProcessContext;
use crate::record::{Details, Site, Slot};
use crate::sampling::{MOST_HALVINGS, StartAttributes};
use crate::segment::Trace;

pub use error::InitError;
pub use init::{Guard, Runtime, RuntimeGuard, flush, init, stats};
use lane::LaneCounters;
pub(crate) use lane::{Lane, Tally};
pub(crate) use losses::{Load, Losses, Report};
pub use losses::{LossCounts, LossReason};
pub use options::{Options, Spotlight};
pub(crate) use settings::Settings;
pub use stats::Stats;
#[cfg(feature = "legacy")]
pub(crate) use stats::Sums;

/// What everything that belongs to one runtime shares.
pub(crate) struct Core {
    /// Tells runtimes apart where holding a pointer would be too much.
    pub(crate) number: u32,
    pub(crate) settings: Settings,
    /// The trace that the process as a whole belongs to, if it was started with one. (behaviour 28)
    pub(crate) continued: Option<Arc<Trace>>,
    pub(crate) process_context: Arc<ProcessContext>,
    /// Whether spans that stream are recorded: tracing is on, and the lifecycle is theirs.
    traces: bool,
    closed: AtomicBool,
    /// The flusher has ended, and counted what it had.
    finished: AtomicBool,
    /// How often the sample rate is halved at the moment. (behaviour 27)
    halvings: AtomicU32,
    pub(crate) source: Source<Slot>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) doorbell: Arc<Doorbell>,
    pub(crate) control: Sender<crate::flusher::Command>,
    pub(crate) losses: Losses,
    /// Spans in envelopes that the server took, or refused with status 429.
    pub(crate) sent: AtomicU64,
    /// Of those, the ones that it refused.
    pub(crate) rate_limited: AtomicU64,
    register: Mutex<Register>,
    #[cfg(feature = "legacy")]
    pub(crate) legacy: crate::legacy::Books,
}

/// Who has a lane, and what those left behind who had.
#[derive(Debug, Default)]
struct Register {
    lanes: Vec<&'static LaneCounters>,
    /// Sums over the lanes of threads that have ended.
    gone: stats::Sums,
    threads: HashMap<u32, Thread>,
    next_thread: u32,
}

/// A thread that started spans.
#[derive(Debug, Clone)]
pub(crate) struct Thread {
    /// The operating system's id of it, where that can be had, else the standard library's.
    pub(crate) id: String,
    pub(crate) name: Option<String>,
    ended: bool,
}

/// Threads that have ended are remembered for the spans that they started and others will end, up to this many.
const ENDED_THREADS: usize = 1024;

impl Core {
    pub(crate) fn new(
        settings: Settings,
        source: Source<Slot>,
        budget: Arc<Budget>,
        doorbell: Arc<Doorbell>,
        control: Sender<crate::flusher::Command>,
    ) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        fork::settle();
        Core {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            traces: settings.is_tracing() && settings.trace_lifecycle == TraceLifecycle::Stream,
            continued: settings.continued.clone().map(|incoming| Arc::new(Trace::continued(incoming))),
            process_context: Arc::new(ProcessContext::new(&settings)),
            closed: AtomicBool::new(false),
            finished: AtomicBool::new(false),
            halvings: AtomicU32::new(0),
            source,
            budget,
            doorbell,
            control,
            losses: Losses::default(),
            sent: AtomicU64::new(0),
            rate_limited: AtomicU64::new(0),
            register: Mutex::default(),
            #[cfg(feature = "legacy")]
            legacy: crate::legacy::Books::new(&settings),
            settings,
        }
    }

    #[cfg(feature = "legacy")]
    pub(crate) fn lifecycle(&self) -> TraceLifecycle {
        self.settings.trace_lifecycle
    }

    /// Whether segments are recorded, or counted as not sampled. False if tracing is off, the lifecycle is another, or it is closed.
    pub(crate) fn traces(&self) -> bool {
        self.traces && !self.is_closed()
    }

    /// Whether a segment of this trace could be sampled, before anything about it is known. (behaviours 23, 26)
    pub(crate) fn may_sample(&self, trace: Option<&Trace>) -> bool {
        self.traces()
            && (self.settings.traces_sampler.is_some()
                || match trace.or(self.continued.as_deref()).and_then(Trace::parent_sampled) {
                    Some(sampled) => sampled,
                    None => self.settings.traces_sample_rate.is_some_and(|rate| rate > 0.0),
                })
    }

    /// The rate that decides about a segment, if nothing else does: no sampler, no rule, and no trace that came in.
    pub(crate) fn only_rate(&self) -> Option<f64> {
        let others = self.settings.traces_sampler.is_some()
            || self.continued.is_some()
            || !self.settings.ignore_spans.is_empty();
        self.settings.traces_sample_rate.filter(|_| !others && self.traces())
    }

    /// Whether a rule is against a span that starts like this. (behaviour 35)
    pub(crate) fn ignores(&self, site: Site, details: &Details) -> bool {
        let rules = &self.settings.ignore_spans;
        !rules.is_empty() && {
            let name = details.name().map_or(site.name(), |name| name);
            rules.ignore(name, &StartAttributes::of(site, details))
        }
    }

    /// How often the sample rate is halved at the moment.
    pub(crate) fn halvings(&self) -> u32 {
        self.halvings.load(Ordering::Relaxed)
    }

    /// Lowers the sample rate by one half more, or by one half less. (behaviour 27)
    pub(crate) fn adapt(&self, healthy: bool) {
        let halvings = self.halvings();
        let next = if healthy { halvings.saturating_sub(1) } else { halvings.saturating_add(1).min(MOST_HALVINGS) };
        if next != halvings {
            self.halvings.store(next, Ordering::Relaxed);
            let factor = 1_u32 << next;
            context::say(|| log::debug!("sentry: the sample rate is lowered by a factor of {factor}"));
        }
    }

    /// Whether a span means something here: it is recorded, or, in the static lifecycle, warned about.
    pub(super) fn wants_spans(&self) -> bool {
        self.settings.trace_lifecycle == TraceLifecycle::Static || self.settings.is_tracing()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// The flusher has counted all that it had, and takes nothing any more.
    pub(crate) fn finish(&self) {
        // Release: whoever sees this sees what was counted.
        self.finished.store(true, Ordering::Release);
    }

    /// Whether nobody will send what is not sent yet: the flusher has ended, or is that of another process.
    fn is_over(&self) -> bool {
        self.finished.load(Ordering::Acquire) || !self.is_ours()
    }

    /// Whether this runtime was made by this process, and not by one that it was forked from: that one's threads are not here.
    pub(crate) fn is_ours(&self) -> bool {
        self.doorbell.is_ours()
    }

    /// Runs `f` with a lane that lives for the call: for spans that end where the thread's own lane is gone, which
    /// happens in destructors of thread-local values only.
    pub(crate) fn with_orphan<R>(self: &Arc<Self>, f: impl FnOnce(&mut Lane) -> R) -> R {
        f(&mut Lane::orphan(self))
    }

    /// A thread's information, for the flusher.
    pub(crate) fn thread(&self, number: u32) -> Option<Thread> {
        self.register()?.threads.get(&number).cloned()
    }

    /// Locks what only the first span of a thread, its end, and the flusher touch. `None` if it was held at a fork.
    fn register(&self) -> Option<MutexGuard<'_, Register>> {
        fork::lock(&self.register)
    }

    /// Gives a thread its counters and its number. Where `thread` is `None` nothing is known of it, as no span starts there.
    fn enroll(&self, thread: Option<Thread>) -> (&'static LaneCounters, u32) {
        let counters = LaneCounters::take();
        let Some(mut register) = self.register() else { return (counters, 0) };
        let number = register.next_thread;
        register.next_thread = number.wrapping_add(1);
        if let Some(thread) = thread {
            register.threads.insert(number, thread);
        }
        register.lanes.push(counters);
        (counters, number)
    }

    fn dismiss(&self, counters: &'static LaneCounters, thread: u32) {
        // Without the lock they stay where they are, and count on.
        let Some(mut register) = self.register() else { return };
        register.lanes.retain(|lane| !std::ptr::eq(*lane, counters));
        register.gone.add(counters);
        counters.give_back();
        if let Some(thread) = register.threads.get_mut(&thread) {
            thread.ended = true;
        }
        let ended = register.threads.values().filter(|thread| thread.ended).count();
        if ended > ENDED_THREADS {
            // Numbers are given in order of arrival; the older half goes.
            let mut numbers: Vec<u32> =
                register.threads.iter().filter(|(_, thread)| thread.ended).map(|(number, _)| *number).collect();
            numbers.sort_unstable();
            numbers.truncate(numbers.len() / 2);
            for number in numbers {
                register.threads.remove(&number);
            }
        }
    }

    /// `None` in a child, if another thread was just at it when the process was forked.
    fn sums(&self) -> Option<stats::Sums> {
        let register = self.register()?;
        let mut sums = register.gone;
        for lane in &register.lanes {
            sums.add(lane);
        }
        #[cfg(feature = "legacy")]
        self.legacy.add_to(&mut sums);
        Some(sums)
    }

    /// Everything that was counted lost, including what the threads count for themselves.
    pub(crate) fn lost(&self) -> Report {
        let mut spans = self.losses.snapshot();
        spans.add_unsent(&self.sums().unwrap_or_default().unsent);
        Report {
            spans,
            #[cfg(feature = "legacy")]
            transactions: self.legacy.lost(),
        }
    }

    /// An envelope was taken by the server.
    pub(crate) fn count_sent(&self, load: Load) {
        self.tell(format_args!("the server took {load}"));
        self.count_answered(load);
    }

    fn count_answered(&self, load: Load) {
        self.sent.fetch_add(load.spans, Ordering::AcqRel);
        #[cfg(feature = "legacy")]
        self.legacy.count_sent(load.transactions);
    }

    /// An envelope was refused because there were too many; the server counts what was in it.
    pub(crate) fn count_rate_limited(&self, load: Load) {
        self.tell(format_args!("the server asked for a pause rather than take {load}"));
        self.rate_limited.fetch_add(load.spans, Ordering::Relaxed);
        self.count_answered(load);
    }

    /// What was in an envelope, or would have been, is lost.
    pub(crate) fn count_lost(&self, reason: LossReason, load: Load) {
        if load.spans > 0 {
            self.tell(format_args!("{load} is lost: {}", reason.as_str()));
        }
        self.losses.add(reason, load.spans);
        #[cfg(feature = "legacy")]
        self.legacy.count_lost(reason, load.transactions);
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats::read(self).unwrap_or_default()
    }

    /// Tells what was done, where the option `debug` asks for it. Not for the path of a span.
    pub(crate) fn tell(&self, what: fmt::Arguments<'_>) {
        tell(self.settings.debug, what);
    }
}

/// Tells what was done, if that is asked for. A logger is the user's code: it may be instrumented, or panic.
fn tell(debug: bool, what: fmt::Arguments<'_>) {
    if debug {
        context::say(|| log::debug!("sentry: {what}"));
    }
}

impl Thread {
    fn current() -> Self {
        let current = std::thread::current();
        // On Linux this link reads `<process>/task/<thread>`.
        let from_system = std::fs::read_link("/proc/thread-self")
            .ok()
            .and_then(|link| link.file_name().and_then(|name| name.to_str()).map(str::to_owned));
        let id = from_system.unwrap_or_else(|| {
            // `ThreadId(7)`: the digits.
            format!("{:?}", current.id()).chars().filter(char::is_ascii_digit).collect()
        });
        Thread { id, name: current.name().map(str::to_owned), ended: false }
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("number", &self.number).field("settings", &self.settings).finish_non_exhaustive()
    }
}
