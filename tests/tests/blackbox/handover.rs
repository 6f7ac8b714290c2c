//! SIGTERM: the leader hands over before it goes, and clients that retry notice nothing but a pause.

use std::time::Duration;

use kvorum_tests::cluster::Cluster;
use kvorum_tests::wait::{SETTLE, until};
use kvorum_tests::workload::Workload;

/// A gap that any hand-over must stay below: an election timeout and what the slowest machine adds. The measured gap is
/// printed, and is far below.
const GAP_MAX: Duration = Duration::from_secs(5);

/// Acknowledged writes between two restarts, so that the load is flowing again.
const WRITES_BETWEEN: usize = 150;

#[tokio::test(flavor = "multi_thread")]
async fn every_member_may_be_restarted_in_turn_leader_included() {
    let mut cluster = Cluster::plain(3).await;
    let load = Workload::start(&cluster.everywhere(), 8, 4, 1);
    flowing(&load).await;
    for _ in 0..3 {
        let leader = cluster.leader().await;
        let code = cluster.stop(leader).await;
        assert_eq!(code, Some(0), "an orderly stop ends with success");
        flowing(&load).await;
        cluster.start(leader);
        cluster.ready().await;
        flowing(&load).await;
    }
    let recorder = load.finish().await;
    recorder.check("handover");
    // A member that goes answers what it has taken first: a client meets a closed door at worst, and tries the next.
    let harmless = ["no connection", "503 the disk is still being read"];
    let seen: Vec<String> = recorder
        .failures()
        .into_iter()
        .filter(|kind| !harmless.contains(&kind.as_str()))
        .collect();
    assert!(seen.is_empty(), "clients that retry elsewhere still saw: {seen:?}");
    let gap = recorder.longest_write_gap();
    assert!(gap < GAP_MAX, "no write was acknowledged for {gap:?}");
}

/// Waits until more writes were acknowledged.
async fn flowing(load: &Workload) {
    let from = load.acknowledged();
    until("writes to flow", SETTLE, || {
        let done = load.acknowledged() - from;
        async move {
            if done >= WRITES_BETWEEN {
                Ok(())
            } else {
                Err(format!("{done} acknowledged"))
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_alone_stops_in_order_and_comes_back() {
    let mut cluster = Cluster::plain(1).await;
    for round in 0..3 {
        let value = round.to_string();
        cluster.at(0).put("key", &value).await.unwrap();
        assert_eq!(cluster.stop(0).await, Some(0));
        cluster.start(0);
        cluster.ready().await;
        assert_eq!(cluster.at(0).get("key").await.unwrap(), Some(value));
    }
}
