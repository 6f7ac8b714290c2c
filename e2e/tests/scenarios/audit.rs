//! What the operator writes to the API server, from the API server's own books. Those lie on this machine for the cluster
//! that runs here; elsewhere the operator's own count has to do.

use crate::api::own_layout;
use crate::operator::NAMESPACE;
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::PathBuf;

/// Calls that change something.
const WRITES: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];

/// A place in the books from which on to count.
#[derive(Debug)]
pub(crate) struct Books {
    path: PathBuf,
    from: u64,
}

impl Books {
    /// Opens the books here and now; none when the cluster is not the one of this machine.
    pub(crate) fn open() -> Result<Option<Books>> {
        let Some(layout) = own_layout()? else {
            return Ok(None);
        };
        let path = layout.log("audit");
        let from = path.metadata().with_context(|| path.display().to_string())?.len();
        Ok(Some(Books { path, from }))
    }

    /// What the operator wrote since, by verb and object, with how often.
    pub(crate) fn operators_writes(&self) -> Result<BTreeMap<String, u64>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.from))?;
        let user = format!("system:serviceaccount:{NAMESPACE}:kvorum-operator");
        let mut writes = BTreeMap::new();
        for line in BufReader::new(file).lines() {
            // The last line may be half written.
            let Ok(entry) = serde_json::from_str::<Value>(&line?) else {
                continue;
            };
            let verb = entry["verb"].as_str().unwrap_or_default();
            if entry["user"]["username"] == user.as_str() && WRITES.contains(&verb) {
                let object = &entry["objectRef"];
                let part = |name: &str| object[name].as_str().unwrap_or_default().to_owned();
                let what = format!("{verb} {} {}/{}", part("resource"), part("namespace"), part("name"));
                *writes.entry(what).or_default() += 1;
            }
        }
        Ok(writes)
    }
}
