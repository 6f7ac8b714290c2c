//! More connections than a member takes, and a member that has no descriptors left.

use std::time::{Duration, Instant};

use kvorum_api::etcdserverpb::PutRequest;
use kvorum_api::etcdserverpb::kv_client::KvClient;
use kvorum_tests::cluster::Cluster;
use kvorum_tests::grpc::{channel, plain};
use kvorum_tests::wait::{SETTLE, pause, until};
use kvorum_tests::web::Web;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::Code;

use super::{figures, metrics, process};

/// A refusal is told at once; this much for a machine that is also compiling.
const AT_ONCE: Duration = Duration::from_secs(5);

/// Whoever is neither answered nor sent away for so long waits.
const QUIET: Duration = Duration::from_secs(3);

fn address(cluster: &Cluster) -> String {
    cluster.url(0).trim_start_matches("http://").to_owned()
}

fn put(key: &str) -> PutRequest {
    PutRequest {
        key: key.to_owned().into(),
        value: "1".into(),
        ..Default::default()
    }
}

/// What a client without manners is told, to the end of the connection.
async fn told(cluster: &Cluster, request: &str) -> String {
    let mut stream = TcpStream::connect(address(cluster)).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    timeout(AT_ONCE, reading)
        .await
        .expect("the end of the connection")
        .unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// Asks over HTTP/1.1 for a key in both languages, on connections for which there is no place.
async fn refused_in_its_own_language(cluster: &Cluster) {
    let problem = told(cluster, "GET /v1/kv/a HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(problem.starts_with("HTTP/1.1 503 "), "{problem}");
    for part in [
        "\r\nretry-after: 1\r\n",
        "\r\nconnection: close\r\n",
        "application/problem+json",
        "\"code\":\"TooManyConnections\"",
    ] {
        assert!(problem.contains(part), "{part}: {problem}");
    }
    let etcds = told(
        cluster,
        "POST /v3/kv/range HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n",
    )
    .await;
    assert!(
        etcds.starts_with("HTTP/1.1 503 ") && etcds.contains("\"code\":14"),
        "{etcds}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_above_the_bound_are_refused() {
    const MAX: usize = 200;
    let cluster = Cluster::plain_with(1, &["--max-connections", "200"]).await;
    figures(&cluster, "with no clients");
    let before = process(&cluster).descriptors();
    let mut idle = Vec::new();
    until("every place to be taken", SETTLE, async || {
        while idle.len() < 2 * MAX {
            idle.push(
                TcpStream::connect(address(&cluster))
                    .await
                    .map_err(|error| error.to_string())?,
            );
        }
        let open = metrics(&cluster).await["kvorum_client_connections"];
        if open == MAX as f64 {
            Ok(())
        } else {
            Err(format!("{open} are open"))
        }
    })
    .await;
    figures(&cluster, &format!("with {MAX} idle clients, and as many refused"));
    // Those that were refused and ask nothing are gone soon.
    until("the refused to be gone", SETTLE, async || {
        let open = process(&cluster).descriptors();
        if open <= before + MAX {
            Ok(())
        } else {
            Err(format!("{open} descriptors"))
        }
    })
    .await;

    refused_in_its_own_language(&cluster).await;
    let started = Instant::now();
    let refused = KvClient::new(plain(&cluster.url(0))).put(put("a")).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (Code::Unavailable, "kvorum: too many connections")
    );
    assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());

    // Probes have places of their own.
    let ready = Web::new(None, None)
        .get(&format!("{}/readyz", cluster.metrics_url(0)))
        .await;
    assert_eq!(ready.unwrap().status, 200);
    let seen = metrics(&cluster).await;
    assert_eq!(seen["kvorum_client_connections_max"], MAX as f64);
    assert!(seen["kvorum_client_connections_refused_total"] >= 3.0 + MAX as f64);

    drop(idle);
    until("a place", SETTLE, async || {
        let served = KvClient::new(plain(&cluster.url(0))).put(put("a")).await;
        served.map(drop).map_err(|status| status.to_string())
    })
    .await;
    figures(&cluster, "after they have left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_without_descriptors_goes_on() {
    let cluster = Cluster::plain(1).await;
    let mut client = KvClient::new(channel(&cluster, 0).await);
    client.put(put("before")).await.unwrap();
    let process = process(&cluster);
    let free = usize::try_from(process.allow_descriptors(0)).unwrap();
    let mut inside = Vec::new();
    for (url, clients) in [(cluster.url(0), free + 40), (cluster.metrics_url(0), 20)] {
        let knock = async || {
            let mut stream = TcpStream::connect(url.trim_start_matches("http://")).await.unwrap();
            match timeout(QUIET, stream.read(&mut [0])).await {
                Err(_) => Some(stream),
                Ok(_) => None,
            }
        };
        let knocks = futures::future::join_all((0..clients).map(|_| knock())).await;
        inside.extend(knocks.into_iter().flatten());
    }
    println!(
        "{free} descriptors were free; {} clients found a place, the others the end",
        inside.len()
    );
    assert!(inside.len() <= free, "clients wait");
    let (ticks, started) = (process.ticks(), Instant::now());
    pause(Duration::from_secs(1)).await;
    let busy = process.ticks() - ticks;
    println!(
        "{busy} hundredths of a second of work in {:?} without descriptors",
        started.elapsed()
    );
    assert!(busy < 50, "it turns round without a pause");
    client.put(put("meanwhile")).await.expect("who is inside is served");

    drop(inside);
    process.allow_descriptors(100);
    let fresh = KvClient::new(plain(&cluster.url(0))).put(put("after")).await;
    fresh.expect("there is room again");
    let seen = metrics(&cluster).await;
    assert!(seen["kvorum_client_connections_refused_total"] >= 20.0);
    let log = process.output();
    let said = log.matches("no file descriptors are left").count();
    assert!((1..10).contains(&said), "said {said} times: {log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_low_limit_of_open_files_leaves_room_for_the_member() {
    // `sh` lowers both limits, which nobody can raise again, and becomes the member.
    let mut cluster = Cluster::founders(1, &[]);
    let program = kvorum_tests::cluster::program();
    let member = &mut cluster.members[0];
    let script = format!("ulimit -n 720; exec {} \"$@\"", program.display());
    let mut arguments = vec!["-c".to_owned(), script, "kvorum".to_owned()];
    arguments.extend(member.arguments.clone());
    let log = member.folder.join("log");
    member.process = Some(kvorum_tests::process::Process::start(
        "/bin/sh".as_ref(),
        &arguments,
        &log,
    ));
    cluster.ready().await;
    let seen = metrics(&cluster).await;
    assert_eq!(seen["process_max_fds"], 720.0);
    assert_eq!(seen["kvorum_client_connections_max"], 80.0);
    let mut idle = Vec::new();
    for _ in 0..600 {
        idle.push(TcpStream::connect(address(&cluster)).await.unwrap());
    }
    figures(&cluster, "with 600 clients and a limit of 720");
    until("everybody to be inside or refused", SETTLE, async || {
        let seen = metrics(&cluster).await;
        let (open, refused) = (
            seen["kvorum_client_connections"],
            seen["kvorum_client_connections_refused_total"],
        );
        if open + refused >= 600.0 {
            Ok(())
        } else {
            Err(format!("{open} inside, {refused} refused"))
        }
    })
    .await;
    assert!(process(&cluster).descriptors() < 720);
    let log = process(&cluster).output();
    assert!(log.contains("80 connections of clients instead of 16384"), "{log}");
    assert!(!log.contains("no file descriptors are left"), "{log}");
}
