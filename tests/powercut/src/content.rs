//! Puts one file's bytes into the state after a cut: first undone as far as no sync covers it, then what is kept again.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::SECTOR;
use crate::fate::{Fate, sectors};
use crate::pending::{Edit, EditKind};

/// Undoes an edit, the last that is not undone yet.
///
/// # Errors
/// What the file system says.
pub fn undo(file: &File, edit: &Edit) -> io::Result<()> {
    let (at, old) = match &edit.kind {
        EditKind::Write { offset, old, .. } => (*offset, old),
        EditKind::Resize { length, old } => (*length, old),
    };
    file.set_len(edit.length_before)?;
    file.write_all_at(&old.part(0, old.len()), at)
}

/// Does an edit again, as far as its fate keeps it.
///
/// # Errors
/// What the file system says.
pub fn redo(file: &File, edit: &Edit, fate: &Fate) -> io::Result<()> {
    match (&edit.kind, sectors(edit)) {
        (EditKind::Write { offset, new, .. }, Some((first, end))) => {
            for sector in (first..end).filter(|sector| fate.keeps((sector - first) as usize)) {
                let from = (sector * SECTOR).max(*offset);
                let to = ((sector + 1) * SECTOR).min(offset + new.len());
                file.write_all_at(&new.part(from - offset, to - offset), from)?;
            }
            Ok(())
        }
        (EditKind::Resize { length, .. }, _) if *fate == Fate::Kept => file.set_len(*length),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Content;

    /// A file after each of `steps`, which are `(offset, bytes)` or, without bytes, a new length; and the edits.
    fn done(steps: &[(u64, &[u8])]) -> (File, Vec<Edit>, Vec<Vec<u8>>) {
        let file = tempfile::tempfile().unwrap();
        let mut states = vec![Vec::new()];
        let mut edits = Vec::new();
        for (at, new) in steps {
            let before = states.last().unwrap().clone();
            let old_to = (*at as usize + if new.is_empty() { before.len() } else { new.len() }).min(before.len());
            let old = Content::of(before.get(*at as usize..old_to).unwrap_or_default());
            let kind = if new.is_empty() {
                file.set_len(*at).unwrap();
                EditKind::Resize { length: *at, old }
            } else {
                file.write_all_at(new, *at).unwrap();
                let (offset, new) = (*at, Content::of(new));
                EditKind::Write { offset, old, new }
            };
            edits.push(Edit {
                file: 1,
                length_before: before.len() as u64,
                kind,
            });
            states.push(bytes(&file));
        }
        (file, edits, states)
    }

    fn bytes(file: &File) -> Vec<u8> {
        let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    #[test]
    fn undoing_goes_back_through_every_state() {
        let steps: [(u64, &[u8]); 6] = [
            (0, b"first"),
            (10, b"behind a gap"),
            (3, b"over both"),
            (7, b""),
            (7, &[0; 9]),
            (40, b""),
        ];
        let (file, edits, states) = done(&steps);
        for (edit, state) in edits.iter().zip(&states).rev() {
            undo(&file, edit).unwrap();
            assert_eq!(bytes(&file), *state);
        }
        for (edit, state) in edits.iter().zip(&states[1..]) {
            redo(&file, edit, &Fate::Kept).unwrap();
            assert_eq!(bytes(&file), *state);
        }
    }

    #[test]
    fn a_torn_write_has_whole_sectors() {
        let new: Vec<u8> = (0..1500).map(|byte| (byte % 250) as u8 + 1).collect();
        let (file, edits, _) = done(&[(100, &new)]);
        undo(&file, &edits[0]).unwrap();
        redo(&file, &edits[0], &Fate::Torn(vec![true, false, true, false])).unwrap();
        let found = bytes(&file);
        assert_eq!(found.len(), 1536, "the last sector is not there");
        assert_eq!(found[100..512], new[..412]);
        assert_eq!(found[512..1024], [0; 512]);
        assert_eq!(found[1024..], new[924..1436]);
    }
}
