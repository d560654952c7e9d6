//! A map by trace id.
//!
//! Each batch is looked up some times on its way, and the standard library's hash takes as long as all else about that. A trace id is 128 bits that
//! were drawn at random, or should have been: it comes from other services, and whoever chooses it must not be able to choose
//! which ids share a bucket. So the two halves are hidden behind keys that this process draws for itself, and multiplied.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

/// What belongs to a trace, by its id.
pub(super) type ByTrace<T> = HashMap<u128, T, Keys>;

/// Secrets of one map.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keys(u64, u64);

impl Default for Keys {
    fn default() -> Self {
        let random = RandomState::new();
        Keys(random.hash_one(0_u8), random.hash_one(1_u8))
    }
}

impl BuildHasher for Keys {
    type Hasher = TraceHasher;

    fn build_hasher(&self) -> TraceHasher {
        TraceHasher { keys: *self, hash: 0 }
    }
}

/// Without a pattern: the digits of the golden ratio.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Both halves of the product: each alone leaves out bits of the factors.
#[inline]
fn fold(one: u64, other: u64) -> u64 {
    let product = u128::from(one).wrapping_mul(u128::from(other));
    product as u64 ^ (product >> 64) as u64
}

#[derive(Debug)]
pub(super) struct TraceHasher {
    keys: Keys,
    hash: u64,
}

impl Hasher for TraceHasher {
    fn write_u128(&mut self, id: u128) {
        // The casts take the two halves.
        let hidden = fold(id as u64 ^ self.keys.0, (id >> 64) as u64 ^ self.keys.1);
        // The map wants the lowest bits and the highest, and in these small differences of an id do not show yet.
        self.hash ^= fold(hidden, SPREAD);
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u128(u128::from(self.hash) << 64 | u128::from(*byte));
        }
    }

    fn finish(&self) -> u64 {
        self.hash
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Ids as somebody would choose them who wants them to collide: they differ in a few bits only.
    fn chosen(shift: u32) -> impl Iterator<Item = u128> {
        (0..4096_u128).map(move |number| number << shift)
    }

    #[test]
    fn ids_that_differ_in_a_few_bits_are_spread_whichever_bits_these_are() {
        for shift in [0, 20, 52, 58, 64, 100, 116] {
            let keys = Keys::default();
            // What the map takes for a bucket of 4,096, and what it compares beside.
            let buckets: HashSet<u64> = chosen(shift).map(|id| keys.hash_one(id) & 4095).collect();
            let tags: HashSet<u64> = chosen(shift).map(|id| keys.hash_one(id) >> 57).collect();
            // Of as many drawn at random, some 2,590 differ.
            assert!(buckets.len() > 2_000, "{} of 4,096 buckets are used by ids at bit {shift}", buckets.len());
            assert_eq!(tags.len(), 128, "at bit {shift}");
        }
    }

    #[test]
    fn another_map_spreads_them_otherwise() {
        let of = |keys: Keys| chosen(0).map(|id| keys.hash_one(id)).collect::<Vec<_>>();
        assert_ne!(of(Keys::default()), of(Keys::default()));
    }
}
