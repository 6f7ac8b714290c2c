//! Running other programs to their end: with a clean report of what failed, and with a bound on how long they may take.

use super::wait;
use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::io::Read;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// The longest a single administrative command (`ip`, `mount`, `kubectl get` …) may take. They take milliseconds; a
/// minute means that something hangs.
pub const COMMAND_SECONDS_MAX: u64 = 60;

/// Runs a command to its end and returns what it wrote to standard output.
pub fn output(command: &mut Command) -> Result<String> {
    output_within(command, Duration::from_secs(COMMAND_SECONDS_MAX))
}

/// Runs a command that may take this long.
pub fn output_within(command: &mut Command, limit: Duration) -> Result<String> {
    let shown = shown(command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{shown}`"))?;
    let stdout = drained(child.stdout.take().expect("standard output was asked for"));
    let stderr = drained(child.stderr.take().expect("standard error was asked for"));
    let waited = wait::poll(limit, Duration::from_millis(3), || Ok(child.try_wait()?));
    let Ok(status) = waited else {
        child
            .kill()
            .and_then(|()| child.wait())
            .with_context(|| format!("cannot end `{shown}`"))?;
        bail!("`{shown}` did not end within {} s", limit.as_secs());
    };
    let (stdout, stderr) = (stdout.join().unwrap_or_default(), stderr.join().unwrap_or_default());
    if !status.success() {
        bail!("`{shown}` failed ({status}): {}", stderr.trim());
    }
    Ok(stdout)
}

/// Runs a command given as words.
pub fn run<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>) -> Result<String> {
    let mut words = words.into_iter();
    let program = words.next().context("an empty command")?;
    output(Command::new(program).args(words))
}

/// Runs a command written as one line; for commands whose words hold no spaces.
pub fn line(line: &str) -> Result<String> {
    run(line.split_whitespace())
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Reads a pipe to its end beside the caller, so that a command with much to say never waits for a reader.
fn drained(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut text = Vec::new();
        // What was read before a broken pipe is still worth showing.
        let _ = pipe.read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endless_command_is_ended() {
        let error = output_within(Command::new("sleep").arg("600"), Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.to_string(), "`sleep 600` did not end within 0 s");
    }

    #[test]
    fn a_failure_says_why() {
        let error = run(["sh", "-c", "echo no such thing >&2; exit 3"])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("exit status: 3") && error.ends_with("no such thing"),
            "{error}"
        );
    }
}
