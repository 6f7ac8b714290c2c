//! A majority whose members see each other writes on, however the rest of the network is broken and whoever led.

use std::time::{Duration, Instant};

use kvorum_tests::cluster::Cluster;
use kvorum_tests::faults::links::Links;
use kvorum_tests::faults::network::{self, Network};
use kvorum_tests::wait::until;

use super::{IMPATIENCE, asked_within};

/// How long a write may take to find its way. A few elections, on a machine that is also compiling.
const WRITES_WITHIN: Duration = Duration::from_secs(15);

/// A broken network, and the members that see each other and are enough.
struct Broken {
    what: &'static str,
    links: Links,
    majority: Vec<usize>,
}

/// All the ways to break the network of three around its leader.
fn broken(leader: usize) -> Vec<Broken> {
    let others: Vec<usize> = (0..3).filter(|member| *member != leader).collect();
    let (all, one, other) = (Links::whole, others[0], others[1]);
    let case = |what, links, majority: &[usize]| Broken {
        what,
        links,
        majority: majority.to_vec(),
    };
    vec![
        case("the leader is alone", Links::parted(&[&[leader], &others]), &others),
        case("nobody hears the leader", all().without(&[leader], &others), &others),
        case("the leader hears nobody", all().without(&others, &[leader]), &others),
        case(
            "one follower is alone",
            Links::parted(&[&[one], &[leader, other]]),
            &[leader, other],
        ),
        case(
            "nobody hears one follower",
            all().without(&[one], &[leader, other]),
            &[leader, other],
        ),
        case(
            "one follower hears nobody",
            all().without(&[leader, other], &[one]),
            &[leader, other],
        ),
        case(
            "both followers see the leader alone",
            Links::parted(&[&[one], &[other]]),
            &[leader, one],
        ),
        case(
            "one follower does not see the leader",
            Links::parted(&[&[one], &[leader]]),
            &[leader, other],
        ),
        case(
            "one follower does not hear the leader",
            all().without(&[leader], &[one]),
            &[leader, other],
        ),
    ]
}

async fn writes_on(cluster: &Cluster, network: &Network, case: &Broken) {
    let members = asked_within(cluster, IMPATIENCE);
    network.be(&case.links);
    let began = Instant::now();
    let mut turn = 0;
    // The first write may still be one that the old leader had under way; the second was asked for later.
    for _ in 0..2 {
        until(case.what, WRITES_WITHIN, || {
            turn += 1;
            let member = &members[case.majority[turn % case.majority.len()]];
            async move { member.put("key", case.what).await.map_err(|error| format!("{error:#}")) }
        })
        .await;
    }
    println!("{}: written after {:?}", case.what, began.elapsed());
    network.be(&Links::whole());
    cluster.ready().await;
    assert_eq!(members[0].get("key").await.unwrap().as_deref(), Some(case.what));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_majority_that_sees_itself_writes_on() {
    if !network::possible() {
        return;
    }
    let network = Network::new(3);
    let cluster = Cluster::plain_in(&network).await;
    let cases = broken(0).len();
    for number in 0..cases {
        let leader = cluster.leader().await;
        writes_on(&cluster, &network, &broken(leader)[number]).await;
    }
}
