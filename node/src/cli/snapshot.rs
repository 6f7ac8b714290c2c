//! `kvorum snapshot save | status | restore`.
//!
//! Must keep true: under the name asked for there is either a whole, synced snapshot or what was there before.

mod restore;

use std::fs::{self, File};
use std::io::{BufReader, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use kvorum_api::etcdserverpb::{SnapshotRequest, SnapshotResponse};
use kvorum_client::Messages;
use kvorum_faults as faults;
use kvorum_store::{MemoryEngine, Store};
use serde::Serialize;
use std::sync::Arc;

use super::connection::Connection;
use super::output::{self, line};
use super::table::Table;
use super::with::{Connector, With};
use super::{Failure, Format, Global};

const SAVE: &str = "\
Examples:
  kvorum snapshot save backup.snap      the whole store at one revision, from the first endpoint given";
const STATUS: &str = "\
Examples:
  kvorum snapshot status backup.snap -w table
                                        reads the file whole and checks it; needs no cluster";

/// Commands about snapshots.
#[derive(Args, Clone, Debug)]
pub struct Snapshot {
    #[command(subcommand)]
    command: SnapshotCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum SnapshotCommand {
    /// Save the whole store into a file.
    #[command(after_long_help = SAVE)]
    Save(With<Place>),
    /// Check a snapshot and show what it holds.
    #[command(after_long_help = STATUS)]
    Status(With<Place>),
    /// Make a data directory for a member of a new cluster.
    #[command(after_long_help = restore::EXAMPLES)]
    Restore(Box<With<restore::Restore>>),
}

#[derive(Args, Clone, Debug)]
struct Place {
    /// The file.
    file: PathBuf,
}

/// What a snapshot holds.
#[derive(Serialize)]
struct Contents {
    hash: String,
    revision: i64,
    #[serde(rename = "totalKey")]
    keys: usize,
    #[serde(rename = "totalSize")]
    bytes: u64,
}

pub(super) async fn run(snapshot: Snapshot, connector: &Connector) -> Result<(), Failure> {
    match snapshot.command {
        SnapshotCommand::Save(with) => save(&with.arguments.file, &connector.open(with.global).await?).await,
        SnapshotCommand::Restore(with) => restore::run(*with, connector).await,
        SnapshotCommand::Status(With { arguments, global }) => status(&arguments.file, global, connector),
    }
}

async fn save(path: &Path, connection: &Connection) -> Result<(), Failure> {
    let mut name = path.to_owned().into_os_string();
    name.push(".part");
    let part = PathBuf::from(name);
    let wrong = |source| Failure::Write {
        path: part.clone(),
        source,
    };
    let written = async {
        let mut messages: Messages<SnapshotResponse> = connection
            .client
            .stream("/v3/maintenance/snapshot", &SnapshotRequest {})
            .await?;
        faults::pass("save::create").map_err(wrong)?;
        let mut file = File::create(&part).map_err(wrong)?;
        let mut version = String::new();
        let (mut bytes, mut remaining) = (0_u64, 1);
        while let Some(message) = messages.next().await? {
            faults::write("save::write", &message.blob, |blob| file.write_all(blob)).map_err(wrong)?;
            bytes += message.blob.len() as u64;
            remaining = message.remaining_bytes;
            progress(bytes, bytes + remaining)?;
            version = message.version;
        }
        if remaining > 0 {
            return Err(Failure::Refused(
                "the member stopped in the middle of the snapshot".to_owned(),
            ));
        }
        faults::pass("save::sync").map_err(wrong)?;
        file.sync_all().map_err(wrong)?;
        Ok(version)
    };
    let version = match written.await {
        Ok(version) => version,
        Err(failure) => {
            // What is left of it is of no use to anybody; that it cannot be removed is less than why it failed.
            let _ = faults::pass("save::discard").and_then(|()| fs::remove_file(&part));
            return Err(failure);
        }
    };
    faults::pass("save::rename").map_err(wrong)?;
    fs::rename(&part, path).map_err(wrong)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    faults::pass("save::folder-sync").map_err(wrong)?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(wrong)?;
    let mut text = format!("Snapshot saved at {}\n", path.display());
    if !version.is_empty() {
        text.push_str(&format!("Server version {version}\n"));
    }
    output::print(text.as_bytes())
}

/// Says how far it is, where a person looks on.
fn progress(bytes: u64, all: u64) -> Result<(), Failure> {
    let mut stderr = std::io::stderr();
    if stderr.is_terminal() {
        let end = if bytes == all { '\n' } else { '\r' };
        write!(stderr, "{bytes} of {all} bytes ({} %){end}", bytes * 100 / all.max(1))?;
    }
    Ok(())
}

fn status(path: &Path, global: Global, connector: &Connector) -> Result<(), Failure> {
    let format = global.or(connector.before.clone()).format();
    let contents = contents(path)?;
    let Contents {
        hash,
        revision,
        keys,
        bytes,
    } = &contents;
    let table = || {
        let mut table = Table::new(["HASH", "REVISION", "TOTAL KEYS", "TOTAL SIZE"]);
        table.row([hash.clone(), revision.to_string(), keys.to_string(), bytes.to_string()]);
        table
    };
    let text = output::render(format, &contents, table, |text| {
        line(text, format!("{hash}, {revision}, {keys}, {bytes}").as_bytes());
    })?;
    output::print(&text)
}

/// Reads a snapshot whole, as a member would, which checks every checksum in it.
fn contents(path: &Path) -> Result<Contents, Failure> {
    let wrong = |source| Failure::File {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(wrong)?;
    let bytes = file.metadata().map_err(wrong)?.len();
    let damaged = |error: String| Failure::Refused(format!("{} is no whole snapshot: {error}", path.display()));
    let mut store = Store::open(Arc::new(MemoryEngine::default())).map_err(|error| damaged(error.to_string()))?;
    store
        .install(&mut BufReader::new(file))
        .map_err(|error| damaged(error.to_string()))?;
    let reader = store.reader();
    let (revision, hash) = reader.hash();
    Ok(Contents {
        hash: hash.to_string(),
        revision,
        keys: reader.keys(),
        bytes,
    })
}

impl Global {
    /// How to print, without any connection.
    fn format(&self) -> Format {
        self.write_out.unwrap_or_default()
    }
}
