//! `kvorum bench`, as a user types it: against Kvorum and, with the same flags, against etcd.

use std::process::Stdio;

use kvorum_tests::cluster::{Cluster, program};
use kvorum_tests::etcd::Etcd;
use kvorum_tests::reference::Reference;
use kvorum_tests::wait::{SETTLE, until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Exit code, standard output and standard error of a benchmark of these endpoints.
async fn bench(endpoints: &str, arguments: &str) -> (i32, String, String) {
    run(endpoints, arguments, &[]).await
}

async fn run(endpoints: &str, arguments: &str, more: &[String]) -> (i32, String, String) {
    let mut command = tokio::process::Command::new(program());
    command.arg("bench").args(arguments.split(' '));
    command.args(["--endpoints", endpoints]).args(more);
    let output = command.output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    let code = output.status.code().unwrap_or(-1);
    (code, text(&output.stdout), text(&output.stderr))
}

/// The report of a benchmark that must succeed.
async fn good(endpoints: &str, arguments: &str) -> Value {
    let (code, output, errors) = bench(endpoints, &format!("{arguments} -o json")).await;
    assert_eq!((code, errors.as_str()), (0, ""), "{arguments}: {output}");
    serde_json::from_str(&output).unwrap()
}

/// The figures of one kind of request, checked for sense.
fn operation<'a>(report: &'a Value, name: &str) -> &'a Value {
    let operations = report["operations"].as_array().unwrap();
    let found = operations.iter().find(|operation| operation["name"] == name);
    let found = found.unwrap_or_else(|| panic!("no {name}: {report}"));
    assert_eq!(found["errors"], 0, "{report}");
    assert_eq!(found["errorTexts"], json!([]), "{report}");
    let latency = |figure: &str| found["latencyMs"][figure].as_f64().unwrap();
    let rising = ["p50", "p90", "p99", "p999", "max"].map(latency);
    assert!(rising.is_sorted() && rising[0] > 0.0, "{report}");
    assert!(
        latency("average") > 0.0 && latency("average") <= latency("max"),
        "{report}"
    );
    found
}

fn requests(report: &Value, name: &str) -> u64 {
    operation(report, name)["requests"].as_u64().unwrap()
}

/// How many keys there are in all.
async fn keys(etcd: &Etcd) -> i64 {
    let question = json!({"key": "AA==", "range_end": "AA==", "count_only": true});
    let answer = etcd.ask("kv/range", &question).await.unwrap();
    answer["count"].as_str().map_or(0, |count| count.parse().unwrap())
}

/// Every benchmark with its counts, on a cluster that holds one key of somebody else.
async fn every_benchmark(etcd: &Etcd, endpoints: &str) {
    etcd.put("app/mine", "1").await.unwrap();

    let report = good(
        endpoints,
        "put --clients 8 --conns 2 --total 300 --key-space-size 50 --sequential-keys",
    )
    .await;
    assert_eq!(requests(&report, "put"), 300);
    assert_eq!(report["keysRemoved"], 50, "{report}");
    let report = good(endpoints, "put --clients 4 --duration 300ms --rate 100 --val-size 0").await;
    let puts = requests(&report, "put");
    assert!((1..=30).contains(&puts), "at most a hundred per second: {report}");
    assert_eq!(keys(etcd).await, 1);

    for consistency in ["l", "s"] {
        let flags = format!("range --clients 4 --total 200 --key-space-size 40 --consistency {consistency} --limit 5");
        let report = good(endpoints, &flags).await;
        assert_eq!(
            (requests(&report, "range"), &report["keysRemoved"]),
            (200, &json!(40)),
            "{report}"
        );
    }
    let report = good(endpoints, "range app/mine --total 20").await;
    assert_eq!(
        (requests(&report, "range"), &report["keysRemoved"]),
        (20, &json!(0)),
        "{report}"
    );

    let report = good(
        endpoints,
        "txn-mixed --clients 4 --total 400 --key-space-size 40 --rw-ratio 3",
    )
    .await;
    let (read, written) = (requests(&report, "read"), requests(&report, "write"));
    assert_eq!((read + written, &report["keysRemoved"]), (400, &json!(40)), "{report}");
    assert!((230..=370).contains(&read), "about three quarters: {report}");

    let report = good(
        endpoints,
        "watch-latency --streams 2 --watchers-per-stream 3 --total 25 --rate 200",
    )
    .await;
    assert_eq!(
        (requests(&report, "put"), requests(&report, "event")),
        (25, 150),
        "{report}"
    );
    assert_eq!(report["keysRemoved"], 1, "{report}");

    assert_eq!(keys(etcd).await, 1, "only what was there before is left");
    assert_eq!(etcd.get("app/mine").await.unwrap().as_deref(), Some("1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_benchmark_counts_and_cleans_up_at_kvorum() {
    let cluster = Cluster::plain(1).await;
    every_benchmark(&cluster.at(0), &cluster.url(0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_benchmark_counts_and_cleans_up_at_etcd() {
    let Some(reference) = Reference::start().await else {
        return;
    };
    every_benchmark(&reference.etcd, &reference.urls[0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_there_is_never_written_over_or_removed() {
    let cluster = Cluster::plain(1).await;
    let (etcd, url) = (cluster.at(0), cluster.url(0));
    etcd.put("kvorum-bench/00000001", "mine").await.unwrap();
    for arguments in [
        "put --total 10",
        "range --total 10",
        "txn-mixed --total 10",
        "watch-latency --total 10",
    ] {
        let (code, output, errors) = bench(&url, arguments).await;
        assert_eq!((code, output.as_str()), (1, ""), "{arguments}: {errors}");
        assert!(errors.contains("1 keys lie below kvorum-bench/ already"), "{errors}");
    }
    assert_eq!(
        etcd.get("kvorum-bench/00000001").await.unwrap().as_deref(),
        Some("mine")
    );
    let kept = good(
        &url,
        "put --total 20 --key-space-size 20 --sequential-keys --key-prefix kept/ --keep",
    )
    .await;
    assert_eq!((&kept["keysRemoved"], keys(&etcd).await), (&json!(0), 21), "{kept}");
    let again = good(
        &url,
        "put --total 20 --key-space-size 20 --sequential-keys --key-prefix kept/ --keep",
    )
    .await;
    assert_eq!((requests(&again, "put"), keys(&etcd).await), (20, 21));
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_and_all_endpoints_are_used() {
    let cluster = Cluster::managed(3).await;
    let folder = tempfile::tempdir().unwrap();
    let pki = cluster.pki.as_ref().unwrap();
    let leaf = pki.application();
    let mut flags = Vec::new();
    for (flag, text) in [
        ("--cacert", &pki.clients.cert),
        ("--cert", &leaf.cert),
        ("--key", &leaf.key),
    ] {
        let path = folder.path().join(flag);
        std::fs::write(&path, text).unwrap();
        flags.extend([flag.to_owned(), path.display().to_string()]);
    }
    let all: Vec<String> = (0..3).map(|index| cluster.url(index)).collect();
    let (code, output, errors) = run(&all.join(","), "put --clients 6 --total 120 -o json", &flags).await;
    assert_eq!(code, 0, "{output} {errors}");
    let report: Value = serde_json::from_str(&output).unwrap();
    assert_eq!(
        (&report["connections"], &report["endpoints"]),
        (&json!(3), &json!(3)),
        "{report}"
    );
    assert_eq!(requests(&report, "put"), 120);
    assert_eq!(keys(&cluster.at(0)).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_asked_for_where_users_are_demanded() {
    let cluster = Cluster::plain(1).await;
    let etcd = cluster.at(0);
    for (path, body) in [
        ("auth/user/add", json!({"name": "root", "password": "secret"})),
        ("auth/user/grant", json!({"user": "root", "role": "root"})),
        ("auth/enable", json!({})),
    ] {
        etcd.ask(path, &body).await.unwrap();
    }
    let (code, _, errors) = bench(&cluster.url(0), "put --total 10").await;
    assert!(code == 1 && errors.contains("user name is empty"), "{code} {errors}");
    let report = good(&cluster.url(0), "put --total 10 --user root:secret").await;
    assert_eq!(requests(&report, "put"), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_told_and_end_with_an_exit_code() {
    for command in ["put", "range", "txn-mixed", "watch-latency"] {
        let (code, output, errors) = bench("http://127.0.0.1:1", command).await;
        assert_eq!((code, output.as_str()), (3, ""), "{errors}");
        assert!(errors.contains("http://127.0.0.1:1 cannot be reached"), "{errors}");
    }
    for (arguments, reason) in [
        ("put --clients 0", "--clients: 0 is outside 1 to 10000"),
        (
            "put --clients 2 --conns 3",
            "--conns: 3 connections are more than the 2",
        ),
        ("put --total 0", "--total: 0 is outside 1 to 1000000000"),
        ("put --total 5 --duration 1s", "cannot be used with"),
        ("put --duration 25h", "--duration: at most"),
        ("put --rate 1000001", "--rate: 1000001 is outside 0 to 1000000"),
        (
            "put --key-size 1 --key-space-size 17",
            "--key-size: 17 keys need 2 bytes to differ, and 1 are given",
        ),
        (
            "put --key-space-size 0",
            "--key-space-size: 0 is outside 1 to 100000000",
        ),
        ("put --val-size 1048577", "--val-size: 1048577 is outside 0 to 1048576"),
        ("range --limit -1", "unexpected argument"),
        ("range --limit=-1", "--limit: -1 is outside 0 to 1000000"),
        ("range --consistency x", "possible values: l, s"),
        ("txn-mixed --rw-ratio=nan", "--rw-ratio: NaN is outside"),
        ("watch-latency --val-size 7", "--val-size: 7 is outside 8 to 1048576"),
        ("watch-latency --streams 0", "--streams: 0 is outside 1 to 1000"),
        (
            "watch-latency --streams 1000 --watchers-per-stream 101",
            "--watchers-per-stream: 101 is outside 1 to 100",
        ),
    ] {
        let (code, output, errors) = bench("http://127.0.0.1:1", arguments).await;
        assert_eq!((code, output.as_str()), (2, ""), "{arguments}: {errors}");
        assert!(errors.contains(reason), "{arguments}: {errors}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_fail_are_counted_with_their_texts() {
    let cluster = Cluster::plain_with(1, &["--max-request-bytes", "8192"]).await;
    let (code, output, errors) = bench(&cluster.url(0), "put --total 7 --val-size 20000 -o json").await;
    assert_eq!((code, errors.as_str()), (1, "Error: 7 of 7 failed"), "{output}");
    let report: Value = serde_json::from_str(&output).unwrap();
    let put = &report["operations"][0];
    assert_eq!((&put["requests"], &put["errors"]), (&json!(7), &json!(7)), "{report}");
    let texts = put["errorTexts"].as_array().unwrap();
    assert_eq!((texts.len(), &texts[0]["count"]), (1, &json!(7)), "{report}");
    assert!(
        texts[0]["text"].as_str().unwrap().contains("request is too large"),
        "{report}"
    );
    assert_eq!(put["latencyMs"]["max"], 0.0, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_interrupted_reports_and_cleans_up() {
    let cluster = Cluster::plain(1).await;
    let etcd = cluster.at(0);
    for signal in [Signal::INT, Signal::TERM] {
        let mut command = tokio::process::Command::new(program());
        command.args([
            "bench",
            "put",
            "--duration",
            "10m",
            "-o",
            "json",
            "--endpoints",
            &cluster.url(0),
        ]);
        let child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        until("some keys", SETTLE, || async {
            match keys(&etcd).await {
                0 => Err("no key yet".to_owned()),
                _ => Ok(()),
            }
        })
        .await;
        let id = i32::try_from(child.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
        let output = tokio::time::timeout(SETTLE, child.wait_with_output())
            .await
            .unwrap()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["interrupted"], true, "{report}");
        assert!(
            requests(&report, "put") > 0 && report["keysRemoved"].as_i64() > Some(0),
            "{report}"
        );
        assert_eq!(keys(&etcd).await, 0);
    }
}
