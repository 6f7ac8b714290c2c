//! What clients can take of a member has a bound: connections, descriptors, memory. Whoever comes on top is refused at
//! once and clearly, and the others are served as before.
//!
//! Each test prints its figures. The bounds on memory are for a release build, and generous: they tell memory that is
//! bounded from memory that grows with what clients do.

mod connections;
mod large_values;
mod leases;
mod requests;
mod watchers;

use std::collections::BTreeMap;

use kvorum_tests::cluster::Cluster;
use kvorum_tests::process::Process;
use kvorum_tests::web::Web;

/// The process of the only member.
fn process(cluster: &Cluster) -> &Process {
    cluster.members[0].process.as_ref().unwrap()
}

/// Says what the only member holds.
fn figures(cluster: &Cluster, when: &str) -> u64 {
    let process = process(cluster);
    let resident = process.resident_mib();
    println!("{when}: {resident} MiB resident, {} descriptors", process.descriptors());
    resident
}

/// The numbers on the only member's page of metrics, asked on a connection of its own.
async fn metrics(cluster: &Cluster) -> BTreeMap<String, f64> {
    let web = Web::new(None, None);
    let page = web.get(&format!("{}/metrics", cluster.metrics_url(0))).await.unwrap();
    let numbers = page.text();
    let numbers = numbers.lines().filter_map(|line| line.rsplit_once(' '));
    numbers
        .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
        .collect()
}
