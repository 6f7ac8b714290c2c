//! What is done to names: made, moved, removed. What is removed is kept in the notes under its inode's number, so that
//! it can come back and that no other file gets its number meanwhile.

use std::ffi::{CStr, CString};

use kvorum_powercut::journal::{Change, Node, Record};
use libc::{AT_FDCWD, c_int, mode_t};

use super::{Disk, watch};
use crate::kernel::{self, Answer, die};
use crate::spot::Spot;

/// What a name means now.
fn meaning(spot: &Spot) -> Option<Node> {
    kernel::status_at(&spot.path).ok().map(|status| status.node)
}

/// The change of what a name means.
fn change(spot: &Spot, before: Option<Node>, after: Option<Node>) -> Answer<Change> {
    Ok(Change {
        folder: kernel::status_at(&spot.parent)?.node.number,
        name: spot.name.clone(),
        before,
        after,
    })
}

impl Disk {
    /// Opens a file below the folder, making or emptying it as the flags say.
    pub(crate) fn open(&self, spot: &Spot, flags: c_int, mode: mode_t) -> Answer<c_int> {
        if flags & libc::O_TMPFILE == libc::O_TMPFILE {
            die("a file without a name cannot be journalled");
        }
        let _lock = self.lock();
        let before = kernel::status_at(&spot.path).ok();
        // Emptied by hand once it is open, so that what it held can be noted first.
        let fd = kernel::open(AT_FDCWD, &spot.path, flags & !libc::O_TRUNC, mode)?;
        let status = kernel::status(fd)?;
        if flags & libc::O_CREAT != 0 && before.is_none() {
            self.note(&Record::Names(vec![change(spot, None, Some(status.node))?]));
        }
        let writable = flags & libc::O_ACCMODE != libc::O_RDONLY;
        if flags & libc::O_TRUNC != 0 && writable && status.regular && status.length > 0 {
            self.note_resize(fd, status, 0)?;
            self.effect(|| kernel::resize(fd, 0))?;
        }
        watch(fd, status.regular || status.node.folder);
        Ok(fd)
    }

    /// Makes a folder.
    pub(crate) fn make_folder(&self, spot: &Spot, mode: mode_t) -> Answer<usize> {
        let _lock = self.lock();
        let made = kernel::make_folder(AT_FDCWD, &spot.path, mode)?;
        self.note(&Record::Names(vec![change(spot, None, meaning(spot))?]));
        Ok(made)
    }

    /// Removes a file, or an empty folder where the flags say so.
    pub(crate) fn remove(&self, spot: &Spot, flags: c_int) -> Answer<usize> {
        let _lock = self.lock();
        let node = meaning(spot).ok_or(libc::ENOENT)?;
        let kept = self.kept(node);
        let note = || -> Answer<()> {
            self.note(&Record::Names(vec![change(spot, Some(node), None)?]));
            Ok(())
        };
        match (flags & libc::AT_REMOVEDIR != 0, node.folder) {
            (false, true) => Err(libc::EISDIR),
            (true, false) => Err(libc::ENOTDIR),
            (false, false) => {
                keep(&spot.path, &kept)?;
                note()?;
                self.effect(|| kernel::remove(AT_FDCWD, &spot.path, 0))
            }
            (true, true) if !kernel::is_empty(&spot.path)? => Err(libc::ENOTEMPTY),
            (true, true) => {
                note()?;
                self.effect(|| kernel::rename(AT_FDCWD, &spot.path, AT_FDCWD, &kept, 0))
            }
        }
    }

    /// Moves a name, over another if there is one.
    pub(crate) fn rename(&self, from: &Spot, to: &Spot) -> Answer<usize> {
        let _lock = self.lock();
        let node = meaning(from).ok_or(libc::ENOENT)?;
        let over = meaning(to);
        let real = || kernel::rename(AT_FDCWD, &from.path, AT_FDCWD, &to.path, 0);
        match over {
            Some(over) if over == node => return real(),
            Some(over) if over.folder => die("a move over a folder cannot be journalled"),
            Some(over) => keep(&to.path, &self.kept(over))?,
            None => {}
        }
        let changes = vec![change(from, Some(node), None)?, change(to, over, Some(node))?];
        self.note(&Record::Names(changes));
        self.effect(real)
    }

    /// Where something that is removed is kept.
    fn kept(&self, node: Node) -> CString {
        let name = node.number.to_string();
        CString::new([&self.removed[..], b"/", name.as_bytes()].concat()).unwrap_or_default()
    }
}

/// Gives a file a second name, if it has not got it already.
fn keep(path: &CStr, kept: &CStr) -> Answer<()> {
    match kernel::link(path, kept) {
        Ok(_) | Err(libc::EEXIST) => Ok(()),
        Err(error) => Err(error),
    }
}
