//! Faults on purpose, for the tests: failpoints at everything that the node does to its disk, sizes so small that all of it
//! happens within a second, and rules that the node breaks.
//!
//! Must keep true: without the feature `failpoints` nothing here looks at anything, and every call compiles to what it
//! stands around. Release builds never have the feature (`tests/scripts/fences`). With it, nothing happens that no variable
//! asks for.
//!
//! | variable | for example | what it does |
//! |---|---|---|
//! | `FAILPOINTS` | `wal::sync=20*off->1*return(EIO)` | the 21st passage fails; the grammar is that of the crate `fail` |
//! | `KVORUM_SMALL` | `1` | small segments, few entries kept, snapshots soon |
//! | `KVORUM_WRONG` | `no-sync` | a rule of [`Wrong`] is broken, and the first line of the log says so |
//!
//! What `return` may name: `EIO` and `ENOSPC`, the system's errors; `short`, which writes the first half and then fails;
//! `die`, which ends the process at once; `torn`, which writes the first half and ends the process.
//!
//! It deliberately knows no file, and not what is written.

use std::io::{self, Write};

#[cfg(feature = "failpoints")]
mod asked;
mod names;
pub mod small;
mod wrong;

#[cfg(feature = "failpoints")]
pub use asked::arm;
pub use names::FAILPOINTS;
pub use wrong::Wrong;

#[cfg(feature = "failpoints")]
use asked::{asked, is_small, wrong_asked};

/// How a passage fails. Nobody can ask for one here.
#[cfg(not(feature = "failpoints"))]
enum Way {}

#[cfg(not(feature = "failpoints"))]
impl Way {
    fn fail(self) -> io::Error {
        match self {}
    }

    fn is_halfway(&self) -> bool {
        match *self {}
    }
}

#[cfg(not(feature = "failpoints"))]
const fn asked(_name: &str) -> Option<Way> {
    None
}

#[cfg(not(feature = "failpoints"))]
const fn is_small() -> bool {
    false
}

#[cfg(not(feature = "failpoints"))]
const fn wrong_asked() -> Option<Wrong> {
    None
}

/// Passes the failpoint `name`, one of [`FAILPOINTS`]: before what it stands for is done.
///
/// # Errors
/// What was asked for.
#[inline]
pub fn pass(name: &'static str) -> io::Result<()> {
    match asked(name) {
        None => Ok(()),
        Some(way) => Err(way.fail()),
    }
}

/// Has `write` write `bytes`, past the failpoint `name`.
///
/// # Errors
/// What was asked for, or what `write` says.
#[inline]
pub fn write(name: &'static str, bytes: &[u8], mut write: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let Some(way) = asked(name) else {
        return write(bytes);
    };
    if way.is_halfway() {
        write(&bytes[..bytes.len() / 2])?;
    }
    Err(way.fail())
}

/// A writer past the failpoint of its name: every write is a passage.
#[derive(Debug)]
pub struct Through<W> {
    name: &'static str,
    writer: W,
}

impl<W: Write> Through<W> {
    /// `writer` past the failpoint `name`.
    pub fn new(name: &'static str, writer: W) -> Self {
        Self { name, writer }
    }
}

impl<W: Write> Write for Through<W> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(way) = asked(self.name) else {
            return self.writer.write(bytes);
        };
        if way.is_halfway() {
            self.writer.write_all(&bytes[..bytes.len() / 2])?;
        }
        Err(way.fail())
    }

    #[inline]
    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// `usual`, or `small` where `KVORUM_SMALL` asks for everything to be small.
#[inline]
#[must_use]
pub fn sized(usual: u64, small: u64) -> u64 {
    if is_small() { small } else { usual }
}
