//! Processes of the machine: started once, known for good by process id and start time, ended by exactly that.
//!
//! A process id alone is no name: after a crash the same number may belong to somebody else. Together with the start
//! time and the machine's boot it is one.

use super::wait;
use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// A process that was started, as it is written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// The program's name in this cluster, such as `kubelet-node1`.
    pub name: String,
    /// Its process id.
    pub pid: u32,
    /// When it started, in clock ticks since the machine did.
    pub started: u64,
    /// Which start of the machine that was.
    pub boot: String,
}

impl Recorded {
    /// Whether the very process still runs. One that has ended and waits to be collected does not.
    pub fn alive(&self) -> bool {
        boot() == self.boot
            && matches!(stat(self.pid), Some((state, started)) if state != 'Z' && started == self.started)
    }

    /// Ends the process at once, if it still is the one that was started, and waits until it is gone.
    pub fn kill(&self) -> Result<()> {
        if self.alive() {
            signal(self.pid, Signal::KILL)?;
        }
        wait::poll(Duration::from_secs(10), Duration::from_millis(10), || {
            Ok((!self.alive()).then_some(()))
        })
        .with_context(|| format!("{} (process {}) does not end", self.name, self.pid))
    }
}

/// What to start and where it belongs.
#[derive(Debug)]
pub struct Start<'a> {
    /// The program's name in this cluster.
    pub name: &'a str,
    /// The program and its arguments.
    pub command: &'a [String],
    /// Its environment; nothing else is passed on, so that a proxy setting of the user's cannot lead it astray.
    pub environment: &'a [(String, String)],
    /// Files into which it writes its own process id before it becomes the program: its control groups.
    pub enrol: &'a [String],
    /// Where its output goes; appended to.
    pub log: &'a Path,
}

/// Starts a program that outlives us.
pub fn start(start: &Start<'_>) -> Result<Recorded> {
    let log = File::options().create(true).append(true).open(start.log)?;
    // The shell enrols itself and then becomes the program, so not one of its descendants is ever outside.
    let script = "while [ \"$1\" != -- ]; do echo $$ >\"$1\"; shift; done; shift; exec setsid \"$@\"";
    let child = Command::new("/bin/sh")
        .args(["-ec", script, "kvorum-e2e"])
        .args(start.enrol)
        .arg("--")
        .args(start.command)
        .env_clear()
        .envs(start.environment.iter().map(|(name, value)| (name, value)))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("cannot start {}", start.name))?;
    let pid = child.id();
    let (_, started) = stat(pid).with_context(|| format!("{} ended at once", start.name))?;
    Ok(Recorded {
        name: start.name.to_owned(),
        pid,
        started,
        boot: boot(),
    })
}

/// Sends a signal; a process that is gone already is no error.
pub fn signal(pid: u32, signal: Signal) -> Result<()> {
    let Some(id) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return Ok(());
    };
    match kill_process(id, signal) {
        Err(error) if error != rustix::io::Errno::SRCH => {
            Err(error).with_context(|| format!("cannot end process {pid}"))
        }
        _ => Ok(()),
    }
}

/// What a process was started with, for people.
pub fn command_line(pid: u32) -> String {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&words)
        .replace('\0', " ")
        .trim()
        .chars()
        .take(120)
        .collect()
}

/// State and start time of a process, if there is one.
fn stat(pid: u32) -> Option<(char, u64)> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The second field is the program's name in brackets and may itself hold brackets and spaces.
fn parse_stat(text: &str) -> Option<(char, u64)> {
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .unwrap_or_default()
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_of_a_program_with_an_ugly_name() {
        let text = "42 (a) b (c) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1000 10 18446744073709551615";
        assert_eq!(parse_stat(text), Some(('S', 98765)));
    }

    #[test]
    fn another_start_time_is_another_process() {
        let (_, started) = stat(std::process::id()).unwrap();
        let mut own = Recorded {
            name: "test".into(),
            pid: std::process::id(),
            started,
            boot: boot(),
        };
        assert!(own.alive());
        own.started += 1;
        assert!(!own.alive());
    }
}
