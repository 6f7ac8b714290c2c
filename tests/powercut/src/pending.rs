//! What no sync covers. Pure: records in, operations out.
//!
//! Of one file, and of the names in one folder, what is not covered is always the end of what was done: a sync covers
//! all that was done before it began. So the state that is certainly on disk is had by undoing it backwards.

use std::collections::HashMap;

use crate::journal::{Change, Content, Record};

/// A change of a file's bytes or length that no sync covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The file's inode.
    pub file: u64,
    /// Its length before, in bytes.
    pub length_before: u64,
    /// What was done.
    pub kind: EditKind,
}

/// What was done to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EditKind {
    /// Bytes were written.
    Write {
        /// Where.
        offset: u64,
        /// What was there, as far as the file reached.
        old: Content,
        /// What was written.
        new: Content,
    },
    /// The length was changed.
    Resize {
        /// To this, in bytes.
        length: u64,
        /// What lay behind it.
        old: Content,
    },
}

/// Everything that no sync covers, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// Of the files.
    pub edits: Vec<Edit>,
    /// Of the names: changes that one call made in one folder are one.
    pub names: Vec<Vec<Change>>,
}

/// Sorts out what no sync covers.
#[must_use]
pub fn pending(records: &[Record]) -> Pending {
    let covered = covered(records);
    let is_pending = |inode: u64, at: usize| covered.get(&inode).is_none_or(|until| at > *until);
    let mut pending = Pending::default();
    for (at, record) in records.iter().enumerate() {
        let short = match records.get(at + 1) {
            Some(Record::Short { bytes }) => Some(*bytes),
            _ => None,
        };
        match (record, short) {
            (Record::Write { file, .. } | Record::Resize { file, .. }, _) if is_pending(*file, at) => {
                pending.edits.extend(edit(record, short));
            }
            (Record::Names(changes), None) => {
                let mut folders: Vec<u64> = changes.iter().map(|change| change.folder).collect();
                folders.dedup();
                for folder in folders.into_iter().filter(|folder| is_pending(*folder, at)) {
                    let here = changes.iter().filter(|change| change.folder == folder);
                    pending.names.push(here.cloned().collect());
                }
            }
            _ => {}
        }
    }
    pending
}

/// Until which record the syncs of each inode cover it.
fn covered(records: &[Record]) -> HashMap<u64, usize> {
    let (mut begun, mut covered) = (HashMap::new(), HashMap::new());
    for (at, record) in records.iter().enumerate() {
        match record {
            Record::SyncBegins { file, sync } => {
                begun.insert(*sync, (*file, at));
            }
            Record::SyncEnds { sync } => {
                if let Some((file, from)) = begun.remove(sync) {
                    let until = covered.entry(file).or_insert(from);
                    *until = from.max(*until);
                }
            }
            _ => {}
        }
    }
    covered
}

/// The edit that a record speaks of, as far as it was done.
fn edit(record: &Record, short: Option<u64>) -> Option<Edit> {
    match (record, short) {
        (
            Record::Write {
                file,
                length_before,
                offset,
                old,
                new,
            },
            short,
        ) => {
            let done = short.unwrap_or(new.len());
            let part = |content: &Content| Content::of(&content.part(0, done.min(content.len())));
            (done > 0).then(|| Edit {
                file: *file,
                length_before: *length_before,
                kind: EditKind::Write {
                    offset: *offset,
                    old: part(old),
                    new: part(new),
                },
            })
        }
        (
            Record::Resize {
                file,
                length_before,
                length,
                old,
            },
            None,
        ) => Some(Edit {
            file: *file,
            length_before: *length_before,
            kind: EditKind::Resize {
                length: *length,
                old: old.clone(),
            },
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Node;

    fn write(file: u64, offset: u64) -> Record {
        Record::Write {
            file,
            length_before: offset,
            offset,
            old: Content::Zeros(0),
            new: Content::of(b"four"),
        }
    }

    fn made(folder: u64, number: u64) -> Record {
        Record::Names(vec![Change {
            folder,
            name: b"name".to_vec(),
            before: None,
            after: Some(Node { number, folder: false }),
        }])
    }

    fn begins(file: u64, sync: u64) -> Record {
        Record::SyncBegins { file, sync }
    }

    /// File and offset of the writes, and folders of the names, that are pending.
    fn left(records: &[Record]) -> (Vec<(u64, u64)>, Vec<u64>) {
        let found = pending(records);
        let edits = found.edits.iter().map(|edit| (edit.file, edit.length_before)).collect();
        (edits, found.names.iter().map(|group| group[0].folder).collect())
    }

    #[test]
    fn a_sync_covers_what_was_before_it_in_its_own_file() {
        let records = [
            write(7, 0),
            write(8, 0),
            begins(7, 1),
            Record::SyncEnds { sync: 1 },
            write(7, 4),
        ];
        assert_eq!(left(&records).0, [(8, 0), (7, 4)]);
    }

    #[test]
    fn what_is_written_while_a_sync_runs_is_not_covered() {
        let records = [write(7, 0), begins(7, 1), write(7, 4), Record::SyncEnds { sync: 1 }];
        assert_eq!(left(&records).0, [(7, 4)]);
    }

    #[test]
    fn a_sync_that_did_not_return_covers_nothing() {
        let records = [write(7, 0), begins(7, 1), begins(8, 2), Record::SyncEnds { sync: 2 }];
        assert_eq!(left(&records).0, [(7, 0)]);
    }

    #[test]
    fn a_name_needs_a_sync_of_its_folder() {
        let records = [
            made(2, 7),
            made(3, 8),
            begins(7, 1),
            Record::SyncEnds { sync: 1 },
            begins(3, 2),
            Record::SyncEnds { sync: 2 },
        ];
        assert_eq!(left(&records).1, [2]);
    }

    #[test]
    fn what_failed_is_not_pending_and_what_was_half_done_is_so_by_half() {
        let records = [
            made(2, 7),
            Record::Short { bytes: 0 },
            write(7, 0),
            Record::Short { bytes: 0 },
            write(7, 0),
            Record::Short { bytes: 3 },
        ];
        let found = pending(&records);
        assert!(found.names.is_empty());
        let new = Content::of(b"fou");
        let old = Content::Zeros(0);
        assert_eq!(found.edits.len(), 1);
        assert_eq!(found.edits[0].kind, EditKind::Write { offset: 0, old, new });
    }
}
