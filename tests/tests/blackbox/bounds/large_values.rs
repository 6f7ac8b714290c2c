//! Large values as fast as three members take them, from many clients at once.

use std::time::{Duration, Instant};

use futures::StreamExt;
use kvorum_api::etcdserverpb::kv_client::KvClient;
use kvorum_api::etcdserverpb::{PutRequest, RangeRequest};
use kvorum_tests::cluster::Cluster;
use kvorum_tests::grpc::channel;
use kvorum_tests::seed;
use kvorum_tests::wait::{SETTLE, pause, until};

/// Writes under way at once.
const CLIENTS: usize = 32;
/// Keys that are written again and again.
const KEYS: usize = 64;
const VALUE_BYTES: usize = 1 << 20;
/// Between two looks at the members' memory.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// What a member may grow by: what the log, the engine and the store each keep of the newest writes, what is on its way to
/// the other members, and the requests under way.
const GROWTH_MIB_MAX: u64 = 700;

fn resident(cluster: &Cluster) -> Vec<u64> {
    let members = cluster.members.iter().flat_map(|member| &member.process);
    members.map(kvorum_tests::process::Process::resident_mib).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn large_values_at_full_speed_cost_a_bounded_amount() {
    let values = seed::count("KVORUM_LARGE_VALUES", 150);
    let cluster = Cluster::plain(3).await;
    let mut clients = Vec::new();
    for member in 0..3 {
        clients.push(KvClient::new(channel(&cluster, member).await));
    }
    let before = resident(&cluster);
    let started = Instant::now();
    let writes = futures::stream::iter(0..values).map(|number| {
        let mut client = clients[number % clients.len()].clone();
        let put = PutRequest {
            key: format!("key{}", number % KEYS).into(),
            value: vec![u8::try_from(number % 256).unwrap(); VALUE_BYTES].into(),
            ..Default::default()
        };
        async move { client.put(put).await.map(drop) }
    });
    let mut writing = Box::pin(writes.buffer_unordered(CLIENTS));
    let (mut peak, mut written) = (before.clone(), 0);
    loop {
        tokio::select! {
            write = writing.next() => match write {
                Some(write) => written += usize::from(write.is_ok()),
                None => break,
            },
            () = pause(LOOK_EVERY) => {
                let now = resident(&cluster);
                peak = peak.into_iter().zip(now).map(|(peak, now)| peak.max(now)).collect();
            }
        }
    }
    let elapsed = started.elapsed();
    println!(
        "{written} of {values} values of 1 MiB in {elapsed:?}, {:.0} MiB/s; resident MiB before {before:?}, at the peak \
         {peak:?}, after {:?}",
        written as f64 / elapsed.as_secs_f64(),
        resident(&cluster)
    );
    assert!(written > 0);
    for (before, peak) in before.iter().zip(&peak) {
        assert!(
            peak - before < GROWTH_MIB_MAX,
            "{before} MiB before, {peak} MiB at the peak"
        );
    }
    drop(writing);
    // All three are there and hold what was written.
    let mut counts = Vec::new();
    for client in &mut clients {
        let count = until("an answer", SETTLE, async || {
            let request = RangeRequest {
                key: "key".into(),
                range_end: "kez".into(),
                count_only: true,
                ..Default::default()
            };
            let answer = client.range(request).await.map_err(|status| status.to_string())?;
            Ok(answer.into_inner().count)
        })
        .await;
        counts.push(count);
    }
    assert!(counts.iter().all(|count| *count == counts[0]), "{counts:?}");
}
