//! The check of histories sees a stale read when there is one, on real members: reads that a leader which was cut off
//! answers from its own state, as clients may ask it to, are old as soon as the others have written.

use std::sync::Arc;

use kvorum_tests::cluster::Cluster;
use kvorum_tests::faults::links::Links;
use kvorum_tests::faults::network::{self, Network};
use kvorum_tests::seed;
use kvorum_tests::wait::{SETTLE, until};
use kvorum_tests::workload::Workload;

use super::{IMPATIENCE, asked_within};

/// Few, because a search that finds no order tries them all, and whoever asks the old leader to write never hears whether
/// it did.
const CLIENTS: u32 = 4;
/// Keys they meet on.
const KEYS: u32 = 2;

#[tokio::test(flavor = "multi_thread")]
async fn reads_without_a_quorum_are_found_out() {
    if !network::possible() {
        return;
    }
    let (_, seed) = seed::generator("stale reads");
    let network = Network::new(3);
    let cluster = Cluster::plain_in(&network).await;
    let members = asked_within(&cluster, IMPATIENCE);
    let load = Workload::start_careless(&members, CLIENTS, KEYS, seed);
    let old = cluster.leader().await;
    let others: Vec<usize> = (0..3).filter(|index| *index != old).collect();
    network.be(&Links::parted(&[&[old], &others]));
    let recorder = Arc::clone(&load.recorder);
    until("an old read to be found out", SETTLE, || async {
        if recorder.is_linearizable() {
            Err(format!("{} operations are linearizable", recorder.operations().len()))
        } else {
            Ok(())
        }
    })
    .await;
    println!("found out among {} operations", recorder.operations().len());
    load.finish().await;
}
