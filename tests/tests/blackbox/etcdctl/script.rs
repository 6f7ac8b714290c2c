//! Running a script of etcdctl commands at one side.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kvorum_tests::reference;
use kvorum_tests::wait::{SETTLE, until};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::normal::normal;

/// Longer than any command that ends may take.
const COMMAND: Duration = Duration::from_secs(20);

/// One of the two sides.
pub(super) struct Side {
    name: &'static str,
    url: String,
    folder: tempfile::TempDir,
}

/// A command and what came of it.
pub(super) struct Done {
    /// As the script has it.
    pub(super) command: String,
    /// Exit code, output and errors, without what may differ.
    pub(super) said: (Option<i32>, String, String),
}

struct Background {
    command: String,
    process: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Side {
    pub(super) fn new(name: &'static str, url: &str) -> Side {
        Side {
            name,
            url: url.to_owned(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn command(&self, arguments: &[String]) -> Command {
        let mut command = Command::new(etcdctl());
        command
            .args(arguments)
            .arg(format!("--endpoints={}", self.url))
            .current_dir(self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    async fn ask(&self, arguments: &[String], input: &str) -> (Option<i32>, String, String) {
        let mut child = self.command(arguments).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).await.unwrap();
        drop(stdin);
        let output = timeout(COMMAND, child.wait_with_output())
            .await
            .unwrap_or_else(|_| panic!("{}: etcdctl {arguments:?} does not end", self.name))
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }

    /// The ids and addresses that this side alone has, and what stands for them.
    async fn names(&self) -> Vec<(String, String)> {
        let list = until("a member to say where its clients reach it", SETTLE, || async {
            let (_, json, errors) = self.ask(&words("member list -w json"), "").await;
            let list: Value = serde_json::from_str(&json).map_err(|_| format!("{}: {json} {errors}", self.name))?;
            let published = list["members"][0]["clientURLs"][0].is_string();
            published
                .then_some(list)
                .ok_or_else(|| format!("{}: {json}", self.name))
        })
        .await;
        let member = &list["members"][0];
        let mut names = Vec::new();
        for (value, name) in [
            (&member["ID"], "<member>"),
            (&list["header"]["cluster_id"], "<cluster>"),
        ] {
            let id = value.as_u64().unwrap();
            names.push((format!("{id:016x}"), name.to_owned()));
            names.push((format!("{id:x}"), name.to_owned()));
            names.push((id.to_string(), name.to_owned()));
        }
        for (field, name) in [("clientURLs", "<client>"), ("peerURLs", "<peer>")] {
            let url = member[field][0].as_str().unwrap();
            names.push((url.to_owned(), name.to_owned()));
            names.push((url.trim_start_matches("http://").to_owned(), name.to_owned()));
        }
        names
    }
}

/// Runs a script to its end; what every command said, in the script's order, background commands last.
pub(super) async fn run(side: &Side, text: &str) -> Vec<Done> {
    let mut names = side.names().await;
    let mut variables: Vec<(String, String)> = Vec::new();
    let mut done: Vec<Done> = Vec::new();
    let mut background: Vec<Background> = Vec::new();
    let mut last = String::new();
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .collect();
    for (at, line) in lines.iter().enumerate() {
        let filled = variables.iter().fold((*line).to_owned(), |line, (name, value)| {
            line.replace(&format!("${name}"), value)
        });
        if line.starts_with('|') {
            continue;
        } else if let Some(rest) = line.strip_prefix("= ") {
            let (name, before) = rest.split_once(' ').expect("a name, and what stands before the value");
            let value = between(&last, before).or_else(|| between(&so_far(&background), before));
            // Where the command failed, the comparison says so; the script goes on to what else there is.
            let value = value.unwrap_or_else(|| "none".to_owned());
            names.push((value.clone(), format!("<{name}>")));
            if let Ok(number) = u64::from_str_radix(&value, 16) {
                names.push((number.to_string(), format!("<{name}>")));
            }
            variables.push((name.to_owned(), value));
        } else if let Some(rest) = filled.strip_prefix("& ") {
            background.push(start(side, rest));
        } else if let Some(count) = line.strip_prefix("wait ") {
            let count: usize = count.parse().unwrap();
            printed(side, &background, count).await;
        } else {
            let input: String = lines[at + 1..]
                .iter()
                .take_while(|line| line.starts_with('|'))
                .map(|line| format!("{}\n", line.trim_start_matches('|').trim_start()))
                .collect();
            let said = side.ask(&words(&filled), &input).await;
            last.clone_from(&said.1);
            done.push(Done {
                command: (*line).to_owned(),
                said,
            });
        }
    }
    for mut running in background {
        running.process.start_kill().unwrap();
        let text = running.lines.lock().unwrap().join("\n");
        done.push(Done {
            command: running.command,
            said: (None, text, String::new()),
        });
    }
    // Names are learnt on the way and hold for what was said before, too. Long ones go first, as short ones may be in them.
    names.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
    for done in &mut done {
        done.said.1 = normal(&done.said.1, &names);
        done.said.2 = normal(&done.said.2, &names);
    }
    done
}

/// What the background commands have printed.
fn so_far(background: &[Background]) -> String {
    let lines: Vec<String> = background
        .iter()
        .flat_map(|running| running.lines.lock().unwrap().clone())
        .collect();
    lines.join("\n")
}

fn start(side: &Side, command: &str) -> Background {
    let mut process = side.command(&words(command)).spawn().unwrap();
    let mut output = BufReader::new(process.stdout.take().unwrap()).lines();
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&lines);
    tokio::spawn(async move {
        while let Ok(Some(line)) = output.next_line().await {
            kept.lock().unwrap().push(line);
        }
    });
    Background {
        command: command.to_owned(),
        process,
        lines,
    }
}

async fn printed(side: &Side, background: &[Background], count: usize) {
    until(
        &format!("{} to have printed {count} lines", side.name),
        SETTLE,
        || async {
            let seen: Vec<String> = background
                .iter()
                .flat_map(|running| running.lines.lock().unwrap().clone())
                .collect();
            if seen.len() >= count {
                Ok(())
            } else {
                Err(format!("{seen:?}"))
            }
        },
    )
    .await;
}

/// The word that follows `before`.
fn between(text: &str, before: &str) -> Option<String> {
    let after = &text[text.find(before)? + before.len()..];
    let word = after.trim_start().split([' ', '\n', ',', '"', ')']).next()?;
    Some(word.to_owned())
}

/// A line as a shell would take it apart, with single quotes only.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    let mut begun = false;
    for letter in line.chars() {
        match letter {
            '\'' => {
                quoted = !quoted;
                begun = true;
            }
            ' ' if !quoted => {
                if begun {
                    words.push(String::new());
                }
                begun = false;
            }
            other => {
                words.last_mut().unwrap().push(other);
                begun = true;
            }
        }
    }
    if !begun {
        words.pop();
    }
    words
}

fn etcdctl() -> PathBuf {
    let server = reference::program().expect("the reference runs, so it was built");
    server.with_file_name("etcdctl")
}

#[test]
fn lines_are_taken_apart() {
    assert_eq!(words("put a 'b c' '' d"), ["put", "a", "b c", "", "d"]);
}
