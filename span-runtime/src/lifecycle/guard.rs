//! What happens when a call of one lifecycle comes to a runtime of the other: a warning, once a call site. (behaviour 3)
#![expect(
    clippy::arithmetic_side_effects,
    reason = "what is divided by is the alignment of a type, or the length of a table in which there is a place"
)]

use std::panic::Location;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::TraceLifecycle;
use crate::context;

/// Runtimes of the static lifecycle that exist in this process.
static STATIC_RUNTIMES: AtomicUsize = AtomicUsize::new(0);

/// A runtime of the static lifecycle; counts while it lives.
#[derive(Debug)]
pub(crate) struct StaticRuntime(());

impl StaticRuntime {
    pub(crate) fn count() -> Self {
        STATIC_RUNTIMES.fetch_add(1, Ordering::Relaxed);
        StaticRuntime(())
    }
}

impl Drop for StaticRuntime {
    fn drop(&mut self) {
        STATIC_RUNTIMES.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Says that a call of the streaming API came to a runtime of the static lifecycle, if that is why it recorded nothing. Where
/// there is no such runtime this is one load.
#[inline]
pub(crate) fn refuse_streaming(call: &'static Location<'static>) {
    if STATIC_RUNTIMES.load(Ordering::Relaxed) != 0 && !was_told(call) {
        refuse_streaming_for_the_first_time(call);
    }
}

#[cold]
#[inline(never)]
fn refuse_streaming_for_the_first_time(call: &'static Location<'static>) {
    if context::with(|local| local.lifecycle()).flatten() == Some(TraceLifecycle::Static) {
        warn_once(call, |call| {
            log::warn!(
                "sentry: {call}: a span of the streaming API records nothing here, because the runtime's trace_lifecycle \
                 is `static`; start a transaction or a child of one instead, or set trace_lifecycle to `stream`"
            );
        });
    }
}

/// Says that a call of the legacy API came to a runtime of the streaming lifecycle.
#[cold]
#[inline(never)]
pub(crate) fn refuse_legacy(call: &'static Location<'static>) {
    warn_once(call, |call| {
        log::warn!(
            "sentry: {call}: a transaction of the legacy API records nothing here, because the runtime's \
             trace_lifecycle is `stream`; use `#[span]`, `span!` or `start_span` instead, or set trace_lifecycle to `static`"
        );
    });
}

/// How many places in the source can be told apart. Those beyond are counted as told.
const PLACES: usize = 1024;

/// The addresses of the places that were told, by open addressing; 0 is free. A place is never taken out, so nobody needs a
/// lock, and a call that is made a million times costs a load or two.
static TOLD: [AtomicUsize; PLACES] = [const { AtomicUsize::new(0) }; PLACES];

fn warn_once(call: &'static Location<'static>, warn: impl FnOnce(&Location<'_>)) {
    if find(&TOLD, address(call), true) == Found::Entered {
        context::say(|| warn(call));
    }
}

fn was_told(call: &'static Location<'static>) -> bool {
    find(&TOLD, address(call), false) == Found::Old
}

fn address(call: &'static Location<'static>) -> usize {
    std::ptr::from_ref(call).addr()
}

#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// It was there, or there is no room for it.
    Old,
    /// It is there now.
    Entered,
    /// It is not there.
    Absent,
}

/// Looks for an address, and enters it if it is not there and that is wanted.
fn find(table: &[AtomicUsize], address: usize, enter: bool) -> Found {
    let start = address / align_of::<Location<'_>>();
    for step in 0..table.len() {
        let Some(place) = table.get(start.wrapping_add(step) % table.len()) else { break };
        // Relaxed: the address is all there is to see.
        let mut found = place.load(Ordering::Relaxed);
        if found == 0 {
            if !enter {
                return Found::Absent;
            }
            match place.compare_exchange(0, address, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Found::Entered,
                Err(other) => found = other,
            }
        }
        if found == address {
            return Found::Old;
        }
    }
    Found::Old
}

#[cfg(test)]
mod tests {
    use super::*;

    // behaviour 3
    #[test]
    fn a_place_is_new_once_also_where_their_slots_collide_and_none_is_when_the_table_is_full() {
        let table: [AtomicUsize; 4] = std::array::from_fn(|_| AtomicUsize::new(0));
        let step = align_of::<Location<'_>>();
        let places: Vec<usize> = (1..=4).map(|n| n * 4 * step).collect();
        for &place in &places {
            assert_eq!(find(&table, place, false), Found::Absent);
            assert_eq!(find(&table, place, true), Found::Entered);
            assert_eq!(find(&table, place, true), Found::Old);
        }
        assert_eq!(find(&table, 100 * step, true), Found::Old, "the table is full");
        assert!(places.iter().all(|&place| find(&table, place, false) == Found::Old));
    }
}
