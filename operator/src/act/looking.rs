//! The fresh look before something that could cost a voter.
//!
//! What it must keep true: every voter is asked anew, all at once; silence counts as sickness.
//!
//! Deliberately not here: the act itself.

use futures::future::join_all;
use kvorum_plan::names::MemberId;
use kvorum_plan::observed::{Answer, Member, Node, NodeState, Role};

use super::Hands;
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

fn voters(leader: &Answer) -> impl Iterator<Item = &Member> {
    leader.members.iter().filter(|member| member.role == Role::Voter)
}
