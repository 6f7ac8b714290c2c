//! What a member is started with; `server` makes it from the configuration.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kvorum_api::Id;

use crate::auth::Believer;
use crate::config::Space;
use crate::held::Held;
use crate::identity::Identity;
use crate::raft::MemberNode;
use crate::raft::settings::Timing;
use crate::tls::PeerTransport;

/// A member of a cluster that forms itself, outside Kubernetes.
#[derive(Debug, Clone)]
pub struct Founder {
    /// Its id, which every founder derives alike.
    pub id: Id,
    /// Its name and URLs.
    pub node: MemberNode,
}

/// What a member is started with.
pub struct Options {
    /// Holds the log, the snapshots and the engine.
    pub data_dir: PathBuf,
    /// Who this member is.
    pub identity: Identity,
    /// How it reaches the others.
    pub transport: Arc<PeerTransport>,
    /// Heartbeats and elections.
    pub timing: Timing,
    /// Whom it believes.
    pub believer: Believer,
    /// How much is kept.
    pub space: Space,
    /// Whether the operator alone changes the members.
    pub managed: bool,
    /// Bounds on requests.
    pub limits: kvorum_store::validate::Limits,
    /// What is held for clients.
    pub held: Held,
    /// After how long without an event a watcher is told how far it is, if it wants to know.
    pub progress_interval: Duration,
    /// The founders of a cluster that forms itself; empty where the operator, or a member that is there already, adds
    /// this one.
    pub founders: Vec<Founder>,
    /// Version of the software, as `/version` and `status` give it.
    pub version: &'static str,
}
