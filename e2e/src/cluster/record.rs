//! What is written down while the cluster is brought up, so that it can be told apart, ended and undone later: the
//! processes, and what was changed on the machine. Written anew, whole, after every change.

use super::layout::Layout;
use super::process::Recorded;
use super::store::StoreKind;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// The record of one cluster.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// How many nodes it has.
    pub nodes: u8,
    /// What keeps the API server's state.
    #[serde(default)]
    pub store: StoreKind,
    /// Whether it came up whole once.
    pub complete: bool,
    /// Programs started, by name; a program started again replaces its former self.
    pub processes: BTreeMap<String, Recorded>,
    /// Kernel settings that were changed, with what they were before.
    pub tunables: BTreeMap<String, String>,
    /// Folders outside the state folder that were made.
    pub folders: Vec<PathBuf>,
    /// Nodes that were stopped, or cut off, on purpose.
    pub absent: BTreeMap<String, Absence>,
}

/// Why a node does not answer although nothing went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Absence {
    /// All its processes were killed and its cable pulled.
    Killed,
    /// Its cable was pulled.
    Cut,
}

impl Record {
    /// The record of this state folder, if there is one. One that cannot be read counts as a crash half-way.
    pub fn read(layout: &Layout) -> Option<Record> {
        serde_json::from_str(&fs::read_to_string(layout.record()).ok()?).ok()
    }

    /// Writes it down.
    pub fn write(&self, layout: &Layout) -> Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        let fresh = layout.record().with_extension("fresh");
        fs::write(&fresh, text)
            .and_then(|()| fs::rename(&fresh, layout.record()))
            .context("cannot write the record")
    }

    /// Notes a started program and writes the record down.
    pub fn note(&mut self, layout: &Layout, process: Recorded) -> Result<()> {
        self.processes.insert(process.name.clone(), process);
        self.write(layout)
    }
}
