//! The command line, as a user types it, against a cluster with TLS.

use std::process::Command;

use kvorum_tests::cluster::{Cluster, program};

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
        let file = |name: &str| self.folder.path().join(name).display().to_string();
        let output = Command::new(program())
            .args(arguments)
            .args(["--endpoints", &self.endpoints, "--cacert", &file("ca.crt")])
            .args(["--cert", &file("tls.crt"), "--key", &file("tls.key")])
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        (
            output.status.code().unwrap_or(-1),
            text(&output.stdout),
            text(&output.stderr),
        )
    }

    /// Standard output of a command that must succeed.
    fn good(&self, arguments: &[&str]) -> String {
        let (code, output, errors) = self.run(arguments);
        assert_eq!(code, 0, "kvorum {}: {output}\n{errors}", arguments.join(" "));
        output
    }
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
