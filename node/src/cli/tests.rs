//! Command lines to requests, responses to text; and the exit codes, with nobody listening.

mod render;

use super::*;
use clap::{CommandFactory as _, Parser};
use kvorum_api::json;
use test_case::test_case;

/// The command line as `main` knows it, without `serve`.
#[derive(Parser)]
#[command(name = "kvorum")]
struct Program {
    #[command(flatten)]
    before: Global,
    #[command(subcommand)]
    command: Command,
}

fn parse(line: &str) -> Result<Program, clap::Error> {
    let words = line
        .split(' ')
        .filter(|word| !word.is_empty())
        .map(|word| if word == "''" { "" } else { word });
    Program::try_parse_from(["kvorum"].into_iter().chain(words))
}

/// The request that a command line makes, as etcd's JSON; or the first line of the complaint.
fn request(line: &str) -> String {
    let request = match parse(line).map(|program| program.command) {
        Ok(Command::Get(get)) => json::encode(&get.arguments.request()),
        Ok(Command::Put(put)) => json::encode(&put.arguments.request("v".into())),
        Ok(Command::Del(del)) => json::encode(&del.arguments.request()),
        Ok(_) => return "no request of its own".to_owned(),
        Err(error) => {
            assert_eq!(error.exit_code(), 2);
            return error.to_string().lines().next().unwrap().to_owned();
        }
    };
    String::from_utf8(request).unwrap()
}

#[test_case("get a", r#"{"key":"YQ=="}"#; "get")]
#[test_case("get a c", r#"{"key":"YQ==","range_end":"Yw=="}"#; "get of a range")]
#[test_case("get a/ --prefix", r#"{"key":"YS8=","range_end":"YTA="}"#; "get of a prefix")]
#[test_case("get '' --prefix --count-only", r#"{"key":"AA==","range_end":"AA==","count_only":true}"#; "count of everything")]
#[test_case("get b --from-key --limit 3", r#"{"key":"Yg==","range_end":"AA==","limit":"3"}"#; "get from a key on")]
#[test_case("get a --rev 7 --consistency s --keys-only", r#"{"key":"YQ==","revision":"7","serializable":true,"keys_only":true}"#; "get of the past")]
#[test_case("get a --order descend --sort-by modify", r#"{"key":"YQ==","sort_order":"DESCEND","sort_target":"MOD"}"#; "sorted")]
#[test_case("get a --sort-by VERSION --order ASCEND", r#"{"key":"YQ==","sort_order":"ASCEND","sort_target":"VERSION"}"#; "sorted upwards")]
#[test_case("get a --order ASCEND", r#"{"key":"YQ=="}"#; "the natural order needs no sorting")]
#[test_case("get a --min-mod-rev 2 --max-create-rev 9", r#"{"key":"YQ==","min_mod_revision":"2","max_create_revision":"9"}"#; "filtered")]
#[test_case("get", "error: the following required arguments were not provided:"; "get of nothing")]
#[test_case("get a b --prefix", "error: the argument '[RANGE_END]' cannot be used with '--prefix'"; "range and prefix")]
#[test_case("get a --prefix --from-key", "error: the argument '--prefix' cannot be used with '--from-key'"; "prefix and all from a key")]
#[test_case("get a --keys-only --count-only", "error: the argument '--keys-only' cannot be used with '--count-only'"; "keys and count")]
#[test_case("get a --order sideways", "error: invalid value 'sideways' for '--order <ORDER>'"; "bad order")]
#[test_case("put a v", r#"{"key":"YQ==","value":"dg=="}"#; "put")]
#[test_case("put a v --lease 1f --prev-kv", r#"{"key":"YQ==","value":"dg==","lease":"31","prev_kv":true}"#; "put under a lease")]
#[test_case("put a --ignore-value --ignore-lease", r#"{"key":"YQ==","value":"dg==","ignore_value":true,"ignore_lease":true}"#; "put that keeps")]
#[test_case("put a v --ignore-value", "error: the argument '[VALUE]' cannot be used with '--ignore-value'"; "value twice")]
#[test_case("put a v --lease xyz", "error: invalid value 'xyz' for '--lease <ID>': the id of a lease is a hexadecimal number"; "bad lease")]
#[test_case("put a -- -5", r#"{"key":"YQ==","value":"dg=="}"#; "value with a dash")]
#[test_case("del a", r#"{"key":"YQ=="}"#; "del")]
#[test_case("del a c --range --prev-kv", r#"{"key":"YQ==","range_end":"Yw==","prev_kv":true}"#; "del of a range")]
#[test_case("del '' --from-key", r#"{"key":"AA==","range_end":"AA=="}"#; "del of everything")]
#[test_case("member list -o json", "no request of its own"; "member list")]
#[test_case("endpoint health --cluster", "no request of its own"; "endpoint health")]
#[test_case("get a -w loud", "error: invalid value 'loud' for '--write-out <FORMAT>'"; "bad format")]
#[test_case("get a --command-timeout 5", "error: invalid value '5' for '--command-timeout <DURATION>': \"5\" is no duration; write for example 5s, 500ms or 1m30s"; "bad timeout")]
fn command_lines(line: &str, expected: &str) {
    assert_eq!(request(line), expected);
}

#[test_case("--endpoints a:1,b:2 get k --cacert c"; "before and after the name")]
#[test_case("get k --endpoints a:1,b:2 --cacert c"; "after the name")]
#[test_case("--endpoints x:9 get k --endpoints a:1,b:2 --cacert c"; "what stands after wins")]
fn flags_stand_where_people_put_them(line: &str) {
    let program = parse(line).unwrap_or_else(|error| panic!("{error}"));
    let Command::Get(get) = program.command else {
        panic!("not get")
    };
    let shown = format!("{:?}", get.global.or(program.before));
    assert!(
        shown.contains(r#"endpoints: Some(["a:1", "b:2"]), cacert: Some("c")"#),
        "{shown}"
    );
}

/// Exit codes are compared by their text, because `ExitCode` cannot be compared.
fn exit_code(line: &str) -> String {
    let program = parse(line).unwrap_or_else(|error| panic!("{error}"));
    format!("{:?}", run(program.before, program.command, Program::command()))
}

#[test]
fn nobody_listening_is_unavailable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let unavailable = format!("{:?}", ExitCode::from(3));
    assert_eq!(exit_code(&format!("get k --endpoints {address}")), unavailable);
    assert_eq!(
        exit_code(&format!("endpoint health --endpoints {address}")),
        unavailable
    );
    assert_eq!(
        exit_code(&format!("endpoint status --endpoints {address}")),
        unavailable
    );
}

#[test]
fn nonsense_is_a_usage_error() {
    let usage = format!("{:?}", ExitCode::from(2));
    assert_eq!(exit_code("get k --endpoints https://localhost:1"), usage);
    assert_eq!(exit_code("get k --print-value-only -o yaml"), usage);
}

#[test]
fn help_teaches_by_examples() {
    for command in leaves(&Program::command(), "") {
        let help = parse(&format!("{command} --help")).err().unwrap().to_string();
        assert!(
            help.contains("Examples:") && help.contains(&format!("kvorum {command}")),
            "{command}: {help}"
        );
        assert!(
            help.contains("KVORUM_ENDPOINTS") || command == "completion",
            "{command}: {help}"
        );
    }
}

/// The names of every command that does something, with the names it stands below.
fn leaves(command: &clap::Command, above: &str) -> Vec<String> {
    let below: Vec<&clap::Command> = command.get_subcommands().filter(|it| it.get_name() != "help").collect();
    if below.is_empty() {
        return vec![above.to_owned()];
    }
    below
        .into_iter()
        .flat_map(|it| leaves(it, format!("{above} {}", it.get_name()).trim_start()))
        .collect()
}

#[test]
fn every_shell_is_completed() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let Ok(Program {
            command: Command::Completion(completion),
            ..
        }) = parse(&format!("completion {shell}"))
        else {
            panic!("{shell}")
        };
        let script = String::from_utf8(completion::script(&completion, Program::command())).unwrap();
        assert!(script.contains("keep-alive"), "{shell}: {script}");
    }
}
