//! The functions of the C library that this one stands for. Each asks whether its descriptor or path is watched, and
//! otherwise does what the original does.
//!
//! A panic in one of them ends the process, since it cannot leave a function of the C library.

mod clock;
mod contents;
mod descriptors;
mod names;

use std::ffi::{CStr, c_char};

use libc::{c_int, ssize_t};

use crate::kernel::{Answer, set_error};

/// The path that a caller gave.
///
/// # Safety
/// It must end in zero, as the C library asks of it too.
unsafe fn text<'a>(path: *const c_char) -> &'a CStr {
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(path) }
}

/// An answer as the C library gives it: minus one for an error, whose number is left where the process looks for it.
fn give<T: TryInto<ssize_t>>(answer: Answer<T>) -> ssize_t {
    match answer {
        Ok(value) => value.try_into().unwrap_or(ssize_t::MAX),
        Err(number) => {
            set_error(number);
            -1
        }
    }
}

/// As [`give`], for functions that give an `int`.
fn give_int<T: TryInto<ssize_t>>(answer: Answer<T>) -> c_int {
    c_int::try_from(give(answer)).unwrap_or(c_int::MAX)
}
