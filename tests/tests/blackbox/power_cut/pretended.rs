//! The proof that the check works: with syncs that do nothing, acknowledged writes are lost, and it is seen.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kvorum_powercut::Severity;
use kvorum_tests::cluster::Cluster;
use kvorum_tests::power::Disk;
use kvorum_tests::seed;
use kvorum_tests::wait::{SETTLE, pause, until};
use rand::Rng;

use super::ledger::Ledger;
use super::{ids, journalled};

/// Rounds after which it is certain that nothing would ever be seen.
const ROUNDS_MAX: usize = 12;
/// How long writes go on.
const LOAD: Duration = Duration::from_millis(300);

/// What a member is after a cut.
enum After {
    Ready,
    /// It ended by itself, or it joins nothing.
    Refuses(String),
}

async fn after(cluster: &mut Cluster) -> After {
    let mut process = cluster.members[0].process.take().unwrap();
    let looked = &*cluster;
    let after = until("the member to be ready or to refuse", SETTLE, || {
        let ended = process.ended();
        async move {
            let output = looked.members[0].output();
            let last = output.lines().last().unwrap_or_default().to_owned();
            match (ended, looked.is_ready(0).await) {
                (Some(_), _) => Ok(After::Refuses(last)),
                (None, Ok(())) => Ok(After::Ready),
                (None, Err(reason)) if reason.contains("identity") => Ok(After::Refuses(reason)),
                (None, Err(reason)) => Err(reason),
            }
        }
    })
    .await;
    cluster.members[0].process = Some(process);
    after
}

#[tokio::test(flavor = "multi_thread")]
async fn without_syncs_acknowledged_writes_are_lost() {
    let (mut random, _) = seed::generator("pretended syncs");
    let (mut lost, mut refused) = (0, 0);
    for round in 0..ROUNDS_MAX {
        // The member is made honestly, so that it is writes that are lost, not the whole member.
        let mut cluster = journalled(1, Disk::default()).await;
        let before = ids(&cluster).await;
        cluster.stop(0).await;
        cluster.members[0].cut(Severity::Nothing, 0);
        cluster.members[0].journalled(Disk {
            syncs_pretended: true,
            ..Disk::default()
        });
        cluster.start(0);
        cluster.ready().await;
        let ledger = Ledger::start(round, &cluster, random.random());
        pause(LOAD).await;
        cluster.kill(0);
        let ledger = ledger.finish().await;
        assert!(ledger.acknowledged() > 10, "too few writes to mean anything");
        // Drawn at first; every other time the worst, so that a loss is certain soon.
        let severity = match round % 2 {
            0 => Severity::draw(&mut random),
            _ => Severity::Everything,
        };
        let outcome = cluster.members[0].cut(severity, random.random());
        cluster.start(0);
        match after(&mut cluster).await {
            After::Refuses(reason) => {
                println!("round {round}: the member itself sees it: {reason}");
                refused += 1;
            }
            After::Ready => {
                let missing = ledger.missing(&cluster.at(0)).await.len();
                let changed = ids(&cluster).await != before;
                println!(
                    "round {round}: {missing} of {} acknowledged writes missing, ids changed: {changed}; {outcome:?}",
                    ledger.acknowledged()
                );
                lost += usize::from(missing > 0 || changed);
            }
        }
        if lost > 0 {
            println!("seen after {} rounds; refused in {refused}", round + 1);
            return;
        }
    }
    panic!("{ROUNDS_MAX} cuts without a sync, and nothing acknowledged was lost: the check sees nothing");
}

/// Every file below a folder, by its path from there, with its bytes.
fn files(top: &Path, folder: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(top, &path, found);
        } else {
            let bytes = std::fs::read(&path).unwrap();
            found.insert(path.strip_prefix(top).unwrap().to_owned(), bytes);
        }
    }
}

/// A change that the library missed would be there after a cut that takes everything back, or would be gone after one
/// that takes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn the_journal_misses_no_change_of_a_member() {
    for severity in [Severity::Nothing, Severity::Everything] {
        let pretended = Disk {
            syncs_pretended: true,
            ..Disk::default()
        };
        let mut cluster = journalled(1, pretended).await;
        let ledger = Ledger::start(0, &cluster, 0);
        pause(LOAD).await;
        ledger.finish().await;
        // Long enough for the engine to have written, too.
        pause(LOAD * 3).await;
        cluster.kill(0);
        let folder = cluster.members[0].folder.join("data");
        let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
        files(&folder, &folder, &mut before);
        let outcome = cluster.members[0].cut(severity, 0);
        files(&folder, &folder, &mut after);
        println!(
            "{severity:?}: {} files, then {}; {outcome:?}",
            before.len(),
            after.len()
        );
        assert!(before.keys().any(|path| path.starts_with("engine/sled")));
        match severity {
            Severity::Nothing => assert!(before == after, "{:?}, then {:?}", before.keys(), after.keys()),
            _ => assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "{:?}", after.keys()),
        }
    }
}
