//! A runtime as its threads see it: options, counters, and the way to the flusher.

pub(crate) mod global;
mod init;
mod lane;
mod losses;
mod options;
mod stats;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_channel::Sender;

use crate::TraceLifecycle;
use crate::hand_over::{Budget, Doorbell, Source};
use crate::record::Slot;

pub use init::{Guard, Runtime, RuntimeGuard, flush, init, stats};
pub(crate) use lane::{Lane, LaneCounters};
pub(crate) use losses::{Load, Losses, Report};
pub use losses::{LossCounts, LossReason};
pub(crate) use options::Settings;
pub use options::{InitError, Options};
pub use stats::Stats;
#[cfg(feature = "legacy")]
pub(crate) use stats::Sums;

/// What everything that belongs to one runtime shares.
pub(crate) struct Core {
    /// Tells runtimes apart where holding a pointer would be too much.
    pub(crate) number: u32,
    lifecycle: TraceLifecycle,
    /// Of spans that stream: `None` in the static lifecycle.
    sample_rate: Option<f64>,
    closed: AtomicBool,
    pub(crate) source: Source<Slot>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) doorbell: Arc<Doorbell>,
    pub(crate) control: Sender<crate::flusher::Command>,
    pub(crate) losses: Losses,
    /// Spans in envelopes that the server took.
    pub(crate) sent: AtomicU64,
    register: Mutex<Register>,
    #[cfg(feature = "legacy")]
    pub(crate) legacy: crate::legacy::Books,
}

/// Who has a lane, and what those left behind who had.
#[derive(Debug, Default)]
struct Register {
    lanes: Vec<Arc<LaneCounters>>,
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
        settings: &Settings,
        source: Source<Slot>,
        budget: Arc<Budget>,
        doorbell: Arc<Doorbell>,
        control: Sender<crate::flusher::Command>,
    ) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        Core {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            lifecycle: settings.trace_lifecycle,
            sample_rate: settings.traces_sample_rate.filter(|_| settings.trace_lifecycle == TraceLifecycle::Stream),
            closed: AtomicBool::new(false),
            source,
            budget,
            doorbell,
            control,
            losses: Losses::default(),
            sent: AtomicU64::new(0),
            register: Mutex::default(),
            #[cfg(feature = "legacy")]
            legacy: crate::legacy::Books::new(settings),
        }
    }

    #[cfg_attr(not(feature = "legacy"), expect(dead_code, reason = "there is one only"))]
    pub(crate) fn lifecycle(&self) -> TraceLifecycle {
        self.lifecycle
    }

    /// The rate at which segments are sampled, or `None` when no span that streams starts here: tracing is off, the
    /// lifecycle is another, or it is closed.
    pub(crate) fn sample_rate(&self) -> Option<f64> {
        if self.is_closed() { None } else { self.sample_rate }
    }

    pub(crate) fn records(&self) -> bool {
        self.sample_rate().is_some_and(|rate| rate > 0.0)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Runs `f` with a lane that lives for the call: for spans that end where the thread's own lane is gone, which
    /// happens in destructors of thread-local values only.
    pub(crate) fn with_orphan<R>(self: &Arc<Self>, f: impl FnOnce(&mut Lane) -> R) -> R {
        f(&mut Lane::new(self))
    }

    /// A thread's information, for the flusher.
    pub(crate) fn thread(&self, number: u32) -> Option<Thread> {
        self.register().threads.get(&number).cloned()
    }

    /// Locks what only the first span of a thread, its end, and the flusher touch.
    fn register(&self) -> MutexGuard<'_, Register> {
        self.register.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enroll(&self) -> (Arc<LaneCounters>, u32) {
        let thread = Thread::current();
        let counters = Arc::new(LaneCounters::default());
        let mut register = self.register();
        let number = register.next_thread;
        register.next_thread = number.wrapping_add(1);
        register.threads.insert(number, thread);
        register.lanes.push(Arc::clone(&counters));
        (counters, number)
    }

    fn dismiss(&self, counters: &Arc<LaneCounters>, thread: u32) {
        let mut register = self.register();
        register.lanes.retain(|lane| !Arc::ptr_eq(lane, counters));
        register.gone.add(counters);
        if let Some(thread) = register.threads.get_mut(&thread) {
            thread.ended = true;
        }
        let ended = register.threads.values().filter(|thread| thread.ended).count();
        if ended > ENDED_THREADS {
            // Numbers are given in order of arrival; the older half goes.
            let mut numbers: Vec<u32> =
                register.threads.iter().filter(|(_, thread)| thread.ended).map(|(number, _)| *number).collect();
            numbers.sort_unstable();
            for number in &numbers[..numbers.len() / 2] {
                register.threads.remove(number);
            }
        }
    }

    fn sums(&self) -> stats::Sums {
        let register = self.register();
        let mut sums = register.gone;
        for lane in &register.lanes {
            sums.add(lane);
        }
        #[cfg(feature = "legacy")]
        self.legacy.add_to(&mut sums);
        sums
    }

    /// Everything that was counted lost, including what the threads count for themselves.
    pub(crate) fn lost(&self) -> Report {
        let mut spans = self.losses.snapshot();
        spans.add(LossReason::SampleRate, self.sums().unsampled);
        Report {
            spans,
            #[cfg(feature = "legacy")]
            transactions: self.legacy.lost(),
        }
    }

    /// An envelope was taken by the server.
    pub(crate) fn count_sent(&self, load: Load) {
        self.sent.fetch_add(load.spans, Ordering::AcqRel);
        #[cfg(feature = "legacy")]
        self.legacy.count_sent(load.transactions);
    }

    /// What was in an envelope, or would have been, is lost.
    pub(crate) fn count_lost(&self, reason: LossReason, load: Load) {
        self.losses.add(reason, load.spans);
        #[cfg(feature = "legacy")]
        self.legacy.count_lost(reason, load.transactions);
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats::read(self)
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
        f.debug_struct("Core")
            .field("number", &self.number)
            .field("sample_rate", &self.sample_rate)
            .finish_non_exhaustive()
    }
}
