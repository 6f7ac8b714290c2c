//! Does what [`super::nemesis`] decided.

use std::collections::BTreeMap;
use std::time::Duration;

use super::links::Links;
use super::nemesis::{Act, Fault, Kind};
use super::network::Network;
use crate::cluster::Cluster;
use crate::wait::pause;

/// How many faults there were of each kind, and how many members were killed inside of others.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// By kind.
    pub kinds: BTreeMap<Kind, usize>,
    /// Members killed while a fault of the network lasted.
    pub killed_inside: usize,
}

impl Counts {
    /// How many there were in all.
    #[must_use]
    pub fn total(&self) -> usize {
        self.kinds.values().sum::<usize>() + self.killed_inside
    }
}

/// Lets one fault happen, from its beginning to its end and the calm after it. All members run before and after.
pub async fn happen(fault: &Fault, cluster: &mut Cluster, network: &Network, counts: &mut Counts) {
    let act = fault.act(cluster.leader().await);
    println!("{:?} for {:?}: {act:?}", fault.kind, fault.lasts);
    *counts.kinds.entry(fault.kind).or_default() += 1;
    match act {
        Act::Kill(victims) => {
            cluster.kill_together(&victims);
            pause(fault.lasts).await;
            start(cluster, &victims);
        }
        Act::Stop(victim) => {
            let code = cluster.stop(victim).await;
            assert_eq!(code, Some(0), "n{victim} was asked to stop");
            pause(fault.lasts).await;
            cluster.start(victim);
        }
        Act::Pause(victims) => {
            victims.iter().for_each(|victim| cluster.pause(*victim));
            pause(fault.lasts).await;
            victims.iter().for_each(|victim| cluster.resume(*victim));
        }
        Act::Network { phases, killed } => {
            counts.killed_inside += usize::from(killed.is_some());
            disturb(cluster, network, &phases, killed).await;
        }
        Act::Clock { member, by_ms } => cluster.members[member].jump(by_ms),
    }
    pause(fault.calm).await;
}

async fn disturb(cluster: &mut Cluster, network: &Network, phases: &[(Duration, Links)], killed: Option<usize>) {
    for (turn, (lasts, links)) in phases.iter().enumerate() {
        network.be(links);
        let victims: Vec<usize> = killed.filter(|_| turn == 0).into_iter().collect();
        cluster.kill_together(&victims);
        pause(*lasts).await;
        // It comes back into a network that is not whole yet.
        start(cluster, &victims);
    }
    network.be(&Links::whole());
}

fn start(cluster: &mut Cluster, members: &[usize]) {
    members.iter().for_each(|member| cluster.start(*member));
}
