//! Ten thousand leases, each with a key, all kept alive; and one lease with ten thousand keys.

use std::ops::RangeInclusive;
use std::time::Instant;

use futures::StreamExt;
use kvorum_api::etcdserverpb::kv_client::KvClient;
use kvorum_api::etcdserverpb::lease_client::LeaseClient;
use kvorum_api::etcdserverpb::{
    LeaseGrantRequest, LeaseKeepAliveRequest, LeaseLeasesRequest, LeaseRevokeRequest, LeaseTimeToLiveRequest,
    PutRequest, RangeRequest,
};
use kvorum_tests::cluster::Cluster;
use kvorum_tests::grpc::channel;
use kvorum_tests::seed;
use tonic::transport::Channel;

use super::{figures, metrics};

/// Clients that work at once: enough for many writes to share a sync.
const CLIENTS: usize = 200;
/// Leases of one stream.
const PER_STREAM: usize = 50;
const TTL_SECONDS: i64 = 600;
/// What the member may grow by for ten thousand leases and twenty thousand keys: 5 KiB for each, and what the log, the
/// engine and the allocator keep of the writes.
const GROWTH_MIB_MAX: u64 = 256;

fn put(key: String, lease: i64) -> PutRequest {
    PutRequest {
        key: key.into(),
        value: "1".into(),
        lease,
        ..Default::default()
    }
}

/// Keeps leases alive, one after the other, on a stream of their own.
async fn keep_alive(mut leasing: LeaseClient<Channel>, ids: RangeInclusive<i64>) -> i64 {
    let asked = futures::stream::iter(ids.map(|id| LeaseKeepAliveRequest { id }));
    let mut answers = leasing.lease_keep_alive(asked).await.unwrap().into_inner();
    let mut kept = 0;
    while let Some(answer) = answers.message().await.unwrap() {
        assert_eq!(answer.ttl, TTL_SECONDS, "{answer:?}");
        kept += 1;
    }
    kept
}

async fn keys(client: &mut KvClient<Channel>) -> i64 {
    let request = RangeRequest {
        key: "l".into(),
        range_end: "m".into(),
        count_only: true,
        ..Default::default()
    };
    client.range(request).await.unwrap().into_inner().count
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_leases_are_kept_alive() {
    let leases = i64::try_from(seed::count("KVORUM_LEASES", 10_000)).unwrap();
    let cluster = Cluster::plain(1).await;
    let channel = channel(&cluster, 0).await;
    let (client, mut leasing) = (KvClient::new(channel.clone()), LeaseClient::new(channel.clone()));
    let before = figures(&cluster, "before");
    let started = Instant::now();
    let grant = async |id: i64| {
        let (mut client, mut leasing) = (client.clone(), leasing.clone());
        let grant = LeaseGrantRequest { ttl: TTL_SECONDS, id };
        leasing.lease_grant(grant).await.unwrap();
        client.put(put(format!("l{id}"), id)).await.unwrap();
    };
    // The first has a key of each of the others as well.
    grant(1).await;
    let others = futures::stream::iter(2..=leases).map(|id| {
        let mut client = client.clone();
        let granted = grant(id);
        async move {
            granted.await;
            client.put(put(format!("l{id}-first"), 1)).await.unwrap();
        }
    });
    others.buffer_unordered(CLIENTS).collect::<Vec<()>>().await;
    figures(
        &cluster,
        &format!("{leases} leases with their keys after {:?}", started.elapsed()),
    );

    let started = Instant::now();
    let streams = (1..=leases).step_by(PER_STREAM).map(|first| {
        let ids = first..=leases.min(first + PER_STREAM as i64 - 1);
        keep_alive(leasing.clone(), ids)
    });
    let kept: i64 = futures::future::join_all(streams).await.into_iter().sum();
    assert_eq!(kept, leases);
    let after = figures(&cluster, &format!("{leases} keep-alives in {:?}", started.elapsed()));
    assert_eq!(metrics(&cluster).await["kvorum_leases"], leases as f64);
    let all = leasing
        .lease_leases(LeaseLeasesRequest {})
        .await
        .unwrap()
        .into_inner()
        .leases;
    assert_eq!(all.len() as i64, leases);
    let listed = LeaseTimeToLiveRequest { id: 1, keys: true };
    let listed = leasing.lease_time_to_live(listed).await.unwrap().into_inner();
    assert_eq!(
        listed.keys.len() as i64,
        leases,
        "the first lease lists all of its keys"
    );
    let mut client = client;
    assert_eq!(keys(&mut client).await, 2 * leases - 1);
    let started = Instant::now();
    leasing.lease_revoke(LeaseRevokeRequest { id: 1 }).await.unwrap();
    println!("a lease is revoked with {leases} keys in {:?}", started.elapsed());
    assert_eq!(keys(&mut client).await, leases - 1);
    assert!(
        after < before + GROWTH_MIB_MAX,
        "{before} MiB before, {after} MiB after"
    );
}
