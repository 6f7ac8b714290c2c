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

/// A running etcd of one member.
pub struct Reference {
    /// Its API.
    pub etcd: Etcd,
    _process: Process,
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
    /// Starts one; `None` where there is no program, after saying so.
    ///
    /// # Panics
    /// In CI, when there is no program.
    pub async fn start() -> Option<Reference> {
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
        let client = format!("http://127.0.0.1:{}", ports::free());
        let peer = format!("http://127.0.0.1:{}", ports::free());
        let data = folder.path().join("data").display().to_string();
        let arguments: Vec<String> = [
            ("--name", "reference"),
            ("--data-dir", &data),
            ("--listen-client-urls", &client),
            ("--advertise-client-urls", &client),
            ("--listen-peer-urls", &peer),
            ("--initial-advertise-peer-urls", &peer),
            ("--initial-cluster", &format!("reference={peer}")),
            ("--log-level", "warn"),
        ]
        .into_iter()
        .flat_map(|(flag, value)| [flag.to_owned(), value.to_owned()])
        .chain(["--unsafe-no-fsync".to_owned()])
        .collect();
        let process = Process::start(&program, &arguments, &folder.path().join("log"));
        let etcd = Etcd::new(Web::new(None, None), client);
        let version = until("etcd to answer", SETTLE, || async {
            let status = etcd
                .ask("maintenance/status", &json!({}))
                .await
                .map_err(|error| format!("{error:#}"))?;
            etcd.revision().await.map_err(|error| format!("{error:#}"))?;
            Ok(status["version"].to_string())
        })
        .await;
        println!("comparing with etcd {version}");
        Some(Reference {
            etcd,
            _process: process,
            _folder: folder,
        })
    }
}
