//! The journal's records and their bytes: what was done to the files, in the order of the effects.
//!
//! Must keep true: a record is appended with one write, so that only the last can be cut short by a kill, and what it
//! announced did not happen then. Long runs of zeros, of which a new log segment is made, cost nothing.

use std::fmt;

/// Bytes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// So many zeros.
    Zeros(u64),
    /// These.
    Bytes(Vec<u8>),
}

/// A file or folder, by its inode's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Node {
    /// The inode's number.
    pub number: u64,
    /// Whether it is a folder.
    pub folder: bool,
}

/// What a name in a folder meant before and means after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The folder's inode.
    pub folder: u64,
    /// The name in it.
    pub name: Vec<u8>,
    /// What it meant.
    pub before: Option<Node>,
    /// What it means now.
    pub after: Option<Node>,
}

/// One entry of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Bytes are about to be written.
    Write {
        /// The file's inode.
        file: u64,
        /// Its length, in bytes.
        length_before: u64,
        /// Where.
        offset: u64,
        /// What is there, as far as the file reaches.
        old: Content,
        /// What will be.
        new: Content,
    },
    /// A file's length is about to change.
    Resize {
        /// The file's inode.
        file: u64,
        /// Its length, in bytes.
        length_before: u64,
        /// Its length afterwards, in bytes.
        length: u64,
        /// What lies behind the new length.
        old: Content,
    },
    /// Names are changed by one call.
    Names(Vec<Change>),
    /// What the record before announced went wrong: only so many bytes were written, or nothing was done.
    Short {
        /// How many bytes; zero where it was no write.
        bytes: u64,
    },
    /// A sync of a file or folder is about to begin.
    SyncBegins {
        /// The inode.
        file: u64,
        /// A number that its end will name.
        sync: u64,
    },
    /// A sync has returned without an error.
    SyncEnds {
        /// The number that its beginning gave.
        sync: u64,
    },
}

/// The journal is not one that was written here.
#[derive(Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Where the record begins that cannot be read, in bytes.
    pub offset: usize,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the journal has no readable record at offset {}", self.offset)
    }
}

impl std::error::Error for Unreadable {}

impl Content {
    /// These bytes, shortened where they are all zero.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Content {
        if bytes.iter().all(|byte| *byte == 0) {
            Content::Zeros(bytes.len() as u64)
        } else {
            Content::Bytes(bytes.to_vec())
        }
    }

    /// How many bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Content::Zeros(count) => *count,
            Content::Bytes(bytes) => bytes.len() as u64,
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes from `from` to `to`, both counted from its beginning.
    #[must_use]
    pub fn part(&self, from: u64, to: u64) -> Vec<u8> {
        match self {
            Content::Zeros(_) => vec![0; (to - from) as usize],
            Content::Bytes(bytes) => bytes[from as usize..to as usize].to_vec(),
        }
    }
}

impl Record {
    /// The record as it stands in the journal.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![0; 4];
        match self {
            Record::Write {
                file,
                length_before,
                offset,
                old,
                new,
            } => {
                out.push(1);
                put(&mut out, &[*file, *length_before, *offset]);
                put_content(&mut out, old);
                put_content(&mut out, new);
            }
            Record::Resize {
                file,
                length_before,
                length,
                old,
            } => {
                out.push(2);
                put(&mut out, &[*file, *length_before, *length]);
                put_content(&mut out, old);
            }
            Record::Names(changes) => {
                out.push(3);
                put(&mut out, &[changes.len() as u64]);
                for change in changes {
                    put(&mut out, &[change.folder]);
                    put_content(&mut out, &Content::Bytes(change.name.clone()));
                    put_node(&mut out, change.before);
                    put_node(&mut out, change.after);
                }
            }
            Record::Short { bytes } => {
                out.push(4);
                put(&mut out, &[*bytes]);
            }
            Record::SyncBegins { file, sync } => {
                out.push(5);
                put(&mut out, &[*file, *sync]);
            }
            Record::SyncEnds { sync } => {
                out.push(6);
                put(&mut out, &[*sync]);
            }
        }
        let length = u32::try_from(out.len() - 4).expect("one call writes less than 4 GiB");
        out[..4].copy_from_slice(&length.to_le_bytes());
        out
    }
}

/// The records of a journal. One that a kill cut short at the end is left out.
///
/// # Errors
/// A record is not one.
pub fn read(journal: &[u8]) -> Result<Vec<Record>, Unreadable> {
    let mut records = Vec::new();
    let mut rest = Reader(journal);
    loop {
        let offset = journal.len() - rest.0.len();
        let Some(length) = rest.take(4) else {
            return Ok(records);
        };
        let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]);
        let Some(body) = rest.take(u64::from(length)) else {
            return Ok(records);
        };
        let mut body = Reader(body);
        let record = body.record().filter(|_| body.0.is_empty());
        records.push(record.ok_or(Unreadable { offset })?);
    }
}

fn put(out: &mut Vec<u8>, numbers: &[u64]) {
    for number in numbers {
        out.extend(number.to_le_bytes());
    }
}

fn put_content(out: &mut Vec<u8>, content: &Content) {
    match content {
        Content::Zeros(count) => {
            out.push(0);
            put(out, &[*count]);
        }
        Content::Bytes(bytes) => {
            out.push(1);
            put(out, &[bytes.len() as u64]);
            out.extend(bytes);
        }
    }
}

fn put_node(out: &mut Vec<u8>, node: Option<Node>) {
    let (kind, number) = match node {
        None => (0, 0),
        Some(Node { number, folder: false }) => (1, number),
        Some(Node { number, folder: true }) => (2, number),
    };
    out.push(kind);
    put(out, &[number]);
}

/// What is left to read; every step gives `None` when it is not there.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(count).ok()?)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        Some(self.take(1)?[0])
    }

    fn number(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn content(&mut self) -> Option<Content> {
        let (kind, length) = (self.byte()?, self.number()?);
        match kind {
            0 => Some(Content::Zeros(length)),
            1 => Some(Content::Bytes(self.take(length)?.to_vec())),
            _ => None,
        }
    }

    fn node(&mut self) -> Option<Option<Node>> {
        let (kind, number) = (self.byte()?, self.number()?);
        match kind {
            0 => Some(None),
            1 | 2 => Some(Some(Node {
                number,
                folder: kind == 2,
            })),
            _ => None,
        }
    }

    fn change(&mut self) -> Option<Change> {
        let folder = self.number()?;
        let Content::Bytes(name) = self.content()? else {
            return None;
        };
        Some(Change {
            folder,
            name,
            before: self.node()?,
            after: self.node()?,
        })
    }

    fn record(&mut self) -> Option<Record> {
        Some(match self.byte()? {
            1 => Record::Write {
                file: self.number()?,
                length_before: self.number()?,
                offset: self.number()?,
                old: self.content()?,
                new: self.content()?,
            },
            2 => Record::Resize {
                file: self.number()?,
                length_before: self.number()?,
                length: self.number()?,
                old: self.content()?,
            },
            3 => {
                let count = self.number()?;
                Record::Names((0..count).map(|_| self.change()).collect::<Option<_>>()?)
            }
            4 => Record::Short { bytes: self.number()? },
            5 => Record::SyncBegins {
                file: self.number()?,
                sync: self.number()?,
            },
            6 => Record::SyncEnds { sync: self.number()? },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records() -> Vec<Record> {
        let node = |number, folder| Some(Node { number, folder });
        let change = |name: &[u8], before, after| Change {
            folder: 2,
            name: name.to_vec(),
            before,
            after,
        };
        vec![
            Record::Names(vec![
                change(b"new", node(9, false), None),
                change(b"", None, node(9, true)),
            ]),
            Record::Write {
                file: 9,
                length_before: 3,
                offset: 1,
                old: Content::of(b"ld"),
                new: Content::of(&[0; 100]),
            },
            Record::Short { bytes: 50 },
            Record::Resize {
                file: 9,
                length_before: 51,
                length: 50,
                old: Content::of(b"x"),
            },
            Record::SyncBegins { file: 9, sync: 4 },
            Record::SyncEnds { sync: 4 },
        ]
    }

    #[test]
    fn what_was_written_is_read() {
        let journal: Vec<u8> = records().iter().flat_map(Record::encode).collect();
        assert_eq!(read(&journal), Ok(records()));
    }

    #[test]
    fn a_record_that_was_cut_short_is_left_out() {
        let mut journal: Vec<u8> = records().iter().flat_map(Record::encode).collect();
        let last = records().last().map(|record| record.encode().len());
        for _ in 1..last.unwrap_or_default() {
            journal.pop();
            assert_eq!(read(&journal), Ok(records()[..5].to_vec()));
        }
    }

    #[test]
    fn nonsense_is_refused_where_it_stands() {
        let mut journal: Vec<u8> = records().iter().flat_map(Record::encode).collect();
        let offset = journal.len();
        journal.extend([1, 0, 0, 0, 77]);
        assert_eq!(read(&journal), Err(Unreadable { offset }));
    }
}
