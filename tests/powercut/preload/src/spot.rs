//! Paths below the folder: told from others by their text, since nothing there is a symbolic link.

use std::ffi::{CStr, CString};

use libc::c_int;

use crate::kernel;

/// A name in a folder that is watched, or the folder itself.
pub(crate) struct Spot {
    /// The whole path.
    pub(crate) path: CString,
    /// The folder that it lies in.
    pub(crate) parent: CString,
    /// Its name there.
    pub(crate) name: Vec<u8>,
}

/// The spot that `path`, seen from `from`, means, if it lies at or below `top`.
pub(crate) fn find(top: &[u8], from: c_int, path: &CStr) -> Option<Spot> {
    let path = path.to_bytes();
    let whole = if path.starts_with(b"/") {
        path.to_vec()
    } else if path.is_empty() {
        return None;
    } else {
        [&kernel::path_of(from).ok()?, path].join(&b'/')
    };
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in whole.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let plain = |parts: &[&[u8]]| [b"/", &parts.join(&b'/')[..]].concat();
    let path = plain(&parts);
    let below = path.strip_prefix(top)?;
    if !below.is_empty() && !below.starts_with(b"/") {
        return None;
    }
    let name = parts.pop()?.to_vec();
    Some(Spot {
        path: CString::new(path).ok()?,
        parent: CString::new(plain(&parts)).ok()?,
        name,
    })
}
