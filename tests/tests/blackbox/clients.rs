//! Other people's clients, unchanged: what they see of Kvorum is what they see of etcd.
//!
//! The program at tests/clients/etcd-client walks through everything that Rust's `etcd-client` crate offers and prints a
//! line for each step. Here it walks through etcd, through one member in plain text, and through three members over TLS
//! with an application's certificate, and the lines are compared.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kvorum_tests::cluster::Cluster;
use kvorum_tests::reference::Reference;

/// Longer than the program lets itself take.
const WALK: Duration = Duration::from_secs(150);

/// Steps that differ from etcd, and why.
const DIFFERENT: [(&str, &str); 2] = [
    (
        "lock, no such lease",
        "here this refusal has the same code on every path",
    ),
    (
        "campaign, no such lease",
        "here this refusal has the same code on every path",
    ),
];

/// Steps that differ between one member and three over TLS, and why.
const DIFFERENT_IN_A_CLUSTER: [(&str, &str); 1] = [("members, count", "there are three")];

/// The program, where tests/scripts/etcd-client puts it; `None` where it was not built, after saying so.
fn program() -> Option<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(&std::env::var_os("HOME").unwrap_or_default()).join(".cache/kvorum/target"),
        PathBuf::from,
    );
    let path = target.join("etcd-client/debug/kvorum-etcd-client");
    if path.is_file() {
        return Some(path);
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "no client to walk with; tests/scripts/etcd-client builds it"
    );
    println!("SKIPPED: no client to walk with; tests/scripts/etcd-client builds it");
    None
}

/// What the program prints, line by line.
async fn walk(program: &Path, arguments: &[String]) -> Vec<String> {
    let command = tokio::process::Command::new(program)
        .args(arguments)
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(WALK, command)
        .await
        .expect("the program ends by itself")
        .unwrap();
    let lines: Vec<String> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(str::to_owned)
        .collect();
    assert!(
        output.status.success(),
        "after {:?}: {}",
        lines.last(),
        String::from_utf8_lossy(&output.stderr)
    );
    lines
}

/// The lines that differ and should not; a step that should and does not is one too.
fn differences(theirs: &[String], ours: &[String], known: &[(&str, &str)]) -> String {
    assert_eq!(theirs.len(), ours.len(), "both walked all the way");
    let mut found = String::new();
    for (theirs, ours) in theirs.iter().zip(ours) {
        let step = theirs.split(": ").next().unwrap_or_default();
        if (theirs != ours) != known.iter().any(|(name, _)| *name == step) {
            found.push_str(&format!("\n  {theirs}\n  {ours}"));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn rusts_etcd_client_sees_what_it_sees_of_etcd() {
    let Some(program) = program() else { return };
    let Some(reference) = Reference::start().await else {
        return;
    };
    let cluster = Cluster::plain(1).await;
    cluster.published().await;
    let theirs = walk(&program, &[reference.urls[0].clone()]).await;
    let ours = walk(&program, &[cluster.url(0)]).await;
    let found = differences(&theirs, &ours, &DIFFERENT);
    assert!(found.is_empty(), "etcd and Kvorum differ:{found}");
    println!("etcd-client: {} steps, no difference", ours.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn rusts_etcd_client_sees_the_same_of_three_members_over_tls() {
    let Some(program) = program() else { return };
    let single = Cluster::plain(1).await;
    let cluster = Cluster::managed(3).await;
    single.published().await;
    cluster.published().await;
    let pki = cluster.pki.as_ref().unwrap();
    let leaf = pki.application();
    let folder = tempfile::tempdir().unwrap();
    let mut arguments = vec![(0..3).map(|index| cluster.url(index)).collect::<Vec<_>>().join(",")];
    for (name, text) in [
        ("ca", &pki.clients.cert),
        ("certificate", &leaf.cert),
        ("key", &leaf.key),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        arguments.push(path.display().to_string());
    }
    let plain = walk(&program, &[single.url(0)]).await;
    let over_tls = walk(&program, &arguments).await;
    let found = differences(&plain, &over_tls, &DIFFERENT_IN_A_CLUSTER);
    assert!(found.is_empty(), "one member and three over TLS differ:{found}");
    println!("etcd-client over TLS: {} steps, no difference", over_tls.len());
}
