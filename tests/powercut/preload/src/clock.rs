//! The wall clock: the machine's, moved by what a file says. The other clocks are left alone.

use std::ffi::CString;
use std::os::unix::ffi::OsStringExt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};

use kvorum_powercut::CLOCK;
use libc::{AT_FDCWD, clockid_t, timespec};

use crate::kernel::{self, Answer, die};

const NANOSECONDS: i64 = 1_000_000_000;

/// By how many nanoseconds the wall clock is ahead; `None` in a process that was not told of a file.
fn ahead() -> Option<&'static AtomicI64> {
    static AHEAD: OnceLock<Option<&'static AtomicI64>> = OnceLock::new();
    *AHEAD.get_or_init(|| {
        let path = CString::new(std::env::var_os(CLOCK)?.into_vec()).ok()?;
        let number = kernel::open(AT_FDCWD, &path, libc::O_RDONLY | libc::O_CLOEXEC, 0).and_then(|fd| {
            let number = kernel::shared_number(fd);
            kernel::close(fd)?;
            number
        });
        match number {
            Ok(number) => Some(number),
            Err(error) => die(&format!("the file that moves the clock cannot be read: error {error}")),
        }
    })
}

/// What a clock shows to this process.
pub(crate) fn shown(which: clockid_t) -> Answer<timespec> {
    let time = kernel::clock(which)?;
    let is_wall = matches!(which, libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE);
    let Some(ahead) = ahead().filter(|_| is_wall) else {
        return Ok(time);
    };
    let ahead = ahead.load(Ordering::Relaxed);
    let moved = time.tv_nsec + ahead % NANOSECONDS;
    let seconds = ahead / NANOSECONDS + moved.div_euclid(NANOSECONDS);
    Ok(timespec {
        tv_sec: time.tv_sec + seconds,
        tv_nsec: moved.rem_euclid(NANOSECONDS),
    })
}
