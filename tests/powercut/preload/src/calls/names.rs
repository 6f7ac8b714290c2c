//! Names: made, moved, removed.

use std::ffi::{CStr, c_char};

use libc::{AT_FDCWD, AT_REMOVEDIR, c_int, c_uint, mode_t, off_t};

use super::{give_int, text};
use crate::disk::disk;
use crate::kernel::{self, Answer, die};

fn rename_from(from_folder: c_int, from: &CStr, to_folder: c_int, to: &CStr, flags: u32) -> Answer<usize> {
    let real = || kernel::rename(from_folder, from, to_folder, to, flags);
    let Some(disk) = disk() else {
        return real();
    };
    match (disk.spot(from_folder, from), disk.spot(to_folder, to)) {
        (None, None) => real(),
        (Some(from), Some(to)) if flags == 0 => disk.rename(&from, &to),
        _ => die(&format!("a move of {} cannot be journalled", from.to_string_lossy())),
    }
}

fn remove_from(folder: c_int, path: &CStr, flags: c_int) -> Answer<usize> {
    match disk().and_then(|disk| Some((disk, disk.spot(folder, path)?))) {
        Some((disk, spot)) => disk.remove(&spot, flags),
        None => kernel::remove(folder, path, flags),
    }
}

fn make_from(folder: c_int, path: &CStr, mode: mode_t) -> Answer<usize> {
    match disk().and_then(|disk| Some((disk, disk.spot(folder, path)?))) {
        Some((disk, spot)) => disk.make_folder(&spot, mode),
        None => kernel::make_folder(folder, path, mode),
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn renameat2(
    from_folder: c_int,
    from: *const c_char,
    to_folder: c_int,
    to: *const c_char,
    flags: c_uint,
) -> c_int {
    // SAFETY: the caller's promise to the C library.
    let (from, to) = unsafe { (text(from), text(to)) };
    give_int(rename_from(from_folder, from, to_folder, to, flags))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn renameat(from_folder: c_int, from: *const c_char, to_folder: c_int, to: *const c_char) -> c_int {
    // SAFETY: the same function without flags.
    unsafe { renameat2(from_folder, from, to_folder, to, 0) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    // SAFETY: the same function, from where the process stands.
    unsafe { renameat2(AT_FDCWD, from, AT_FDCWD, to, 0) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn unlinkat(folder: c_int, path: *const c_char, flags: c_int) -> c_int {
    // SAFETY: the caller's promise to the C library.
    give_int(remove_from(folder, unsafe { text(path) }, flags))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn unlink(path: *const c_char) -> c_int {
    // SAFETY: the same function, from where the process stands.
    unsafe { unlinkat(AT_FDCWD, path, 0) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn rmdir(path: *const c_char) -> c_int {
    // SAFETY: the same function, of folders.
    unsafe { unlinkat(AT_FDCWD, path, AT_REMOVEDIR) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mkdirat(folder: c_int, path: *const c_char, mode: mode_t) -> c_int {
    // SAFETY: the caller's promise to the C library.
    give_int(make_from(folder, unsafe { text(path) }, mode))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn mkdir(path: *const c_char, mode: mode_t) -> c_int {
    // SAFETY: the same function, from where the process stands.
    unsafe { mkdirat(AT_FDCWD, path, mode) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn linkat(
    from_folder: c_int,
    from: *const c_char,
    to_folder: c_int,
    to: *const c_char,
    flags: c_int,
) -> c_int {
    if let Some(disk) = disk() {
        // SAFETY: the caller's promise to the C library.
        disk.refuse("a link", to_folder, unsafe { text(to) });
    }
    // SAFETY: passed on as it came.
    unsafe { libc::syscall(libc::SYS_linkat, from_folder, from, to_folder, to, flags) as c_int }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn link(from: *const c_char, to: *const c_char) -> c_int {
    // SAFETY: the same function, from where the process stands.
    unsafe { linkat(AT_FDCWD, from, AT_FDCWD, to, 0) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn symlinkat(meaning: *const c_char, folder: c_int, path: *const c_char) -> c_int {
    if let Some(disk) = disk() {
        // SAFETY: the caller's promise to the C library.
        disk.refuse("a symbolic link", folder, unsafe { text(path) });
    }
    // SAFETY: passed on as it came.
    unsafe { libc::syscall(libc::SYS_symlinkat, meaning, folder, path) as c_int }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn symlink(meaning: *const c_char, path: *const c_char) -> c_int {
    // SAFETY: the same function, from where the process stands.
    unsafe { symlinkat(meaning, AT_FDCWD, path) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn truncate(path: *const c_char, length: off_t) -> c_int {
    if let Some(disk) = disk() {
        // SAFETY: the caller's promise to the C library.
        disk.refuse("a change of length by name", AT_FDCWD, unsafe { text(path) });
    }
    // SAFETY: passed on as it came.
    unsafe { libc::syscall(libc::SYS_truncate, path, length) as c_int }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn truncate64(path: *const c_char, length: off_t) -> c_int {
    // SAFETY: the same function under its other name.
    unsafe { truncate(path, length) }
}
