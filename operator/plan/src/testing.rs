//! Worlds for tests, healthy by default, with adjectives that make them less so.

use crate::cluster::{Cluster, Settings};
use crate::names::{ClusterId, MemberId, Slot};
use crate::observed::{
    Answer, ClaimSeen, Member, Node, NodeState, Observed, PodSeen, Progress, Role, Silence, SlotSeen, StatefulSetSeen,
};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kvorum_crd::KvCluster;
use kvorum_crd::status::{Bootstrap, BootstrapPhase};

/// The template hash that all pods of these worlds run; a cluster's real one never is this.
pub(crate) const OLD: &str = "0000000000000000";

pub(crate) fn id(slot: u32) -> MemberId {
    MemberId::new(0xa0 + u64::from(slot)).unwrap()
}

pub(crate) fn cluster_id() -> ClusterId {
    ClusterId::new(0xc1).unwrap()
}

pub(crate) fn mk_cluster(replicas: i32) -> Cluster {
    let spec = serde_json::json!({"replicas": replicas});
    let mut resource = KvCluster::new("demo", serde_json::from_value(spec).unwrap());
    resource.metadata.namespace = Some("ns".to_owned());
    resource.metadata.uid = Some("uid".to_owned());
    Cluster::parse(&resource, &Settings::default()).unwrap()
}

/// A world of so many healthy voters, the first of which leads.
pub(crate) fn mk_world(voters: u32) -> Observed {
    let mut world = Observed {
        now: Timestamp::from_second(1_800_000_000).unwrap(),
        seed: 7,
        ..Observed::default()
    };
    world.status.cluster_id = Some(cluster_id().to_string());
    world.status.bootstrap = Some(Bootstrap {
        member_name: "demo-0".to_owned(),
        member_id: id(0).to_string(),
        phase: BootstrapPhase::Completed,
    });
    let matched = (0..voters).map(|slot| (id(slot), 1_000_000)).collect();
    world.progress = Some(Progress {
        last_log_index: 1_000_000,
        matched,
    });
    let member = |slot| Member {
        id: id(slot),
        name: format!("demo-{slot}"),
        role: Role::Voter,
    };
    let members: Vec<Member> = (0..voters).map(member).collect();
    world.slots = (0..voters)
        .map(|slot| (Slot(slot), mk_slot(world.now, slot, &members)))
        .collect();
    world
}

fn mk_slot(now: Timestamp, slot: u32, members: &[Member]) -> SlotSeen {
    let state = if slot == 0 {
        NodeState::Leader
    } else {
        NodeState::Follower
    };
    SlotSeen {
        statefulset: Some(StatefulSetSeen {
            uid: format!("set-{slot}"),
            template_hash: Some(OLD.to_owned()),
            settled: true,
            deleting: false,
        }),
        pod: Some(PodSeen {
            uid: format!("pod-{slot}"),
            template_hash: Some(OLD.to_owned()),
            ready_since: Some(now - SignedDuration::from_mins(10)),
            ..PodSeen::default()
        }),
        claim: Some(ClaimSeen {
            uid: format!("claim-{slot}"),
            cluster_id: Some(cluster_id()),
            ..ClaimSeen::default()
        }),
        node: Node::Answered(Answer {
            member_id: id(slot),
            cluster_id: Some(cluster_id()),
            state,
            reason: None,
            version: "0.1.0".to_owned(),
            term: 3,
            leader_id: Some(id(0)),
            members: members.to_vec(),
            linearizable_read: true,
            fingerprints: std::collections::BTreeSet::new(),
        }),
    }
}

impl Observed {
    pub(crate) fn slot_mut(&mut self, slot: u32) -> &mut SlotSeen {
        self.slots.entry(Slot(slot)).or_default()
    }

    fn answer_mut(&mut self, slot: u32) -> &mut Answer {
        match &mut self.slot_mut(slot).node {
            Node::Answered(answer) => answer,
            Node::Silent(_) => panic!("slot {slot} is silent"),
        }
    }

    pub(crate) fn silent(mut self, slot: u32) -> Self {
        self.slot_mut(slot).node = Node::Silent(Silence::TimedOut);
        self
    }

    pub(crate) fn unready(mut self, slot: u32) -> Self {
        self.slot_mut(slot).pod.as_mut().unwrap().ready_since = None;
        self
    }

    /// Neither ready nor answering.
    pub(crate) fn dead(self, slot: u32) -> Self {
        self.silent(slot).unready(slot)
    }

    pub(crate) fn ready_for(mut self, slot: u32, seconds: i64) -> Self {
        let since = self.now - SignedDuration::from_secs(seconds);
        self.slot_mut(slot).pod.as_mut().unwrap().ready_since = Some(since);
        self
    }

    pub(crate) fn terminating(mut self, slot: u32) -> Self {
        self.slot_mut(slot).pod.as_mut().unwrap().terminating = true;
        self
    }

    pub(crate) fn lagging(mut self, slot: u32) -> Self {
        self.progress.as_mut().unwrap().matched.insert(id(slot), 1);
        self
    }

    pub(crate) fn state(mut self, slot: u32, state: NodeState) -> Self {
        self.answer_mut(slot).state = state;
        self
    }

    pub(crate) fn unserving(mut self, slot: u32) -> Self {
        self.answer_mut(slot).linearizable_read = false;
        self
    }

    /// The pod of this slot runs the wanted template.
    pub(crate) fn current(mut self, slot: u32, hash: &str) -> Self {
        self.slot_mut(slot).pod.as_mut().unwrap().template_hash = Some(hash.to_owned());
        self
    }

    /// Everybody's membership says this of a slot.
    pub(crate) fn role(mut self, slot: u32, role: Role) -> Self {
        for seen in self.slots.values_mut() {
            if let Node::Answered(answer) = &mut seen.node {
                answer
                    .members
                    .iter_mut()
                    .filter(|m| m.id == id(slot))
                    .for_each(|member| member.role = role);
            }
        }
        if role == Role::Learner {
            self.state(slot, NodeState::Learner)
        } else {
            self
        }
    }

    /// Nobody's membership has this slot.
    pub(crate) fn no_member(mut self, slot: u32) -> Self {
        for seen in self.slots.values_mut() {
            if let Node::Answered(answer) = &mut seen.node {
                answer.members.retain(|member| member.id != id(slot));
            }
        }
        self
    }

    /// The node of this slot is new: it waits with an id of its own.
    pub(crate) fn waiting(mut self, slot: u32) -> Self {
        let answer = self.answer_mut(slot);
        answer.state = NodeState::Waiting;
        answer.cluster_id = None;
        answer.members.clear();
        answer.linearizable_read = false;
        self.unready(slot)
    }

    /// This slot leads.
    pub(crate) fn led_by(mut self, slot: u32) -> Self {
        for (at, seen) in &mut self.slots {
            if let Node::Answered(answer) = &mut seen.node {
                answer.leader_id = Some(id(slot));
                answer.state = if at.0 == slot {
                    NodeState::Leader
                } else {
                    NodeState::Follower
                };
            }
        }
        self
    }
}
