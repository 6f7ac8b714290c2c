//! Requests that never finish, and answers that nobody reads.

use std::time::{Duration, Instant};

use bytes::Bytes;
use kvorum_api::etcdserverpb::kv_client::KvClient;
use kvorum_api::etcdserverpb::{PutRequest, RangeRequest, RangeResponse};
use kvorum_tests::cluster::Cluster;
use kvorum_tests::grpc::{channel, endpoint};
use kvorum_tests::seed;
use kvorum_tests::wait::{SETTLE, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::client::Grpc;
use tonic::{Code, Request, Streaming};
use tonic_prost::ProstCodec;

use super::{figures, metrics};

/// A value near the largest that is accepted.
const LARGE: usize = 1_400_000;
/// The bounds on what is held that members of these tests run with.
const HELD_MIB: u64 = 64;
/// What a member may grow by, far below what clients ask it to hold: both bounds twice over, since JSON is decoded from
/// one place of memory to another, and what the allocator keeps.
const GROWTH_MIB_MAX: u64 = 4 * HELD_MIB + 128;

async fn member() -> Cluster {
    let bytes = (HELD_MIB << 20).to_string();
    Cluster::plain_with(1, &["--max-requests-bytes", &bytes, "--max-answers-bytes", &bytes]).await
}

fn put(key: &str, bytes: usize) -> PutRequest {
    PutRequest {
        key: key.to_owned().into(),
        value: vec![b'x'; bytes].into(),
        ..Default::default()
    }
}

/// Begins to put a large value and stops before the end of it.
async fn begin(cluster: &Cluster) -> TcpStream {
    let address = cluster.url(0).trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("PUT /v1/kv/a HTTP/1.1\r\nhost: a\r\ncontent-length: {LARGE}\r\n\r\n");
    // Whoever is refused in the middle finds the connection closed.
    let body = vec![b'x'; LARGE - 1];
    let sending = async {
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&body).await
    };
    let _ = timeout(SETTLE, sending).await.expect("somebody reads, or refuses");
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_never_finish_are_bounded() {
    let clients = seed::count("KVORUM_UNFINISHED", 200);
    let cluster = member().await;
    let mut client = KvClient::new(channel(&cluster, 0).await);
    client.put(put("a", 1)).await.unwrap();
    let before = figures(&cluster, "before");
    let began = Instant::now();
    let unfinished = futures::future::join_all((0..clients).map(|_| begin(&cluster))).await;
    let refused = until("those without room to be refused", SETTLE, async || {
        let seen = metrics(&cluster).await;
        let (held, refused) = (
            seen["kvorum_client_requests_bytes"],
            seen["kvorum_client_requests_refused_total"],
        );
        assert!(held <= (HELD_MIB << 20) as f64, "{held}");
        if held > (HELD_MIB << 19) as f64 && refused > 0.0 {
            Ok(refused)
        } else {
            Err(format!("{held} {refused}"))
        }
    })
    .await;
    let after = figures(
        &cluster,
        &format!("{clients} requests of {LARGE} bytes that lack one, {refused} of them refused"),
    );
    assert!(
        after < before + GROWTH_MIB_MAX,
        "{before} MiB before, {after} MiB after"
    );

    // A small request has room, a large one is refused in etcd's words.
    client.put(put("a", 1)).await.expect("a small request always has room");
    let status = client.put(put("b", 8 * LARGE / 10)).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::ResourceExhausted, "etcdserver: too many requests")
    );
    let mut told = 0;
    for mut stream in unfinished {
        // Those that wait for their last byte leave.
        stream.shutdown().await.ok();
        let mut answer = Vec::new();
        let _ = timeout(SETTLE, stream.read_to_end(&mut answer)).await.expect("an end");
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 429 ") || answer.starts_with("HTTP/1.1 400 "),
            "{answer}"
        );
        told += usize::from(!answer.is_empty());
    }
    println!("{told} of {clients} were told why");
    assert!(told > 0);
    client.put(put("b", LARGE)).await.expect("there is room again");
    figures(&cluster, &format!("at the end, after {:?}", began.elapsed()));
}

/// Asks for the value and reads nothing of the answer.
async fn ask_without_reading(channel: tonic::transport::Channel) -> Result<Streaming<RangeResponse>, tonic::Status> {
    let mut client = Grpc::new(channel);
    client
        .ready()
        .await
        .map_err(|error| tonic::Status::from_error(error.into()))?;
    let request = RangeRequest {
        key: Bytes::from_static(b"large"),
        ..Default::default()
    };
    let codec: ProstCodec<RangeRequest, RangeResponse> = ProstCodec::default();
    let path = "/etcdserverpb.KV/Range".parse().unwrap();
    let answer = client.server_streaming(Request::new(request), path, codec).await?;
    Ok(answer.into_inner())
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_nobody_reads_are_bounded() {
    const PER_CONNECTION: usize = 50;
    let readers = seed::count("KVORUM_UNREAD", 300);
    let cluster = member().await;
    let mut client = KvClient::new(channel(&cluster, 0).await);
    client.put(put("large", LARGE)).await.unwrap();
    let before = figures(&cluster, "before");
    let mut unread = Vec::new();
    for _ in 0..readers / PER_CONNECTION {
        let silent = endpoint(&cluster, 0)
            .initial_stream_window_size(1 << 10)
            .connect()
            .await
            .unwrap();
        let asked = (0..PER_CONNECTION).map(|_| ask_without_reading(silent.clone()));
        unread.extend(futures::future::join_all(asked).await);
        let started = Instant::now();
        let request = RangeRequest {
            key: Bytes::from_static(b"large"),
            ..Default::default()
        };
        let read = client.range(request).await.expect("a reader beside them is served");
        assert_eq!(read.into_inner().kvs[0].value.len(), LARGE);
        println!(
            "{} answers unread; one beside them was read in {:?}",
            unread.len(),
            started.elapsed()
        );
        assert!(started.elapsed() < Duration::from_secs(5));
    }
    let after = figures(
        &cluster,
        &format!("{readers} answers of {LARGE} bytes that nobody reads"),
    );
    let seen = metrics(&cluster).await;
    let given_up = seen["kvorum_client_answers_given_up_total{kind=\"call\"}"];
    println!(
        "{} bytes wait, {given_up} were given up",
        seen["kvorum_client_answers_bytes{kind=\"call\"}"]
    );
    assert!(given_up > 0.0);
    assert!(
        after < before + GROWTH_MIB_MAX,
        "{before} MiB before, {after} MiB after"
    );
    // Who reads on at last is told, or gets all of it: never a part for the whole.
    let (mut whole, mut broken) = (0, 0);
    for answer in unread {
        match answer {
            Ok(mut answer) => match timeout(SETTLE, answer.message()).await.expect("an end") {
                Ok(message) => {
                    assert_eq!(message.unwrap().kvs[0].value.len(), LARGE);
                    whole += 1;
                }
                Err(_) => broken += 1,
            },
            Err(status) => assert_eq!(status.code(), Code::ResourceExhausted, "{status}"),
        }
    }
    println!("read at last: {whole} whole, {broken} broken off");
    assert!(whole > 0 && broken > 0);
}
