//! Chance in a simulated cluster: one row of numbers for the whole process, which has one thread.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What the row is added up with: the golden ratio (Steele, Lea and Flood, "Fast splittable pseudorandom number
/// generators", 2014).
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

static ROW: AtomicU64 = AtomicU64::new(0);

/// Begins the row that belongs to `seed`.
pub fn seed(seed: u64) {
    ROW.store(seed, Relaxed);
}

/// The next number.
pub fn next() -> u64 {
    let mut mixed = ROW.fetch_add(STEP, Relaxed).wrapping_add(STEP);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// A number below `end`, which must not be zero.
pub fn below(end: u64) -> u64 {
    next() % end
}
