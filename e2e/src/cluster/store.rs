//! What keeps the API server's state: etcd, as everywhere, or Kvorum in its place.
//!
//! One member either way, in plain text on loopback, at the same address: the API server is told nothing of it.

use super::layout::Layout;
use super::programs::{Place, Program};
use super::toolchain::Programs;
use super::topology::{ETCD_PEER_PORT, ETCD_PORT, STORE_METRICS_PORT};
use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Which store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// etcd.
    #[default]
    Etcd,
    /// Kvorum, from the release binary beside this program.
    Kvorum,
}

impl StoreKind {
    /// The name of its program in this cluster.
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::Kvorum => "kvorum",
        }
    }

    /// The program with its arguments.
    ///
    /// # Errors
    /// Kvorum was not built.
    pub fn program(self, programs: &Programs, layout: &Layout) -> Result<Program> {
        let path = match self {
            Self::Etcd => programs.path("etcd"),
            Self::Kvorum => kvorum()?,
        };
        let mut command = vec![path.display().to_string()];
        command.extend(self.arguments(layout));
        Ok(Program {
            name: self.name().to_owned(),
            place: Place::Control,
            command,
        })
    }

    fn arguments(self, layout: &Layout) -> Vec<String> {
        let (client, peer) = (
            format!("http://127.0.0.1:{ETCD_PORT}"),
            format!("http://127.0.0.1:{ETCD_PEER_PORT}"),
        );
        let data = layout.etcd().display().to_string();
        let metrics = format!("http://127.0.0.1:{STORE_METRICS_PORT}");
        let initial = format!("kubernetes={peer}");
        let mut flags = vec![
            ("data-dir", data.as_str()),
            ("name", "kubernetes"),
            ("listen-client-urls", &client),
            ("advertise-client-urls", &client),
            ("listen-peer-urls", &peer),
            ("initial-advertise-peer-urls", &peer),
            ("listen-metrics-urls", &metrics),
            ("initial-cluster", &initial),
        ];
        if self == Self::Etcd {
            // It skips the disk's confirmation: nothing of it outlives `down`.
            flags.extend([("unsafe-no-fsync", "true"), ("log-level", "warn")]);
        }
        let serve = (self == Self::Kvorum).then(|| "serve".to_owned());
        let flags = flags.into_iter().map(|(name, value)| format!("--{name}={value}"));
        serve.into_iter().chain(flags).collect()
    }
}

/// The node's program, which `make` builds beside this one.
fn kvorum() -> Result<PathBuf> {
    let own = std::env::current_exe().context("cannot tell where this program lies")?;
    let path = own.with_file_name("kvorum");
    ensure!(
        path.is_file(),
        "there is no {}; `make binaries` builds it",
        path.display()
    );
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kvorum_takes_etcds_place_at_etcds_address() {
        let layout = Layout::from_environment();
        let listens = format!("--listen-client-urls=http://127.0.0.1:{ETCD_PORT}");
        for kind in [StoreKind::Etcd, StoreKind::Kvorum] {
            assert!(kind.arguments(&layout).contains(&listens));
        }
        assert_eq!(StoreKind::Kvorum.arguments(&layout)[0], "serve");
    }
}
