//! Room on the disk: how much there is, how much is kept in reserve, and whether it is time to refuse writes. Pure, but
//! for the measuring.
//!
//! A member whose disk runs full can neither log nor snapshot nor compact, so it stops taking what needs room while some
//! is left for what makes room. Between *full* and *roomy* lies a margin, so that a disk on the edge does not go to and
//! fro.
//!
//! Must keep true: where the system does not tell how much room there is, only a write that failed for want of it counts.

use std::io::{self, Write as _};
use std::path::Path;

use kvorum_faults as faults;
use kvorum_files::{self as fs, File};

/// The reserve by default is this part of the volume,
const RESERVE_PART: u64 = 20;
/// but at least this, in bytes: what log, engine and deletions may take at once,
const RESERVE_BYTES_MIN: u64 = 32 << 20;
/// and at most this, in bytes: a large volume needs no larger one, and might be wanted for more than this member.
const RESERVE_BYTES_MAX: u64 = 256 << 20;
/// So much more than the reserve must be free before writes are taken again, in bytes.
const MARGIN_BYTES: u64 = 16 << 20;
/// A trial writes so much, in bytes: more than file systems keep in a file's own entry or hand out in one piece.
const TRIAL_BYTES: usize = 1 << 20;
/// The file of a trial.
const TRIAL: &str = "room.tmp";

/// A volume, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Volume {
    /// All of it.
    pub total: u64,
    /// What a process like this one may still take.
    pub free: u64,
}

/// What is known of the disk at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signs {
    /// The volume, where the system tells.
    pub volume: Option<Volume>,
    /// The log cannot prepare its next segment for want of room.
    pub log_waits: bool,
    /// The engine holds what it should write for want of room.
    pub engine_waits: bool,
}

/// Whether writes are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Room {
    /// They are.
    #[default]
    Enough,
    /// Only those that make room are.
    Scarce,
}

impl Room {
    /// What it is now, after it was `self`, where `reserve` bytes are to stay free.
    #[must_use]
    pub fn judge(self, signs: &Signs, reserve: u64) -> Room {
        if signs.log_waits || signs.engine_waits {
            return Room::Scarce;
        }
        let Some(Volume { free, .. }) = signs.volume.filter(|_| reserve > 0) else {
            return Room::Enough;
        };
        match self {
            Room::Enough if free >= reserve => Room::Enough,
            Room::Scarce if free >= reserve.saturating_add(MARGIN_BYTES) => Room::Enough,
            Room::Enough | Room::Scarce => Room::Scarce,
        }
    }
}

/// How many bytes are to stay free: what was asked for, or what suits the volume.
#[must_use]
pub fn reserve(asked: Option<u64>, volume: Option<Volume>) -> u64 {
    let suits = |volume: Volume| (volume.total / RESERVE_PART).clamp(RESERVE_BYTES_MIN, RESERVE_BYTES_MAX);
    asked.or(volume.map(suits)).unwrap_or_default()
}

/// The volume that `dir` lies on; `None` where the system does not tell.
#[must_use]
pub fn volume(dir: &Path) -> Option<Volume> {
    let (total, free) = fs::room(dir)?;
    Some(Volume { total, free })
}

/// Whether a failure is for want of room, which may come back.
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The same failure, with the file in its words: the system's do not name it.
#[must_use]
pub fn naming(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Finds out whether `dir` takes `bytes` more: asks the system, and writes a little. Quotas and reserved blocks are not in
/// the system's figure, so only what was written proves anything.
///
/// # Errors
/// There is no room, or the folder cannot be written.
pub fn try_room(dir: &Path, bytes: u64) -> io::Result<()> {
    if let Some(Volume { free, .. }) = volume(dir)
        && free < bytes
    {
        return Err(io::Error::new(
            io::ErrorKind::StorageFull,
            format!("{free} bytes are free, and {bytes} are needed"),
        ));
    }
    let path = dir.join(TRIAL);
    let create = faults::pass("disk::trial-write").and_then(|()| File::create(&path));
    let written = create.and_then(|mut file| file.write_all(&vec![0x55; TRIAL_BYTES]));
    let removed = faults::pass("disk::trial-remove").and_then(|()| fs::remove_file(&path));
    written.and(removed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    const RESERVE: u64 = 100 << 20;

    fn signs(free: Option<u64>) -> Signs {
        Signs {
            volume: free.map(|free| Volume { total: 1 << 30, free }),
            log_waits: false,
            engine_waits: false,
        }
    }

    #[test_case(Room::Enough, RESERVE => Room::Enough; "just enough")]
    #[test_case(Room::Enough, RESERVE - 1 => Room::Scarce; "just too little")]
    #[test_case(Room::Scarce, RESERVE => Room::Scarce; "on the edge it stays as it was")]
    #[test_case(Room::Scarce, RESERVE + MARGIN_BYTES - 1 => Room::Scarce; "not yet")]
    #[test_case(Room::Scarce, RESERVE + MARGIN_BYTES => Room::Enough; "room again")]
    #[test_case(Room::Scarce, u64::MAX => Room::Enough; "all the room there is")]
    fn free_bytes_decide(before: Room, free: u64) -> Room {
        before.judge(&signs(Some(free)), RESERVE)
    }

    #[test]
    fn a_write_that_failed_counts_whatever_the_system_says() {
        for before in [Room::Enough, Room::Scarce] {
            let (mut log, mut engine) = (signs(Some(u64::MAX)), signs(None));
            (log.log_waits, engine.engine_waits) = (true, true);
            assert_eq!(before.judge(&log, RESERVE), Room::Scarce);
            assert_eq!(before.judge(&engine, 0), Room::Scarce);
        }
    }

    #[test_case(signs(None), RESERVE; "the system does not tell")]
    #[test_case(signs(Some(0)), 0; "nothing is kept in reserve")]
    fn without_a_figure_there_is_room(signs: Signs, reserve: u64) {
        assert_eq!(Room::Enough.judge(&signs, reserve), Room::Enough);
        assert_eq!(Room::Scarce.judge(&signs, reserve), Room::Enough);
    }

    #[test_case(None, Some(1 << 30) => (1 << 30) / 20; "a twentieth")]
    #[test_case(None, Some(100 << 20) => 32 << 20; "a small volume")]
    #[test_case(None, Some(1 << 40) => 256 << 20; "a large volume")]
    #[test_case(None, None => 0; "an unknown volume")]
    #[test_case(Some(7), Some(1 << 40) => 7; "said")]
    #[test_case(Some(0), Some(1 << 40) => 0; "off")]
    fn the_reserve(asked: Option<u64>, total: Option<u64>) -> u64 {
        reserve(asked, total.map(|total| Volume { total, free: 0 }))
    }

    #[test]
    fn a_trial_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        try_room(dir.path(), 1).unwrap();
        let error = try_room(dir.path(), u64::MAX).unwrap_err();
        assert!(is_full(&error), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(!is_full(&try_room(&dir.path().join("missing"), 1).unwrap_err()));
    }
}
