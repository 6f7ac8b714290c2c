//! `kvorum snapshot restore`: flags of the new cluster to a data directory; `crate::restore` does it.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::progress;
use crate::cli::Failure;
use crate::cli::output;
use crate::cli::with::{Connector, With};
use crate::config::{ConfigError, Founding, Settings};
use crate::restore::{self, RestoreError, Restored};

pub(super) const EXAMPLES: &str = "\
Examples:
  kvorum snapshot restore backup.snap --data-dir /var/lib/kvorum --initial-cluster-token after-the-fire
                                        a new cluster of one member; start it with:
  kvorum serve --data-dir /var/lib/kvorum --initial-cluster-token after-the-fire

  kvorum snapshot restore backup.snap --name n1 --data-dir n1.kvorum --initial-cluster-token after-the-fire \\
    --initial-cluster n1=http://a:2380,n2=http://b:2380,n3=http://c:2380 --initial-advertise-peer-urls http://a:2380
                                        one of three; do the same on b for n2 and on c for n3, with the same file, and
                                        start each with these flags

Needs no cluster. The new cluster has every key with its revisions and history, the leases, users, roles and alarms of the
snapshot, and its own members. Give each restored cluster a token that no cluster had before.";

/// Arguments of `snapshot restore`. The flags of the new cluster are those of `kvorum serve`.
#[derive(Args, Clone, Debug)]
pub(super) struct Restore {
    /// The file.
    file: PathBuf,
    /// Directory to make; it must not be there, or be empty.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Human name of this member, unique in the new cluster [default: default].
    #[arg(long)]
    name: Option<String>,
    /// Members of the new cluster: name=url,name=url [default: this one alone].
    #[arg(long, value_name = "MEMBERS")]
    initial_cluster: Option<String>,
    /// Text the new cluster's id is derived from, the same on all members, and new.
    #[arg(long, value_name = "TOKEN")]
    initial_cluster_token: String,
    /// Where other members reach this one [default: http://127.0.0.1:2380].
    #[arg(long, value_name = "URLS")]
    initial_advertise_peer_urls: Option<String>,
}

/// What was restored.
#[derive(Serialize)]
struct Told {
    revision: i64,
    #[serde(rename = "totalEntries")]
    entries: u64,
    #[serde(rename = "clusterId")]
    cluster_id: String,
    #[serde(rename = "memberId")]
    member_id: String,
}

pub(super) async fn run(with: With<Restore>, connector: &Connector) -> Result<(), Failure> {
    let With { arguments, global } = with;
    let format = global.or(connector.before.clone()).format();
    let founding = arguments
        .founding()
        .map_err(|error| Failure::Usage(error.to_string()))?;
    let Restore { file, data_dir, .. } = &arguments;
    let mut tell = |bytes, all| {
        // That nobody can be told is no reason to stop.
        let _ = progress(bytes, all);
    };
    let Restored {
        revision,
        entries,
        cluster_id,
        member_id,
    } = restore::restore(file, data_dir, &founding, &mut tell).await?;
    let told = Told {
        revision,
        entries,
        cluster_id: cluster_id.to_string(),
        member_id: member_id.to_string(),
    };
    let sentence = format!(
        "Restored revision {revision} at {}: member {member_id} of the new cluster {cluster_id}",
        data_dir.display()
    );
    output::print(&output::said(format, &told, &sentence)?)
}

impl Restore {
    fn founding(&self) -> Result<Founding, ConfigError> {
        Founding::from_settings(&Settings {
            name: self.name.clone(),
            initial_cluster: self.initial_cluster.clone(),
            initial_cluster_token: Some(self.initial_cluster_token.clone()),
            initial_advertise_peer_urls: self.initial_advertise_peer_urls.clone(),
            ..Settings::default()
        })
    }
}

impl From<RestoreError> for Failure {
    fn from(error: RestoreError) -> Self {
        match error {
            RestoreError::Unreadable { path, source } => Failure::File { path, source },
            RestoreError::Unwritable { path, source } => Failure::Write { path, source },
            error @ RestoreError::SameCluster { .. } => Failure::Usage(error.to_string()),
            error => Failure::Restore(Box::new(error)),
        }
    }
}
