//! What a member owes its disk: a sync before it acknowledges, and its vote.

use std::time::Instant;

use kvorum_faults::Wrong;
use kvorum_powercut::Severity;
use kvorum_tests::cluster::Cluster;
use kvorum_tests::power::Disk;
use kvorum_tests::wait::{SETTLE, until};

use super::{Noticed, all, founders, is_noticed, tell};
use crate::power_cut::ledger::Ledger;

/// Writes before a member is looked at: some, of several segments' sectors.
const WRITES: usize = 40;

/// Waits until a member is ready; its last words if it ends instead.
async fn back(cluster: &mut Cluster, index: usize) -> Result<(), String> {
    let mut process = cluster.members[index].process.take().unwrap();
    let looked = &*cluster;
    let outcome = until("the member to be ready or to end", SETTLE, || {
        let ended = process.ended();
        async move {
            match (ended, looked.is_ready(index).await) {
                (Some(_), _) => {
                    let output = looked.members[index].output();
                    Ok(Err(output.lines().last().unwrap_or_default().to_owned()))
                }
                (None, Ok(())) => Ok(Ok(())),
                (None, Err(reason)) => Err(reason),
            }
        }
    })
    .await;
    cluster.members[index].process = Some(process);
    outcome
}

async fn written(ledger: &Ledger) {
    until("writes to be acknowledged", SETTLE, || async {
        let acknowledged = ledger.acknowledged();
        if acknowledged >= WRITES {
            Ok(())
        } else {
            Err(acknowledged.to_string())
        }
    })
    .await;
}

/// Writes under a rule that is broken or kept, then a cut that takes everything that was never synced.
async fn power_cut(wrong: Option<Wrong>) -> Option<Noticed> {
    let mut cluster = founders(1);
    // The member itself is made honestly, so that it is writes that are lost.
    cluster.members[0].journalled(Disk::default());
    cluster.start(0);
    cluster.ready().await;
    assert_eq!(cluster.stop(0).await, Some(0));
    cluster.members[0].cut(Severity::Nothing, 0);
    tell(&mut cluster, 0, wrong);
    cluster.start(0);
    cluster.ready().await;
    let began = Instant::now();
    let ledger = Ledger::start_small(0, &cluster, 0);
    written(&ledger).await;
    let ledger = ledger.finish().await;
    cluster.kill(0);
    cluster.members[0].cut(Severity::Everything, 0);
    tell(&mut cluster, 0, None);
    cluster.start(0);
    if let Err(words) = back(&mut cluster, 0).await {
        let (checker, after) = ("recovery", began.elapsed());
        return Some(Noticed { checker, words, after });
    }
    let missing = ledger.missing(&cluster.at(0)).await.len();
    (missing > 0).then(|| Noticed {
        checker: "the ledger",
        words: format!("{missing} of {} acknowledged writes are missing", ledger.acknowledged()),
        after: began.elapsed(),
    })
}

/// A member that applied what was decided in a term, and has no vote of that term, might vote in it again.
async fn restart(wrong: Option<Wrong>) -> Option<Noticed> {
    let mut cluster = all(3, None).await;
    let follower = cluster.follower().await;
    assert_eq!(cluster.stop(follower).await, Some(0));
    tell(&mut cluster, follower, wrong);
    cluster.start(follower);
    cluster.ready().await;
    let began = Instant::now();
    // The leader goes, so that the member has to vote in another term.
    let leader = cluster.leader().await;
    cluster.kill(leader);
    let ledger = Ledger::start_small(0, &cluster, 0);
    written(&ledger).await;
    ledger.finish().await;
    assert_eq!(cluster.stop(follower).await, Some(0));
    cluster.start(leader);
    cluster.start(follower);
    let words = back(&mut cluster, follower).await.err()?;
    assert!(words.contains("vote"), "{words}");
    let (checker, after) = ("recovery", began.elapsed());
    Some(Noticed { checker, words, after })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_was_not_synced_is_missed() {
    is_noticed(Wrong::NoSync, power_cut).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vote_that_was_not_kept_is_missed() {
    is_noticed(Wrong::NoVote, restart).await;
}
