//! What the names in the folders mean: read from a disk, undone and done again in thought, and made true on disk.
//!
//! Must keep true: a file keeps its inode's number, by which the journal knows it. Folders are made anew.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::{ffi::OsStr, os::unix::fs::DirBuilderExt};

use crate::journal::{Change, Node};

/// Folders that lie deeper than this are in a circle.
const DEPTH_MAX: usize = 16;

/// All names below one folder.
#[derive(Debug, Default)]
pub struct Names {
    /// The top folder's inode.
    top: u64,
    /// By folder and name.
    meanings: BTreeMap<(u64, Vec<u8>), Node>,
    /// Where each inode can be found now.
    places: BTreeMap<u64, PathBuf>,
}

impl Names {
    /// Reads what is below `top`, and notes what lies in `removed` without giving it a meaning.
    ///
    /// # Errors
    /// What the file system says.
    pub fn read(top: &Path, removed: &Path) -> io::Result<Names> {
        let mut names = Names {
            top: fs::metadata(top)?.ino(),
            ..Names::default()
        };
        for entry in fs::read_dir(removed)? {
            let entry = entry?;
            names.places.insert(entry.metadata()?.ino(), entry.path());
        }
        names.walk(top, names.top)?;
        names.places.insert(names.top, top.to_owned());
        Ok(names)
    }

    fn walk(&mut self, path: &Path, folder: u64) -> io::Result<()> {
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let status = entry.metadata()?;
            let node = Node {
                number: status.ino(),
                folder: status.is_dir(),
            };
            self.meanings
                .insert((folder, entry.file_name().as_bytes().to_vec()), node);
            self.places.insert(node.number, entry.path());
            if node.folder {
                self.walk(&entry.path(), node.number)?;
            }
        }
        Ok(())
    }

    /// Where an inode can be found.
    ///
    /// # Errors
    /// Nowhere.
    pub fn place(&self, number: u64) -> io::Result<&Path> {
        let missing = || io::Error::other(format!("inode {number} is in the journal but not on disk"));
        self.places.get(&number).map(PathBuf::as_path).ok_or_else(missing)
    }

    /// Undoes changes, the last that are not undone yet.
    pub fn undo(&mut self, changes: &[Change]) {
        for change in changes.iter().rev() {
            self.mean(change, change.before);
        }
    }

    /// Does changes again.
    pub fn redo(&mut self, changes: &[Change]) {
        for change in changes {
            self.mean(change, change.after);
        }
    }

    fn mean(&mut self, change: &Change, node: Option<Node>) {
        let key = (change.folder, change.name.clone());
        match node {
            Some(node) => self.meanings.insert(key, node),
            None => self.meanings.remove(&key),
        };
    }

    /// Builds what the names mean as a new tree at `fresh`, out of links to the files.
    ///
    /// # Errors
    /// A file is nowhere; what the file system says.
    pub fn build(&self, fresh: &Path) -> io::Result<()> {
        self.build_folder(fresh, self.top, 0)
    }

    fn build_folder(&self, path: &Path, folder: u64, depth: usize) -> io::Result<()> {
        if depth > DEPTH_MAX {
            return Err(io::Error::other("the folders lie in each other"));
        }
        fs::DirBuilder::new().mode(0o700).create(path)?;
        let mode = fs::metadata(self.place(folder)?)?.mode();
        for ((_, name), node) in self.meanings.range((folder, Vec::new())..(folder + 1, Vec::new())) {
            let inside = path.join(OsStr::from_bytes(name));
            if node.folder {
                self.build_folder(&inside, node.number, depth + 1)?;
            } else {
                fs::hard_link(self.place(node.number)?, inside)?;
            }
        }
        fs::set_permissions(path, Permissions::from_mode(mode))
    }
}
