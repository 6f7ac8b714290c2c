//! The system's random numbers, drawn from a seed. A program with this package in it has its own `getrandom`, which the
//! standard library (for its hash maps, and by those for tokio's choices) and everybody else calls in place of the system's.
//!
//! Must keep true: before [`load`] the numbers are the system's own, after it nobody gets any other than the seed's.
//!
//! It is for the simulation alone, and in no program that serves anybody: the numbers are no secret.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use libc::{c_uint, c_void, size_t, ssize_t};

/// What the row is added up with (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

static LOADED: AtomicBool = AtomicBool::new(false);
static ROW: AtomicU64 = AtomicU64::new(0);

/// From now on all numbers come from `seed`. What a thread has drawn before, the keys of its hash maps for one, it keeps.
pub fn load(seed: u64) {
    ROW.store(seed, SeqCst);
    LOADED.store(true, SeqCst);
}

fn next() -> u64 {
    let mut mixed = ROW.fetch_add(STEP, SeqCst).wrapping_add(STEP);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Stands for the C library's function of this name.
///
/// # Safety
/// As for that one: `buffer` holds `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buffer: *mut c_void, length: size_t, flags: c_uint) -> ssize_t {
    if !LOADED.load(SeqCst) {
        // SAFETY: the caller's promises are those that the system asks for.
        let drawn = unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, flags) };
        return drawn as ssize_t;
    }
    // SAFETY: the caller gives so many bytes to be written.
    let bytes = unsafe { std::slice::from_raw_parts_mut(buffer.cast::<u8>(), length) };
    for piece in bytes.chunks_mut(8) {
        piece.copy_from_slice(&next().to_le_bytes()[..piece.len()]);
    }
    ssize_t::try_from(length).unwrap_or(ssize_t::MAX)
}
