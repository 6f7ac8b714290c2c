//! Cuts of made-up journals: what is done by hand here is what the library in a process would have journalled.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::journal::{Change, Content, Node, Record};

/// A file or folder as the journal names it.
fn node(path: &Path) -> io::Result<Node> {
    let status = fs::symlink_metadata(path)?;
    Ok(Node {
        number: status.ino(),
        folder: status.is_dir(),
    })
}

/// A folder, its notes and the journal of what was done to it.
struct Disk {
    _home: TempDir,
    folder: PathBuf,
    notes: PathBuf,
    journal: Vec<u8>,
    syncs: u64,
}

impl Disk {
    fn new() -> Disk {
        let home = tempfile::tempdir().unwrap();
        let (folder, notes) = (home.path().join("data"), home.path().join("notes"));
        fs::create_dir_all(&folder).unwrap();
        fs::create_dir_all(notes.join(REMOVED)).unwrap();
        Disk {
            _home: home,
            folder,
            notes,
            journal: Vec::new(),
            syncs: 0,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn number(&self, name: &str) -> u64 {
        node(&self.path(name)).unwrap().number
    }

    fn note(&mut self, record: &Record) {
        self.journal.extend(record.encode());
    }

    fn change(&self, name: &str, before: Option<Node>, after: Option<Node>) -> Change {
        let path = self.path(name);
        Change {
            folder: node(path.parent().unwrap()).unwrap().number,
            name: path.file_name().unwrap().as_encoded_bytes().to_vec(),
            before,
            after,
        }
    }

    fn make(&mut self, name: &str) {
        fs::write(self.path(name), "").unwrap();
        let made = self.change(name, None, Some(node(&self.path(name)).unwrap()));
        self.note(&Record::Names(vec![made]));
    }

    fn make_folder(&mut self, name: &str) {
        fs::create_dir(self.path(name)).unwrap();
        let made = self.change(name, None, Some(node(&self.path(name)).unwrap()));
        self.note(&Record::Names(vec![made]));
    }

    fn append(&mut self, name: &str, text: &str) {
        let mut all = fs::read(self.path(name)).unwrap();
        self.note(&Record::Write {
            file: self.number(name),
            length_before: all.len() as u64,
            offset: all.len() as u64,
            old: Content::Zeros(0),
            new: Content::of(text.as_bytes()),
        });
        all.extend(text.as_bytes());
        fs::write(self.path(name), all).unwrap();
    }

    fn keep(&self, name: &str) {
        let kept = self.notes.join(REMOVED).join(self.number(name).to_string());
        fs::hard_link(self.path(name), kept).unwrap();
    }

    fn rename(&mut self, from: &str, to: &str) {
        let moved = node(&self.path(from)).ok();
        let over = node(&self.path(to)).ok();
        if over.is_some() {
            self.keep(to);
        }
        let changes = vec![self.change(from, moved, None), self.change(to, over, moved)];
        self.note(&Record::Names(changes));
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    fn remove(&mut self, name: &str) {
        self.keep(name);
        let gone = self.change(name, node(&self.path(name)).ok(), None);
        self.note(&Record::Names(vec![gone]));
        fs::remove_file(self.path(name)).unwrap();
    }

    fn remove_folder(&mut self, name: &str) {
        let gone = self.change(name, node(&self.path(name)).ok(), None);
        let kept = self.notes.join(REMOVED).join(self.number(name).to_string());
        self.note(&Record::Names(vec![gone]));
        fs::rename(self.path(name), kept).unwrap();
    }

    fn sync(&mut self, name: &str) {
        self.syncs += 1;
        let (file, sync) = (self.number(name), self.syncs);
        self.note(&Record::SyncBegins { file, sync });
        self.note(&Record::SyncEnds { sync });
    }

    fn cut(&mut self, severity: Severity, seed: u64) -> Outcome {
        fs::write(self.notes.join(JOURNAL), std::mem::take(&mut self.journal)).unwrap();
        cut(&self.folder, &self.notes, severity, seed).unwrap()
    }

    /// Every file's path and text, and every folder's path.
    fn state(&self) -> Vec<String> {
        fn walk(top: &Path, folder: &Path, found: &mut Vec<String>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(top).unwrap().display().to_string();
                if path.is_dir() {
                    found.push(format!("{name}/"));
                    walk(top, &path, found);
                } else {
                    found.push(format!("{name}={}", fs::read_to_string(&path).unwrap()));
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.folder, &self.folder, &mut found);
        found.sort();
        found
    }
}

/// What the node does to replace a file: written beside, synced, renamed, the folder synced.
fn replace(disk: &mut Disk, text: &str, syncs: bool) {
    disk.make("file.new");
    disk.append("file.new", text);
    if syncs {
        disk.sync("file.new");
    }
    disk.rename("file.new", "file");
    if syncs {
        disk.sync("");
    }
}

#[test]
fn what_was_synced_survives_the_worst() {
    let mut disk = Disk::new();
    replace(&mut disk, "one", true);
    replace(&mut disk, "two", true);
    let outcome = disk.cut(Severity::Everything, 0);
    assert_eq!(disk.state(), ["file=two"]);
    assert_eq!((outcome.lost, outcome.names_lost), (0, 0));
}

#[test]
fn without_a_sync_the_worst_takes_it_all_back() {
    let mut disk = Disk::new();
    replace(&mut disk, "one", true);
    replace(&mut disk, "two", false);
    disk.remove("file");
    let outcome = disk.cut(Severity::Everything, 0);
    assert_eq!(disk.state(), ["file=one"]);
    assert_eq!((outcome.lost, outcome.names_lost), (1, 3));
}

#[test]
fn a_replacement_without_syncs_is_seen_in_every_state() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..100 {
        let mut disk = Disk::new();
        replace(&mut disk, "one", true);
        replace(&mut disk, "two", false);
        disk.cut(Severity::Mixed(0.5), seed);
        seen.extend(disk.state().into_iter().filter(|line| line.starts_with("file=")));
    }
    // Old, new, and the new name without its bytes: why one syncs before one renames.
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["file=", "file=one", "file=two"]);
}

#[test]
fn a_file_synced_in_a_folder_that_is_not_is_lost_with_it() {
    let mut disk = Disk::new();
    disk.make_folder("log");
    disk.make("log/segment");
    disk.append("log/segment", "text");
    disk.sync("log/segment");
    disk.sync("log");
    disk.cut(Severity::Everything, 0);
    assert_eq!(disk.state(), Vec::<String>::new());
}

#[test]
fn a_removed_folder_comes_back_with_what_was_in_it() {
    let mut disk = Disk::new();
    disk.make_folder("log");
    disk.make("log/segment");
    disk.append("log/segment", "text");
    for name in ["log/segment", "log", ""] {
        disk.sync(name);
    }
    disk.remove("log/segment");
    disk.remove_folder("log");
    disk.make_folder("log");
    disk.cut(Severity::Everything, 0);
    assert_eq!(disk.state(), ["log/", "log/segment=text"]);
}

#[test]
fn nothing_is_lost_where_the_process_alone_ended() {
    let mut disk = Disk::new();
    replace(&mut disk, "one", false);
    disk.make_folder("log");
    disk.make("log/segment");
    disk.append("log/segment", "text");
    let before = disk.state();
    disk.cut(Severity::Nothing, 0);
    assert_eq!(disk.state(), before);
}

#[test]
fn one_cut_after_another_starts_from_what_was_left() {
    let mut disk = Disk::new();
    replace(&mut disk, "one", true);
    disk.append("file", " lost");
    disk.cut(Severity::Everything, 0);
    disk.append("file", " kept");
    disk.cut(Severity::Nothing, 0);
    disk.append("file", " lost again");
    disk.cut(Severity::Everything, 0);
    assert_eq!(disk.state(), ["file=one kept"]);
}
