//! One segment file that is open. Knows files and offsets; what the bytes mean is `format`'s.

use std::{
    io::{self, ErrorKind},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use kvorum_faults as faults;
use kvorum_files::{File, OpenOptions};

use crate::{
    Failure, OpenError, Position, ReadError,
    directory::Access,
    format::{self, FORMAT, HEAD_BYTES, HeaderFault, Home, SEGMENT_HEADER_BYTES, SegmentHeader},
};

/// An open segment.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) home: Home,
    pub(crate) capacity: u64,
    pub(crate) path: PathBuf,
    file: File,
    sync: bool,
}

impl Segment {
    /// A segment whose file was just made, with its header on disk.
    pub(crate) fn new(header: SegmentHeader, path: PathBuf, file: File, sync: bool) -> Segment {
        Segment {
            home: header.home,
            capacity: header.capacity,
            path,
            file,
            sync,
        }
    }

    /// Opens segment `number` at `path`, checking its header; `log_id` is demanded if known.
    pub(crate) fn open(path: &Path, number: u64, log_id: Option<u64>, access: Access) -> Result<Segment, OpenError> {
        let (write, sync, action) = match access {
            Access::Read => (false, false, "open the segment for reading"),
            Access::Write { sync, .. } => (true, sync, "open the segment for reading and writing"),
        };
        let file = OpenOptions::new().read(true).write(write).open(path);
        let file = file.map_err(Failure::of(action, path))?;
        let length = file
            .metadata()
            .map_err(Failure::of("ask for the segment's size", path))?
            .len();
        let damaged = |offset, what: String| OpenError::Damaged {
            file: path.to_owned(),
            offset,
            what,
        };
        if length < SEGMENT_HEADER_BYTES {
            return Err(damaged(
                length,
                format!("the file is cut short: {length} bytes, not even a header"),
            ));
        }
        let mut sector = [0; SEGMENT_HEADER_BYTES as usize];
        file.read_exact_at(&mut sector, 0)
            .map_err(Failure::of("read the segment's header", path))?;
        let header = SegmentHeader::decode(&sector).map_err(|fault| match fault {
            HeaderFault::Magic => damaged(
                0,
                "this is not a segment of a log: its first bytes are wrong".to_owned(),
            ),
            HeaderFault::Checksum => damaged(0, "the segment's header fails its checksum".to_owned()),
            HeaderFault::Version(found) => OpenError::Version {
                file: path.to_owned(),
                found,
                known: FORMAT,
            },
        })?;
        let SegmentHeader { home, capacity } = header;
        if let Some(expected) = log_id.filter(|expected| *expected != home.log_id) {
            return Err(OpenError::Foreign {
                file: path.to_owned(),
                expected,
                found: home.log_id,
            });
        }
        if home.segment != number {
            return Err(damaged(
                0,
                format!("the header says that this is segment {}, not {number}", home.segment),
            ));
        }
        if length != capacity {
            let what = format!("the file has {length} bytes, but {capacity} were written before it was first used");
            return Err(damaged(length.min(capacity), what));
        }
        Ok(Segment::new(header, path.to_owned(), file, sync))
    }

    /// Everything in the file.
    pub(crate) fn image(&self) -> Result<Vec<u8>, Failure> {
        let mut image = vec![0; usize::try_from(self.capacity).expect("options bound a segment to 1 GiB")];
        self.file
            .read_exact_at(&mut image, 0)
            .map_err(Failure::of("read the segment", &self.path))?;
        Ok(image)
    }

    /// Whether there is nothing behind the header: prepared, but never written to.
    pub(crate) fn is_unused(&self) -> Result<bool, Failure> {
        Ok(format::is_zero(&self.image()?[SEGMENT_HEADER_BYTES as usize..]))
    }

    /// Writes at `offset`; nothing is on disk before `sync`.
    pub(crate) fn write(&self, bytes: &[u8], offset: u64) -> Result<(), Failure> {
        assert!(
            offset >= SEGMENT_HEADER_BYTES && offset + bytes.len() as u64 <= self.capacity,
            "outside the segment"
        );
        faults::write("wal::write", bytes, |bytes| self.file.write_all_at(bytes, offset))
            .map_err(Failure::of("write to the segment", &self.path))
    }

    /// Makes what was written last. After an error the file must not be written or synced again.
    pub(crate) fn sync(&self) -> Result<(), Failure> {
        if self.sync && !faults::Wrong::NoSync.is_asked() {
            faults::pass("wal::sync")
                .and_then(|()| self.file.sync_data())
                .map_err(Failure::of("fdatasync the segment", &self.path))?;
        }
        Ok(())
    }

    /// The payload of the record at `at`.
    pub(crate) fn read(&self, at: Position) -> Result<Bytes, ReadError> {
        let damaged = |what| ReadError::Damaged {
            file: self.path.clone(),
            offset: at.offset,
            what,
        };
        let length = format::footprint(at.len);
        if at.offset.checked_add(length).is_none_or(|end| end > self.capacity) {
            return Err(damaged(format!(
                "{length} bytes from there would not fit into the segment"
            )));
        }
        let mut bytes = vec![0; usize::try_from(length).expect("a record fits into memory")];
        self.file
            .read_exact_at(&mut bytes, at.offset)
            .map_err(|source| self.unreadable(at, source))?;
        let found = format::decode_record(self.home, at.offset, &bytes).map_err(|what| damaged(what.to_owned()))?;
        if found.head.len != at.len {
            return Err(damaged(format!(
                "the record has {} bytes, not {}",
                found.head.len, at.len
            )));
        }
        Ok(Bytes::from(bytes).slice(HEAD_BYTES..HEAD_BYTES + at.len as usize))
    }

    fn unreadable(&self, at: Position, source: io::Error) -> ReadError {
        let (file, offset) = (self.path.clone(), at.offset);
        match source.kind() {
            ErrorKind::UnexpectedEof => ReadError::Damaged {
                file,
                offset,
                what: "the file is cut short".to_owned(),
            },
            _ => ReadError::Io { file, offset, source },
        }
    }
}
