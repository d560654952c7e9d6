//! The runtime that `init` installed, as every thread finds it without a lock.

use std::mem;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock, Weak};

use super::{Core, exit, fork};

static INSTALLED: RwLock<Option<Arc<Core>>> = RwLock::new(None);

/// Counts changes of `INSTALLED`, so that a thread knows when to look again.
static CHANGES: AtomicU64 = AtomicU64::new(0);

/// Runtimes in this process, installed or not, to which a span means something: they record spans, or have to say why they do not.
static RECORDING: AtomicUsize = AtomicUsize::new(0);

/// Runtimes in this process.
static ALL: Mutex<Vec<Weak<Core>>> = Mutex::new(Vec::new());

/// Whether there is any runtime to which a span means something: the one load that a span costs in a program without, or with tracing off.
#[inline]
pub(crate) fn any() -> bool {
    RECORDING.load(Ordering::Relaxed) != 0
}

pub(super) fn add(core: &Arc<Core>) {
    RECORDING.fetch_add(usize::from(core.wants_spans()), Ordering::Relaxed);
    // Without the lock, an unsampled span that ends late is not counted.
    let Some(mut all) = fork::lock(&ALL) else { return };
    all.retain(|core| core.strong_count() > 0);
    all.push(Arc::downgrade(core));
}

pub(super) fn remove(core: &Arc<Core>) {
    RECORDING.fetch_sub(usize::from(core.wants_spans()), Ordering::Relaxed);
}

/// The runtime with this number, while it lives, closed or not.
#[cold]
pub(crate) fn by_number(number: u32) -> Option<Arc<Core>> {
    let living = || {
        let all = fork::lock(&ALL);
        all.iter().flat_map(|all| all.iter()).filter_map(Weak::upgrade).collect::<Vec<_>>()
    };
    // Out here, where nothing is locked: the last of a runtime drops what its user gave it.
    living().into_iter().find(|core| core.number == number)
}

/// Installs a runtime; false if there is one. That of a process which this one was forked from is none.
pub(super) fn install(core: &Arc<Core>) -> bool {
    let before = {
        let Some(mut installed) = fork::write(&INSTALLED) else { return false };
        if installed.as_ref().is_some_and(|core| core.is_ours()) {
            return false;
        }
        installed.replace(Arc::clone(core))
    };
    // Release: pairs with the Acquire in `Cache::get`; the lock orders the contents.
    CHANGES.fetch_add(1, Ordering::Release);
    if let Some(before) = before {
        // Nobody here has its guard any more, or will drop it as one that is not installed.
        before.close();
    }
    exit::watch(core);
    true
}

/// Takes a runtime out, if it is the one that is installed.
pub(super) fn uninstall(core: &Arc<Core>) {
    let Some(mut installed) = fork::write(&INSTALLED) else { return };
    if installed.as_ref().is_some_and(|current| Arc::ptr_eq(current, core)) {
        *installed = None;
        CHANGES.fetch_add(1, Ordering::Release);
    }
}

pub(super) fn current() -> Option<Arc<Core>> {
    fork::read(&INSTALLED).and_then(|installed| installed.clone())
}

/// A thread's copy of what is installed.
#[derive(Debug)]
pub(crate) struct Cache {
    seen: u64,
    core: Option<Arc<Core>>,
    /// Another was installed, or the first: perhaps in a process that was forked, which has its parent's generator of ids.
    renewed: bool,
}

impl Cache {
    pub(crate) const fn new() -> Self {
        Cache { seen: 0, core: None, renewed: false }
    }

    #[inline]
    pub(crate) fn get(&mut self) -> Option<&Arc<Core>> {
        let changes = CHANGES.load(Ordering::Acquire);
        if changes != self.seen {
            self.seen = changes;
            self.core = current();
            self.renewed = true;
        }
        self.core.as_ref()
    }

    /// The same, if it has not become another since [`take_renewed`](Self::take_renewed).
    #[inline]
    pub(crate) fn get_known(&mut self) -> Option<&Arc<Core>> {
        self.get();
        if self.renewed { None } else { self.core.as_ref() }
    }

    /// Whether it has become another since this was asked.
    pub(crate) fn take_renewed(&mut self) -> bool {
        mem::take(&mut self.renewed)
    }
}
