//! What is asked of a simulated disk by name: as the standard library has it.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::open::File;
use super::{disk_of, not_found};

/// What [`room`] tells of every disk, in bytes: more than any simulated member needs.
const ROOM_BYTES: u64 = 1 << 40;

/// Whether there is something of this name.
#[must_use]
pub fn exists(path: &Path) -> bool {
    disk_of(path).is_ok_and(|disk| disk.state().find(path).is_some())
}

/// Makes a directory and those above it.
///
/// # Errors
/// The power is gone.
pub fn create_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref();
    let disk = disk_of(path)?;
    let mut state = disk.state();
    let mut above: Vec<&Path> = path.ancestors().collect();
    above.reverse();
    // The first is the root of all disks, the second the root of this one.
    for directory in above.into_iter().skip(2) {
        if state.find(directory).is_none() {
            state.make(directory, true)?;
        }
    }
    state.alive()
}

/// Gives a file another name.
///
/// # Errors
/// It is not there, or the power is gone.
pub fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    disk_of(from.as_ref())?.state().rename(from.as_ref(), to.as_ref())
}

/// Takes a file's name away.
///
/// # Errors
/// It is not there, or the power is gone.
pub fn remove_file(path: impl AsRef<Path>) -> io::Result<()> {
    disk_of(path.as_ref())?.state().remove(path.as_ref())
}

/// All of a file, as text.
///
/// # Errors
/// It is not there or no text, or the power is gone.
pub fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    let mut text = String::new();
    io::Read::read_to_string(&mut File::open(path)?, &mut text)?;
    Ok(text)
}

/// The path itself: there are no links here.
///
/// # Errors
/// Nothing of this name is there.
pub fn canonicalize(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    let path = path.as_ref();
    if exists(path) {
        Ok(path.to_owned())
    } else {
        Err(not_found(path))
    }
}

/// Does nothing: a simulated member is never there twice.
///
/// # Errors
/// Never; as the system's.
pub fn lock(_file: &File) -> io::Result<()> {
    Ok(())
}

/// Does nothing.
///
/// # Errors
/// Never; as the system's.
pub fn unlock(_file: &File) -> io::Result<()> {
    Ok(())
}

/// All of the disk, and what is free of it, in bytes.
#[must_use]
pub fn room(_dir: &Path) -> Option<(u64, u64)> {
    Some((ROOM_BYTES, ROOM_BYTES))
}

/// The names in a directory.
///
/// # Errors
/// It is not there, or the power is gone.
pub fn read_dir(path: impl AsRef<Path>) -> io::Result<ReadDir> {
    let path = path.as_ref();
    let disk = disk_of(path)?;
    let state = disk.state();
    state.alive()?;
    match state.find(path) {
        Some(node) if state.is_directory(node) => Ok(ReadDir(state.list(path).into_iter())),
        _ => Err(not_found(path)),
    }
}

/// The names in a directory, in order.
#[derive(Debug)]
pub struct ReadDir(std::vec::IntoIter<PathBuf>);

/// A name in a directory.
#[derive(Debug)]
pub struct DirEntry(PathBuf);

impl Iterator for ReadDir {
    type Item = io::Result<DirEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|path| Ok(DirEntry(path)))
    }
}

impl DirEntry {
    /// With the directory.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.0.clone()
    }

    /// Without it.
    #[must_use]
    pub fn file_name(&self) -> OsString {
        self.0.file_name().unwrap_or_default().to_owned()
    }
}

/// Makes a directory.
#[derive(Debug, Default)]
pub struct DirBuilder;

impl DirBuilder {
    /// One to make it with.
    #[must_use]
    pub fn new() -> Self {
        Self
    }

    /// Makes it.
    ///
    /// # Errors
    /// It is there, or the power is gone.
    pub fn create(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref();
        let disk = disk_of(path)?;
        let mut state = disk.state();
        if state.find(path).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.make(path, true).map(drop)
    }
}

/// Who may do what is not simulated.
impl DirBuilderExt for DirBuilder {
    fn mode(&mut self, _mode: u32) -> &mut Self {
        self
    }
}
