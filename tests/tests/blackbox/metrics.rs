//! The metrics page beside etcd's: what etcd's own dashboard and alerts read is there under the same name, of the same
//! type, with the same labels, and means the same.

use std::collections::{BTreeMap, BTreeSet};

use kvorum_api::etcdserverpb::kv_client::KvClient;
use kvorum_api::etcdserverpb::{PutRequest, RangeRequest};
use kvorum_tests::cluster::Cluster;
use kvorum_tests::grpc::{Watching, plain, watch};
use kvorum_tests::reference::Reference;
use kvorum_tests::wait::{SETTLE, until};
use kvorum_tests::web::Web;
use tonic::Code;

/// What etcd's dashboard and alert rules (its mixin) and its documentation of monitoring read of one member.
const READ_BY_DASHBOARDS: [&str; 24] = [
    "etcd_debugging_mvcc_keys_total",
    "etcd_debugging_mvcc_slow_watcher_total",
    "etcd_debugging_mvcc_watch_stream_total",
    "etcd_debugging_mvcc_watcher_total",
    "etcd_disk_backend_commit_duration_seconds",
    "etcd_disk_wal_fsync_duration_seconds",
    "etcd_mvcc_db_total_size_in_bytes",
    "etcd_mvcc_db_total_size_in_use_in_bytes",
    "etcd_mvcc_delete_total",
    "etcd_mvcc_put_total",
    "etcd_network_client_grpc_received_bytes_total",
    "etcd_network_client_grpc_sent_bytes_total",
    "etcd_server_has_leader",
    "etcd_server_leader_changes_seen_total",
    "etcd_server_proposals_applied_total",
    "etcd_server_proposals_committed_total",
    "etcd_server_proposals_failed_total",
    "etcd_server_proposals_pending",
    "etcd_server_quota_backend_bytes",
    "grpc_server_handled_total",
    "grpc_server_started_total",
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_resident_memory_bytes",
];

/// A family: its type, the names of its labels, and its samples by name and labels.
#[derive(Debug, Default, PartialEq)]
struct Family {
    kind: String,
    labels: BTreeSet<String>,
    samples: BTreeMap<String, f64>,
}

fn families(page: &str) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            kind.clone_into(&mut families.entry(name.to_owned()).or_default().kind);
            name.clone_into(&mut current);
        } else if !line.starts_with('#') && !line.is_empty() {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let family = families
                .get_mut(&current)
                .unwrap_or_else(|| panic!("no type before {line}"));
            let labels = sample
                .split_once('{')
                .map_or("", |(_, labels)| labels.trim_end_matches('}'));
            let mut pairs: Vec<&str> = labels.split(',').filter(|pair| !pair.is_empty()).collect();
            pairs.sort_unstable();
            family
                .labels
                .extend(pairs.iter().filter_map(|pair| Some(pair.split_once('=')?.0.to_owned())));
            let name = sample.split('{').next().unwrap_or_default();
            family
                .samples
                .insert(format!("{name}{{{}}}", pairs.join(",")), value.parse().unwrap());
        }
    }
    families
}

/// A put, a refused range, and a watch whose client goes away.
async fn work(url: &str) {
    let channel = plain(url);
    let mut client = KvClient::new(channel.clone());
    let put = PutRequest {
        key: "key".into(),
        value: "value".into(),
        ..Default::default()
    };
    client.put(put).await.unwrap();
    let refused = client.range(RangeRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    // etcd answers a stream with its first request, and not before.
    Watching::open_watching(channel, watch("key", "")).await.unwrap();
}

fn handled(method: &str, service: &str, kind: &str, code: &str) -> String {
    format!(
        "grpc_server_handled_total{{grpc_code=\"{code}\",grpc_method=\"{method}\",grpc_service=\"{service}\",grpc_type=\"{kind}\"}}"
    )
}

async fn page(web: &Web, url: &str) -> BTreeMap<String, Family> {
    families(&web.get(&format!("{url}/metrics")).await.unwrap().text())
}

/// What they read of the connections between members.
const READ_OF_PEERS: [&str; 4] = [
    "etcd_network_peer_received_bytes_total",
    "etcd_network_peer_round_trip_time_seconds",
    "etcd_network_peer_sent_bytes_total",
    "etcd_network_peer_sent_failures_total",
];

#[tokio::test(flavor = "multi_thread")]
async fn members_count_what_goes_between_them() {
    let mut cluster = Cluster::plain(3).await;
    let leader = cluster.leader().await;
    let dead = cluster.follower().await;
    let (dead_id, _) = cluster.at(dead).who().await.unwrap();
    let value = "v".repeat(100_000);
    cluster.at(leader).put("key", &value).await.unwrap();
    cluster.kill(dead);
    cluster.at(leader).put("key", "small").await.unwrap();
    let dead_id = format!("{dead_id:x}");
    let ours = until("the failures to be counted", SETTLE, async || {
        let page = page(&cluster.web, &cluster.url(leader)).await;
        let failures = &page["etcd_network_peer_sent_failures_total"].samples;
        let failed = failures[&format!("etcd_network_peer_sent_failures_total{{To=\"{dead_id}\"}}")];
        if failed > 0.0 {
            Ok(page)
        } else {
            Err(format!("{failures:?}"))
        }
    })
    .await;
    let of = |name: &str, way: &str| ours[name].samples[&format!("{name}{{{way}=\"{dead_id}\"}}")];
    assert!(of("etcd_network_peer_sent_bytes_total", "To") > 100_000.0);
    assert!(of("etcd_network_peer_received_bytes_total", "From") > 0.0);
    let trips = &ours["etcd_network_peer_round_trip_time_seconds"].samples;
    let count = trips[&format!("etcd_network_peer_round_trip_time_seconds_count{{To=\"{dead_id}\"}}")];
    assert!(count > 0.0, "{trips:?}");

    let Some(reference) = Reference::start_with(3, &[]).await else {
        return;
    };
    reference.etcd.put("key", "value").await.unwrap();
    let theirs = page(&cluster.web, &reference.urls[0]).await;
    for name in READ_OF_PEERS {
        // etcd has a family when it has a sample: failures when there was one.
        if let Some(real) = theirs.get(name) {
            assert_eq!(
                (&ours[name].kind, &ours[name].labels),
                (&real.kind, &real.labels),
                "{name}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dashboards_of_etcd_find_what_they_read() {
    let cluster = Cluster::plain(1).await;
    work(&cluster.url(0)).await;
    let samples = [
        handled("Put", "etcdserverpb.KV", "unary", "OK"),
        handled("Range", "etcdserverpb.KV", "unary", "InvalidArgument"),
        handled("Watch", "etcdserverpb.Watch", "bidi_stream", "Canceled"),
    ];
    let ours = until("the calls to be counted", SETTLE, async || {
        let page = page(&cluster.web, &cluster.url(0)).await;
        let counted = &page["grpc_server_handled_total"].samples;
        if samples.iter().all(|sample| counted.get(sample) == Some(&1.0)) {
            Ok(page)
        } else {
            Err(format!("{counted:?}"))
        }
    })
    .await;
    assert!(
        ours["etcd_disk_backend_commit_duration_seconds"].samples["etcd_disk_backend_commit_duration_seconds_count{}"]
            >= 1.0
    );
    assert!(
        ours["etcd_network_client_grpc_received_bytes_total"].samples["etcd_network_client_grpc_received_bytes_total{}"]
            > 0.0
    );

    let Some(reference) = Reference::start().await else {
        return;
    };
    work(&reference.urls[0]).await;
    let theirs = page(&cluster.web, &reference.urls[0]).await;
    let mut differences = Vec::new();
    for name in READ_BY_DASHBOARDS {
        let shape = |page: &BTreeMap<String, Family>| {
            page.get(name)
                .map(|family| (family.kind.clone(), family.labels.clone()))
        };
        let (own, real) = (shape(&ours), shape(&theirs));
        assert!(real.is_some(), "etcd has no {name}");
        if own != real {
            differences.push(format!("{name}: {own:?}, etcd {real:?}"));
        }
    }
    for sample in &samples {
        let real = theirs["grpc_server_handled_total"].samples.get(sample);
        if real.is_none() {
            differences.push(format!("etcd has no {sample}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
