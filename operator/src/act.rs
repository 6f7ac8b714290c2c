//! Carries out the one step of a plan.
//!
//! What it must keep true:
//! 1. Whatever could hurt is preceded by a fresh look at the very thing: the status of the nodes, the resource itself,
//!    the object by its uid. When the look differs from what was planned on, the step is given up, and the next pass
//!    decides anew.
//! 2. Every call that changes a membership carries the fencing epoch of the leadership under which it is made; without
//!    a fresh leadership none is made.
//! 3. A step is one call. What has several parts is made so that each part can be repeated.
//!
//! Deliberately not here: which step.

pub mod clearing;
pub mod looking;

use kube::{Api, ResourceExt};
use kvorum_api::Id;
use kvorum_api::admin::{Bootstrap, NewMember};
use kvorum_client::Admin;
use kvorum_crd::KvCluster;
use kvorum_crd::status::BootstrapPhase;
use kvorum_plan::names::{ClusterId, MemberId, Slot};
use kvorum_plan::{Cluster, Plan, Step};

use crate::controller::Context;
use crate::observe::World;
use crate::observe::members::Members;
use crate::status::{self, Guard};

/// What became of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was carried out.
    Done,
    /// There was nothing to do.
    Nothing,
    /// A fresh look showed something else than was planned on, or a node said that this must not be done now; the
    /// reason, for the log. No failure: the next pass decides anew.
    GivenUp(String),
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// The API server refused.
    #[error("{step}: the API server refused: {source}")]
    Api {
        /// The step.
        step: &'static str,
        /// What it said.
        source: kube::Error,
    },
    /// A node refused, or did not answer.
    #[error("{step}: {}", source.chain())]
    Node {
        /// The step.
        step: &'static str,
        /// What it said.
        source: kvorum_client::Error,
    },
}

/// One pass's means of acting on one cluster.
pub struct Hands<'a> {
    /// The operator.
    pub context: &'a Context,
    /// The cluster.
    pub cluster: &'a Cluster,
    /// The resource that was planned from.
    pub resource: &'a KvCluster,
    /// What was seen.
    pub world: &'a World,
}

/// The name of a step, for figures and messages.
#[must_use]
pub fn kind(step: &Step) -> &'static str {
    match step {
        Step::PersistIntent(_) => "PersistIntent",
        Step::Bootstrap { .. } => "Bootstrap",
        Step::AddLearner { .. } => "AddLearner",
        Step::Promote { .. } => "Promote",
        Step::Remove { .. } => "Remove",
        Step::TransferLeader { .. } => "TransferLeader",
        Step::RestartPod { .. } => "RestartPod",
        Step::Discard { .. } => "Discard",
        Step::Wait(_) => "Wait",
    }
}

impl Hands<'_> {
    /// Carries out the plan's step.
    ///
    /// # Errors
    /// A call failed. Whether it had an effect is then unknown; the next pass looks.
    pub async fn act(&self, plan: &Plan) -> Result<Outcome, ActError> {
        let step = kind(&plan.step);
        match &plan.step {
            Step::Wait(_) => Ok(Outcome::Nothing),
            Step::PersistIntent(_) => {
                let Context { client, metrics, .. } = self.context;
                let written = status::write(client, self.resource, &plan.status, Guard::PlannedFrom, metrics).await;
                written
                    .map(|_| Outcome::Done)
                    .map_err(|source| ActError::Api { step, source })
            }
            Step::Bootstrap {
                slot,
                cluster_id,
                member_id,
            } => self.bootstrap(step, *slot, *cluster_id, *member_id).await,
            Step::AddLearner {
                slot: _,
                id,
                name,
                peer_url,
                client_url,
            } => {
                let member = NewMember {
                    id: api_id(id.get()),
                    name: name.clone(),
                    peer_urls: vec![peer_url.clone()],
                    client_urls: vec![client_url.clone()],
                };
                self.at_leader(step, async |leader, epoch| leader.add_member(&member, epoch).await)
                    .await
            }
            Step::Promote { id, name: _ } => {
                self.at_leader(step, async |leader, epoch| {
                    leader.promote(api_id(id.get()), epoch).await
                })
                .await
            }
            Step::Remove { id, name: _, voter: _ } => {
                if let Some(objection) = self.objection_to_removal(*id).await {
                    return Ok(Outcome::GivenUp(objection.to_owned()));
                }
                self.at_leader(step, async |leader, epoch| {
                    leader.remove_member(api_id(id.get()), epoch).await
                })
                .await
            }
            Step::TransferLeader { from: _, to, name: _ } => {
                let target = api_id(to.get());
                self.at_leader(step, async |leader, epoch| {
                    leader.transfer_leadership(target, epoch).await
                })
                .await
            }
            Step::RestartPod { slot, pod_uid, healthy } => self.restart(step, *slot, pod_uid, *healthy).await,
            Step::Discard {
                slot,
                statefulset_uid,
                claim_uid,
                member_id,
            } => {
                let parts = clearing::Parts {
                    statefulset: statefulset_uid.as_deref(),
                    claim: claim_uid.as_deref(),
                };
                self.discard(step, *slot, parts, *member_id).await
            }
        }
    }

    /// The one call that makes a cluster out of a fresh node. The live resource must still say that this is intended.
    async fn bootstrap(
        &self,
        step: &'static str,
        slot: Slot,
        cluster_id: ClusterId,
        member_id: MemberId,
    ) -> Result<Outcome, ActError> {
        let api: Api<KvCluster> = Api::namespaced(self.context.client.clone(), &self.cluster.namespace);
        let live = api
            .get_opt(self.cluster.name.as_str())
            .await
            .map_err(|source| ActError::Api { step, source })?;
        let intended = live.is_some_and(|live| self.intends(&live, slot, cluster_id, member_id));
        if !intended {
            return Ok(Outcome::GivenUp(
                "the resource no longer says that this bootstrap is intended".to_owned(),
            ));
        }
        let (Some(admin), Some(epoch)) = (self.admin(slot), self.context.leadership.epoch()) else {
            return Ok(Outcome::GivenUp(
                "no fresh leadership, or no way to the node".to_owned(),
            ));
        };
        let bootstrap = Bootstrap {
            cluster_id: api_id(cluster_id.get()),
            member_id: api_id(member_id.get()),
        };
        let called = admin.bootstrap(&bootstrap, epoch).await;
        called
            .map(|()| Outcome::Done)
            .map_err(|source| ActError::Node { step, source })
    }

    fn intends(&self, live: &KvCluster, slot: Slot, cluster_id: ClusterId, member_id: MemberId) -> bool {
        let Some(status) = &live.status else { return false };
        let bootstrap = status.bootstrap.as_ref();
        live.uid().as_deref() == Some(self.cluster.uid.as_str())
            && status.cluster_id.as_deref() == Some(cluster_id.to_string().as_str())
            && bootstrap.is_some_and(|bootstrap| {
                bootstrap.phase == BootstrapPhase::Intended
                    && bootstrap.member_name == self.cluster.name.member(slot)
                    && bootstrap.member_id == member_id.to_string()
            })
    }

    /// A call at the leader as it was seen in this pass. A node that leads no longer refuses it.
    async fn at_leader(
        &self,
        step: &'static str,
        call: impl AsyncFnOnce(&Admin, u64) -> Result<(), kvorum_client::Error>,
    ) -> Result<Outcome, ActError> {
        let leader = crate::observe::leader(&self.world.observed.slots).and_then(|(slot, _)| self.admin(slot));
        let Some(admin) = leader else {
            return Ok(Outcome::GivenUp("no way to a leader".to_owned()));
        };
        let Some(epoch) = self.context.leadership.epoch() else {
            return Ok(Outcome::GivenUp("no fresh leadership of this operator".to_owned()));
        };
        outcome(step, call(&admin, epoch).await)
    }

    fn admin(&self, slot: Slot) -> Option<Admin> {
        self.members()?.admin(self.cluster, slot)
    }

    fn members(&self) -> Option<&Members> {
        self.world.members.as_ref()
    }
}

/// What a call at a node came to. A refusal with a reason is an answer, not a failure: a learner that lags, a change that
/// is still under way, a leader that is none any more.
fn outcome(step: &'static str, called: Result<(), kvorum_client::Error>) -> Result<Outcome, ActError> {
    match called {
        Ok(()) => Ok(Outcome::Done),
        Err(error) if error.problem().is_some() => Ok(Outcome::GivenUp(error.to_string())),
        Err(source) => Err(ActError::Node { step, source }),
    }
}

/// The wire's form of an id.
fn api_id(number: u64) -> Id {
    Id::new(number).expect("the planner's ids are never zero")
}
