//! What time it is.

use std::ffi::c_void;

use libc::{c_int, clockid_t, time_t, timespec, timeval};

use super::give_int;
use crate::clock::shown;

#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(which: clockid_t, time: *mut timespec) -> c_int {
    give_int(shown(which).map(|shown| {
        // SAFETY: the caller gave a place for it, as the C library asks.
        unsafe { time.write(shown) };
        0_usize
    }))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn time(place: *mut time_t) -> time_t {
    let seconds = shown(libc::CLOCK_REALTIME).map_or(-1, |shown| shown.tv_sec);
    if !place.is_null() {
        // SAFETY: the caller gave a place for it.
        unsafe { place.write(seconds) };
    }
    seconds
}

#[unsafe(no_mangle)]
unsafe extern "C" fn gettimeofday(place: *mut timeval, _zone: *mut c_void) -> c_int {
    give_int(shown(libc::CLOCK_REALTIME).map(|shown| {
        if !place.is_null() {
            // SAFETY: the caller gave a place for it.
            unsafe {
                place.write(timeval {
                    tv_sec: shown.tv_sec,
                    tv_usec: shown.tv_nsec / 1_000,
                });
            }
        }
        0_usize
    }))
}
