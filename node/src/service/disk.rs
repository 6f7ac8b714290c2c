//! Watching the disk: the member refuses writes and raises `NOSPACE` in time, and takes both back when there is room.
//!
//! Must keep true: what `crate::disk` judged is in force at this member at once, and on every member as soon as there is a
//! leader; the member takes back only what it raised for its disk, never the quota's alarm or one raised by hand.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kvorum_store::{Command, Who};
use tokio::time::{MissedTickBehavior, interval};

use super::Service;
use crate::background;
use crate::disk::{self, Room, Signs, Volume};

/// How often is looked: at full speed a disk takes some hundreds of MiB meanwhile, and the log has a segment in hand.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A member's disk, as it was looked at last.
pub(super) struct Disk {
    dir: PathBuf,
    /// Bytes to keep free, where somebody said.
    asked: Option<u64>,
    scarce: AtomicBool,
    volume: Mutex<Option<Volume>>,
}

/// Numbers about the disk.
#[derive(Clone, Copy, Debug)]
pub struct DiskStats {
    /// The volume, where the system tells.
    pub volume: Option<Volume>,
    /// Bytes to keep free.
    pub reserve_bytes: u64,
    /// Whether writes are refused.
    pub scarce: bool,
}

impl Disk {
    pub(super) fn new(dir: PathBuf, asked: Option<u64>) -> Self {
        let volume = Mutex::new(disk::volume(&dir));
        Self {
            dir,
            asked,
            scarce: AtomicBool::new(false),
            volume,
        }
    }

    /// Whether there is no room for what needs some.
    pub(super) fn is_scarce(&self) -> bool {
        self.scarce.load(Ordering::Relaxed)
    }

    pub(super) fn stats(&self) -> DiskStats {
        let volume = *self.volume.lock().unwrap_or_else(PoisonError::into_inner);
        DiskStats {
            volume,
            reserve_bytes: disk::reserve(self.asked, volume),
            scarce: self.is_scarce(),
        }
    }

    /// Asks the system, which may take its time.
    async fn measure(&self) -> Option<Volume> {
        let dir = self.dir.clone();
        let volume = background::run(move || disk::volume(&dir)).await.ok()?;
        *self.volume.lock().unwrap_or_else(PoisonError::into_inner) = volume;
        volume
    }

    fn enter(&self, room: Room, signs: &Signs, reserve: u64) {
        let scarce = room == Room::Scarce;
        if self.scarce.swap(scarce, Ordering::Relaxed) == scarce {
            return;
        }
        let free = signs.volume.map(|volume| volume.free);
        let dir = self.dir.display();
        match room {
            Room::Scarce => tracing::error!(
                free,
                reserve,
                log_waits = signs.log_waits,
                engine_waits = signs.engine_waits,
                "too little room on the disk of {dir}: writes are refused. Make room, or enlarge the volume; reads, \
                 deletes and compactions go on"
            ),
            Room::Enough => tracing::info!(free, reserve, "room on the disk of {dir} again: writes are taken"),
        }
    }
}

/// Looks at the disk as long as the member runs.
pub(super) async fn watch(service: Service) {
    let (inner, me) = (&service.inner, service.inner.identity.member_id.get());
    let standing = || inner.node.reader.is_disk_full(me);
    let mut room = if standing() { Room::Scarce } else { Room::Enough };
    let mut clock = interval(LOOK_EVERY);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stopping = service.stopping();
    while stopping.run_until_cancelled(clock.tick()).await.is_some() {
        let signs = Signs {
            volume: inner.disk.measure().await,
            log_waits: inner.node.log.wal().metrics().disk_full,
            engine_waits: inner.node.engine.waits_for_room(),
        };
        let reserve = disk::reserve(inner.disk.asked, signs.volume);
        room = room.judge(&signs, reserve);
        inner.disk.enter(room, &signs, reserve);
        let full = room == Room::Scarce;
        if full == standing() {
            continue;
        }
        let command = Command::Disk { member_id: me, full }.given_by(Who::Member);
        if let Err(refusal) = service.propose(&command).await {
            tracing::debug!("the others do not know of the disk yet: {refusal}");
        }
    }
}
