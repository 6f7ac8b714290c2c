//! Waiting for a condition, always with a bound, and telling whoever watches what is being waited for.

use anyhow::{Result, bail};
use std::io::{IsTerminal, Write};
use std::thread;
use std::time::{Duration, Instant};

/// Asks until there is an answer or the limit has passed. An error from the question ends the wait.
pub fn poll<T>(limit: Duration, interval: Duration, mut question: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(answer) = question()? {
            return Ok(answer);
        }
        if begun.elapsed() >= limit {
            bail!("nothing after {:.1} s", limit.as_secs_f32());
        }
        thread::sleep(interval);
    }
}

/// Reports steps on standard error, each with the time since the beginning.
#[derive(Debug)]
pub struct Progress {
    begun: Instant,
    quiet: bool,
}

impl Progress {
    /// Starts the clock.
    pub fn start() -> Progress {
        Progress {
            begun: Instant::now(),
            quiet: false,
        }
    }

    /// A clock that says nothing.
    pub fn quiet() -> Progress {
        Progress {
            begun: Instant::now(),
            quiet: true,
        }
    }

    /// Time since the beginning, in seconds.
    pub fn seconds(&self) -> f32 {
        self.begun.elapsed().as_secs_f32()
    }

    /// Says that a step begins or has ended.
    pub fn say(&self, what: &str) {
        if self.quiet {
            return;
        }
        // Progress is a courtesy: a closed standard error must not stop the work.
        let _ = writeln!(std::io::stderr(), "[{:6.1} s] {what}", self.seconds());
    }

    /// Says something that the next report replaces, where somebody is looking; elsewhere it is left out.
    pub fn flash(&self, what: &str) {
        let mut stderr = std::io::stderr();
        if !self.quiet && stderr.is_terminal() {
            let _ = write!(stderr, "\r\x1b[2K[{:6.1} s] {what}\r", self.seconds());
        }
    }

    /// Waits for a condition and names it when it does not come true within these seconds.
    pub fn wait_for<T>(&self, what: &str, seconds: u64, mut question: impl FnMut() -> Result<Option<T>>) -> Result<T> {
        let mut last = None;
        let waited = poll(
            Duration::from_secs(seconds),
            Duration::from_millis(100),
            || match question() {
                Ok(answer) => Ok(answer),
                Err(error) => {
                    last = Some(error);
                    Ok(None)
                }
            },
        );
        match (waited, last) {
            (Ok(answer), _) => Ok(answer),
            (Err(_), Some(error)) => Err(error.context(format!("waited {seconds} s for {what}"))),
            (Err(_), None) => bail!("waited {seconds} s for {what}, in vain"),
        }
    }
}
