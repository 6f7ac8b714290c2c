//! A batch on its way: its large values are appended to the files, and what sled is to be given is put together.
//!
//! Must keep true: what is not written whole does not count as a part of its file, so that the next record takes its place.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::FileExt as _;

use kvorum_faults as faults;

use super::layout::{self, Head, Stored};
use super::ledger::Ledger;
use super::{Far, Staged, damaged, file_bytes_max};

/// Bytes gathered before they are written.
const WRITE_BYTES: usize = 1 << 20;

/// Changes that are being made, not yet known to sled.
pub(super) struct Changes<'a> {
    far: &'a Far,
    pub(super) ledger: &'a mut Ledger,
    pub(super) batch: sled::Batch,
    wanted: BTreeMap<u64, u64>,
    /// What was appended and is not written yet, to the current file.
    buffer: Vec<u8>,
}

impl<'a> Changes<'a> {
    pub(super) fn new(far: &'a Far, ledger: &'a mut Ledger) -> Self {
        Self {
            far,
            ledger,
            batch: sled::Batch::default(),
            wanted: BTreeMap::new(),
            buffer: Vec::new(),
        }
    }

    /// What sled holds under `key` is not wanted any more.
    pub(super) fn forget(&mut self, key: &[u8], stored: Option<sled::IVec>) -> sled::Result<()> {
        let Some(stored) = stored else { return Ok(()) };
        match layout::decode(&stored) {
            Some(Stored::Near(_)) => {}
            Some(Stored::Far(pointer)) => {
                let wanted = self.wanted_of(pointer.file);
                *wanted = wanted.saturating_sub(pointer.bytes(key.len()));
            }
            None => return Err(damaged("a value is neither a value nor a pointer")),
        }
        Ok(())
    }

    pub(super) fn append(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        let head = Head::of(key, value)?;
        let place = |changes: &Self| changes.ledger.end() + changes.buffer.len() as u64;
        let has_room = |changes: &Self| place(changes) == 0 || place(changes) + head.bytes() <= file_bytes_max();
        let number = match self.ledger.current {
            Some(number) if has_room(self) => number,
            _ => {
                self.write()?;
                let number = self.ledger.newest + 1;
                self.far.make(number)?;
                self.ledger.begin(number);
                number
            }
        };
        let pointer = head.pointer(number, place(self));
        head.write(key, value, &mut self.buffer);
        *self.wanted_of(pointer.file) += head.bytes();
        self.batch.insert(key, &pointer.encode()[..]);
        if self.buffer.len() >= WRITE_BYTES {
            self.write()?;
        }
        Ok(())
    }

    fn wanted_of(&mut self, number: u64) -> &mut u64 {
        let ledger = &self.ledger;
        self.wanted
            .entry(number)
            .or_insert_with(|| ledger.files.get(&number).map_or(0, |extent| extent.wanted))
    }

    /// Writes what was gathered.
    fn write(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let file = self.ledger.current.and_then(|number| self.far.file(number));
        let file = file.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the current file is missing"))?;
        let end = self.ledger.end();
        faults::write("engine::value-write", &self.buffer, |bytes| {
            file.write_all_at(bytes, end)
        })?;
        self.ledger.grew(self.buffer.len() as u64);
        self.buffer.clear();
        Ok(())
    }

    /// Writes the rest; the counts go with the batch.
    pub(super) fn end(mut self, rewritten: Option<(u64, u64)>) -> io::Result<Staged> {
        self.write()?;
        for (number, wanted) in &self.wanted {
            let bytes = self.ledger.files.get(number).map_or(0, |extent| extent.bytes);
            match *wanted {
                0 => self.batch.remove(&layout::extent_key(*number)[..]),
                wanted => {
                    let extent = layout::Extent { bytes, wanted };
                    self.batch
                        .insert(&layout::extent_key(*number)[..], &extent.encode()[..]);
                }
            }
        }
        Ok(Staged {
            batch: self.batch,
            wanted: self.wanted,
            rewritten,
        })
    }
}
