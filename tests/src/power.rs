//! Power cuts of members: their files are journalled by a library in their process, and a cut leaves of what no sync
//! covers what a seed says (`kvorum-powercut`).
//!
//! Must keep true: the process is dead before its power is cut, and is not started again before. The machine has another
//! boot id afterwards, as after every start of a machine.

use std::path::PathBuf;

use kvorum_powercut::{BOOT_ID, FOLDER, NOTES, Outcome, REMOVED, SPACE, SYNC_FAILS, SYNCS_PRETENDED, Severity};

use crate::cluster::{Member, built};

/// What the library is called; `make binaries` builds it.
const LIBRARY: &str = "libkvorum_powercut_preload.so";

/// How a member's disk misbehaves, besides losing its power.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    /// Syncs return without having done anything.
    pub syncs_pretended: bool,
    /// Which fdatasync of each process fails, counted from one.
    pub sync_fails: Option<u64>,
}

/// Where the library is.
///
/// # Panics
/// When it was not built.
pub(crate) fn library() -> PathBuf {
    let path = built(LIBRARY);
    assert!(
        path.is_file(),
        "{} is not there; build it with: make binaries",
        path.display()
    );
    path
}

impl Member {
    /// Gives the member, which does not run, a disk whose power can be cut, from its next start on.
    ///
    /// # Panics
    /// When the library was not built, or the temporary folder cannot be written.
    pub fn journalled(&mut self, disk: Disk) {
        assert!(self.process.is_none(), "{} runs", self.name);
        let notes = self.notes();
        std::fs::create_dir_all(notes.join(REMOVED)).expect("the temporary folder can be written");
        self.new_boot();
        let text = |path: PathBuf| path.canonicalize().expect("it is there").display().to_string();
        let mut variables = vec![
            ("LD_PRELOAD", text(library())),
            (FOLDER, text(self.folder.join("data"))),
            (NOTES, text(notes)),
        ];
        if disk.syncs_pretended {
            variables.push((SYNCS_PRETENDED, "1".to_owned()));
        }
        if let Some(count) = disk.sync_fails {
            variables.push((SYNC_FAILS, count.to_string()));
        }
        self.variables = variables
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
    }

    /// Cuts the power: leaves on the member's disk what `severity` and `seed` say.
    ///
    /// # Panics
    /// When it runs; when its journal does not fit its disk.
    pub fn cut(&mut self, severity: Severity, seed: u64) -> Outcome {
        assert!(self.process.is_none(), "{} runs", self.name);
        let outcome = kvorum_powercut::cut(&self.folder.join("data"), &self.notes(), severity, seed)
            .unwrap_or_else(|error| panic!("{}: {severity:?}, seed {seed}: {error}", self.name));
        self.new_boot();
        outcome
    }

    /// Lets the member's files grow by so many bytes, counted from the start of its process; by any again with `None`.
    ///
    /// # Panics
    /// When the temporary folder cannot be written.
    pub fn space(&self, bytes: Option<u64>) {
        match bytes {
            Some(bytes) => self.write("power", SPACE, &bytes.to_string()),
            None => std::fs::remove_file(self.notes().join(SPACE)).expect("its space was bounded"),
        }
    }

    fn notes(&self) -> PathBuf {
        self.folder.join("power")
    }

    fn new_boot(&self) {
        self.write("power", BOOT_ID, &format!("{:032x}\n", rand::random::<u128>()));
    }
}
