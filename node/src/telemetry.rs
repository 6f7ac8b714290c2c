//! Logging of the process, and what a panic does to it.
//!
//! What this file keeps true: a panic in any thread or task ends the process, after it was printed. A storage node with
//! a dead thread would look alive and answer wrongly; Raft is made for members that stop.

use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Starts logging to standard error. Called once, before anything is worth saying.
///
/// # Errors
/// The level is not a directive, or logging was started before.
pub fn start(log: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::builder().parse(directives(&log.level))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(true);
    let started = match log.format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("logging cannot be started: {error}"))
}

/// What consensus may say, target by target.
const CONSENSUS: &str = "openraft=warn,openraft::core::heartbeat=error,openraft::replication=error,\
     openraft::replication::snapshot_transmitter=warn,openraft::engine::handler::replication_handler=error";

/// A bare level speaks for our own code: consensus narrates every step at `info`, which buries what an operator needs, and
/// every attempt at a dead member at `warn`, where our own word that it cannot be reached is enough.
fn directives(level: &str) -> String {
    let bare = level.parse::<tracing::Level>().is_ok();
    if bare {
        format!("{level},{CONSENSUS}")
    } else {
        level.to_owned()
    }
}

/// An error with its causes, in one line: our errors do not repeat them.
#[must_use]
pub fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// From here on a panic anywhere ends the process.
pub fn abort_on_panic() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tracing::error!(%panic, "a panic ends the process");
        print(panic);
        std::process::abort();
    }));
}
