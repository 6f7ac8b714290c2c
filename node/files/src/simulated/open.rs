//! Open files of a simulated disk: as the standard library has them.

use std::io::{self, SeekFrom};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::Disk;
use super::{disk_of, not_found};

/// An open file or directory.
#[derive(Debug)]
pub struct File {
    disk: Arc<Disk>,
    node: u64,
    /// What it was opened as; only the sync of a directory asks.
    path: PathBuf,
    cursor: Mutex<u64>,
}

/// What is known of a file.
#[derive(Clone, Copy, Debug)]
pub struct Metadata {
    length: u64,
}

impl Metadata {
    /// Its length, in bytes.
    #[expect(clippy::len_without_is_empty, reason = "the standard library's has none either")]
    #[must_use]
    pub fn len(&self) -> u64 {
        self.length
    }
}

/// How to open a file.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    create: bool,
    create_new: bool,
    truncate: bool,
}

impl OpenOptions {
    /// Nothing is made and nothing cut.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// To read it; always possible here.
    pub fn read(&mut self, _read: bool) -> &mut Self {
        self
    }

    /// To write it; always possible here.
    pub fn write(&mut self, _write: bool) -> &mut Self {
        self
    }

    /// Whether it is made when it is not there.
    pub fn create(&mut self, create: bool) -> &mut Self {
        self.create = create;
        self
    }

    /// Whether it must not be there, and is made.
    pub fn create_new(&mut self, create_new: bool) -> &mut Self {
        self.create_new = create_new;
        self
    }

    /// Whether it is emptied.
    pub fn truncate(&mut self, truncate: bool) -> &mut Self {
        self.truncate = truncate;
        self
    }

    /// Opens it.
    ///
    /// # Errors
    /// It is not there and not to be made, or there and to be new, or the power is gone.
    pub fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let path = path.as_ref();
        let disk = disk_of(path)?;
        let node = {
            let mut state = disk.state();
            state.alive()?;
            let node = match state.find(path) {
                Some(_) if self.create_new => return Err(io::ErrorKind::AlreadyExists.into()),
                Some(node) => node,
                None if self.create || self.create_new => {
                    let above = path.parent().unwrap_or(path);
                    state.find(above).ok_or_else(|| not_found(above))?;
                    state.make(path, false)?
                }
                None => return Err(not_found(path)),
            };
            if self.truncate && state.length(node) > 0 {
                state.set_length(node, 0)?;
            }
            state.opened(node);
            node
        };
        Ok(File {
            disk,
            node,
            path: path.to_owned(),
            cursor: Mutex::new(0),
        })
    }
}

/// Who may do what is not simulated.
impl OpenOptionsExt for OpenOptions {
    fn mode(&mut self, _mode: u32) -> &mut Self {
        self
    }

    fn custom_flags(&mut self, _flags: i32) -> &mut Self {
        self
    }
}

impl File {
    /// Opens what is there.
    ///
    /// # Errors
    /// As [`OpenOptions::open`].
    pub fn open(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new().read(true).open(path)
    }

    /// Makes it, or empties it.
    ///
    /// # Errors
    /// As [`OpenOptions::open`].
    pub fn create(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new().write(true).create(true).truncate(true).open(path)
    }

    /// How to open one.
    #[must_use]
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// What is known of it.
    ///
    /// # Errors
    /// The power is gone.
    pub fn metadata(&self) -> io::Result<Metadata> {
        let state = self.disk.state();
        state.alive()?;
        Ok(Metadata {
            length: state.length(self.node),
        })
    }

    /// Cuts it or fills it with zeros to this length, in bytes.
    ///
    /// # Errors
    /// The power is gone.
    pub fn set_len(&self, length: u64) -> io::Result<()> {
        self.disk.state().set_length(self.node, length)
    }

    /// Makes what was written last; the names in it, where it is a directory.
    ///
    /// # Errors
    /// The power is gone.
    pub fn sync_all(&self) -> io::Result<()> {
        self.disk.state().sync(self.node, &self.path)
    }

    /// Makes what was written last.
    ///
    /// # Errors
    /// The power is gone.
    pub fn sync_data(&self) -> io::Result<()> {
        self.sync_all()
    }

    /// Another handle to it. The place in the file is not shared, which nobody here counts on.
    ///
    /// # Errors
    /// Never; as the system's.
    pub fn try_clone(&self) -> io::Result<File> {
        self.disk.state().opened(self.node);
        Ok(File {
            disk: Arc::clone(&self.disk),
            node: self.node,
            path: self.path.clone(),
            cursor: Mutex::new(*self.cursor()),
        })
    }

    fn cursor(&self) -> MutexGuard<'_, u64> {
        self.cursor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        self.disk.state().closed(self.node);
    }
}

impl FileExt for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.disk.state().read(self.node, buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.disk.state().write(self.node, bytes, offset)?;
        Ok(bytes.len())
    }
}

impl io::Read for &File {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut cursor = self.cursor();
        let count = self.read_at(buffer, *cursor)?;
        *cursor += count as u64;
        Ok(count)
    }
}

impl io::Write for &File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut cursor = self.cursor();
        let count = self.write_at(bytes, *cursor)?;
        *cursor += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl io::Read for File {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        io::Read::read(&mut &*self, buffer)
    }
}

impl io::Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::Write::write(&mut &*self, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl io::Seek for File {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let length = self.metadata()?.len();
        let mut cursor = self.cursor();
        let moved = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(by) => length.checked_add_signed(by),
            SeekFrom::Current(by) => cursor.checked_add_signed(by),
        };
        *cursor = moved.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(*cursor)
    }
}
