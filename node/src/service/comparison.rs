//! Members compare the hashes of what they hold, all the time and at next to no cost: the store keeps the hash of every
//! recent revision anyway.
//!
//! The leader asks every other member for its hash at the leader's own revision. A member that differs from what more
//! than half of all members hold is corrupt; where no such majority is found, the cluster is (as in etcd's check of
//! compacted hashes, the alarm then names member 0). The alarm CORRUPT stands until somebody clears it.
//!
//! Must keep true: an alarm is raised on a difference alone, never for want of an answer; what decides is pure.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use kvorum_api::etcdserverpb::AlarmType;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::Service;
use super::counts::add;
use crate::raft::MemberNode;
use crate::raft::forward::{Ask, Reply};
use crate::raft::frame::Channel;
use crate::raft::line::Line;

/// Between two comparisons.
const INTERVAL: Duration = Duration::from_secs(10);
/// How long a member may take to reach the revision and answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);

/// What a comparison comes to.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// Everyone who answered holds the same.
    Equal,
    /// These differ from a majority of all members.
    Corrupt(Vec<u64>),
    /// They differ, and nobody can tell who is right.
    Undecided,
}

/// Judges the hashes by member id; `members` counts those that did not answer as well.
fn judge(hashes: &BTreeMap<u64, u128>, members: usize) -> Verdict {
    let mut holders: BTreeMap<u128, usize> = BTreeMap::new();
    for hash in hashes.values() {
        *holders.entry(*hash).or_default() += 1;
    }
    if holders.len() < 2 {
        return Verdict::Equal;
    }
    match holders.into_iter().find(|(_, count)| count * 2 > members) {
        Some((right, _)) => {
            let wrong = hashes.iter().filter(|(_, hash)| **hash != right);
            Verdict::Corrupt(wrong.map(|(id, _)| *id).collect())
        }
        None => Verdict::Undecided,
    }
}

/// Compares for as long as the process runs.
pub(super) async fn run(service: Service) {
    let mut clock = interval(INTERVAL);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut lines = BTreeMap::new();
    loop {
        clock.tick().await;
        if service.leads_in_term().is_some() {
            compare(&service, &mut lines).await;
        } else {
            lines.clear();
        }
    }
}

type Lines = BTreeMap<u64, Line<Ask, Reply>>;

async fn compare(service: &Service, lines: &mut Lines) {
    let view = service.inner.node.reader.view();
    let (revision, own) = (view.revision(), view.hash().value());
    let Some(applied) = view.applied().map(|at| at.index) else {
        return;
    };
    drop(view);
    let me = service.inner.identity.member_id.get();
    let metrics = service.metrics();
    let members = metrics.membership_config.membership().nodes();
    let others: Vec<(u64, MemberNode)> = members
        .filter(|(id, _)| **id != me)
        .map(|(id, node)| (*id, node.clone()))
        .collect();
    let count = others.len() + 1;
    let asking: FuturesUnordered<_> = others
        .into_iter()
        .map(|(id, node)| {
            let line = lines.remove(&id);
            async move {
                let asked = ask(service, id, &node, line, Ask::Hash { applied, revision });
                Some((id, timeout(ANSWER_TIME_MAX, asked).await.ok()??))
            }
        })
        .collect();
    let answers: Vec<_> = asking.filter_map(std::future::ready).collect().await;
    let mut hashes = BTreeMap::from([(me, own)]);
    for (id, (line, hash)) in answers {
        lines.insert(id, line);
        hashes.extend(hash.map(|hash| (id, hash)));
    }
    let counts = &service.inner.counts;
    let alarmed = match judge(&hashes, count) {
        Verdict::Equal if hashes.len() > 1 => {
            add(&counts.comparisons_equal);
            return;
        }
        // Alone, or nobody answered.
        Verdict::Equal => return,
        Verdict::Corrupt(ids) => ids,
        Verdict::Undecided => vec![0],
    };
    add(&counts.comparisons_different);
    for (id, hash) in &hashes {
        tracing::error!("member {id:016x} holds {hash:032x} at revision {revision}: the members differ");
    }
    for id in alarmed {
        if let Err(refusal) = service.raise_for(id, AlarmType::Corrupt).await {
            tracing::error!("the alarm CORRUPT could not be raised: {refusal}");
        }
    }
}

/// A member's hash, if it knows it, and the line for the next question.
async fn ask(
    service: &Service,
    id: u64,
    node: &MemberNode,
    line: Option<Line<Ask, Reply>>,
    ask: Ask,
) -> Option<(Line<Ask, Reply>, Option<u128>)> {
    let line = match line.filter(|line| !line.is_closed()) {
        Some(line) => line,
        None => Line::start(
            service
                .forwarder()
                .dialler()
                .dial(id, node, Channel::Forward)
                .await
                .ok()?,
        ),
    };
    match line.ask(ask).await {
        Ok(Reply::Hash(hash)) => Some((line, hash)),
        _ => None,
    }
}

impl Service {
    /// This member's hash at a revision, once it has applied the entry at which the leader had it.
    pub(super) async fn tell_hash(&self, applied: u64, revision: i64) -> Reply {
        let node = &self.inner.node;
        let mut index = node.applied.clone();
        if !matches!(
            timeout(ANSWER_TIME_MAX, index.wait_for(|at| *at >= applied)).await,
            Ok(Ok(_))
        ) {
            return Reply::Hash(None);
        }
        Reply::Hash(node.reader.recent_hash(revision).map(|hash| hash.value()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case(&[(1, 7)], 1, Verdict::Equal; "alone")]
    #[test_case(&[(1, 7)], 3, Verdict::Equal; "nobody answers")]
    #[test_case(&[(1, 7), (2, 7)], 3, Verdict::Equal; "two of three agree")]
    #[test_case(&[(1, 7), (2, 7), (3, 8)], 3, Verdict::Corrupt(vec![3]); "a follower differs")]
    #[test_case(&[(1, 8), (2, 7), (3, 7)], 3, Verdict::Corrupt(vec![1]); "the leader differs")]
    #[test_case(&[(1, 7), (2, 8)], 3, Verdict::Undecided; "one against one and one is silent")]
    #[test_case(&[(1, 7), (2, 8)], 2, Verdict::Undecided; "one against one")]
    #[test_case(&[(1, 7), (2, 8), (3, 9)], 3, Verdict::Undecided; "everyone differs")]
    #[test_case(&[(1, 7), (2, 7), (3, 8), (4, 9)], 5, Verdict::Undecided; "two of five are no majority")]
    #[test_case(&[(1, 7), (2, 7), (3, 8), (4, 9), (5, 7)], 5, Verdict::Corrupt(vec![3, 4]); "two differ from three")]
    fn verdicts(hashes: &[(u64, u128)], members: usize, expected: Verdict) {
        assert_eq!(judge(&hashes.iter().copied().collect(), members), expected);
    }
}
