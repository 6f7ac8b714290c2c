//! Named gates.

use serde::Serialize;

/// What must hold before a step that could hurt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Gate {
    /// The StatefulSet carries the new template, and its controller has seen it.
    TemplateSettled,
    /// A leader is known and serves linearizable reads.
    LeaderServes,
    /// Every voter answers, serves a linearizable read and is ready.
    VotersHealthy,
    /// Every voter's log is close to the leader's.
    CaughtUp,
    /// Every pod has been ready for a while.
    Soaked,
    /// A quorum of healthy, caught-up voters remains without the target.
    QuorumWithoutTarget,
    /// There is a healthy, caught-up voter to hand leadership to.
    Successor,
}
