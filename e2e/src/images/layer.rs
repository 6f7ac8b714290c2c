//! A layer: files as a tar archive, sorted, without times, owned by root. The same files always give the same bytes.
//!
//! The format is the POSIX one of 1988, which every reader knows. Names longer than 100 characters do not fit it and are
//! refused; ours are short.

use anyhow::{Context, Result, ensure};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Tar archives come in pieces of this size.
const BLOCK: usize = 512;
/// The longest name of an entry.
const NAME_BYTES_MAX: usize = 100;

/// A tar archive that is being written.
#[derive(Debug, Default)]
pub struct Tar {
    bytes: Vec<u8>,
}

impl Tar {
    /// Adds a file.
    pub fn file(&mut self, name: &str, mode: u32, content: &[u8]) -> Result<()> {
        self.header(name, mode, content.len(), b'0')?;
        self.bytes.extend_from_slice(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(BLOCK), 0);
        Ok(())
    }

    /// Adds a folder.
    pub fn folder(&mut self, name: &str, mode: u32) -> Result<()> {
        self.header(&format!("{name}/"), mode, 0, b'5')
    }

    /// The archive, closed.
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 2 * BLOCK, 0);
        self.bytes
    }

    fn header(&mut self, name: &str, mode: u32, size: usize, kind: u8) -> Result<()> {
        ensure!(name.len() <= NAME_BYTES_MAX, "{name} is too long a name for an archive");
        let mut header = [0u8; BLOCK];
        let mut put = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
        put(0, name.as_bytes());
        put(100, format!("{mode:07o}").as_bytes());
        put(108, b"0000000");
        put(116, b"0000000");
        put(124, format!("{size:011o}").as_bytes());
        put(136, b"00000000000");
        // The checksum is taken with blanks in its own place.
        put(148, b"        ");
        put(156, &[kind]);
        put(257, b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.bytes.extend_from_slice(&header);
        Ok(())
    }
}

/// A layer of these files, by their names in the image; all executable.
pub fn of_files(files: &[(&str, &Path)]) -> Result<Vec<u8>> {
    let mut tar = Tar::default();
    for (name, path) in files {
        tar.file(
            name,
            0o755,
            &fs::read(path).with_context(|| format!("cannot read {}", path.display()))?,
        )?;
    }
    Ok(tar.finish())
}

/// A layer of everything in a folder.
pub fn of_folder(folder: &Path) -> Result<Vec<u8>> {
    let mut paths = Vec::new();
    collect(folder, &mut paths)?;
    paths.sort();
    let mut tar = Tar::default();
    for path in paths {
        let name = path
            .strip_prefix(folder)
            .expect("it was found in this folder")
            .to_string_lossy()
            .into_owned();
        let data = fs::metadata(&path)?;
        let mode = data.permissions().mode() & 0o7777;
        if data.is_dir() {
            tar.folder(&name, mode)?;
        } else {
            tar.file(&name, mode, &fs::read(&path)?)?;
        }
    }
    Ok(tar.finish())
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, into)?;
        }
        into.push(path);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn tar_reads_it() {
        let folder = std::env::temp_dir().join(format!("kvorum-e2e-layer-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let mut tar = Tar::default();
        tar.folder("etc", 0o755).unwrap();
        tar.file("etc/motd", 0o644, b"hello\n").unwrap();
        fs::write(folder.join("layer.tar"), tar.finish()).unwrap();
        let listing = Command::new("tar")
            .arg("-tvf")
            .arg(folder.join("layer.tar"))
            .env("TZ", "UTC")
            .output()
            .unwrap();
        let listing = String::from_utf8(listing.stdout).unwrap();
        fs::remove_dir_all(folder).unwrap();
        let columns = |line: &str| line.split_whitespace().map(String::from).collect::<Vec<_>>();
        let lines: Vec<_> = listing.lines().map(columns).collect();
        assert_eq!(lines[0], ["drwxr-xr-x", "0/0", "0", "1970-01-01", "00:00", "etc/"]);
        assert_eq!(lines[1], ["-rw-r--r--", "0/0", "6", "1970-01-01", "00:00", "etc/motd"]);
    }
}
