//! Writers that put each key once, and the list of what was acknowledged to them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kvorum_tests::cluster::Cluster;
use kvorum_tests::etcd::{Etcd, decode, encode, number};
use kvorum_tests::wait::{SETTLE, pause, until};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use tokio::task::JoinHandle;

/// Concurrent writers.
const WRITERS: u64 = 4;
/// Time between two writes of one.
const PACE: Duration = Duration::from_millis(3);

/// Keys with what was written, and at which revision.
type Written = BTreeMap<String, (String, i64)>;

/// Writers at work.
pub(crate) struct Ledger {
    round: usize,
    written: Arc<Mutex<Written>>,
    stop: Arc<AtomicBool>,
    writers: Vec<JoinHandle<()>>,
}

/// What was acknowledged in one round.
pub(crate) struct Acknowledged {
    round: usize,
    written: Written,
}

impl Ledger {
    /// Starts writers over all members of the cluster.
    pub(crate) fn start(round: usize, cluster: &Cluster, seed: u64) -> Ledger {
        Ledger::begin(round, cluster, seed, true)
    }

    /// As [`Ledger::start`], without the largest values.
    pub(crate) fn start_small(round: usize, cluster: &Cluster, seed: u64) -> Ledger {
        Ledger::begin(round, cluster, seed, false)
    }

    fn begin(round: usize, cluster: &Cluster, seed: u64, large: bool) -> Ledger {
        let (written, stop) = (Arc::<Mutex<Written>>::default(), Arc::<AtomicBool>::default());
        let writers = (0..WRITERS)
            .map(|writer| {
                let (written, stop, members) = (Arc::clone(&written), Arc::clone(&stop), cluster.everywhere());
                let mut random = StdRng::seed_from_u64(seed ^ writer);
                tokio::spawn(async move {
                    for count in 0.. {
                        let key = format!("w{round:04}-{writer}-{count}");
                        let value = value(&mut random, large);
                        let member = &members[random.random_range(0..members.len())];
                        if let Ok(revision) = member.put(&key, &value).await {
                            written.lock().unwrap().insert(key, (value, revision));
                        }
                        if stop.load(Ordering::Relaxed) {
                            return;
                        }
                        pause(PACE).await;
                    }
                })
            })
            .collect();
        Ledger {
            round,
            written,
            stop,
            writers,
        }
    }

    /// How many writes were acknowledged so far.
    pub(crate) fn acknowledged(&self) -> usize {
        self.written.lock().unwrap().len()
    }

    /// Lets every writer finish; what was acknowledged.
    pub(crate) async fn finish(self) -> Acknowledged {
        self.stop.store(true, Ordering::Relaxed);
        for writer in self.writers {
            writer.await.unwrap();
        }
        Acknowledged {
            round: self.round,
            written: std::mem::take(&mut self.written.lock().unwrap()),
        }
    }
}

/// Mostly small; some of many sectors; if `large`, a few so large that the engine keeps them in files of their own.
fn value(random: &mut StdRng, large: bool) -> String {
    let length = match random.random_range(0..100) {
        0..80 => 10,
        80.. if !large => random.random_range(500..10_000),
        80..98 => random.random_range(500..10_000),
        _ => random.random_range(200_000..400_000),
    };
    let letter = char::from(random.random_range(b'a'..=b'z'));
    format!("{:x}{}", random.random::<u64>(), letter.to_string().repeat(length))
}

impl Acknowledged {
    /// How many writes.
    pub(crate) fn acknowledged(&self) -> usize {
        self.written.len()
    }

    /// Those that a member does not hold as they were acknowledged.
    pub(crate) async fn missing(&self, member: &Etcd) -> Vec<(String, i64)> {
        let (from, to) = (format!("w{:04}-", self.round), format!("w{:04}.", self.round));
        let all = json!({"key": encode(from), "range_end": encode(to)});
        let reply = until("a member to list its keys", SETTLE, || async {
            member.ask("kv/range", &all).await.map_err(|error| format!("{error:#}"))
        })
        .await;
        let kvs = reply["kvs"].as_array().cloned().unwrap_or_default();
        let held: Written = kvs
            .iter()
            .map(|kv| (decode(&kv["key"]), (decode(&kv["value"]), number(&kv["mod_revision"]))))
            .collect();
        self.written
            .iter()
            .filter(|(key, wrote)| held.get(*key) != Some(wrote))
            .map(|(key, (_, revision))| (key.clone(), *revision))
            .collect()
    }

    /// Everything must be there, as it was acknowledged, at every member.
    pub(crate) async fn check(&self, cluster: &Cluster) {
        for (index, member) in cluster.everywhere().iter().enumerate() {
            let missing = self.missing(member).await;
            assert!(
                missing.is_empty(),
                "n{index} lost {} of {} of round {}: {missing:?}",
                missing.len(),
                self.acknowledged(),
                self.round
            );
        }
    }
}
