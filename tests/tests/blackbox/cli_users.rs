//! Users and roles at the command line: an administrator sets them up, a user lives within them, nobody gets around them.

use kvorum_tests::cluster::Cluster;
use kvorum_tests::shell::Shell;
use serde_json::Value;

/// A refused command prints nothing, says why in one sentence and ends with exit code 1.
fn refused(shell: &Shell, arguments: &[&str], reason: &str) {
    let (code, output, errors) = shell.run(arguments);
    let told = format!("kvorum {}: {code} {output} {errors}", arguments.join(" "));
    assert!(code == 1 && output.is_empty() && errors.contains(reason), "{told}");
    assert_eq!(errors.lines().count(), 1, "{told}");
}

/// As `user`, with the password `<user>-secret`.
fn as_user(user: &str, command: &str) -> Vec<String> {
    let words = command.split(' ').map(str::to_owned);
    words
        .chain(["--user".to_owned(), format!("{user}:{user}-secret")])
        .collect()
}

fn good_as(shell: &Shell, user: &str, command: &str) -> String {
    let words = as_user(user, command);
    shell.good(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

fn refused_as(shell: &Shell, user: &str, command: &str, reason: &str) {
    let words = as_user(user, command);
    refused(shell, &words.iter().map(String::as_str).collect::<Vec<_>>(), reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn users_live_within_their_roles() {
    let cluster = Cluster::plain(3).await;
    let shell = Shell::new(&cluster);
    refused(&shell, &["auth", "enable"], "root user does not exist");
    assert_eq!(shell.good(&["user", "add", "root:root-secret"]), "User root created");
    refused(&shell, &["auth", "enable"], "root user does not have root role");
    assert_eq!(shell.good(&["role", "add", "root"]), "Role root created");
    shell.good(&["user", "grant-role", "root", "root"]);
    let (code, output, errors) = shell.feed(&["user", "add", "alice", "--interactive=false"], "alice-secret\n");
    assert_eq!((code, output.as_str()), (0, "User alice created"), "{errors}");
    shell.good(&["role", "add", "reader"]);
    assert_eq!(
        shell.good(&["role", "grant-permission", "reader", "read", "app/", "--prefix"]),
        "Role reader updated"
    );
    shell.good(&["role", "grant-permission", "reader", "readwrite", "app/own"]);
    assert_eq!(
        shell.good(&["user", "grant-role", "alice", "reader"]),
        "Role reader is granted to user alice"
    );
    shell.good(&["put", "app/one", "1"]);
    shell.good(&["put", "other", "2"]);
    assert_eq!(shell.good(&["auth", "enable"]), "Authentication Enabled");

    refused(&shell, &["get", "app/one"], "user name is empty");
    refused(
        &shell,
        &["get", "app/one", "--user", "alice:wrong"],
        "authentication failed, invalid user ID or password",
    );
    assert_eq!(good_as(&shell, "alice", "get app/ --prefix"), "app/one\n1");
    assert_eq!(good_as(&shell, "alice", "put app/own mine"), "OK");
    for command in ["put app/one 2", "get other", "get a --from-key", "del app/ --prefix"] {
        refused_as(&shell, "alice", command, "permission denied");
    }
    for command in [
        "user list",
        "role list",
        "user add mallory --no-password",
        "auth disable",
        "user grant-role alice root",
    ] {
        refused_as(&shell, "alice", command, "permission denied");
    }
    assert!(good_as(&shell, "alice", "user get alice").contains("reader"));

    let told = good_as(&shell, "root", "user get alice --detail");
    for part in ["alice", "reader", "[app/, app0) (prefix app/)", "app/own"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let json: Value = serde_json::from_str(&good_as(&shell, "root", "user list -o json")).unwrap();
    assert_eq!(json["users"], serde_json::json!(["alice", "root"]));
    assert_eq!(good_as(&shell, "root", "role list"), "reader\nroot");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_back_is_gone_at_once() {
    let cluster = Cluster::managed(1).await;
    let shell = Shell::new(&cluster);
    for command in [
        "user add root:root-secret",
        "role add root",
        "user grant-role root root",
        "user add bob:bob-secret",
        "role add writer",
        "role grant-permission writer readwrite k",
        "user grant-role bob writer",
        "auth enable",
    ] {
        shell.good(&command.split(' ').collect::<Vec<_>>());
    }
    good_as(&shell, "bob", "put k v");
    assert!(
        good_as(&shell, "root", "role revoke-permission writer k")
            .contains("Permission of key k is revoked from role writer")
    );
    refused_as(&shell, "bob", "put k v", "permission denied");
    good_as(&shell, "root", "role grant-permission writer readwrite k");
    good_as(&shell, "bob", "put k v");
    good_as(&shell, "root", "user revoke-role bob writer");
    refused_as(&shell, "bob", "get k", "permission denied");

    let change = as_user("root", "user passwd bob --interactive=false");
    let change: Vec<&str> = change.iter().map(String::as_str).collect();
    let (code, output, errors) = shell.feed(&change, "");
    assert_eq!((code, output.as_str()), (2, ""), "an empty password: {errors}");
    let (code, output, errors) = shell.feed(&change, "new\n");
    assert_eq!((code, output.as_str()), (0, "Password updated"), "{errors}");
    refused_as(&shell, "bob", "get k", "authentication failed");
    good_as(&shell, "root", "user delete bob");
    refused(&shell, &["get", "k", "--user", "bob:new"], "authentication failed");
    refused_as(&shell, "root", "user delete bob", "user name not found");
    refused_as(
        &shell,
        "root",
        "role grant-permission nobody read k",
        "role name not found",
    );
    assert_eq!(good_as(&shell, "root", "auth disable"), "Authentication Disabled");
    assert_eq!(shell.good(&["get", "k"]), "k\nv");
}
