//! Snapshots without anyone's asking, and the end of the log that they cover.
//!
//! Must keep true: what is decided depends on the disk alone (the newest snapshot, the log behind it), so a restart
//! forgets nothing. Consensus never forgets what no snapshot covers, whatever it is asked for.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use kvorum_faults::{sized, small};
use tokio::time::{MissedTickBehavior, interval};

use super::Service;
use crate::background;
use crate::raft::log_length;

/// How often is looked, in milliseconds, which is how far the log may exceed its bounds: a second of writing.
const LOOK_EVERY_MS: u64 = 1_000;

/// The newest snapshot.
#[derive(Default)]
struct Newest {
    /// Index of the last entry in it.
    covered: Option<u64>,
    bytes: u64,
}

/// Takes snapshots for as long as the member runs.
pub(super) async fn take(service: Service) {
    let node = &service.inner.node;
    let mut clock = interval(Duration::from_millis(sized(LOOK_EVERY_MS, small::SNAPSHOT_CHECK_MS)));
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stopping = service.stopping();
    while stopping.run_until_cancelled(clock.tick()).await.is_some() {
        let newest = match look(&service).await {
            Ok(newest) => newest,
            // Another took its place between two looks, or the process runs out of files: the next look tells.
            Err(error) => {
                tracing::debug!("the newest snapshot could not be looked at: {error}");
                continue;
            }
        };
        let kept = log_length::kept_bytes_max(newest.bytes);
        if let Some(last) = newest.covered.and_then(|covered| node.log.surplus(covered, kept))
            && node.raft.trigger().purge_log(last).await.is_err()
        {
            return;
        }
        let uncovered = node.log.bytes_behind(newest.covered);
        // Consensus takes one at a time: as long as one is being written, it is told in vain.
        if log_length::is_snapshot_due(uncovered, newest.bytes, node.reader.bytes())
            && node.raft.trigger().snapshot().await.is_err()
        {
            return;
        }
    }
}

/// Looks at the newest snapshot, and measures the engine, which is told to clients.
async fn look(service: &Service) -> io::Result<Newest> {
    let node = &service.inner.node;
    let (engine, state) = (Arc::clone(&node.engine), node.state.clone());
    let looking = background::run(move || {
        engine.measure();
        let Some((id, file)) = state.snapshots().newest()? else {
            return Ok(Newest::default());
        };
        Ok(Newest {
            covered: id.map(|id| id.index()),
            bytes: file.bytes()?,
        })
    });
    looking.await.map_err(io::Error::other)?
}
