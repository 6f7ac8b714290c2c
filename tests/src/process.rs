//! One real process: started, signalled by its id, and gone when its owner is.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};

use crate::wait::until;

/// How long a process may take to end by itself after SIGTERM.
const STOP: Duration = Duration::from_secs(20);

/// How much of a log is printed when a test fails, in lines.
const LOG_LINES_MAX: usize = 40;

/// Longer lines are cut, so that one cannot hide the others.
const LOG_LINE_CHARS_MAX: usize = 240;

/// A running process whose output goes to a file.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `program`; its output is appended to `log`. The environment's own `KVORUM_…` settings are kept from it.
    ///
    /// # Panics
    /// When it cannot be started, for example because it was not built.
    #[must_use]
    pub fn start(program: &Path, arguments: &[String], log: &Path) -> Process {
        Process::start_with(program, arguments, &[], log)
    }

    /// As [`Process::start`], with more variables.
    ///
    /// # Panics
    /// When it cannot be started, for example because it was not built.
    #[must_use]
    pub fn start_with(program: &Path, arguments: &[String], variables: &[(String, String)], log: &Path) -> Process {
        let open = || {
            File::options()
                .create(true)
                .append(true)
                .open(log)
                .expect("a log can be written")
        };
        let mut command = Command::new(program);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("KVORUM_") || name.starts_with("ETCD_")) {
            command.env_remove(name);
        }
        command.args(arguments).env("RUST_BACKTRACE", "1");
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(open()).stderr(open());
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error} (make binaries)", program.display()));
        Process {
            child,
            log: log.to_owned(),
        }
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its resident memory, in MiB.
    #[must_use]
    pub fn resident_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        kilobytes.unwrap_or_default() / 1_024
    }

    /// Its open file descriptors.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.id())).map_or(0, Iterator::count)
    }

    /// The processor time it has used, in clock ticks (a hundredth of a second each).
    #[must_use]
    pub fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap_or_default();
        // The second field is the program's name in parentheses; the 14th and the 15th are wanted.
        let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
        let fields = fields.split(' ').skip(11).take(2);
        fields.filter_map(|field| field.parse::<u64>().ok()).sum()
    }

    /// Lets it have files open with `more` numbers above the highest in use. How many it can open, the numbers that are
    /// free in between among them.
    ///
    /// # Panics
    /// When the process is gone already.
    pub fn allow_descriptors(&self, more: u64) -> u64 {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.id())).expect("the process runs");
        let numbers = open
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse::<u64>().ok());
        let numbers: Vec<u64> = numbers.collect();
        let max = numbers.iter().max().map_or(0, |highest| highest + 1) + more;
        // The hard limit is this process's own, of which the other is a child.
        let limit = Rlimit {
            current: Some(max),
            maximum: getrlimit(Resource::Nofile).maximum,
        };
        prlimit(Some(self.pid()), Resource::Nofile, limit).expect("a limit below the hard one");
        max - numbers.len() as u64
    }

    fn pid(&self) -> Pid {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        pid.expect("a process id is positive")
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When the process is gone already.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the process is ours and not yet waited for");
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Ends it at once, as a crash does, and waits until it is gone.
    pub fn kill(&mut self) {
        if self.ended().is_none() {
            self.signal(Signal::KILL);
        }
        self.child.wait().expect("a child can be waited for");
    }

    /// Asks it to end and waits until it has.
    ///
    /// # Panics
    /// When it does not within the bound.
    pub async fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.gone(STOP).await
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// When it does not within the bound.
    pub async fn gone(&mut self, bound: Duration) -> ExitStatus {
        let what = format!("process {} to end", self.id());
        until(&what, bound, async || self.ended().ok_or_else(|| "it runs".to_owned())).await
    }

    /// Its output so far.
    #[must_use]
    pub fn output(&self) -> String {
        std::fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let output = self.output();
            let from = output.lines().count().saturating_sub(LOG_LINES_MAX);
            let lines = output
                .lines()
                .skip(from)
                .map(|line| line.chars().take(LOG_LINE_CHARS_MAX).collect());
            let lines: Vec<String> = lines.collect();
            println!(
                "---- last lines of {} ----\n{}\n----",
                self.log.display(),
                lines.join("\n")
            );
        }
    }
}
