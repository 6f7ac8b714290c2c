//! Full load on three members for long: what they take of their machine, and how long answers take, stays as it is.
//!
//! Ten seconds by default; `KVORUM_STEADY_SECONDS=1800` is the long run, whose figures are held to closer bounds.

use std::time::{Duration, Instant};

use kvorum_tests::cluster::Cluster;
use kvorum_tests::footprint::Footprint;
use kvorum_tests::load::{Latencies, Load, Shape};
use kvorum_tests::seed;
use kvorum_tests::wait::pause;
use rand::Rng;

const SECONDS: usize = 10;
/// From here on caches are full and snapshots were taken before the first third ends.
const SECONDS_OF_A_MEASUREMENT: usize = 600;
/// The state is bounded by this and by what is kept of history.
const SHAPE: Shape = Shape {
    clients: 64,
    keys: 20_000,
    value_bytes: 512,
};
/// Looks in all, a third of them for each figure.
const LOOKS: usize = 30;
/// Before the first look: connections are made, segments prepared.
const WARM: Duration = Duration::from_secs(2);
/// What is allocated may grow by this part from the middle to the end of a measurement, and of a short run,
const MEMORY_FACTOR_OF_A_MEASUREMENT: f64 = 1.1;
const MEMORY_FACTOR: f64 = 1.5;
/// and by this: caches that are not full in the middle of a short run.
const MEMORY_SLACK_BYTES: u64 = 64 << 20;
/// Connections and segments that come and go.
const DESCRIPTORS_SLACK: u64 = 32;
/// Bounds a member's files for a state of some tens of MiB: 128 MiB of log between two snapshots, 50,000 entries kept
/// behind one, segments of 64 MiB of which two are prepared, two snapshots at a time, and the engine's own garbage.
const DISK_BYTES_MAX: u64 = 768 << 20;
/// The slowest hundredth of the last third against that of the first.
const LATENCY_FACTOR_OF_A_MEASUREMENT: f64 = 2.0;
const LATENCY_FACTOR: f64 = 20.0;

/// One third of a run: the most that any member took at any look, and every answer.
#[derive(Default)]
struct Third {
    most: Footprint,
    latencies: Latencies,
    time: Duration,
}

impl Third {
    fn look(&mut self, cluster: &Cluster) {
        for member in &cluster.members {
            let Footprint {
                memory_bytes,
                descriptors,
                disk_bytes,
            } = Footprint::of(member);
            self.most.memory_bytes = self.most.memory_bytes.max(memory_bytes);
            self.most.descriptors = self.most.descriptors.max(descriptors);
            self.most.disk_bytes = self.most.disk_bytes.max(disk_bytes);
        }
    }

    fn print(&self, name: &str) {
        let Footprint {
            memory_bytes,
            descriptors,
            disk_bytes,
        } = self.most;
        println!(
            "| {name:<6} | {:>9} | {:>9} | {descriptors:>11} | {:>8.0} | {:>9.2?} | {:>9.2?} |",
            format!("{} MiB", memory_bytes >> 20),
            format!("{} MiB", disk_bytes >> 20),
            self.latencies.count() as f64 / self.time.as_secs_f64(),
            self.latencies.quantile(0.5),
            self.latencies.quantile(0.99),
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn full_load_for_long_leaves_everything_as_it_is() {
    let seconds = seed::count("KVORUM_STEADY_SECONDS", SECONDS);
    let measured = seconds >= SECONDS_OF_A_MEASUREMENT;
    let (mut random, _) = seed::generator("steady");
    let flags = [
        "--auto-compaction-mode",
        "periodic",
        "--auto-compaction-retention",
        "2s",
    ];
    let cluster = Cluster::plain_with(3, &flags).await;
    let load = Load::start(&cluster.everywhere(), SHAPE, random.random());
    pause(WARM).await;
    _ = load.take();
    let mut thirds = [Third::default(), Third::default(), Third::default()];
    for third in &mut thirds {
        let began = Instant::now();
        for _ in 0..LOOKS / 3 {
            pause(Duration::from_secs(seconds as u64) / LOOKS as u32).await;
            third.look(&cluster);
            third.latencies.merge(&load.take());
        }
        third.time = began.elapsed();
    }
    let failed = load.failed();
    load.finish().await;
    println!("{seconds} s of full load, the most of any of three members:");
    println!("| third  |    memory |      disk | descriptors | writes/s |       p50 |       p99 |");
    for (third, name) in thirds.iter().zip(["first", "middle", "last"]) {
        third.print(name);
    }
    assert_eq!(failed, 0, "writes were not acknowledged");
    let [first, middle, last] = &thirds;
    let (memory, latency) = match measured {
        true => (MEMORY_FACTOR_OF_A_MEASUREMENT, LATENCY_FACTOR_OF_A_MEASUREMENT),
        false => (MEMORY_FACTOR, LATENCY_FACTOR),
    };
    let memory_max = (middle.most.memory_bytes as f64 * memory) as u64 + MEMORY_SLACK_BYTES;
    assert!(last.most.memory_bytes <= memory_max, "memory grows");
    assert!(
        last.most.descriptors <= middle.most.descriptors + DESCRIPTORS_SLACK,
        "descriptors are not given back"
    );
    assert!(last.most.disk_bytes <= DISK_BYTES_MAX, "the disk fills");
    let (early, late) = (first.latencies.quantile(0.99), last.latencies.quantile(0.99));
    assert!(
        late < early.mul_f64(latency),
        "it grows slower: {early:?}, then {late:?}"
    );
}
