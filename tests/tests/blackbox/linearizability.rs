//! Concurrent clients at every member while leaders are killed and stopped: the history must be linearizable.

use std::time::Duration;

use kvorum_tests::cluster::Cluster;
use kvorum_tests::seed;
use kvorum_tests::wait::pause;
use kvorum_tests::workload::Workload;
use rand::Rng;

/// Faults in an ordinary run; the long runs ask for more.
const FAULTS: usize = 5;
/// Concurrent clients.
const CLIENTS: u32 = 12;
/// Keys they meet on.
const KEYS: u32 = 6;
/// How long a fault lasts, and the calm after it. Longer than an election.
const FAULT: Duration = Duration::from_millis(2_500);

/// Fewer operations than this prove nothing; a machine that is also compiling still does as many.
const OPERATIONS_MIN: usize = 300;

#[tokio::test(flavor = "multi_thread")]
async fn histories_stay_linearizable_while_leaders_fall() {
    let mut cluster = Cluster::plain(3).await;
    let (mut random, seed) = seed::generator("linearizability");
    let load = Workload::start(&cluster.everywhere(), CLIENTS, KEYS, seed);
    pause(FAULT).await;
    for _ in 0..seed::count("KVORUM_FAULTS", FAULTS) {
        let victim = if random.random_bool(0.7) {
            cluster.leader().await
        } else {
            random.random_range(0..3)
        };
        if random.random_bool(0.6) {
            println!("kill n{victim}");
            cluster.kill(victim);
            pause(FAULT).await;
            cluster.start(victim);
        } else {
            println!("stop n{victim}'s time");
            cluster.pause(victim);
            pause(FAULT).await;
            cluster.resume(victim);
        }
        pause(FAULT).await;
    }
    cluster.ready().await;
    let recorder = load.finish().await;
    recorder.check("linearizability");
    assert!(
        recorder.operations().len() > OPERATIONS_MIN,
        "too few operations to mean anything"
    );
}
