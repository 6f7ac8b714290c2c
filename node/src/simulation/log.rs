//! The work of the log's threads, done by a task: each write and sync some time after it was asked for.

use std::sync::Arc;
use std::time::Duration;

use kvorum_files::simulated::dice;
use kvorum_wal::Wal;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::delay;

/// A sync takes less than this, in milliseconds,
const SYNC_MS: u64 = 5;
/// but one of so many
const SLOW_ONE_IN: u64 = 25;
/// takes up to this, in milliseconds: long enough for an election meanwhile.
const SLOW_SYNC_MS: u64 = 400;

/// Does the work of the log that `wal` finds in `shared`, as long as somebody holds it.
pub(crate) fn drive<S: Send + Sync + 'static>(shared: &Arc<S>, wal: fn(&S) -> &Wal) {
    let work = Arc::new(Notify::new());
    let waker = Arc::clone(&work);
    wal(shared).on_work(move || waker.notify_one());
    let shared = Arc::downgrade(shared);
    tokio::spawn(async move {
        loop {
            work.notified().await;
            loop {
                sleep(sync_time()).await;
                let Some(shared) = shared.upgrade() else { return };
                if !wal(&shared).step() {
                    break;
                }
            }
        }
    });
}

fn sync_time() -> Duration {
    if dice::below(SLOW_ONE_IN) == 0 {
        delay(SLOW_SYNC_MS)
    } else {
        delay(SYNC_MS)
    }
}
