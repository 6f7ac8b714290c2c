//! Bytes, lengths and syncs.

use std::ffi::c_void;

use libc::{c_int, iovec, off_t, size_t, ssize_t};

use super::{give, give_int};
use crate::disk::watched;
use crate::kernel::{self, Answer};

/// The bytes that a caller wants written.
///
/// # Safety
/// There must be as many as it says.
unsafe fn slice<'a>(buffer: *const c_void, count: size_t) -> &'a [u8] {
    if count == 0 {
        return &[];
    }
    // SAFETY: the caller's promise; no slice may be longer than this, and the kernel writes no more in one call.
    unsafe { std::slice::from_raw_parts(buffer.cast(), count.min(isize::MAX as usize)) }
}

/// All the pieces that a caller wants written, as one.
///
/// # Safety
/// There must be as many as it says, each as long as it says.
unsafe fn gathered(pieces: *const iovec, count: c_int) -> Vec<u8> {
    let count = usize::try_from(count).unwrap_or_default();
    // SAFETY: the caller's promise.
    let pieces = unsafe { std::slice::from_raw_parts(pieces, count) };
    let mut all = Vec::new();
    for piece in pieces {
        // SAFETY: the caller's promise.
        all.extend_from_slice(unsafe { slice(piece.iov_base, piece.iov_len) });
    }
    all
}

fn unsigned(number: off_t) -> Answer<u64> {
    u64::try_from(number).map_err(|_| libc::EINVAL)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn write(fd: c_int, buffer: *const c_void, count: size_t) -> ssize_t {
    // SAFETY: the caller's promise to the C library.
    let bytes = unsafe { slice(buffer, count) };
    give(match watched(fd) {
        Some(disk) => disk.write(fd, bytes, None),
        None => kernel::write(fd, bytes),
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pwrite(fd: c_int, buffer: *const c_void, count: size_t, offset: off_t) -> ssize_t {
    // SAFETY: the caller's promise to the C library.
    let bytes = unsafe { slice(buffer, count) };
    give(unsigned(offset).and_then(|offset| match watched(fd) {
        Some(disk) => disk.write(fd, bytes, Some(offset)),
        None => kernel::write_at(fd, bytes, offset),
    }))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pwrite64(fd: c_int, buffer: *const c_void, count: size_t, offset: off_t) -> ssize_t {
    // SAFETY: the same function under its other name.
    unsafe { pwrite(fd, buffer, count, offset) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn writev(fd: c_int, pieces: *const iovec, count: c_int) -> ssize_t {
    match watched(fd) {
        // SAFETY: the caller's promise to the C library.
        Some(disk) => give(disk.write(fd, &unsafe { gathered(pieces, count) }, None)),
        // SAFETY: passed on as it came; the kernel checks the rest.
        None => unsafe { libc::syscall(libc::SYS_writev, fd, pieces, count) as ssize_t },
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pwritev(fd: c_int, pieces: *const iovec, count: c_int, offset: off_t) -> ssize_t {
    // SAFETY: the caller's promise to the C library.
    let all = unsafe { gathered(pieces, count) };
    give(unsigned(offset).and_then(|offset| match watched(fd) {
        Some(disk) => disk.write(fd, &all, Some(offset)),
        None => kernel::write_at(fd, &all, offset),
    }))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn pwritev64(fd: c_int, pieces: *const iovec, count: c_int, offset: off_t) -> ssize_t {
    // SAFETY: the same function under its other name.
    unsafe { pwritev(fd, pieces, count, offset) }
}

#[unsafe(no_mangle)]
extern "C" fn ftruncate(fd: c_int, length: off_t) -> c_int {
    give_int(unsigned(length).and_then(|length| match watched(fd) {
        Some(disk) => disk.resize(fd, length),
        None => kernel::resize(fd, length),
    }))
}

#[unsafe(no_mangle)]
extern "C" fn ftruncate64(fd: c_int, length: off_t) -> c_int {
    ftruncate(fd, length)
}

#[unsafe(no_mangle)]
extern "C" fn fallocate(fd: c_int, mode: c_int, offset: off_t, length: off_t) -> c_int {
    let both = unsigned(offset).and_then(|offset| Ok((offset, unsigned(length)?)));
    give_int(both.and_then(|(offset, length)| match watched(fd) {
        Some(disk) => disk.allocate(fd, mode, offset, length),
        None => kernel::allocate(fd, mode, offset, length),
    }))
}

#[unsafe(no_mangle)]
extern "C" fn fallocate64(fd: c_int, mode: c_int, offset: off_t, length: off_t) -> c_int {
    fallocate(fd, mode, offset, length)
}

#[unsafe(no_mangle)]
extern "C" fn fsync(fd: c_int) -> c_int {
    give_int(match watched(fd) {
        Some(disk) => disk.sync(fd, false),
        None => kernel::sync(fd, false),
    })
}

#[unsafe(no_mangle)]
extern "C" fn fdatasync(fd: c_int) -> c_int {
    give_int(match watched(fd) {
        Some(disk) => disk.sync(fd, true),
        None => kernel::sync(fd, true),
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mmap(
    address: *mut c_void,
    length: size_t,
    protection: c_int,
    flags: c_int,
    fd: c_int,
    offset: off_t,
) -> *mut c_void {
    let shared = matches!(flags & libc::MAP_TYPE, libc::MAP_SHARED | libc::MAP_SHARED_VALIDATE);
    let written = shared && protection & libc::PROT_WRITE != 0 && flags & libc::MAP_ANONYMOUS == 0;
    if let Some(disk) = watched(fd).filter(|_| written) {
        disk.refuse_file("a writable shared mapping", fd);
    }
    // SAFETY: passed on as it came.
    unsafe { libc::syscall(libc::SYS_mmap, address, length, protection, flags, fd, offset) as *mut c_void }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mmap64(
    address: *mut c_void,
    length: size_t,
    protection: c_int,
    flags: c_int,
    fd: c_int,
    offset: off_t,
) -> *mut c_void {
    // SAFETY: the same function under its other name.
    unsafe { mmap(address, length, protection, flags, fd, offset) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn copy_file_range(
    from: c_int,
    from_offset: *mut off_t,
    to: c_int,
    to_offset: *mut off_t,
    length: size_t,
    flags: libc::c_uint,
) -> ssize_t {
    if let Some(disk) = watched(to) {
        disk.refuse_file("a copy", to);
    }
    // SAFETY: passed on as it came.
    unsafe {
        libc::syscall(
            libc::SYS_copy_file_range,
            from,
            from_offset,
            to,
            to_offset,
            length,
            flags,
        ) as ssize_t
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn sendfile64(to: c_int, from: c_int, offset: *mut off_t, count: size_t) -> ssize_t {
    if let Some(disk) = watched(to) {
        disk.refuse_file("a copy", to);
    }
    // SAFETY: passed on as it came.
    unsafe { libc::syscall(libc::SYS_sendfile, to, from, offset, count) as ssize_t }
}
