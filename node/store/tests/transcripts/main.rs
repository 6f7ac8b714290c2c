//! Every script under `testscripts` against the store on the memory engine, in two ways that must print the same:
//! with the engine always one batch behind, and with the store opened anew from the engine after every command.
//!
//! `UPDATE_GOLDENFILES=1 cargo test -p kvorum-store --test transcripts` writes what the scripts print now.

#![allow(clippy::unwrap_used, reason = "all of this crate is a test")]

mod auth;
mod machine;
mod words;

use machine::{Machine, Mode};
use std::path::Path;
use test_case::test_matrix;

#[test_matrix(["kv", "txn", "lease", "compact", "range", "auth", "alarm"], [Mode::Behind, Mode::Reopened])]
fn transcript(folder: &str, mode: Mode) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testscripts").join(folder);
    let mut scripts: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    scripts.sort();
    assert!(!scripts.is_empty());
    for script in scripts {
        goldenscript::run(&mut Machine::new(mode), &script)
            .unwrap_or_else(|error| panic!("{}: {error}", script.display()));
    }
}
