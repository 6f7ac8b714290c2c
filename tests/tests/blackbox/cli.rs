//! The command line, as a user types it, against a cluster with TLS.

use kvorum_tests::cluster::Cluster;
use kvorum_tests::shell::Shell;
use kvorum_tests::wait::{SETTLE, until};

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_put_got_and_deleted() {
    let cluster = Cluster::managed(3).await;
    let shell = Shell::new(&cluster);
    shell.good(&["put", "fruit", "apple"]);
    assert_eq!(shell.good(&["get", "fruit"]), "fruit\napple");
    assert_eq!(cluster.at(0).get("fruit").await.unwrap().as_deref(), Some("apple"));
    let json: serde_json::Value = serde_json::from_str(&shell.good(&["get", "fruit", "-o", "json"])).unwrap();
    assert!(json.to_string().contains("mod_revision"), "{json}");
    shell.good(&["put", "fruit2", "pear"]);
    assert_eq!(shell.good(&["get", "fruit", "--prefix"]), "fruit\napple\nfruit2\npear");
    assert_eq!(shell.good(&["del", "fruit", "--prefix"]), "2");
    assert_eq!(shell.good(&["get", "fruit"]), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn members_and_endpoints_are_listed() {
    let cluster = Cluster::managed(3).await;
    let all: Vec<String> = (0..3).map(|index| cluster.url(index)).collect();
    let shell = Shell::new(&cluster);
    let members = shell.good(&["member", "list"]);
    for name in ["n0", "n1", "n2"] {
        assert!(members.contains(name), "{members}");
    }
    let status = shell.good(&["endpoint", "status"]);
    assert!(
        all.iter()
            .all(|url| status.contains(url.trim_start_matches("https://"))),
        "{status}"
    );
    let health = shell.good(&["endpoint", "health"]);
    assert!(health.contains("healthy"), "{health}");
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_have_exit_codes_and_one_sentence() {
    let cluster = Cluster::managed(1).await;
    let shell = Shell::new(&cluster);
    let (code, _, errors) = shell.run(&["get"]);
    assert!(code != 0 && !errors.is_empty(), "{code} {errors}");
    let nobody = Shell::knowing(&cluster, "https://127.0.0.1:1".to_owned());
    let (code, output, errors) = nobody.run(&["get", "key"]);
    assert!(
        code != 0 && output.is_empty() && errors.contains("127.0.0.1:1"),
        "{code} {output} {errors}"
    );
    assert!(!errors.contains("panicked"), "{errors}");
    let (code, _, errors) = shell.run(&["put", "", "value"]);
    assert!(code != 0 && errors.contains("key is not provided"), "{code} {errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_and_locks_are_held_as_long_as_they_should_be() {
    let cluster = Cluster::managed(3).await;
    let shell = Shell::new(&cluster);
    let granted = shell.good(&["lease", "grant", "100"]);
    let id = granted.split(' ').nth(1).unwrap_or_default();
    shell.good(&["put", "session", "mine", "--lease", id]);
    let told = shell.good(&["lease", "timetolive", id, "--keys"]);
    assert!(
        told.contains("granted with TTL(100s)") && told.ends_with("attached keys([session])"),
        "{told}"
    );
    assert!(
        shell
            .good(&["lease", "keep-alive", id, "--once"])
            .ends_with("keepalived with TTL(100)")
    );
    shell.good(&["lease", "revoke", id]);
    assert_eq!(shell.good(&["get", "session"]), "");
    let (code, _, errors) = shell.run(&["lease", "revoke", id]);
    assert!(
        code == 1 && errors.contains("requested lease not found"),
        "{code} {errors}"
    );

    let (code, output, errors) = shell.run_before(&["lock", "backup", "--", "sh", "-c", "echo $ETCD_LOCK_KEY; exit 4"]);
    assert!(code == 4 && output.starts_with("backup/"), "{code} {output} {errors}");
    assert_eq!(
        shell.good(&["get", "backup", "--prefix", "--keys-only"]),
        "",
        "the lock is given back"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_goes_on_where_it_stopped_when_its_member_dies() {
    let mut cluster = Cluster::managed(3).await;
    let shell = Shell::new(&cluster);
    shell.good(&["put", "k", "1"]);
    let watch = shell.start(&["watch", "k", "--rev", "1"]);
    let seen = |count: usize| {
        let path = watch.1.clone();
        until("the watch to have printed", SETTLE, move || {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            async move {
                if text.matches("PUT").count() == count {
                    Ok(text)
                } else {
                    Err(text)
                }
            }
        })
    };
    seen(1).await;
    shell.good(&["put", "k", "2"]);
    seen(2).await;
    // The command asked the first endpoint; that member goes.
    cluster.kill(0);
    shell.good(&["put", "k", "3"]);
    let text = seen(3).await;
    assert_eq!(
        text, "PUT\nk\n1\nPUT\nk\n2\nPUT\nk\n3\n",
        "each change once, none left out"
    );
    drop(watch);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_typed_line_by_line() {
    let cluster = Cluster::managed(1).await;
    let shell = Shell::new(&cluster);
    let (code, output, errors) = shell.feed(&["txn"], "version(\"a\") = \"0\"\n\nput a 'b c'\nget a\n\nget a\n");
    assert_eq!((code, output.as_str()), (0, "SUCCESS\n\nOK\n\na\nb c"), "{errors}");
    let (code, output, _) = shell.feed(&["txn"], "version(\"a\") = \"0\"\n\nput a d\n\nget a\n");
    assert_eq!((code, output.as_str()), (0, "FAILURE\n\na\nb c"));
    let (code, output, errors) = shell.feed(&["txn"], "version(a) = 0\n");
    assert!(
        code == 2 && output.is_empty() && errors.contains("line 1"),
        "{code} {errors}"
    );
}
