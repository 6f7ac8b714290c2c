//! etcd's own command line, unchanged, on a real etcd and on Kvorum: what it prints and how it ends must be the same.
//!
//! The commands are scripts (`etcdctl/*.txt`), one per subject, each run on a fresh member of either side:
//!
//! ```text
//! put a b              a command line; '…' holds blanks
//! | text               a line of the standard input of the command before it
//! = lease granted (x)  names what the last output holds between "granted " and the next blank: $lease from here on
//! & watch a            runs in the background until the script ends
//! wait 3               until the background commands have printed so many lines in all
//! # …                  for readers
//! ```
//!
//! Left out of the comparison: ids of members and clusters, addresses, times, terms and indexes of the log, versions,
//! sizes and hashes of the files underneath, and the client's own log of its retries.

mod normal;
mod script;

use kvorum_tests::cluster::Cluster;
use kvorum_tests::reference::Reference;

use script::{Side, run};

async fn compare(name: &str, text: &str) {
    let Some(reference) = Reference::start().await else {
        return;
    };
    let cluster = Cluster::plain(1).await;
    let theirs = run(&Side::new("etcd", &reference.urls[0]), text).await;
    let ours = run(&Side::new("kvorum", &cluster.url(0)), text).await;
    assert_eq!(theirs.len(), ours.len(), "{name}: both ran the whole script");
    let mut differences = String::new();
    for (theirs, ours) in theirs.iter().zip(&ours) {
        if theirs.said != ours.said {
            differences.push_str(&format!(
                "\n$ etcdctl {}\n  etcd   {:?}\n  kvorum {:?}",
                theirs.command, theirs.said, ours.said
            ));
        }
    }
    assert!(differences.is_empty(), "{name}: they differ:{differences}");
    println!("{name}: {} commands, no difference", theirs.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn keys() {
    compare("keys", include_str!("etcdctl/keys.txt")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leases() {
    compare("leases", include_str!("etcdctl/leases.txt")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn watches() {
    compare("watches", include_str!("etcdctl/watches.txt")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn locks_and_elections() {
    compare("concurrency", include_str!("etcdctl/concurrency.txt")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_and_maintenance() {
    compare("maintenance", include_str!("etcdctl/maintenance.txt")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_and_roles() {
    compare("auth", include_str!("etcdctl/auth.txt")).await;
}
