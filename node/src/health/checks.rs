//! The checks behind the probes: etcd's, by etcd's names, and two of our own.

use std::fmt;
use std::time::Duration;

use kvorum_api::admin::NodeState;
use kvorum_api::error::Refusal;
use kvorum_api::etcdserverpb::{AlarmMember, AlarmType};
use tokio::time::timeout;

use crate::service::Service;
use crate::situation::Situation;

/// Longest time a linearizable read may take before the member counts as not ready.
pub const READ_MAX: Duration = Duration::from_secs(5);

/// Which probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `/livez`.
    Live,
    /// `/readyz`.
    Ready,
}

/// One thing that can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// The process belongs to a cluster and is not on its way out.
    Member,
    /// No alarm says that members differ.
    DataCorruption,
    /// It votes.
    NonLearner,
    /// It answers from its own state.
    SerializableRead,
    /// It answers with the newest state of the cluster.
    LinearizableRead,
}

/// Why a check failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed(pub String);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Kind {
    /// The probe's checks, in the order they are listed.
    #[must_use]
    pub fn checks(self) -> &'static [Check] {
        match self {
            Kind::Live => &[Check::SerializableRead],
            Kind::Ready => &[
                Check::Member,
                Check::DataCorruption,
                Check::NonLearner,
                Check::SerializableRead,
                Check::LinearizableRead,
            ],
        }
    }
}

impl Check {
    /// The name in paths and listings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Check::Member => "member",
            Check::DataCorruption => "data_corruption",
            Check::NonLearner => "non_learner",
            Check::SerializableRead => "serializable_read",
            Check::LinearizableRead => "linearizable_read",
        }
    }
}

/// Runs the checks. Once one has failed the later ones are not waited for: a member of nothing has nobody to ask.
pub async fn run(situation: &Situation, wanted: &[Check]) -> Vec<(Check, Result<(), Failed>)> {
    let mut results = Vec::with_capacity(wanted.len());
    for check in wanted {
        let result = result(situation, *check).await;
        let failed = result.is_err();
        results.push((*check, result));
        if failed {
            break;
        }
    }
    results
}

async fn result(situation: &Situation, check: Check) -> Result<(), Failed> {
    match (check, situation) {
        (Check::Member, situation) => member(situation),
        (Check::DataCorruption, Situation::Member(service)) => data_corruption(service),
        (Check::NonLearner, Situation::Member(service)) => non_learner(service),
        (Check::LinearizableRead, Situation::Member(service)) => linearizable(service).await,
        (Check::SerializableRead, Situation::Member(service)) => service
            .check_serializable()
            .map_err(|refusal| Failed(refusal.to_string())),
        // A process that starts, waits or stops is alive: restarting it would not help. It knows of no corruption either.
        (
            Check::DataCorruption | Check::SerializableRead,
            Situation::Starting | Situation::Outside(_) | Situation::Stopping,
        ) => Ok(()),
        (Check::NonLearner | Check::LinearizableRead, other) => member(other),
    }
}

/// Whether the process belongs to a cluster and is not on its way out.
///
/// # Errors
/// It does not; the sentence says what it is instead.
pub fn member(situation: &Situation) -> Result<(), Failed> {
    match situation {
        Situation::Starting => Err(Failed("the disk is still being read".into())),
        Situation::Outside(stranger) => Err(Failed(format!("{}: {}", stranger.state.name(), stranger.reason))),
        Situation::Stopping => Err(Failed("the process is stopping".into())),
        Situation::Member(service) if service.standing().state == NodeState::Waiting => Err(Failed(
            "Waiting: nobody has added this member to its cluster yet".into(),
        )),
        Situation::Member(_) => Ok(()),
    }
}

fn data_corruption(service: &Service) -> Result<(), Failed> {
    let corrupt = |alarm: &AlarmMember| alarm.alarm() == AlarmType::Corrupt;
    if service.alarms().iter().any(corrupt) {
        Err(Failed("alarm activated: CORRUPT".into()))
    } else {
        Ok(())
    }
}

fn non_learner(service: &Service) -> Result<(), Failed> {
    match service.standing().state {
        NodeState::Follower | NodeState::Candidate | NodeState::Leader => Ok(()),
        NodeState::Learner => Err(Failed("local member is a learner".into())),
        NodeState::Waiting | NodeState::IdentityMissing | NodeState::IdentityMismatch => {
            Err(Failed("local member is not a member yet".into()))
        }
    }
}

/// Whether a linearizable read is answered in time.
pub(super) async fn linearizable(service: &Service) -> Result<(), Failed> {
    match timeout(READ_MAX, service.check_linearizable()).await {
        Ok(result) => result.map_err(|refusal| Failed(refusal.to_string())),
        Err(_) => Err(Failed(Refusal::Timeout.to_string())),
    }
}
