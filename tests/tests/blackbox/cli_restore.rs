//! `kvorum snapshot save` and `restore`: a new cluster with everything that the old one held.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kvorum_tests::cluster::{Cluster, Member, program};
use kvorum_tests::etcd::{Etcd, encode, id, number};
use kvorum_tests::wait::{SETTLE, until};
use serde_json::{Value, json};

/// Keys put before a backup.
const KEYS: usize = 3_000;
/// Keys in one transaction.
const AT_ONCE: usize = 100;
/// Leases, each on some of the keys.
const LEASES: u64 = 20;

/// Exit code, standard output and standard error of one command.
fn kvorum(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(program()).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    let code = output.status.code().unwrap_or(-1);
    (code, text(&output.stdout), text(&output.stderr))
}

fn save(url: &str, file: &Path) {
    let (code, output, errors) = kvorum(&["snapshot", "save", file.to_str().unwrap(), "--endpoints", url]);
    assert_eq!(code, 0, "{output} {errors}");
}

/// Restores with a member's own flags; the report.
fn restore(file: &Path, member: &mut Member) -> Value {
    let (code, output, errors) = try_restore(file, member);
    assert_eq!((code, errors.as_str()), (0, ""), "{output}");
    serde_json::from_str(&output).unwrap()
}

fn try_restore(file: &Path, member: &mut Member) -> (i32, String, String) {
    let mut arguments = vec!["snapshot", "restore", file.to_str().unwrap(), "-o", "json"];
    let flags = [
        "--name",
        "--data-dir",
        "--initial-cluster",
        "--initial-cluster-token",
        "--initial-advertise-peer-urls",
    ];
    let values = flags.map(|flag| member.argument(flag).clone());
    for (flag, value) in flags.iter().zip(&values) {
        arguments.extend([*flag, value]);
    }
    kvorum(&arguments)
}

/// Restores a member over what it was, under another token, and starts it.
fn restore_in_place(file: &Path, cluster: &mut Cluster, index: usize) -> Value {
    cluster.wipe(index);
    let member = &mut cluster.members[index];
    *member.argument("--initial-cluster-token") = "after the fire".to_owned();
    let report = restore(file, member);
    cluster.start(index);
    report
}

/// Fills a cluster: keys written once and more often, deleted and written again, with and without leases; a user with a role.
async fn fill(etcd: &Etcd) {
    for lease in 1..=LEASES {
        let request = json!({"ID": lease.to_string(), "TTL": (1_000 + lease).to_string()});
        etcd.ask("lease/grant", &request).await.unwrap();
    }
    let key = |number: usize| encode(format!("key/{number:05}"));
    for first in (0..KEYS).step_by(AT_ONCE) {
        let put = |number: usize| {
            let lease = number as u64 % (LEASES * 3);
            let lease = if lease <= LEASES { lease } else { 0 };
            json!({"request_put": {"key": key(number), "value": encode(format!("{number}")), "lease": lease.to_string()}})
        };
        let puts: Vec<Value> = (first..first + AT_ONCE).map(put).collect();
        etcd.ask("kv/txn", &json!({"success": puts})).await.unwrap();
    }
    for number in (0..KEYS).step_by(10) {
        etcd.put(&format!("key/{number:05}"), "again").await.unwrap();
    }
    let some = json!({"key": key(500), "range_end": key(600)});
    etcd.ask("kv/deleterange", &some).await.unwrap();
    etcd.put("key/00550", "back").await.unwrap();
    for (path, body) in [
        ("auth/role/add", json!({"name": "reader"})),
        ("auth/user/add", json!({"name": "ann", "password": "secret"})),
        ("auth/user/grant", json!({"user": "ann", "role": "reader"})),
    ] {
        etcd.ask(path, &body).await.unwrap();
    }
}

/// Every pair of a revision: key, value, revisions, version and lease.
async fn pairs(etcd: &Etcd, revision: i64, serializable: bool) -> Value {
    let all =
        json!({"key": "AA==", "range_end": "AA==", "revision": revision.to_string(), "serializable": serializable});
    etcd.ask("kv/range", &all).await.unwrap()["kvs"].take()
}

/// Every lease with what it was granted and the keys under it.
async fn leases(etcd: &Etcd) -> BTreeMap<String, (Value, Value)> {
    let all = etcd.ask("lease/leases", &json!({})).await.unwrap();
    let mut found = BTreeMap::new();
    for lease in all["leases"].as_array().unwrap() {
        let question = json!({"ID": lease["ID"], "keys": true});
        let mut told = etcd.ask("lease/timetolive", &question).await.unwrap();
        assert!(number(&told["TTL"]) > 0, "{told}");
        let id = lease["ID"].as_str().unwrap().to_owned();
        found.insert(id, (told["grantedTTL"].take(), told["keys"].take()));
    }
    found
}

async fn cluster_id(etcd: &Etcd) -> u64 {
    let status = etcd.ask("maintenance/status", &json!({})).await.unwrap();
    id(&status["header"]["cluster_id"])
}

/// What a cluster held at a revision.
#[derive(PartialEq, Debug)]
struct Held {
    now: Value,
    before: Value,
    leases: BTreeMap<String, (Value, Value)>,
    user: Value,
}

impl Held {
    async fn by(etcd: &Etcd, revision: i64) -> Held {
        let mut user = etcd.ask("auth/user/get", &json!({"name": "ann"})).await.unwrap();
        Held {
            now: pairs(etcd, revision, false).await,
            before: pairs(etcd, revision - 100, false).await,
            leases: leases(etcd).await,
            user: user["roles"].take(),
        }
    }

    fn check(&self, other: &Held) {
        let Held {
            now,
            before,
            leases,
            user,
        } = self;
        let count = |pairs: &Value| pairs.as_array().map_or(0, Vec::len);
        assert!(count(now) >= KEYS - AT_ONCE && leases.len() == LEASES as usize);
        assert_eq!((count(now), count(before)), (count(&other.now), count(&other.before)));
        assert!(*now == other.now && *before == other.before, "the pairs differ");
        assert_eq!((leases, user), (&other.leases, &other.user));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_busy_cluster_becomes_a_cluster_of_one() {
    let old = Cluster::plain(3).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("backup.snap");
    fill(&old.at(0)).await;

    let stop = Arc::new(AtomicBool::new(false));
    let (busy, told) = (old.at(1), Arc::clone(&stop));
    let writing = tokio::spawn(async move {
        let mut written = 0;
        while !told.load(Ordering::Relaxed) {
            busy.put(&format!("busy/{}", written % 50), &written.to_string())
                .await
                .unwrap();
            written += 1;
        }
        written
    });
    let before = old.at(0).revision().await.unwrap();
    until("the writer to have begun", SETTLE, || async {
        let now = old.at(0).revision().await.map_err(|error| format!("{error:#}"))?;
        if now > before {
            Ok(())
        } else {
            Err(format!("revision {now}"))
        }
    })
    .await;
    save(&old.url(2), &file);
    stop.store(true, Ordering::Relaxed);
    assert!(writing.await.unwrap() > 0);

    let mut new = Cluster::founders(1, &[]);
    let report = restore(&file, &mut new.members[0]);
    let revision = report["revision"].as_i64().unwrap();
    new.start(0);
    new.ready().await;
    let (old, new_member) = (old.at(0), new.at(0));
    assert_eq!(new_member.revision().await.unwrap(), revision);
    Held::by(&old, revision)
        .await
        .check(&Held::by(&new_member, revision).await);
    assert_ne!(cluster_id(&old).await, cluster_id(&new_member).await);
    until("its client URL to be known", SETTLE, || async {
        let list = new_member.ask("cluster/member/list", &json!({})).await;
        let list = list.map_err(|error| format!("{error:#}"))?;
        if list["members"][0]["clientURLs"][0] == new.url(0) {
            Ok(())
        } else {
            Err(list.to_string())
        }
    })
    .await;

    assert_eq!(new_member.put("key/00000", "after").await.unwrap(), revision + 1);
    new.kill(0);
    new.start(0);
    new.ready().await;
    assert_eq!(new.at(0).get("key/00000").await.unwrap().as_deref(), Some("after"));

    // Who joins is sent the snapshot: no member has the entries before it.
    let joined = new.joining("n1");
    let url = format!("http://127.0.0.1:{}", new.members[joined].peer);
    let add = json!({"peerURLs": [url]});
    new.at(0).ask("cluster/member/add", &add).await.unwrap();
    new.start(joined);
    new.ready().await;
    Held::by(&old, revision)
        .await
        .check(&Held::by(&new.at(joined), revision).await);
    assert_eq!(new.at(joined).get("key/00000").await.unwrap().as_deref(), Some("after"));
}

#[tokio::test(flavor = "multi_thread")]
async fn three_members_are_restored_in_place_and_the_old_ones_stay_out() {
    let mut cluster = Cluster::plain(3).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("backup.snap");
    fill(&cluster.at(0)).await;
    let revision = cluster.at(0).revision().await.unwrap();
    let held = Held::by(&cluster.at(0), revision).await;
    let old_id = cluster_id(&cluster.at(0)).await;
    save(&cluster.url(0), &file);

    // Two members are restored where they were, on the same ports; the third goes on as a member of the old cluster.
    for index in 0..2 {
        cluster.kill(index);
        let report = restore_in_place(&file, &mut cluster, index);
        assert_eq!(report["revision"].as_i64(), Some(revision), "{report}");
    }
    for index in 0..2 {
        until("a restored member", SETTLE, || cluster.is_ready(index)).await;
    }
    held.check(&Held::by(&cluster.at(0), revision).await);
    assert_ne!(cluster_id(&cluster.at(1)).await, old_id);
    let new = cluster.at(1).put("key/new", "new").await.unwrap();
    assert_eq!(new, revision + 1);
    // It knows the others by their URLs, but they are no longer who they were.
    until("the old member to be turned away", SETTLE, || async {
        let log = cluster.members[0].output();
        if log.contains(&format!("of cluster {old_id:016x} asked for member")) {
            Ok(())
        } else {
            Err(log)
        }
    })
    .await;
    assert!(cluster.is_ready(2).await.is_err());
    assert_eq!(cluster.at(2).get_serializable("key/new").await.unwrap(), None);

    // Told of the new cluster, its disk still belongs to the old one.
    cluster.kill(2);
    *cluster.members[2].argument("--initial-cluster-token") = "after the fire".to_owned();
    cluster.start(2);
    until("the old disk to be refused", SETTLE, || async {
        let log = cluster.members[2].output();
        if log.contains("the disk belongs to cluster") {
            Ok(())
        } else {
            Err(log)
        }
    })
    .await;
    assert!(cluster.is_ready(2).await.is_err());

    cluster.kill(2);
    restore_in_place(&file, &mut cluster, 2);
    cluster.ready().await;
    let newest = pairs(&cluster.at(0), new, false).await;
    until("the third to have caught up", SETTLE, || async {
        match cluster.at(2).get_serializable("key/new").await {
            Ok(Some(_)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert_eq!(pairs(&cluster.at(2), new, true).await, newest);
    held.check(&Held::by(&cluster.at(2), revision).await);

    // Any one of them may go.
    let leader = cluster.leader().await;
    cluster.kill(leader);
    let other = (leader + 1) % 3;
    until("a write without the leader", SETTLE, || async {
        let put = cluster.at(other).put("key/new", "newer").await;
        put.map(drop).map_err(|error| format!("{error:#}"))
    })
    .await;
}

/// Tries to restore a file with these flags; it must fail, say why, and leave nothing behind.
fn refused(file: &Path, flags: &[&str], code: i32, reason: &str) {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("target");
    let mut arguments = vec!["snapshot", "restore", file.to_str().unwrap()];
    if !flags.contains(&"--data-dir") {
        arguments.extend(["--data-dir", target.to_str().unwrap()]);
    }
    arguments.extend(flags);
    let (found, output, errors) = kvorum(&arguments);
    assert_eq!((found, output.as_str()), (code, ""), "{arguments:?}: {errors}");
    assert!(errors.contains(reason), "{arguments:?}: {errors}");
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 0, "{arguments:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_that_do_not_fit_and_directories_that_are_full_are_refused() {
    let mut cluster = Cluster::plain(1).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("backup.snap");
    cluster.at(0).put("fruit", "apple").await.unwrap();
    save(&cluster.url(0), &file);
    let old = cluster.members[0].argument("--initial-cluster-token").clone();

    refused(&file, &[], 2, "--initial-cluster-token");
    refused(
        &file,
        &["--name", "n0", "--initial-cluster-token", &old],
        2,
        "choose another token",
    );
    refused(&file, &["--initial-cluster-token", ""], 2, "1 to 256 are allowed");
    refused(
        &folder.path().join("none"),
        &["--initial-cluster-token", "new"],
        2,
        "cannot read",
    );
    let running = cluster.members[0].argument("--data-dir").clone();
    for (flags, code, reason) in [
        (["--name", "a b"], 2, "--name"),
        (["--initial-cluster", "x=http://x:1"], 2, "does not name this member"),
        (
            ["--initial-cluster", "default=http://x:1"],
            2,
            "says default is at http://x:1",
        ),
        (
            ["--initial-advertise-peer-urls", "x"],
            2,
            "--initial-advertise-peer-urls",
        ),
        (
            ["--data-dir", &running],
            1,
            "is not empty; restore into a new directory",
        ),
    ] {
        refused(
            &file,
            &[&["--initial-cluster-token", "new"], &flags[..]].concat(),
            code,
            reason,
        );
    }
    assert_eq!(cluster.at(0).get("fruit").await.unwrap().as_deref(), Some("apple"));
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_files_are_refused() {
    let cluster = Cluster::plain(1).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("backup.snap");
    cluster.at(0).put("fruit", "apple").await.unwrap();
    save(&cluster.url(0), &file);
    let bytes = std::fs::read(&file).unwrap();
    let mut flipped = bytes.clone();
    flipped[100] ^= 1;
    for damaged in [
        bytes[..bytes.len() - 1].to_vec(),
        bytes[..bytes.len() / 2].to_vec(),
        [&bytes[..], b"x"].concat(),
        flipped,
        Vec::new(),
        b"SQLite format 3".repeat(100),
    ] {
        std::fs::write(&file, damaged).unwrap();
        refused(&file, &["--initial-cluster-token", "new"], 1, "is no whole snapshot");
    }
}
