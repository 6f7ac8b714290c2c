//! What is allowed and what is refused, with the words that people read.

use clap::Parser;
use test_case::test_case;

use super::*;

#[derive(Parser)]
struct Serve {
    #[command(flatten)]
    settings: Settings,
}

fn config(flags: &str) -> Result<Config, String> {
    let words = std::iter::once("serve").chain(flags.split_whitespace());
    let settings = Serve::try_parse_from(words)
        .map_err(|error| error.to_string())?
        .settings;
    Config::from_settings(settings).map_err(|error| error.to_string())
}

#[test]
fn alone_it_is_a_cluster_of_one_on_loopback() {
    let config = config("").unwrap();
    assert_eq!(config.name, "default");
    assert_eq!(config.data_dir, PathBuf::from("default.kvorum"));
    assert_eq!(config.listen_client[0].address.to_string(), "127.0.0.1:2379");
    assert_eq!(config.advertise_peer.urls(), ["http://127.0.0.1:2380"]);
    let Bootstrap::New { members, .. } = config.bootstrap else {
        panic!("{:?}", config.bootstrap)
    };
    assert_eq!(members.len(), 1);
    assert_eq!(members[0].peer_urls, ["http://127.0.0.1:2380"]);
    assert_eq!(
        config.limits,
        Limits {
            request_bytes_max: 1_572_864,
            txn_ops_max: 128,
            connections_max: 16_384,
            requests_bytes_max: 268_435_456,
            answers_bytes_max: 268_435_456,
        }
    );
    assert_eq!(config.timing.heartbeat, Duration::from_millis(100));
    assert_eq!(config.timing.election, Duration::from_millis(1000));
}

#[test]
fn the_operators_arguments_are_understood() {
    let config = config(
        "--name demo-0 --data-dir /var/lib/kvorum/data --identity-dir /etc/kvorum/identity
         --listen-client-urls https://0.0.0.0:2379 --advertise-client-urls https://demo-0-0.demo-peers.ns.svc:2379
         --listen-peer-urls https://0.0.0.0:2380 --initial-advertise-peer-urls https://demo-0-0.demo-peers.ns.svc:2380
         --listen-metrics-urls http://0.0.0.0:2381 --client-cert-auth
         --cert-file s.crt --key-file s.key --trusted-ca-file c.crt
         --peer-cert-file p.crt --peer-key-file p.key --peer-trusted-ca-file pc.crt
         --initial-cluster-state managed",
    )
    .unwrap();
    assert_eq!(config.bootstrap, Bootstrap::Managed);
    assert_eq!(
        config.advertise_client.urls(),
        ["https://demo-0-0.demo-peers.ns.svc:2379"]
    );
    assert_eq!(config.peer_tls.unwrap().ca, Some(PathBuf::from("pc.crt")));
    assert!(config.client_cert_auth);
}

#[test]
fn founding_members_agree_on_ids() {
    let members = "a=http://127.0.0.1:1,b=http://127.0.0.1:2,c=http://127.0.0.1:3";
    let of = |name: &str, port: u16| {
        let flags = format!(
            "--name {name} --listen-peer-urls http://127.0.0.1:{port} --initial-cluster {members} \
             --initial-cluster-token t"
        );
        config(&flags).unwrap().bootstrap
    };
    assert_eq!(of("a", 1), of("b", 2));
    let Bootstrap::New { cluster_id, members } = of("c", 3) else {
        panic!("not new")
    };
    assert!(members.windows(2).all(|pair| pair[0].id < pair[1].id));
    assert!(members.iter().all(|member| member.id != cluster_id));
    let existing = config("--initial-cluster-state existing --initial-cluster-token t").unwrap();
    assert_eq!(existing.bootstrap, Bootstrap::Existing { cluster_id });
}

#[test_case("--name /", "--name: \"/\" is not a member name: 1 to 63 letters, digits, '-', '_' and '.' are allowed"; "name")]
#[test_case("--listen-client-urls http://0.0.0.0:2379",
    "--listen-client-urls: plain text on 0.0.0.0:2379 would be readable by others: use https://, a loopback address, or --allow-insecure-listen"; "exposed")]
#[test_case("--allow-insecure-listen --listen-client-urls http://0.0.0.0:2379",
    "--advertise-client-urls: needed, because 0.0.0.0:2379 is not an address that others can dial"; "nothing to advertise")]
#[test_case("--listen-peer-urls https://127.0.0.1:2380",
    "--peer-cert-file: needed, with --peer-key-file, for https:// in --listen-peer-urls"; "peer certificate")]
#[test_case("--listen-peer-urls https://127.0.0.1:2380 --peer-cert-file a --peer-key-file b",
    "--peer-trusted-ca-file: needed: members always check each other's certificates"; "peer ca")]
#[test_case("--cert-file a --key-file b",
    "--cert-file: has no effect: --listen-client-urls has no https:// address"; "certificate without effect")]
#[test_case("--cert-file a", "--key-file: needed, because --cert-file is given"; "half a pair")]
#[test_case("--client-cert-auth", "--client-cert-auth: needs https:// in --listen-client-urls and --trusted-ca-file"; "client auth")]
#[test_case("--listen-client-urls http://example.com:1",
    "--listen-client-urls: http://example.com:1: the host to listen on must be an IP address or localhost"; "listen on a name")]
#[test_case("--listen-client-urls http://127.0.0.1",
    "--listen-client-urls: http://127.0.0.1: no port; http(s)://host:port is allowed"; "no port")]
#[test_case("--listen-client-urls ftp://127.0.0.1:1",
    "--listen-client-urls: ftp://127.0.0.1:1: the scheme is not http or https; http(s)://host:port is allowed"; "scheme")]
#[test_case("--listen-client-urls http://127.0.0.1:1,",
    "--listen-client-urls: needs at least one URL, and no empty ones between commas"; "empty url")]
#[test_case("--listen-metrics-urls https://127.0.0.1:1",
    "--listen-metrics-urls: probes and metrics are plain text: only http:// is allowed"; "metrics over tls")]
#[test_case("--initial-cluster a=http://127.0.0.1:2380",
    "--initial-cluster: does not name this member, \"default\" (--name)"; "stranger")]
#[test_case("--initial-cluster default=http://127.0.0.1:9",
    "--initial-cluster: says default is at http://127.0.0.1:9, but --initial-advertise-peer-urls says http://127.0.0.1:2380"; "other address")]
#[test_case("--initial-cluster default",
    "--initial-cluster: \"default\": name=url is allowed, with commas between"; "no url")]
#[test_case("--initial-cluster default=http://127.0.0.1:2380,b=http://127.0.0.1:2380",
    "--initial-cluster: http://127.0.0.1:2380 is given for default and b"; "shared address")]
#[test_case("--initial-cluster-state old", "--initial-cluster-state: \"old\": new, existing or managed are allowed"; "state")]
#[test_case("--initial-cluster-state managed --initial-cluster default=http://127.0.0.1:2380",
    "--initial-cluster: has no effect with --initial-cluster-state managed"; "managed")]
#[test_case("--initial-cluster-state managed",
    "--identity-dir: needed with --initial-cluster-state managed: the operator says there which cluster this is"; "managed by nobody")]
#[test_case("--heartbeat-interval 300",
    "--election-timeout: 1000 ms is too short: at least 5 times --heartbeat-interval (300 ms)"; "election")]
#[test_case("--heartbeat-interval 1", "--heartbeat-interval: 1 ms is too short: at least 10 ms"; "heartbeat")]
#[test_case("--election-timeout 60000", "--election-timeout: 60000 ms is too long: at most 50000 ms"; "long election")]
#[test_case("--max-request-bytes 1", "--max-request-bytes: 1 is outside 4096 to 67108864 bytes"; "request bytes")]
#[test_case("--watch-progress-notify-interval 10ms", "--watch-progress-notify-interval: 10ms is too short: at least 100ms"; "progress interval")]
#[test_case("--max-txn-ops 0", "--max-txn-ops: 0 is outside 1 to 100000"; "txn ops")]
#[test_case("--max-connections 0", "--max-connections: 0 would let nobody in: at least 1"; "connections")]
#[test_case("--max-requests-bytes 1", "--max-requests-bytes: 1 is too little: at least 16777216, a few of the largest requests"; "bytes of requests")]
#[test_case("--max-answers-bytes 1", "--max-answers-bytes: 1 is too little: at least 16777216, a few of the largest requests"; "bytes of answers")]
#[test_case("--log-format xml", "--log-format: \"xml\": text or json are allowed"; "log format")]
fn refused(flags: &str, expected: &str) {
    assert_eq!(config(flags).unwrap_err(), expected);
}

#[test]
fn a_level_is_checked_before_it_is_used() {
    let error = config("--log-level loud=quiet").unwrap_err();
    assert!(
        error.starts_with("--log-level: \"loud=quiet\": trace, debug, info, warn, error or"),
        "{error}"
    );
    assert_eq!(
        config("--log-level info,kvorum=debug").unwrap().log.level,
        "info,kvorum=debug"
    );
}

#[test]
fn a_switch_can_be_switched_off() {
    assert!(!config("--client-cert-auth=false").unwrap().client_cert_auth);
}
