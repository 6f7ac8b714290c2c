//! The command line, as a user types it, against a cluster with TLS.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use kvorum_tests::cluster::{Cluster, program};
use kvorum_tests::wait::{SETTLE, until};

struct Shell {
    endpoints: String,
    folder: tempfile::TempDir,
}

impl Shell {
    /// A shell whose user has an application's certificate, and knows these endpoints.
    fn new(cluster: &Cluster, endpoints: String) -> Shell {
        let folder = tempfile::tempdir().unwrap();
        let pki = cluster.pki.as_ref().unwrap();
        let leaf = pki.application();
        for (name, text) in [
            ("ca.crt", &pki.clients.cert),
            ("tls.crt", &leaf.cert),
            ("tls.key", &leaf.key),
        ] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        Shell { endpoints, folder }
    }

    /// Exit code, standard output and standard error of one command.
    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        self.feed(arguments, "")
    }

    /// As [`Shell::run`], with something on standard input.
    fn feed(&self, arguments: &[&str], input: &str) -> (i32, String, String) {
        let mut command = Command::new(program());
        command.args(arguments).args(self.flags());
        finish(command, input)
    }

    /// As [`Shell::run`], with the shell's own flags before the command: what follows `--` is the user's.
    fn run_before(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(program());
        command.args(self.flags()).args(arguments);
        finish(command, "")
    }

    /// Starts a command that runs on, with the file that it prints into.
    fn start(&self, arguments: &[&str]) -> (Running, PathBuf) {
        let path = self.folder.path().join("printed");
        let mut command = Command::new(program());
        command
            .args(arguments)
            .args(self.flags())
            .stdout(std::fs::File::create(&path).unwrap())
            .stderr(Stdio::null());
        (Running(command.spawn().unwrap()), path)
    }

    fn flags(&self) -> [String; 8] {
        let file = |name: &str| self.folder.path().join(name).display().to_string();
        [
            "--endpoints".to_owned(),
            self.endpoints.clone(),
            "--cacert".to_owned(),
            file("ca.crt"),
            "--cert".to_owned(),
            file("tls.crt"),
            "--key".to_owned(),
            file("tls.key"),
        ]
    }

    /// Standard output of a command that must succeed.
    fn good(&self, arguments: &[&str]) -> String {
        let (code, output, errors) = self.run(arguments);
        assert_eq!(code, 0, "kvorum {}: {output}\n{errors}", arguments.join(" "));
        output
    }
}

/// A command under way; it ends with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself, and then there is nobody to end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn finish(mut command: Command, input: &str) -> (i32, String, String) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    (
        output.status.code().unwrap_or(-1),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_put_got_and_deleted() {
    let cluster = Cluster::managed(3).await;
    let all: Vec<String> = (0..3).map(|index| cluster.url(index)).collect();
    let shell = Shell::new(&cluster, all.join(","));
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
    let shell = Shell::new(&cluster, all.join(","));
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
    let shell = Shell::new(&cluster, cluster.url(0));
    let (code, _, errors) = shell.run(&["get"]);
    assert!(code != 0 && !errors.is_empty(), "{code} {errors}");
    let nobody = Shell::new(&cluster, "https://127.0.0.1:1".to_owned());
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
    let all: Vec<String> = (0..3).map(|index| cluster.url(index)).collect();
    let shell = Shell::new(&cluster, all.join(","));
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
    let all: Vec<String> = (0..3).map(|index| cluster.url(index)).collect();
    let shell = Shell::new(&cluster, all.join(","));
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
    let shell = Shell::new(&cluster, cluster.url(0));
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
