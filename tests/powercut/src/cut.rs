//! One power cut: the journal is read, fates are drawn, the files are put into the state that is left.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::fate::{self, Fate, Severity};
use crate::journal;
use crate::names::Names;
use crate::pending::{Pending, pending};
use crate::{JOURNAL, REMOVED, content};

/// What a cut did, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Records in the journal.
    pub records: usize,
    /// Edits that no sync covered and that are there.
    pub kept: usize,
    /// Those that are not.
    pub lost: usize,
    /// Those of which a part is there.
    pub torn: usize,
    /// Calls on names that no sync covered and that are there.
    pub names_kept: usize,
    /// Those that are not.
    pub names_lost: usize,
}

impl std::ops::AddAssign for Outcome {
    fn add_assign(&mut self, other: Outcome) {
        let Outcome {
            records,
            kept,
            lost,
            torn,
            names_kept,
            names_lost,
        } = other;
        self.records += records;
        self.kept += kept;
        self.lost += lost;
        self.torn += torn;
        self.names_kept += names_kept;
        self.names_lost += names_lost;
    }
}

/// Cuts the power of a member that does not run: leaves in `folder` what could be left, as `seed` draws it, and uses up
/// the journal in `notes`.
///
/// # Errors
/// The journal cannot be read or does not fit the folder; what the file system says.
pub fn cut(folder: &Path, notes: &Path, severity: Severity, seed: u64) -> io::Result<Outcome> {
    let (path, removed) = (notes.join(JOURNAL), notes.join(REMOVED));
    let records = match fs::read(&path) {
        Ok(bytes) => journal::read(&bytes).map_err(io::Error::other)?,
        // The process ended before it changed anything.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Outcome::default()),
        Err(error) => return Err(error),
    };
    let pending = pending(&records);
    let fates = fate::draw(&pending, severity, &mut StdRng::seed_from_u64(seed));
    let mut names = Names::read(folder, &removed)?;
    edit(&names, &pending, &fates.edits)?;
    for changes in pending.names.iter().rev() {
        names.undo(changes);
    }
    for (changes, _) in pending.names.iter().zip(&fates.names).filter(|(_, kept)| **kept) {
        names.redo(changes);
    }
    let fresh = notes.join("fresh");
    names.build(&fresh)?;
    fs::remove_dir_all(folder)?;
    fs::rename(&fresh, folder)?;
    fs::remove_dir_all(&removed)?;
    fs::create_dir(&removed)?;
    fs::remove_file(&path)?;
    let count = |wanted: fn(&Fate) -> bool| fates.edits.iter().filter(|fate| wanted(fate)).count();
    let names_kept = fates.names.iter().filter(|kept| **kept).count();
    Ok(Outcome {
        records: records.len(),
        kept: count(|fate| *fate == Fate::Kept),
        lost: count(|fate| *fate == Fate::Lost),
        torn: count(|fate| matches!(fate, Fate::Torn(_))),
        names_kept,
        names_lost: fates.names.len() - names_kept,
    })
}

/// Puts every file's bytes into their state.
fn edit(names: &Names, pending: &Pending, fates: &[Fate]) -> io::Result<()> {
    let mut files: HashMap<u64, File> = HashMap::new();
    for edit in &pending.edits {
        if let std::collections::hash_map::Entry::Vacant(vacant) = files.entry(edit.file) {
            vacant.insert(File::options().write(true).open(names.place(edit.file)?)?);
        }
    }
    for edit in pending.edits.iter().rev() {
        content::undo(&files[&edit.file], edit)?;
    }
    for (edit, fate) in pending.edits.iter().zip(fates) {
        content::redo(&files[&edit.file], edit, fate)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
