//! Damaged disks under real processes: `kvorum check` says beforehand what a node then does, and nothing acknowledged is
//! ever silently gone. The whole table of damages is a test of the node; here are those that matter most, for a member
//! alone and for one of three.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use kvorum_tests::cluster::{Cluster, program};
use kvorum_tests::process::Process;
use kvorum_tests::wait::{SETTLE, until};
use serde_json::Value;

/// Keys put before the damage.
const KEYS: usize = 40;
/// A node that refuses ends within this time.
const REFUSAL: Duration = Duration::from_secs(20);
const SEGMENT: &str = "wal/00000000000000000001.wal";

/// What becomes of a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It serves everything that was acknowledged.
    Serves,
    /// It ends, and says why.
    Ends,
    /// It stays up, joins nothing and says why.
    Outside,
}

use Outcome::{Ends, Outside, Serves};

/// A damage: its name, what it does to a data directory, and what is to come of it.
type Case = (&'static str, fn(&Disk), Outcome);

/// A data directory and an old copy of it.
struct Disk {
    data: PathBuf,
    old: PathBuf,
}

const AFTER_A_STOP: &[Case] = &[
    ("nothing", |_| (), Serves),
    ("identity missing", |disk| disk.remove("identity"), Outside),
    ("identity: a bit", |disk| disk.flip("identity", 30), Ends),
    ("log missing", |disk| disk.remove("wal"), Ends),
    ("log: a bit in a record", |disk| disk.flip(SEGMENT, 700), Ends),
    ("log: acknowledged records zeroed", |disk| disk.zero_from_half(), Ends),
    ("log: an old copy", |disk| disk.put_old(SEGMENT), Ends),
    ("log: bytes of a torn write", |disk| disk.flip(SEGMENT, 3 << 20), Serves),
    (
        "engine: a bit in the database",
        |disk| disk.flip("engine/sled/db", 5_000),
        Serves,
    ),
    ("engine missing", |disk| disk.remove("engine"), Serves),
    ("engine: an old copy", |disk| disk.put_old("engine"), Serves),
];

const AFTER_A_KILL: &[Case] = &[
    ("nothing", |_| (), Serves),
    ("log: a bit in a record", |disk| disk.flip(SEGMENT, 700), Ends),
    ("log: bytes of a torn write", |disk| disk.flip(SEGMENT, 3 << 20), Serves),
    ("engine: marker missing", |disk| disk.remove("engine/trust"), Serves),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_member_alone_refuses_or_loses_nothing() {
    let mut cluster = Cluster::plain(1).await;
    let old = tempfile::tempdir().unwrap();
    let data = cluster.members[0].folder.join("data");
    cluster.at(0).put("first", "1").await.unwrap();
    assert_eq!(cluster.stop(0).await, Some(0));
    copy(&data, old.path());
    cluster.start(0);
    cluster.ready().await;
    put_all(&cluster, 0).await;
    for (way, cases) in [("stop", AFTER_A_STOP), ("kill", AFTER_A_KILL)] {
        if way == "stop" {
            assert_eq!(cluster.stop(0).await, Some(0));
        } else {
            cluster.start(0);
            cluster.ready().await;
            cluster.kill(0);
        }
        let whole = tempfile::tempdir().unwrap();
        copy(&data, whole.path());
        for (name, damage, expected) in cases {
            replace(whole.path(), &data);
            damage(&Disk {
                data: data.clone(),
                old: old.path().to_owned(),
            });
            let told = case(&mut cluster, 0, *expected).await;
            if *expected == Serves {
                replace(&data, whole.path());
            }
            println!("{way:<5} {name:<36} {expected:?}: {told}");
        }
        replace(whole.path(), &data);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_of_three_refuses_or_catches_up() {
    let mut cluster = Cluster::plain(3).await;
    let victim = cluster.follower().await;
    let data = cluster.members[victim].folder.join("data");
    let old = tempfile::tempdir().unwrap();
    assert_eq!(cluster.stop(victim).await, Some(0));
    copy(&data, old.path());
    cluster.start(victim);
    cluster.ready().await;
    let cases: &[Case] = &[
        ("log missing", |disk| disk.remove("wal"), Ends),
        ("log: a bit in a record", |disk| disk.flip(SEGMENT, 700), Ends),
        ("log: an old copy", |disk| disk.put_old(SEGMENT), Ends),
        ("log: bytes of a torn write", |disk| disk.flip(SEGMENT, 3 << 20), Serves),
        (
            "engine: a bit in the database",
            |disk| disk.flip("engine/sled/db", 5_000),
            Serves,
        ),
    ];
    let elsewhere = (victim + 1) % 3;
    put_all(&cluster, elsewhere).await;
    caught_up(&cluster, victim).await;
    assert_eq!(cluster.stop(victim).await, Some(0));
    let whole = tempfile::tempdir().unwrap();
    copy(&data, whole.path());
    // What the others take meanwhile must arrive too.
    cluster.at(elsewhere).put("meanwhile", "1").await.unwrap();
    for (name, damage, expected) in cases {
        replace(whole.path(), &data);
        damage(&Disk {
            data: data.clone(),
            old: old.path().to_owned(),
        });
        let told = case(&mut cluster, victim, *expected).await;
        if *expected == Serves {
            // What it has taken since it has acknowledged; an older copy would be another damage.
            replace(&data, whole.path());
        }
        println!("{name:<36} {expected:?}: {told}");
        assert!(
            cluster.at(elsewhere).get("k0").await.unwrap().is_some(),
            "the others go on"
        );
    }
}

/// What a member's user may do with a file of its, and what comes of it.
const PERMISSIONS: &[(&str, u32, Outcome)] = &[
    ("identity", 0o000, Ends),
    ("identity", 0o444, Serves),
    ("wal", 0o000, Ends),
    (SEGMENT, 0o000, Ends),
    (SEGMENT, 0o444, Ends),
    ("snap", 0o000, Ends),
    ("snap/00000000000000000001-00000000000000000001.snap", 0o000, Ends),
    ("engine", 0o000, Ends),
    ("engine/trust", 0o000, Ends),
    ("engine/sled/db", 0o000, Ends),
];

/// Starts a member without the right of the superuser to pass over permissions.
fn start_bound(cluster: &mut Cluster, index: usize) {
    let member = &mut cluster.members[index];
    let mut arguments = vec![
        "--bounding-set=-dac_override,-dac_read_search".to_owned(),
        program().display().to_string(),
    ];
    arguments.extend_from_slice(&member.arguments);
    let log = member.folder.join("log");
    member.process = Some(match rustix::process::getuid().is_root() {
        true => Process::start(Path::new("setpriv"), &arguments, &log),
        false => Process::start(&program(), &member.arguments, &log),
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_may_not_use_its_files_says_which() {
    let mut cluster = Cluster::plain(1).await;
    put_all(&cluster, 0).await;
    assert_eq!(cluster.stop(0).await, Some(0));
    let data = cluster.members[0].folder.join("data");
    println!("| file | mode | outcome | what the node says |\n|---|---|---|---|");
    for (name, mode, expected) in PERMISSIONS {
        let file = data.join(name);
        let made = !file.exists();
        if made {
            fs::write(&file, "").unwrap();
        }
        let before = fs::metadata(&file).unwrap().permissions();
        fs::set_permissions(&file, Permissions::from_mode(*mode)).unwrap();
        let printed = cluster.members[0].output().len();
        start_bound(&mut cluster, 0);
        let told = match expected {
            Serves => {
                caught_up(&cluster, 0).await;
                assert_eq!(cluster.stop(0).await, Some(0));
                "everything is there".to_owned()
            }
            Ends | Outside => {
                let mut process = cluster.members[0].process.take().unwrap();
                assert_eq!(process.gone(REFUSAL).await.code(), Some(1), "{name} {mode:o}");
                let said = cluster.members[0].output()[printed..].to_owned();
                let line = said.lines().last().unwrap_or_default().to_owned();
                for word in [file.to_str().unwrap(), "Permission denied", "see whose it is"] {
                    assert!(line.contains(word), "{name} {mode:o}: {said}");
                }
                line.replace(data.to_str().unwrap(), "…")
            }
        };
        println!("| {name} | {mode:03o} | {expected:?} | {told} |");
        fs::set_permissions(&file, before).unwrap();
        if made {
            fs::remove_file(&file).unwrap();
        }
    }
    // It was only kept out.
    cluster.start(0);
    caught_up(&cluster, 0).await;
}

/// Asks the check, starts the member, and compares; what was told. The member is stopped afterwards.
async fn case(cluster: &mut Cluster, index: usize, expected: Outcome) -> String {
    let data = cluster.members[index].folder.join("data");
    let (code, report, errors) = check(&data);
    assert_eq!(code, i32::from(expected != Serves), "{report} {errors}");
    assert_eq!(report["starts"], expected == Serves, "{report}");
    let printed = cluster.members[index].output().len();
    cluster.start(index);
    match expected {
        Serves => {
            caught_up(cluster, index).await;
            let (code, _, errors) = check(&data);
            assert_eq!(code, 1, "a node runs on it");
            assert!(errors.contains("stop it first"), "{errors}");
            assert_eq!(cluster.stop(index).await, Some(0));
            return report["atStart"].to_string();
        }
        Ends => {
            let mut process = cluster.members[index].process.take().unwrap();
            assert_eq!(process.gone(REFUSAL).await.code(), Some(1));
        }
        Outside => {
            let joined = until("the node to say that it is outside", SETTLE, || async {
                let reason = cluster.is_ready(index).await.err();
                reason
                    .filter(|reason| reason.contains("IdentityM"))
                    .ok_or_else(|| "not yet".to_owned())
            });
            joined.await;
            assert_eq!(cluster.stop(index).await, Some(0));
        }
    }
    let said = cluster.members[index].output()[printed..].to_owned();
    let line = said
        .lines()
        .rev()
        .find(|line| line.contains("join again"))
        .unwrap_or_else(|| panic!("{said}"));
    let finding = &report["findings"][0];
    assert_eq!(finding["severity"], "refusal", "{report}");
    assert!(
        line.contains(finding["file"].as_str().unwrap()),
        "{line} against {finding}"
    );
    if let Some(offset) = finding["offset"].as_u64() {
        assert!(line.contains(&format!("offset {offset}")), "{line} against {finding}");
    }
    assert!(!said.contains("panic"), "{said}");
    finding["what"].to_string()
}

/// `kvorum check`: exit code, report, standard error.
fn check(data: &Path) -> (i32, Value, String) {
    let output = Command::new(program())
        .args(["check", "-o", "json", "--data-dir"])
        .arg(data)
        .output()
        .unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap_or(-1), report, errors)
}

async fn put_all(cluster: &Cluster, index: usize) {
    for number in 0..KEYS {
        let (key, value) = (format!("k{number}"), format!("value {number}"));
        cluster.at(index).put(&key, &value).await.unwrap();
    }
}

/// Waits until the member has every key of its own disk.
async fn caught_up(cluster: &Cluster, index: usize) {
    cluster.ready().await;
    for number in 0..KEYS {
        let seen = cluster.at(index).get_serializable(&format!("k{number}")).await.unwrap();
        assert_eq!(seen, Some(format!("value {number}")), "k{number}");
    }
}

impl Disk {
    fn remove(&self, name: &str) {
        let path = self.data.join(name);
        match path.is_dir() {
            true => fs::remove_dir_all(path).unwrap(),
            false => fs::remove_file(path).unwrap(),
        }
    }

    fn flip(&self, name: &str, offset: u64) {
        let file = File::options()
            .read(true)
            .write(true)
            .open(self.data.join(name))
            .unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, offset).unwrap();
        file.write_all_at(&[byte[0] ^ 1], offset).unwrap();
    }

    /// Zeros from the middle of the records on, as if nothing had been written there.
    fn zero_from_half(&self) {
        let (_, report, _) = check(&self.data);
        let segment = &report["log"]["segments"][0];
        let (used, bytes) = (
            segment["usedBytes"].as_u64().unwrap(),
            segment["bytes"].as_u64().unwrap(),
        );
        let file = File::options().write(true).open(self.data.join(SEGMENT)).unwrap();
        file.write_all_at(&vec![0; (bytes - used / 2) as usize], used / 2)
            .unwrap();
    }

    fn put_old(&self, name: &str) {
        self.remove(name);
        copy(&self.old.join(name), &self.data.join(name));
    }
}

fn replace(from: &Path, to: &Path) {
    fs::remove_dir_all(to).unwrap();
    copy(from, to);
}

/// Copies a file, or a folder with all that is in it.
fn copy(from: &Path, to: &Path) {
    if from.is_file() {
        fs::copy(from, to).unwrap();
        return;
    }
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        copy(&entry.path(), &to.join(entry.file_name()));
    }
}
