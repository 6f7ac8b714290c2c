//! The identity file: `<data-dir>/identity`, a few lines of text that a person can read and a checksum covers.
//!
//! ```text
//! kvorum identity 1
//! cluster 00f3a1b2c3d4e5f6        ("-" until it is known)
//! member 1a2b3c4d5e6f7081
//! name demo-0
//! log 9f8e7d6c5b4a3921            (not there until the log is)
//! crc32c 8a9b0c1d                 (over the lines above, with their line ends)
//! ```
//!
//! It is replaced whole: written beside, synced, renamed, directory synced. A crash leaves the old one or the new one.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use kvorum_api::Id;
use kvorum_faults as faults;
use kvorum_files::{self as fs, File};

use super::Identity;

/// Name of the file in the data directory.
pub const FILE_NAME: &str = "identity";
/// What it is called until it is complete.
pub(crate) const UNFINISHED_NAME: &str = "identity.new";
/// First line: format and version.
const HEADING: &str = "kvorum identity 1";

/// What the data directory holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing, or no such directory.
    Nothing,
    /// Files, of which one is named here, but no identity file.
    Strangers(String),
    /// A member's identity.
    Identity(Identity),
}

/// Why the identity file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The system refused.
    #[error("{path} cannot be read or written")]
    Io {
        /// File or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is damaged, or of a version this program does not know. It is never repaired by guessing.
    #[error(
        "identity file {path}, offset {offset}: {what}. Nothing was changed; it is never repaired by guessing. Remove this \
         member and let it join again with an empty disk, or restore from a snapshot"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in it, in bytes.
        offset: usize,
        /// What is wrong with it.
        what: String,
    },
}

/// Looks at the data directory; changes nothing.
///
/// # Errors
/// The directory cannot be read, or the identity file is damaged.
pub fn find(data_dir: &Path) -> Result<Found, IdentityError> {
    let path = data_dir.join(FILE_NAME);
    match fs::read_to_string(&path) {
        Ok(text) => {
            return parse(&text)
                .map(Found::Identity)
                .map_err(|(offset, what)| IdentityError::Damaged { path, offset, what });
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Err(IdentityError::Damaged {
                path,
                offset: 0,
                what: "it is not text".into(),
            });
        }
        Err(source) => return Err(IdentityError::Io { path, source }),
    }
    let entries = match fs::read_dir(data_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(source) => {
            return Err(IdentityError::Io {
                path: data_dir.to_owned(),
                source,
            });
        }
    };
    for entry in entries {
        let entry = entry.map_err(|source| IdentityError::Io {
            path: data_dir.to_owned(),
            source,
        })?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // A crash before the first identity was complete, or a file system's own folder, is not somebody's data.
        if name != UNFINISHED_NAME && name != "lost+found" {
            return Ok(Found::Strangers(name));
        }
    }
    Ok(Found::Nothing)
}

/// Writes the identity so that it survives a power cut from the moment this returns. Creates the directory.
///
/// # Errors
/// Any step failed; the old file, if there was one, is then still whole.
pub fn write(data_dir: &Path, identity: &Identity) -> Result<(), IdentityError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| IdentityError::Io { path, source }
    };
    faults::pass("identity::folder-create").map_err(at(data_dir))?;
    fs::create_dir_all(data_dir).map_err(at(data_dir))?;
    let unfinished = data_dir.join(UNFINISHED_NAME);
    write_to(&unfinished, text(identity).as_bytes()).map_err(at(&unfinished))?;
    let path = data_dir.join(FILE_NAME);
    faults::pass("identity::rename").map_err(at(&path))?;
    fs::rename(&unfinished, &path).map_err(at(&path))?;
    faults::pass("identity::directory-sync").map_err(at(data_dir))?;
    sync_directory(data_dir).map_err(at(data_dir))?;
    // The directory itself may be new: its name lives in its parent.
    faults::pass("identity::parent-sync").map_err(at(data_dir))?;
    match data_dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => sync_directory(parent).map_err(at(parent)),
        None => sync_directory(Path::new(".")).map_err(at(Path::new("."))),
    }
}

fn write_to(path: &Path, bytes: &[u8]) -> io::Result<()> {
    faults::pass("identity::create")?;
    let mut file = File::create(path)?;
    faults::write("identity::write", bytes, |bytes| file.write_all(bytes))?;
    faults::pass("identity::sync")?;
    file.sync_all()
}

fn sync_directory(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

pub(super) fn text(identity: &Identity) -> String {
    let Identity {
        cluster_id,
        member_id,
        name,
        log_id,
    } = identity;
    let cluster = cluster_id.map_or_else(|| "-".to_owned(), |id| id.to_string());
    let log = log_id.map_or_else(String::new, |id| format!("log {id:016x}\n"));
    let body = format!("{HEADING}\ncluster {cluster}\nmember {member_id}\nname {name}\n{log}");
    format!("{body}crc32c {:08x}\n", crc32c::crc32c(body.as_bytes()))
}

/// The inverse of [`text`], or where it is wrong, in bytes, and what.
pub(super) fn parse(text: &str) -> Result<Identity, (usize, String)> {
    let heading = text.lines().next().unwrap_or_default();
    if heading != HEADING {
        return Err((0, format!("it begins with {heading:?}, not {HEADING:?}")));
    }
    let end = text.len();
    let (body, checksum) = text
        .rsplit_once("crc32c ")
        .ok_or_else(|| (end, "it has no checksum".to_owned()))?;
    let end = body.len();
    if u32::from_str_radix(checksum.trim_end(), 16) != Ok(crc32c::crc32c(body.as_bytes())) {
        return Err((end, "its checksum does not match".to_owned()));
    }
    let field = |name: &str| {
        body.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
            .ok_or_else(|| (end, format!("it has no line {name:?}")))
    };
    let id = |text: &str| text.parse::<Id>().map_err(|_| (0, format!("{text:?} is not an id")));
    let log = |text: &str| u64::from_str_radix(text, 16).map_err(|_| (0, format!("{text:?} is not a log's id")));
    Ok(Identity {
        cluster_id: match field("cluster")? {
            "-" => None,
            text => Some(id(text)?),
        },
        member_id: id(field("member")?)?,
        name: field("name")?.to_owned(),
        log_id: field("log").ok().map(log).transpose()?,
    })
}
