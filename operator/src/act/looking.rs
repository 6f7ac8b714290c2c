//! The fresh look before something that could cost a voter.
//!
//! What it must keep true: every voter is asked anew, all at once; silence counts as sickness.
//!
//! Deliberately not here: the act itself.

use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use kvorum_plan::names::{MemberId, Slot};
use kvorum_plan::observed::{Answer, Member, Node, NodeState, PodSeen, Role};

use super::{ActError, Hands};
use crate::observe::seen::ready_since;
use crate::observe::{self, serves};

impl Hands<'_> {
    /// Why a member must not be removed now, if there is a reason: unless the leader still leads and lists it, and a
    /// quorum of the voters that stay serves.
    pub(super) async fn objection_to_removal(&self, id: MemberId) -> Option<&'static str> {
        let Some(leader) = self.ask_leader().await else {
            return Some("the leader leads no longer");
        };
        if !leader.members.iter().any(|member| member.id == id) {
            return Some("the leader lists no such member any more");
        }
        let stay: Vec<Member> = voters(&leader).filter(|member| member.id != id).cloned().collect();
        let serving = self.ask_voters(&stay).await.iter().filter(|node| serves(node)).count();
        if serving * 2 > stay.len() {
            None
        } else {
            Some("no quorum of the voters that stay serves")
        }
    }

    /// Why a healthy voter must not be stopped now, if there is a reason: unless every voter serves.
    pub(super) async fn objection_to_restart(&self) -> Option<&'static str> {
        let Some(leader) = self.ask_leader().await else {
            return Some("the leader leads no longer");
        };
        let voters: Vec<Member> = voters(&leader).cloned().collect();
        let all_serve = self.ask_voters(&voters).await.iter().all(serves);
        if all_serve {
            None
        } else {
            Some("not every voter serves")
        }
    }

    /// Why a pod that was seen to be broken must not be deleted now, if there is a reason: unless it is still not ready, or
    /// was ready when that was decided. A stale picture of a pod that has come back must not cost its vote.
    pub(super) async fn objection_to_cure(
        &self,
        step: &'static str,
        slot: Slot,
    ) -> Result<Option<&'static str>, ActError> {
        let seen = self.world.observed.slots.get(&slot).and_then(|seen| seen.pod.as_ref());
        let api: Api<Pod> = Api::namespaced(self.context.client.clone(), &self.cluster.namespace);
        let named = ListParams::default().fields(&format!("metadata.name={}", self.cluster.name.pod(slot)));
        let live = api
            .list(&named)
            .await
            .map_err(|source| ActError::Api { step, source })?;
        Ok(recovered(seen, live.items.first()).then_some("it has become ready meanwhile"))
    }

    /// Why what is left of a member must not be cleared away, if there is a reason: unless the leader, asked anew, lists
    /// neither its name nor its id.
    pub(super) async fn objection_to_discard(&self, name: &str, id: Option<MemberId>) -> Option<&'static str> {
        let Some(leader) = self.ask_leader().await else {
            return Some("the leader leads no longer");
        };
        let listed = leader
            .members
            .iter()
            .any(|member| member.name == name || Some(member.id) == id);
        listed.then_some("the leader lists it as a member")
    }

    /// The answer of the leader of this pass, asked anew; `None` when it does not lead any more or does not serve.
    async fn ask_leader(&self) -> Option<Answer> {
        let (slot, _) = observe::leader(&self.world.observed.slots)?;
        let Node::Answered(answer) = self.members()?.ask(self.cluster, slot).await else {
            return None;
        };
        (answer.state == NodeState::Leader && answer.linearizable_read).then_some(answer)
    }

    /// What each of these members says now; one whose slot is unknown is silent.
    async fn ask_voters(&self, voters: &[Member]) -> Vec<Node> {
        let asked = voters.iter().map(|member| async {
            let slot = self.cluster.name.slot_of(&member.name);
            match (slot, self.members()) {
                (Some(slot), Some(members)) => members.ask(self.cluster, slot).await,
                (None, _) | (_, None) => Node::default(),
            }
        });
        join_all(asked).await
    }
}

/// Whether a pod was not ready when it was planned on, and is now.
fn recovered(seen: Option<&PodSeen>, live: Option<&Pod>) -> bool {
    let was_ready = seen.is_some_and(|pod| pod.ready_since.is_some());
    let status = live.and_then(|pod| pod.status.as_ref());
    !was_ready && status.and_then(ready_since).is_some()
}

fn voters(leader: &Answer) -> impl Iterator<Item = &Member> {
    leader.members.iter().filter(|member| member.role == Role::Voter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use test_case::test_case;

    #[test_case(None, Some("True"), true; "it came back")]
    #[test_case(None, Some("False"), false; "it is still broken")]
    #[test_case(None, None, false; "it is gone")]
    #[test_case(Some("2026-01-01T00:00:00Z"), Some("True"), false; "ready all along, and broken all the same")]
    fn a_pod_that_came_back_is_left_alone(was_ready: Option<&str>, ready: Option<&str>, expected: bool) {
        let seen = PodSeen {
            ready_since: was_ready.map(|since| since.parse().unwrap()),
            ..PodSeen::default()
        };
        let live: Option<Pod> = ready.map(|ready| {
            let condition = json!({"type": "Ready", "status": ready, "lastTransitionTime": "2026-01-01T00:00:01Z"});
            serde_json::from_value(json!({"status": {"conditions": [condition]}})).unwrap()
        });
        assert_eq!(recovered(Some(&seen), live.as_ref()), expected);
    }
}
