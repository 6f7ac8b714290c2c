//! The marker beside the database: whether what sled left there may be believed, and why not.
//!
//! ```text
//! kvorum engine 2
//! log 9f8e7d6c5b4a3921            the log of the member that wrote the database
//! boot 3c1e…                      open, or left by a process that was killed: believed within this boot; or
//! clean                           closed in order: believed as long as every file is as it was
//! applied 3 41                    after a clean close: term and index of the last entry in it
//! file 524288 8a9b0c1d sled/db    after a clean close: bytes, CRC-32C and name, for every file
//! crc32c 1d0c9b8a                 over the lines above
//! ```
//! Must keep true: what is not exactly so is not believed. That costs time, never data.
//!
//! Version 1 knew no files of large values; what it wrote is rebuilt.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use kvorum_faults as faults;
use thiserror::Error;

use super::far::VALUES;
use crate::disk;

/// Folder of the database.
pub(super) const DATABASE: &str = "sled";
/// Name of the marker.
pub(super) const MARKER: &str = "trust";
const UNFINISHED: &str = "trust.new";
const HEADING: &str = "kvorum engine 2";
/// Linux names each boot of the machine.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// Files are read in pieces of this size, in bytes.
const PIECE_BYTES: usize = 1 << 20;

/// Why the database is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Believed {
    /// It was closed in order, and every file is as it was then.
    Clean {
        /// Term and index of the last entry in it.
        applied: Option<(u64, u64)>,
    },
    /// The machine has not been booted since it was written.
    SameBoot,
}

/// Why the database is not believed, so that it is rebuilt.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Distrust {
    /// There is none.
    #[error("there is none")]
    Nothing,
    /// There is no marker: it was never opened to its end.
    #[error("no marker vouches for it")]
    Unmarked,
    /// The marker is damaged, or of another version.
    #[error("its marker cannot be read: {0}")]
    Marker(String),
    /// Another member wrote it, or an earlier life of this one.
    #[error("it belongs to the log {0:016x}, which is another member's")]
    Foreign(u64),
    /// A power cut may have taken a part of it.
    #[error("the machine was booted since it was written, and it was not closed")]
    AnotherBoot,
    /// A file is not as it was.
    #[error("its file {0}")]
    Changed(String),
    /// sled refuses it.
    #[error("it does not open: {0}")]
    Unopened(String),
}

/// What the marker says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Marker {
    pub(super) log_id: u64,
    pub(super) state: State,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Written in this boot.
    Boot(String),
    /// Closed in order.
    Clean {
        applied: Option<(u64, u64)>,
        files: Vec<Sum>,
    },
}

/// A file of the database, as it was when it was closed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sum {
    bytes: u64,
    checksum: u32,
    name: String,
}

/// Whether the database in `dir`, of the member with the log `log_id`, may be believed; changes nothing.
///
/// # Errors
/// The system does not tell which boot this is, or a file cannot be read.
pub(crate) fn look(dir: &Path, log_id: u64) -> io::Result<Result<Believed, Distrust>> {
    let database = dir.join(DATABASE);
    if !database.is_dir() {
        return Ok(Err(Distrust::Nothing));
    }
    let text = match fs::read(dir.join(MARKER)) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Err(Distrust::Unmarked)),
        Err(error) => return Err(disk::naming(&dir.join(MARKER), &error)),
    };
    let marker = match Marker::parse(&text) {
        Ok(marker) => marker,
        Err(reason) => return Ok(Err(Distrust::Marker(reason.to_owned()))),
    };
    if marker.log_id != log_id {
        return Ok(Err(Distrust::Foreign(marker.log_id)));
    }
    Ok(match marker.state {
        State::Boot(boot) if boot == this_boot()? => Ok(Believed::SameBoot),
        State::Boot(_) => Err(Distrust::AnotherBoot),
        State::Clean { applied, files } => match difference(&files, &sums(dir)?) {
            None => Ok(Believed::Clean { applied }),
            Some(what) => Err(Distrust::Changed(what)),
        },
    })
}

/// The name of this boot.
pub(super) fn this_boot() -> io::Result<String> {
    Ok(fs::read_to_string(BOOT_ID)?.trim().to_owned())
}

/// Syncs every file of the engine in `dir` and its folders, and sums the files up.
pub(super) fn settle(dir: &Path) -> io::Result<Vec<Sum>> {
    for path in files(dir)? {
        faults::pass("engine::settle")?;
        File::open(&path)?.sync_all()?;
        if let Some(folder) = path.parent() {
            File::open(folder)?.sync_all()?;
        }
    }
    sums(dir)
}

/// Writes the marker so that it survives a power cut from the moment this returns.
pub(super) fn write(dir: &Path, marker: &Marker) -> io::Result<()> {
    let unfinished = dir.join(UNFINISHED);
    faults::pass("engine::marker-create")?;
    let mut file = File::create(&unfinished)?;
    faults::write("engine::marker-write", marker.text().as_bytes(), |text| {
        file.write_all(text)
    })?;
    faults::pass("engine::marker-sync")?;
    file.sync_all()?;
    faults::pass("engine::marker-rename")?;
    fs::rename(&unfinished, dir.join(MARKER))?;
    faults::pass("engine::directory-sync")?;
    File::open(dir)?.sync_all()
}

/// Removes the marker, durably.
pub(super) fn remove(dir: &Path) -> io::Result<()> {
    match faults::pass("engine::marker-remove").and_then(|()| fs::remove_file(dir.join(MARKER))) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => {
            faults::pass("engine::directory-sync")?;
            File::open(dir)?.sync_all()
        }
    }
}

/// The first file that is not as it was.
fn difference(then: &[Sum], now: &[Sum]) -> Option<String> {
    let missing = then.iter().find(|sum| !now.iter().any(|other| other.name == sum.name));
    if let Some(Sum { name, .. }) = missing {
        return Some(format!("{name} is missing"));
    }
    now.iter().find_map(|sum| {
        let Sum { bytes, name, .. } = sum;
        match then.iter().find(|other| other.name == *name) {
            None => Some(format!("{name} was not there when it was closed")),
            Some(other) if other.bytes != *bytes => Some(format!("{name} has {bytes} bytes, not {}", other.bytes)),
            Some(other) if other != sum => Some(format!("{name} was changed since it was closed")),
            Some(_) => None,
        }
    })
}

fn sums(dir: &Path) -> io::Result<Vec<Sum>> {
    let mut piece = vec![0; PIECE_BYTES];
    let mut sums = Vec::new();
    for path in files(dir)? {
        let mut file = File::open(&path).map_err(|error| disk::naming(&path, &error))?;
        let (mut bytes, mut checksum) = (0, 0);
        loop {
            let count = file.read(&mut piece)?;
            if count == 0 {
                break;
            }
            bytes += count as u64;
            checksum = crc32c::crc32c_append(checksum, &piece[..count]);
        }
        let name = path.strip_prefix(dir).unwrap_or(&path).display().to_string();
        sums.push(Sum { bytes, checksum, name });
    }
    Ok(sums)
}

/// Every file of the engine in `dir`, in order.
fn files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let folders = [DATABASE, VALUES].map(|name| dir.join(name));
    let mut folders: Vec<PathBuf> = folders.into_iter().filter(|folder| folder.is_dir()).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => folders.push(entry.path()),
                false => found.push(entry.path()),
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}

impl Marker {
    fn text(&self) -> String {
        let state = match &self.state {
            State::Boot(boot) => format!("boot {boot}\n"),
            State::Clean { applied, files } => {
                let applied = applied.map_or_else(String::new, |(term, index)| format!("applied {term} {index}\n"));
                let files: Vec<String> = files.iter().map(Sum::line).collect();
                format!("clean\n{applied}{}", files.concat())
            }
        };
        let body = format!("{HEADING}\nlog {:016x}\n{state}", self.log_id);
        format!("{body}crc32c {:08x}\n", crc32c::crc32c(body.as_bytes()))
    }

    /// The inverse of `text`, or what is wrong.
    fn parse(text: &str) -> Result<Marker, &'static str> {
        let (body, checksum) = text.rsplit_once("crc32c ").ok_or("it has no checksum")?;
        if u32::from_str_radix(checksum.trim_end(), 16) != Ok(crc32c::crc32c(body.as_bytes())) {
            return Err("its checksum does not match");
        }
        let mut lines = body.lines();
        if lines.next() != Some(HEADING) {
            return Err("it is of another version");
        }
        let log = lines.next().and_then(|line| line.strip_prefix("log "));
        let log_id = log
            .and_then(|id| u64::from_str_radix(id, 16).ok())
            .ok_or("it names no log")?;
        let state = match lines.next().ok_or("it says nothing")? {
            "clean" => State::clean(lines).ok_or("a line of it makes no sense")?,
            line => State::Boot(line.strip_prefix("boot ").ok_or("it names no boot")?.to_owned()),
        };
        Ok(Marker { log_id, state })
    }
}

impl State {
    fn clean<'a>(lines: impl Iterator<Item = &'a str>) -> Option<State> {
        let (mut applied, mut files) = (None, Vec::new());
        for line in lines {
            if let Some(position) = line.strip_prefix("applied ") {
                let (term, index) = position.split_once(' ')?;
                applied = Some((term.parse().ok()?, index.parse().ok()?));
                continue;
            }
            let mut words = line.strip_prefix("file ")?.splitn(3, ' ');
            files.push(Sum {
                bytes: words.next()?.parse().ok()?,
                checksum: u32::from_str_radix(words.next()?, 16).ok()?,
                name: words.next()?.to_owned(),
            });
        }
        Some(State::Clean { applied, files })
    }
}

impl Sum {
    fn line(&self) -> String {
        format!("file {} {:08x} {}\n", self.bytes, self.checksum, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean() -> Marker {
        let files = vec![Sum {
            bytes: 3,
            checksum: 7,
            name: "sled/a b".into(),
        }];
        let applied = Some((3, 41));
        Marker {
            log_id: 0xa1,
            state: State::Clean { applied, files },
        }
    }

    #[test]
    fn a_marker_reads_back() {
        let boot = Marker {
            log_id: u64::MAX,
            state: State::Boot("3c1e".into()),
        };
        for marker in [boot, clean()] {
            assert_eq!(Marker::parse(&marker.text()), Ok(marker));
        }
    }

    #[test]
    fn any_changed_byte_and_any_cut_of_a_marker_is_noticed() {
        let text = clean().text();
        for place in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[place] ^= 1;
            let changed = String::from_utf8_lossy(&bytes).into_owned();
            // But for what follows the checksum, which says nothing.
            assert!(
                Marker::parse(&changed) != Ok(clean()) || place == text.len() - 1,
                "byte {place}"
            );
            assert!(
                Marker::parse(&text[..place]) != Ok(clean()) || place == text.len() - 1,
                "cut at {place}"
            );
        }
    }

    #[test]
    fn any_difference_of_a_file_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        for folder in [DATABASE, VALUES] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        fs::write(dir.path().join("sled/db"), "database").unwrap();
        fs::write(dir.path().join("values/1.far"), "large").unwrap();
        let then = settle(dir.path()).unwrap();
        let now = || difference(&then, &sums(dir.path()).unwrap());
        assert_eq!(now(), None);
        fs::write(dir.path().join("sled/db"), "databasf").unwrap();
        assert_eq!(now().unwrap(), "sled/db was changed since it was closed");
        fs::write(dir.path().join("sled/db"), "data").unwrap();
        assert_eq!(now().unwrap(), "sled/db has 4 bytes, not 8");
        fs::write(dir.path().join("sled/db"), "database").unwrap();
        fs::write(dir.path().join("sled/conf"), "").unwrap();
        assert_eq!(now().unwrap(), "sled/conf was not there when it was closed");
        fs::remove_file(dir.path().join("values/1.far")).unwrap();
        assert_eq!(now().unwrap(), "values/1.far is missing");
    }
}
