//! A real etcd 3.7.3 beside the cluster under test, to compare with.
//!
//! Its program is built from its Go module by `make` (tests/scripts/etcd). Where it is not there, a test that needs it
//! says so and passes over it, except in CI, where that is a failure.

use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::TempDir;

use crate::etcd::Etcd;
use crate::ports;
use crate::process::Process;
use crate::wait::{SETTLE, until};
use crate::web::Web;

/// A running etcd.
pub struct Reference {
    /// The API of its first member.
    pub etcd: Etcd,
    /// The client URLs of all members.
    pub urls: Vec<String>,
    /// The processes of all members.
    pub processes: Vec<Process>,
    _folder: TempDir,
}

/// The program, if it was built: `$KVORUM_ETCD`, or where tests/scripts/etcd puts it.
#[must_use]
pub fn program() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("KVORUM_ETCD") {
        return Some(PathBuf::from(path));
    }
    let cache = std::env::var_os("KVORUM_CACHE").map_or_else(
        || Path::new(&std::env::var_os("HOME").unwrap_or_default()).join(".cache/kvorum"),
        PathBuf::from,
    );
    // The module's main package lies in a folder called `server`, and so is the program.
    Some(cache.join("etcd/server")).filter(|path| path.is_file())
}

impl Reference {
    /// Starts one member that does not wait for its disk; `None` where there is no program, after saying so.
    ///
    /// # Panics
    /// In CI, when there is no program.
    pub async fn start() -> Option<Reference> {
        Reference::start_with(1, &["--unsafe-no-fsync"]).await
    }

    /// Starts `count` members with more flags; `None` where there is no program, after saying so.
    ///
    /// # Panics
    /// In CI, when there is no program.
    pub async fn start_with(count: usize, flags: &[&str]) -> Option<Reference> {
        let Some(program) = program() else {
            assert!(
                std::env::var_os("CI").is_none(),
                "no etcd to compare with; tests/scripts/etcd builds it"
            );
            println!("SKIPPED: no etcd to compare with; tests/scripts/etcd builds it");
            return None;
        };
        let folder = tempfile::Builder::new()
            .prefix("kvorum-etcd-")
            .tempdir()
            .expect("a temporary folder");
        let url = || format!("http://127.0.0.1:{}", ports::free());
        let places: Vec<(String, String)> = (0..count).map(|_| (url(), url())).collect();
        let initial: Vec<String> = places
            .iter()
            .enumerate()
            .map(|(index, (_, peer))| format!("n{index}={peer}"))
            .collect();
        let initial = initial.join(",");
        let processes = places
            .iter()
            .enumerate()
            .map(|(index, (client, peer))| {
                let name = format!("n{index}");
                let mut arguments = command_line(&name, folder.path(), client, peer, &initial);
                arguments.extend(flags.iter().map(|flag| (*flag).to_owned()));
                Process::start(&program, &arguments, &folder.path().join(format!("{name}.log")))
            })
            .collect();
        let urls: Vec<String> = places.into_iter().map(|(client, _)| client).collect();
        let etcd = Etcd::new(Web::new(None, None), urls[0].clone());
        let version = until("etcd to answer", SETTLE, || async {
            let status = etcd
                .ask("maintenance/status", &json!({}))
                .await
                .map_err(|error| format!("{error:#}"))?;
            etcd.revision().await.map_err(|error| format!("{error:#}"))?;
            Ok(status["version"].to_string())
        })
        .await;
        println!("beside etcd {version}");
        Some(Reference {
            etcd,
            urls,
            processes,
            _folder: folder,
        })
    }
}

fn command_line(name: &str, folder: &Path, client: &str, peer: &str, initial: &str) -> Vec<String> {
    let data = folder.join(name).display().to_string();
    [
        ("--name", name),
        ("--data-dir", &data),
        ("--listen-client-urls", client),
        ("--advertise-client-urls", client),
        ("--listen-peer-urls", peer),
        ("--initial-advertise-peer-urls", peer),
        ("--initial-cluster", initial),
        ("--log-level", "warn"),
    ]
    .into_iter()
    .flat_map(|(flag, value)| [flag.to_owned(), value.to_owned()])
    .collect()
}
