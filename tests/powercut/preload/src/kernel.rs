//! System calls, made directly, with safe arguments. Errors are the kernel's numbers.

use std::ffi::{CStr, CString};
use std::sync::atomic::AtomicI64;

use kvorum_powercut::journal::Node;
use libc::{AT_FDCWD, AT_SYMLINK_NOFOLLOW, c_int, c_long};

/// What a call gives: what the kernel says, or its error number.
pub(crate) type Answer<T> = Result<T, c_int>;

/// What is known of an open file.
#[derive(Clone, Copy)]
pub(crate) struct Status {
    pub(crate) node: Node,
    pub(crate) regular: bool,
    pub(crate) length: u64,
}

/// Tells the process about an error, as the C library does.
pub(crate) fn set_error(number: c_int) {
    // SAFETY: the C library's own place for this thread's error, always valid.
    unsafe { *libc::__errno_location() = number }
}

fn answer(value: c_long) -> Answer<usize> {
    usize::try_from(value).map_err(|_| std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
}

/// Ends the process: what would follow could not be journalled.
pub(crate) fn die(message: &str) -> ! {
    let text = format!("power cut library: {message}\n");
    let _ = write(2, text.as_bytes());
    std::process::abort()
}

pub(crate) fn open(folder: c_int, path: &CStr, flags: c_int, mode: libc::mode_t) -> Answer<c_int> {
    // SAFETY: the path is a string that ends in zero; the kernel reads nothing else.
    let fd = unsafe { libc::syscall(libc::SYS_openat, folder, path.as_ptr(), flags, mode) };
    answer(fd).map(|fd| fd as c_int)
}

pub(crate) fn close(fd: c_int) -> Answer<usize> {
    // SAFETY: a number goes in; whose descriptor it is was the caller's to know.
    answer(unsafe { libc::syscall(libc::SYS_close, fd) })
}

pub(crate) fn write(fd: c_int, bytes: &[u8]) -> Answer<usize> {
    // SAFETY: the kernel reads as many bytes as the slice has.
    answer(unsafe { libc::syscall(libc::SYS_write, fd, bytes.as_ptr(), bytes.len()) })
}

pub(crate) fn write_at(fd: c_int, bytes: &[u8], offset: u64) -> Answer<usize> {
    // SAFETY: the kernel reads as many bytes as the slice has.
    answer(unsafe { libc::syscall(libc::SYS_pwrite64, fd, bytes.as_ptr(), bytes.len(), offset) })
}

/// Bytes of an open file, whatever it was opened for.
pub(crate) fn read(fd: c_int, from: u64, to: u64) -> Answer<Vec<u8>> {
    let mut bytes = vec![0; to.saturating_sub(from) as usize];
    if bytes.is_empty() {
        return Ok(bytes);
    }
    let again = CString::new(format!("/proc/self/fd/{fd}")).map_err(|_| libc::EINVAL)?;
    let readable = open(AT_FDCWD, &again, libc::O_RDONLY | libc::O_CLOEXEC, 0)?;
    let mut done = 0;
    while done < bytes.len() {
        let rest = &mut bytes[done..];
        // SAFETY: the kernel writes at most as many bytes as the slice has.
        let step = answer(unsafe {
            libc::syscall(
                libc::SYS_pread64,
                readable,
                rest.as_mut_ptr(),
                rest.len(),
                from + done as u64,
            )
        });
        match step {
            Ok(0) => break,
            Ok(step) => done += step,
            Err(libc::EINTR) => {}
            Err(error) => {
                close(readable)?;
                return Err(error);
            }
        }
    }
    close(readable)?;
    bytes.truncate(done);
    Ok(bytes)
}

/// Everything in a small file.
pub(crate) fn text(path: &CStr) -> Answer<String> {
    let fd = open(AT_FDCWD, path, libc::O_RDONLY | libc::O_CLOEXEC, 0)?;
    let bytes = status(fd).and_then(|status| read(fd, 0, status.length));
    close(fd)?;
    bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn status_of(filled: c_int, status: &libc::stat) -> Answer<Status> {
    answer(c_long::from(filled))?;
    let kind = status.st_mode & libc::S_IFMT;
    Ok(Status {
        node: Node {
            number: status.st_ino,
            folder: kind == libc::S_IFDIR,
        },
        regular: kind == libc::S_IFREG,
        length: u64::try_from(status.st_size).unwrap_or_default(),
    })
}

pub(crate) fn status(fd: c_int) -> Answer<Status> {
    // SAFETY: all zeros are a valid `stat`, which holds numbers alone.
    let mut status: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: the C library fills the structure, which is this function's own; this call is not one of ours.
    let filled = unsafe { libc::fstat(fd, &raw mut status) };
    status_of(filled, &status)
}

pub(crate) fn status_at(path: &CStr) -> Answer<Status> {
    // SAFETY: all zeros are a valid `stat`, which holds numbers alone.
    let mut status: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: the path ends in zero; the structure is this function's own; this call is not one of ours.
    let filled = unsafe { libc::fstatat(AT_FDCWD, path.as_ptr(), &raw mut status, AT_SYMLINK_NOFOLLOW) };
    status_of(filled, &status)
}

/// Where the next plain read or write goes.
pub(crate) fn position(fd: c_int) -> Answer<u64> {
    // SAFETY: numbers go in.
    answer(unsafe { libc::syscall(libc::SYS_lseek, fd, 0 as c_long, libc::SEEK_CUR) }).map(|at| at as u64)
}

pub(crate) fn control(fd: c_int, command: c_int, argument: usize) -> Answer<usize> {
    // SAFETY: passed on as the process gave it; what the command does with its argument is the process's to know.
    answer(unsafe { libc::syscall(libc::SYS_fcntl, fd, command, argument) })
}

pub(crate) fn copy_to(fd: c_int, new: c_int, flags: c_int) -> Answer<usize> {
    // SAFETY: numbers go in.
    answer(unsafe { libc::syscall(libc::SYS_dup3, fd, new, flags) })
}

pub(crate) fn resize(fd: c_int, length: u64) -> Answer<usize> {
    // SAFETY: numbers go in.
    answer(unsafe { libc::syscall(libc::SYS_ftruncate, fd, length) })
}

pub(crate) fn allocate(fd: c_int, mode: c_int, offset: u64, length: u64) -> Answer<usize> {
    // SAFETY: numbers go in.
    answer(unsafe { libc::syscall(libc::SYS_fallocate, fd, mode, offset, length) })
}

pub(crate) fn sync(fd: c_int, data_only: bool) -> Answer<usize> {
    let call = if data_only {
        libc::SYS_fdatasync
    } else {
        libc::SYS_fsync
    };
    // SAFETY: a number goes in.
    answer(unsafe { libc::syscall(call, fd) })
}

pub(crate) fn rename(from_folder: c_int, from: &CStr, to_folder: c_int, to: &CStr, flags: u32) -> Answer<usize> {
    // SAFETY: both paths end in zero.
    answer(unsafe {
        libc::syscall(
            libc::SYS_renameat2,
            from_folder,
            from.as_ptr(),
            to_folder,
            to.as_ptr(),
            flags,
        )
    })
}

pub(crate) fn link(from: &CStr, to: &CStr) -> Answer<usize> {
    // SAFETY: both paths end in zero.
    answer(unsafe { libc::syscall(libc::SYS_linkat, AT_FDCWD, from.as_ptr(), AT_FDCWD, to.as_ptr(), 0) })
}

pub(crate) fn remove(folder: c_int, path: &CStr, flags: c_int) -> Answer<usize> {
    // SAFETY: the path ends in zero.
    answer(unsafe { libc::syscall(libc::SYS_unlinkat, folder, path.as_ptr(), flags) })
}

pub(crate) fn make_folder(folder: c_int, path: &CStr, mode: libc::mode_t) -> Answer<usize> {
    // SAFETY: the path ends in zero.
    answer(unsafe { libc::syscall(libc::SYS_mkdirat, folder, path.as_ptr(), mode) })
}

/// Whether a folder has no names but the two that every folder has.
pub(crate) fn is_empty(path: &CStr) -> Answer<bool> {
    /// Two entries without a name of note: number, offset, length and kind, then the name, padded to eight bytes.
    const TWO_ENTRIES: usize = 2 * 24;
    let fd = open(AT_FDCWD, path, libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC, 0)?;
    let mut entries = [0_u8; 1024];
    // SAFETY: the kernel writes at most as many bytes as the array has.
    let filled = answer(unsafe { libc::syscall(libc::SYS_getdents64, fd, entries.as_mut_ptr(), entries.len()) });
    close(fd)?;
    filled.map(|filled| filled <= TWO_ENTRIES)
}

/// Where the process stands, or what an open folder's path is.
pub(crate) fn path_of(folder: c_int) -> Answer<Vec<u8>> {
    use std::os::unix::ffi::OsStringExt;
    let link = match folder {
        AT_FDCWD => "/proc/self/cwd".to_owned(),
        fd => format!("/proc/self/fd/{fd}"),
    };
    let path = std::fs::read_link(link).map_err(|error| error.raw_os_error().unwrap_or(libc::EIO))?;
    Ok(path.into_os_string().into_vec())
}

/// What a clock of the machine shows.
pub(crate) fn clock(which: libc::clockid_t) -> Answer<libc::timespec> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel fills the structure, which is this function's own.
    answer(unsafe { libc::syscall(libc::SYS_clock_gettime, which, &raw mut time) })?;
    Ok(time)
}

/// The number at the beginning of an open file, as it is at any later time.
pub(crate) fn shared_number(fd: c_int) -> Answer<&'static AtomicI64> {
    let length = size_of::<AtomicI64>();
    if status(fd)?.length < length as u64 {
        return Err(libc::EINVAL);
    }
    let none = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: a new mapping where the kernel has room, of memory that nobody else knows of.
    let address = unsafe {
        libc::syscall(
            libc::SYS_mmap,
            none,
            length,
            libc::PROT_READ,
            libc::MAP_SHARED,
            fd,
            0 as c_long,
        )
    };
    let address = answer(address)?;
    // SAFETY: the mapping is never removed, begins at a page, and the file is long enough; whoever writes it does so from
    // outside of this process, as a whole.
    Ok(unsafe { &*(address as *const AtomicI64) })
}
