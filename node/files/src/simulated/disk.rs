//! What lies on a disk, what of it would survive a cut, and the cut.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{dice, not_found};

/// What a disk writes whole or not at all, in bytes.
const SECTOR_BYTES: u64 = 512;

/// A disk.
#[derive(Debug, Default)]
pub struct Disk(Mutex<State>);

/// What was done to a disk so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Writes.
    pub writes: u64,
    /// Syncs of files and directories.
    pub syncs: u64,
    /// Power cuts.
    pub cuts: u64,
    /// Writes that a cut took away or tore.
    pub undone: u64,
}

#[derive(Debug, Default)]
pub(super) struct State {
    nodes: BTreeMap<u64, Node>,
    names: BTreeMap<PathBuf, u64>,
    /// The names that survive a cut.
    kept: BTreeMap<PathBuf, u64>,
    /// Changes of names that were not synced, oldest first.
    renamed: Vec<Renaming>,
    next: u64,
    power: Power,
    /// Whether syncs are pretended: for the proof that somebody notices.
    careless: bool,
    counts: Counts,
}

/// One name that was given (or taken, without a node) in a directory.
#[derive(Debug)]
struct Renaming {
    directory: PathBuf,
    changes: Vec<(PathBuf, Option<u64>)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Power {
    #[default]
    On,
    /// It goes at the operation after so many.
    Ends(u64),
    Off,
}

/// A file, or a directory where there are no bytes.
#[derive(Debug, Default)]
struct Node {
    is_directory: bool,
    bytes: Vec<u8>,
    /// The bytes that survive a cut.
    kept: Vec<u8>,
    unsynced: Vec<Edit>,
    handles: usize,
}

#[derive(Debug)]
enum Edit {
    Write { offset: u64, bytes: Vec<u8> },
    Length(u64),
}

impl Disk {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the power go at the change after `changes` more.
    pub fn cut_after(&self, changes: u64) {
        let mut state = self.state();
        if state.power == Power::On {
            state.power = Power::Ends(changes);
        }
    }

    /// Lets the power go now.
    pub fn cut(&self) {
        self.state().power = Power::Off;
    }

    /// Whether the power is gone.
    pub fn is_cut(&self) -> bool {
        self.state().power == Power::Off
    }

    /// Brings the power back: what is on the disk from now on, chance has decided.
    pub fn restore(&self) {
        self.state().restore();
    }

    /// Lets the disk answer again as it is: only the process had ended.
    pub fn go_on(&self) {
        let mut state = self.state();
        state.power = Power::On;
        for node in state.nodes.values_mut() {
            node.handles = 0;
        }
        state.forget();
    }

    /// From now on every sync is a lie.
    pub fn pretend_syncs(&self) {
        self.state().careless = true;
    }

    /// What was done so far.
    pub fn counts(&self) -> Counts {
        self.state().counts
    }

    /// Takes everything away, as if another disk had been put in its place.
    pub fn replace(&self) {
        let mut state = self.state();
        *state = State {
            counts: state.counts,
            careless: state.careless,
            next: state.next,
            ..State::default()
        };
    }
}

fn gone() -> io::Error {
    io::Error::other("the power is gone")
}

impl State {
    /// Whether the disk answers at all.
    pub(super) fn alive(&self) -> io::Result<()> {
        if self.power == Power::Off { Err(gone()) } else { Ok(()) }
    }

    /// Whether a change still takes place: `false` is the one at which the power goes.
    fn change(&mut self) -> io::Result<bool> {
        match self.power {
            Power::On => Ok(true),
            Power::Ends(0) => {
                self.power = Power::Off;
                Ok(false)
            }
            Power::Ends(changes) => {
                self.power = Power::Ends(changes - 1);
                Ok(true)
            }
            Power::Off => Err(gone()),
        }
    }

    pub(super) fn find(&self, path: &Path) -> Option<u64> {
        // The disk's own root is always there.
        if path.components().count() <= 2 && !self.names.contains_key(path) {
            return Some(0);
        }
        self.names.get(path).copied()
    }

    pub(super) fn is_directory(&self, node: u64) -> bool {
        node == 0 || self.nodes.get(&node).is_some_and(|node| node.is_directory)
    }

    /// The names in a directory, in order.
    pub(super) fn list(&self, directory: &Path) -> Vec<PathBuf> {
        let inside = |path: &&PathBuf| path.parent() == Some(directory);
        self.names.keys().filter(inside).cloned().collect()
    }

    /// Makes a file or a directory.
    pub(super) fn make(&mut self, path: &Path, is_directory: bool) -> io::Result<u64> {
        let whole = self.change()?;
        self.next += 1;
        let number = self.next;
        let node = Node {
            is_directory,
            ..Node::default()
        };
        self.nodes.insert(number, node);
        self.name(path, vec![(path.to_owned(), Some(number))]);
        if whole { Ok(number) } else { Err(gone()) }
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let node = self.names.get(from).copied().ok_or_else(|| not_found(from))?;
        let whole = self.change()?;
        self.name(to, vec![(from.to_owned(), None), (to.to_owned(), Some(node))]);
        if whole { Ok(()) } else { Err(gone()) }
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        if !self.names.contains_key(path) {
            return Err(not_found(path));
        }
        let whole = self.change()?;
        self.name(path, vec![(path.to_owned(), None)]);
        if whole { Ok(()) } else { Err(gone()) }
    }

    fn name(&mut self, path: &Path, changes: Vec<(PathBuf, Option<u64>)>) {
        apply(&mut self.names, &changes);
        let directory = path.parent().unwrap_or(path).to_owned();
        self.renamed.push(Renaming { directory, changes });
    }

    pub(super) fn opened(&mut self, node: u64) {
        if let Some(node) = self.nodes.get_mut(&node) {
            node.handles += 1;
        }
    }

    pub(super) fn closed(&mut self, node: u64) {
        if let Some(node) = self.nodes.get_mut(&node) {
            node.handles = node.handles.saturating_sub(1);
        }
    }

    pub(super) fn length(&self, node: u64) -> u64 {
        self.nodes.get(&node).map_or(0, |node| node.bytes.len() as u64)
    }

    pub(super) fn read(&self, node: u64, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.alive()?;
        let Some(node) = self.nodes.get(&node) else {
            return Ok(0);
        };
        let rest = node.bytes.get(place(offset)..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    pub(super) fn write(&mut self, node: u64, bytes: &[u8], offset: u64) -> io::Result<()> {
        let bytes = bytes.to_vec();
        self.counts.writes += 1;
        self.edit(node, Edit::Write { offset, bytes })
    }

    pub(super) fn set_length(&mut self, node: u64, length: u64) -> io::Result<()> {
        self.edit(node, Edit::Length(length))
    }

    fn edit(&mut self, node: u64, edit: Edit) -> io::Result<()> {
        let whole = self.change()?;
        if let Some(node) = self.nodes.get_mut(&node) {
            edit.apply(&mut node.bytes);
            node.unsynced.push(edit);
        }
        if whole { Ok(()) } else { Err(gone()) }
    }

    pub(super) fn sync(&mut self, node: u64, path: &Path) -> io::Result<()> {
        if !self.change()? {
            return Err(gone());
        }
        self.counts.syncs += 1;
        if self.careless {
            return Ok(());
        }
        if self.is_directory(node) {
            let renamed = std::mem::take(&mut self.renamed);
            let (synced, left) = renamed.into_iter().partition(|renaming| renaming.directory == path);
            self.renamed = left;
            for renaming in synced {
                apply(&mut self.kept, &renaming.changes);
            }
            self.forget();
        } else if let Some(node) = self.nodes.get_mut(&node) {
            for edit in std::mem::take(&mut node.unsynced) {
                edit.apply(&mut node.kept);
            }
        }
        Ok(())
    }

    fn restore(&mut self) {
        self.counts.cuts += 1;
        for node in self.nodes.values_mut() {
            for edit in std::mem::take(&mut node.unsynced) {
                self.counts.undone += u64::from(!edit.survive(&mut node.kept));
            }
            node.bytes = node.kept.clone();
            node.handles = 0;
        }
        // Each directory by itself keeps some of its oldest changes.
        let mut left: BTreeMap<PathBuf, u64> = BTreeMap::new();
        for renaming in &self.renamed {
            *left.entry(renaming.directory.clone()).or_default() += 1;
        }
        for changes in left.values_mut() {
            *changes = dice::below(*changes + 1);
        }
        for renaming in std::mem::take(&mut self.renamed) {
            let left = left.entry(renaming.directory).or_default();
            if *left > 0 {
                *left -= 1;
                apply(&mut self.kept, &renaming.changes);
            }
        }
        self.names = self.kept.clone();
        self.power = Power::On;
        self.forget();
    }

    /// Forgets files that nobody can reach any more.
    fn forget(&mut self) {
        let changed = self.renamed.iter().flat_map(|renaming| &renaming.changes);
        let named = changed.filter_map(|(_, node)| *node);
        let named: BTreeSet<u64> = named
            .chain(self.names.values().chain(self.kept.values()).copied())
            .collect();
        self.nodes
            .retain(|number, node| node.handles > 0 || named.contains(number));
    }
}

fn apply(names: &mut BTreeMap<PathBuf, u64>, changes: &[(PathBuf, Option<u64>)]) {
    for (path, node) in changes {
        match node {
            Some(node) => names.insert(path.clone(), *node),
            None => names.remove(path),
        };
    }
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

impl Edit {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Edit::Length(length) => content.resize(place(*length), 0),
            Edit::Write { offset, bytes } => put(content, *offset, bytes),
        }
    }

    /// Applies what chance leaves of it; whether that is all.
    fn survive(&self, content: &mut Vec<u8>) -> bool {
        let fate = dice::below(4);
        match self {
            _ if fate == 0 => false,
            Edit::Write { offset, bytes } if fate > 1 => {
                let end = offset + bytes.len() as u64;
                let (mut at, mut whole) = (*offset, true);
                while at < end {
                    let next = end.min((at / SECTOR_BYTES + 1) * SECTOR_BYTES);
                    if dice::below(2) == 0 {
                        put(content, at, &bytes[place(at - offset)..place(next - offset)]);
                    } else {
                        whole = false;
                    }
                    at = next;
                }
                whole
            }
            Edit::Write { .. } | Edit::Length(_) => {
                self.apply(content);
                true
            }
        }
    }
}

fn put(content: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let end = place(offset) + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[place(offset)..end].copy_from_slice(bytes);
}
