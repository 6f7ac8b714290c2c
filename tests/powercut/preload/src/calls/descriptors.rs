//! Descriptors: opened, copied, closed.

use std::ffi::{CStr, c_char};

use libc::{AT_FDCWD, c_int, mode_t};

use super::{give_int, text};
use crate::disk::{disk, watch, watched};
use crate::kernel::{self, Answer};

fn open_from(folder: c_int, path: &CStr, flags: c_int, mode: mode_t) -> Answer<c_int> {
    let Some(disk) = disk() else {
        return kernel::open(folder, path, flags, mode);
    };
    if let Some(spot) = disk.spot(folder, path) {
        return disk.open(&spot, flags, mode);
    }
    let fd = kernel::open(folder, disk.instead_of(path), flags, mode)?;
    watch(fd, false);
    Ok(fd)
}

// The mode is an optional argument; where it is not given it is not looked at. On the processors that this is built for
// it comes in the same register either way.
#[unsafe(no_mangle)]
unsafe extern "C" fn openat(folder: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the caller's promise to the C library.
    give_int(open_from(folder, unsafe { text(path) }, flags, mode))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn openat64(folder: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the same function under its other name.
    unsafe { openat(folder, path, flags, mode) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the same function, from where the process stands.
    unsafe { openat(AT_FDCWD, path, flags, mode) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the same function, from where the process stands.
    unsafe { openat(AT_FDCWD, path, flags, mode) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn creat(path: *const c_char, mode: mode_t) -> c_int {
    // SAFETY: the same function with these flags.
    unsafe { openat(AT_FDCWD, path, libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC, mode) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn creat64(path: *const c_char, mode: mode_t) -> c_int {
    // SAFETY: the same function under its other name.
    unsafe { creat(path, mode) }
}

#[unsafe(no_mangle)]
extern "C" fn close(fd: c_int) -> c_int {
    // Before it is closed: afterwards the number may be another thread's.
    watch(fd, false);
    give_int(kernel::close(fd))
}

/// A descriptor that is a copy is watched as what it is a copy of.
fn copied(fd: c_int, copy: Answer<usize>) -> Answer<usize> {
    if let Ok(new) = copy {
        watch(c_int::try_from(new).unwrap_or(c_int::MAX), watched(fd).is_some());
    }
    copy
}

#[unsafe(no_mangle)]
extern "C" fn fcntl(fd: c_int, command: c_int, argument: usize) -> c_int {
    let answer = kernel::control(fd, command, argument);
    give_int(match command {
        libc::F_DUPFD | libc::F_DUPFD_CLOEXEC => copied(fd, answer),
        _ => answer,
    })
}

#[unsafe(no_mangle)]
extern "C" fn fcntl64(fd: c_int, command: c_int, argument: usize) -> c_int {
    fcntl(fd, command, argument)
}

#[unsafe(no_mangle)]
extern "C" fn dup(fd: c_int) -> c_int {
    fcntl(fd, libc::F_DUPFD, 0)
}

#[unsafe(no_mangle)]
extern "C" fn dup2(fd: c_int, new: c_int) -> c_int {
    if fd == new {
        return give_int(kernel::control(fd, libc::F_GETFD, 0).map(|_| fd as usize));
    }
    dup3(fd, new, 0)
}

#[unsafe(no_mangle)]
extern "C" fn dup3(fd: c_int, new: c_int, flags: c_int) -> c_int {
    give_int(copied(fd, kernel::copy_to(fd, new, flags)))
}
