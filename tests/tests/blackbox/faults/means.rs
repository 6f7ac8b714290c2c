//! The means of the faults do what they say: networks part and go, clocks jump.

use std::path::PathBuf;

use kvorum_tests::cluster::Cluster;
use kvorum_tests::faults::links::Links;
use kvorum_tests::faults::network::{self, Network};
use kvorum_tests::wait::{SETTLE, until};

use super::{IMPATIENCE, asked_within};

/// Namespaces that carry the names of a network.
fn there(namespaces: &[PathBuf]) -> usize {
    namespaces.iter().filter(|path| path.exists()).count()
}

#[test]
fn a_network_is_gone_with_its_owner_after_a_panic_too() {
    if !network::possible() {
        return;
    }
    let network = Network::new(2);
    let namespaces = [network.namespace(0), network.namespace(1)];
    assert_eq!(there(&namespaces), 2);
    drop(network);
    assert_eq!(there(&namespaces), 0);
    let panicked = std::panic::catch_unwind(|| {
        let network = Network::new(2);
        let namespaces = [network.namespace(0), network.namespace(1)];
        assert_eq!(there(&namespaces), 2);
        network.be(&Links::whole().losing(10).slowing(&[0], 100));
        std::panic::panic_any(namespaces);
    });
    let namespaces = *panicked.unwrap_err().downcast::<[PathBuf; 2]>().unwrap();
    assert_eq!(there(&namespaces), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_cut_off_both_ways_acknowledges_nothing_and_one_way_is_not_both() {
    if !network::possible() {
        return;
    }
    let network = Network::new(3);
    let cluster = Cluster::plain_in(&network).await;
    let members = asked_within(&cluster, IMPATIENCE);
    members[0].put("key", "before").await.unwrap();
    let old = cluster.leader().await;
    let others: Vec<usize> = (0..3).filter(|index| *index != old).collect();
    network.be(&Links::parted(&[&[old], &others]));
    until("the others to write", SETTLE, || async {
        let put = members[others[0]].put("key", "after").await;
        put.map_err(|error| format!("{error:#}"))
    })
    .await;
    assert!(members[old].put("key", "lost").await.is_err());
    assert!(members[old].get("key").await.is_err());
    network.be(&Links::whole());
    cluster.ready().await;
    assert_eq!(members[old].get("key").await.unwrap().as_deref(), Some("after"));

    // Whoever leads hears one follower no more, but the other one is enough; and all hear the leader.
    let leader = cluster.leader().await;
    let follower = (leader + 1) % 3;
    network.be(&Links::whole().without(&[follower], &[leader]));
    until("a write past the broken direction", SETTLE, || async {
        let put = members[leader].put("key", "one way").await;
        put.map_err(|error| format!("{error:#}"))
    })
    .await;
    network.be(&Links::whole());
    cluster.ready().await;
}

/// The year in the `Date` of an answer.
async fn year(cluster: &Cluster, index: usize) -> i64 {
    let reply = cluster
        .web
        .get(&format!("{}/version", cluster.url(index)))
        .await
        .unwrap();
    let date = reply.headers["date"].to_str().unwrap();
    date.split(' ').nth(3).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_is_the_clock_of_one_member() {
    if !network::possible() {
        return;
    }
    let network = Network::new(3);
    let mut cluster = Cluster::plain_in(&network).await;
    let now = year(&cluster, 0).await;
    cluster.members[1].jump(10 * 366 * 86_400_000);
    until("the member to see its clock", SETTLE, || async {
        let seen = year(&cluster, 1).await;
        if seen >= now + 10 {
            Ok(())
        } else {
            Err(seen.to_string())
        }
    })
    .await;
    assert!(year(&cluster, 0).await <= now + 1);
    // It stays there over a restart.
    cluster.kill(1);
    cluster.start(1);
    cluster.ready().await;
    assert!(year(&cluster, 1).await >= now + 10);
    cluster.at(1).put("key", "value").await.unwrap();
}
