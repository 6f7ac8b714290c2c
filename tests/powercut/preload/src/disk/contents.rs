//! What is done to open files: bytes, lengths, syncs.

use kvorum_powercut::journal::{Content, Record};
use libc::c_int;

use super::{Counts, Disk, file};
use crate::kernel::{self, Answer, Status, die};

impl Disk {
    /// Writes at `offset`, or where the descriptor stands.
    pub(crate) fn write(&self, fd: c_int, bytes: &[u8], offset: Option<u64>) -> Answer<usize> {
        let real = || match offset {
            Some(offset) => kernel::write_at(fd, bytes, offset),
            None => kernel::write(fd, bytes),
        };
        let mut counts = self.lock();
        let Some(status) = file(fd).filter(|_| !bytes.is_empty()) else {
            drop(counts);
            return real();
        };
        let appends = kernel::control(fd, libc::F_GETFL, 0)? & libc::O_APPEND as usize != 0;
        let at = match offset {
            _ if appends => status.length,
            Some(offset) => offset,
            None => kernel::position(fd)?,
        };
        let end = at + bytes.len() as u64;
        self.grow(&mut counts, end.saturating_sub(status.length))?;
        let old = kernel::read(fd, at, end.min(status.length))?;
        self.note(&Record::Write {
            file: status.node.number,
            length_before: status.length,
            offset: at,
            old: Content::of(&old),
            new: Content::of(bytes),
        });
        let done = real();
        if done != Ok(bytes.len()) {
            let bytes = done.unwrap_or_default() as u64;
            self.note(&Record::Short { bytes });
        }
        done
    }

    /// Changes a file's length.
    pub(crate) fn resize(&self, fd: c_int, length: u64) -> Answer<usize> {
        let mut counts = self.lock();
        let Some(status) = file(fd) else {
            drop(counts);
            return kernel::resize(fd, length);
        };
        self.grow(&mut counts, length.saturating_sub(status.length))?;
        self.note_resize(fd, status, length)?;
        self.effect(|| kernel::resize(fd, length))
    }

    /// Notes that a file's length is about to change; the lock is held.
    pub(super) fn note_resize(&self, fd: c_int, status: Status, length: u64) -> Answer<()> {
        let old = kernel::read(fd, length, status.length)?;
        self.note(&Record::Resize {
            file: status.node.number,
            length_before: status.length,
            length,
            old: Content::of(&old),
        });
        Ok(())
    }

    /// Allocates space for a file, which may make it longer.
    pub(crate) fn allocate(&self, fd: c_int, mode: c_int, offset: u64, length: u64) -> Answer<usize> {
        let mut counts = self.lock();
        let real = || kernel::allocate(fd, mode, offset, length);
        let Some(status) = file(fd) else {
            drop(counts);
            return real();
        };
        let end = offset + length;
        match mode {
            libc::FALLOC_FL_KEEP_SIZE => real(),
            0 if end <= status.length => real(),
            0 => {
                self.grow(&mut counts, end - status.length)?;
                self.note_resize(fd, status, end)?;
                self.effect(real)
            }
            mode => die(&format!("fallocate with mode {mode} cannot be journalled")),
        }
    }

    /// Syncs a file or folder; only a sync that has returned is noted as such.
    pub(crate) fn sync(&self, fd: c_int, data_only: bool) -> Answer<usize> {
        let status = kernel::status(fd)?;
        if self.syncs_pretended {
            return Ok(0);
        }
        let mut counts = self.lock();
        counts.syncs += 1;
        let sync = counts.syncs;
        if data_only && status.regular {
            counts.data_syncs += 1;
            if Some(counts.data_syncs) == self.sync_fails {
                return Err(libc::EIO);
            }
        }
        let file = status.node.number;
        self.note(&Record::SyncBegins { file, sync });
        drop(counts);
        kernel::sync(fd, data_only)?;
        let _counts = self.lock();
        self.note(&Record::SyncEnds { sync });
        Ok(0)
    }

    /// Ends the process if what is behind the descriptor could be changed without being journalled.
    pub(crate) fn refuse_file(&self, call: &str, fd: c_int) {
        if file(fd).is_some() {
            let path = kernel::path_of(fd).unwrap_or_default();
            die(&format!(
                "{call} of {} cannot be journalled",
                String::from_utf8_lossy(&path)
            ));
        }
    }

    /// Takes space for a file that grows, if there is any left.
    fn grow(&self, counts: &mut Counts, bytes: u64) -> Answer<()> {
        if bytes == 0 {
            return Ok(());
        }
        let left = match kernel::text(&self.space) {
            Ok(text) => text.trim().parse().unwrap_or(0),
            Err(_) => u64::MAX,
        };
        if counts.grown.saturating_add(bytes) > left {
            return Err(libc::ENOSPC);
        }
        counts.grown += bytes;
        Ok(())
    }
}
