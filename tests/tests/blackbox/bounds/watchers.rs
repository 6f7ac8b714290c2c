//! A thousand watchers that do not read, while large values are written; and somebody beside them who does.

use std::time::{Duration, Instant};

use kvorum_api::etcdserverpb::kv_client::KvClient;
use kvorum_api::etcdserverpb::{PutRequest, WatchCreateRequest};
use kvorum_tests::cluster::Cluster;
use kvorum_tests::grpc::{Watching, channel, endpoint, watch};
use kvorum_tests::seed;
use kvorum_tests::wait::{SETTLE, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::{figures, metrics};

/// Streams of one connection.
const PER_CONNECTION: usize = 100;
const VALUE_BYTES: usize = 1 << 20;
/// What the member may grow by: half of 256 MiB of answers, a quarter of a gigabyte of events for all watchers, 32 MiB on
/// the way to them, what each stream and connection costs, and the engine's and the store's own caches for the values.
const GROWTH_MIB_MAX: u64 = 600;

fn put(number: usize) -> PutRequest {
    PutRequest {
        key: "key".into(),
        value: vec![u8::try_from(number % 256).unwrap(); VALUE_BYTES].into(),
        ..Default::default()
    }
}

/// Streams with a watcher each, from a revision on (0: from now), whose clients read no more.
async fn silent(cluster: &Cluster, streams: usize, start_revision: i64) -> Vec<Watching> {
    let mut silent = Vec::new();
    let mut connection = None;
    for number in 0..streams {
        if number % PER_CONNECTION == 0 {
            let endpoint = endpoint(cluster, 0).initial_stream_window_size(16 << 10);
            connection = Some(endpoint.connect().await.unwrap());
        }
        let mut watching = Watching::open(connection.clone().unwrap()).await.unwrap();
        let wish = WatchCreateRequest {
            start_revision,
            ..watch("key", "")
        };
        watching.create(wish).await;
        silent.push(watching);
    }
    silent
}

/// Reads until this many events were told, each once and in order.
async fn told(watching: &mut Watching, events: usize) {
    let (mut seen, mut last) = (0, 0);
    while seen < events {
        let response = watching.next().await;
        assert!(!response.canceled, "{response:?}");
        for event in &response.events {
            let revision = event.kv.as_ref().unwrap().mod_revision;
            assert!(revision > last, "out of order, or twice");
            (seen, last) = (seen + 1, revision);
        }
    }
}

/// Watches in plain JSON over HTTP/1.1, whose clients read no more than the greeting.
async fn silent_over_http1(cluster: &Cluster, clients: usize) -> Vec<TcpStream> {
    let address = cluster.url(0).trim_start_matches("http://").parse().unwrap();
    let mut silent = Vec::new();
    for _ in 0..clients {
        let socket = TcpSocket::new_v4().unwrap();
        // Otherwise the system holds several values for each.
        socket.set_recv_buffer_size(16 << 10).unwrap();
        let mut stream = socket.connect(address).await.unwrap();
        let request = b"GET /v1/watch?key=key HTTP/1.1\r\nhost: a\r\naccept: application/x-ndjson\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"}\n\r\n") {
            seen.push(stream.read_u8().await.unwrap());
        }
        silent.push(stream);
    }
    silent
}

#[tokio::test(flavor = "multi_thread")]
async fn watchers_over_http1_that_do_not_read_lose_their_connections() {
    const CLIENTS: usize = 120;
    const VALUES: usize = 8;
    let cluster = Cluster::plain(1).await;
    let mut client = KvClient::new(channel(&cluster, 0).await);
    let silent = silent_over_http1(&cluster, CLIENTS).await;
    let mut reading = Watching::open(channel(&cluster, 0).await).await.unwrap();
    reading.create(watch("key", "")).await;
    let before = figures(&cluster, &format!("with {CLIENTS} silent clients"));
    let reader = tokio::spawn(async move { told(&mut reading, VALUES).await });
    for number in 0..VALUES {
        client.put(put(number)).await.unwrap();
    }
    let written = Instant::now();
    reader.await.unwrap();
    println!("the reader beside them had everything {:?} later", written.elapsed());
    let after = figures(&cluster, "after the writes");
    assert!(
        after < before + GROWTH_MIB_MAX,
        "{before} MiB before, {after} MiB after"
    );
    let open = until("some to be given up", SETTLE, async || {
        let seen = metrics(&cluster).await;
        let given_up = seen["kvorum_client_answers_given_up_total{kind=\"watch\"}"];
        let open = seen["kvorum_client_connections"];
        if given_up > 0.0 && open < CLIENTS as f64 {
            Ok(open)
        } else {
            Err(format!("{given_up} given up, {open} open"))
        }
    })
    .await;
    println!("{open} connections are left");
    drop(silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn watchers_that_do_not_read_cost_a_bounded_amount() {
    let streams = seed::count("KVORUM_SILENT_WATCHERS", 1_000);
    let values = seed::count("KVORUM_SILENT_VALUES", 20);
    let cluster = Cluster::plain(1).await;
    let mut client = KvClient::new(channel(&cluster, 0).await);
    figures(&cluster, "with no watchers");
    let live = silent(&cluster, streams / 2, 0).await;
    let mut reading = Watching::open(channel(&cluster, 0).await).await.unwrap();
    reading.create(watch("key", "")).await;
    let before = figures(&cluster, &format!("with {} silent streams", live.len()));

    let started = Instant::now();
    let reader = tokio::spawn(async move {
        told(&mut reading, values).await;
        (reading, Instant::now())
    });
    let mut slowest = Duration::ZERO;
    for number in 0..values {
        let asked = Instant::now();
        client.put(put(number)).await.unwrap();
        slowest = slowest.max(asked.elapsed());
    }
    let written = started.elapsed();
    let (_reading, told_at) = reader.await.unwrap();
    let lag = told_at.duration_since(started).saturating_sub(written);
    println!("{values} values in {written:?}, the slowest in {slowest:?}; the reader had all of them {lag:?} later");
    let with_live = figures(&cluster, "after the writes");

    // Others begin in the past: each wants all of history, which is read for them in parts.
    let past = silent(&cluster, streams / 2, 2).await;
    let began = Instant::now();
    let mut reading = Watching::open(channel(&cluster, 0).await).await.unwrap();
    let wish = WatchCreateRequest {
        start_revision: 2,
        ..watch("key", "")
    };
    reading.create(wish).await;
    told(&mut reading, values).await;
    let caught_up = began.elapsed();
    println!(
        "beside {} more that want history, a reader had all of it after {caught_up:?}",
        past.len()
    );
    let with_all = figures(&cluster, "at the end");
    let seen = metrics(&cluster).await;
    for name in [
        "kvorum_watch_pending_bytes",
        "kvorum_client_answers_bytes{kind=\"watch\"}",
        "kvorum_client_answers_given_up_total{kind=\"watch\"}",
    ] {
        println!("{name} {}", seen[name]);
    }
    for resident in [with_live, with_all] {
        assert!(
            resident < before + GROWTH_MIB_MAX,
            "{before} MiB before, {resident} MiB after"
        );
    }
    assert!(
        lag < Duration::from_secs(10) && caught_up < Duration::from_secs(20),
        "{lag:?} {caught_up:?}"
    );
}
