//! Giving sled what is written, and opening it again after it has failed for want of room.
//!
//! Must keep true: what was given waits in `Unsettled` until sled has written it out; a batch goes to sled only after the
//! large values in it were written, and a file of large values goes only after sled has written out that nobody wants it.

use std::io;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use kvorum_faults as faults;
use kvorum_store::engine::EngineError;

use super::far::{self, ReadError, Staged};
use super::unsettled::Unsettled;
use super::{DATABASE, SledEngine, open_when_free, room, trust};

/// Bytes of a file that is mostly garbage that are looked through with one batch, whatever the batch,
const REWRITE_BYTES_MIN: u64 = far::FILE_BYTES_MAX / 16;
/// and at most, after a batch that made much garbage.
const REWRITE_BYTES_MAX: u64 = far::FILE_BYTES_MAX;
/// With less than this free, and twice the batch, sled is given nothing, in bytes: what it does by itself takes a few
/// segments of half a MiB.
const ROOM_BYTES_MIN: u64 = 16 << 20;

impl SledEngine {
    /// Opens the database again, unless somebody has since it was opened for the time `times`.
    pub(super) fn open_again(&self, times: u64, error: &sled::Error) -> Result<(), EngineError> {
        let mut unsettled = self.unsettled();
        if self.opened().times != times {
            return Ok(());
        }
        self.make_room(&mut unsettled, error)?;
        self.give_all(&mut unsettled)
    }

    /// Gives sled what it was not given yet, however long that takes for want of room.
    pub(super) fn give_all(&self, unsettled: &mut Unsettled) -> Result<(), EngineError> {
        loop {
            match self.give(unsettled) {
                Ok(()) => break,
                Err(error) if room::may_be_reopened(&error) => self.make_room(unsettled, &error)?,
                Err(error) => return Err(self.failed("write a batch", error)),
            }
        }
        self.room.found();
        if self.was_vouched.swap(false, Ordering::Relaxed)
            && let Err(error) = self.vouch()
        {
            tracing::warn!("the engine will be rebuilt at the next start: {error}");
        }
        Ok(())
    }

    fn give(&self, unsettled: &mut Unsettled) -> sled::Result<()> {
        while let Some(batch) = unsettled.next() {
            let needed = ROOM_BYTES_MIN.saturating_add(2 * batch.bytes() as u64);
            if !self.room.has(needed) {
                self.wait(unsettled, needed, "too little is left")?;
                continue;
            }
            let staged = match self.ask(|database| self.far.stage(batch, &|key| database.get(key))) {
                // The files of large values have lost nothing, and sled was not asked for anything.
                Err(error) if room::is_full(&error) && !room::may_be_reopened(&error) => {
                    self.wait(unsettled, needed, &error.to_string())?;
                    continue;
                }
                staged => staged?,
            };
            let garbage = self.take(staged)?;
            unsettled.gave();
            self.rewrite(garbage)?;
        }
        if unsettled.is_much() || self.far.has_emptied() {
            self.write_out()?;
            unsettled.settled();
            self.far.remove_emptied()?;
        }
        Ok(())
    }

    /// Gives sled what was staged; answers how much garbage that made, in bytes.
    fn take(&self, mut staged: Staged) -> sled::Result<u64> {
        let batch = std::mem::take(&mut staged.batch);
        faults::pass("engine::write")?;
        self.ask(|database| database.apply_batch(batch))?;
        self.far.settle(&staged)
    }

    /// Rewrites a part of the large values, where much of them is garbage and there is room to.
    fn rewrite(&self, garbage: u64) -> sled::Result<()> {
        // It takes room before it gives some.
        let budget = garbage.clamp(REWRITE_BYTES_MIN, REWRITE_BYTES_MAX);
        let mut budgets = [budget, REWRITE_BYTES_MIN].into_iter();
        let Some(budget) = budgets.find(|budget| self.room.has(ROOM_BYTES_MIN + budget)) else {
            return Ok(());
        };
        match self.ask(|database| self.far.rewrite(budget, &|key| database.get(key))) {
            Ok(Some(staged)) => self.take(staged).map(drop),
            Ok(None) => Ok(()),
            // Another time.
            Err(error) if room::is_full(&error) && !room::may_be_reopened(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Waits for room. Written out, sled can answer everything meanwhile.
    fn wait(&self, unsettled: &mut Unsettled, needed: u64, reason: &str) -> sled::Result<()> {
        self.write_out()?;
        unsettled.settled();
        self.far.remove_emptied()?;
        let waited = self.room.wait(needed, reason);
        waited.map_err(|given_up| sled::Error::Io(io::Error::new(io::ErrorKind::StorageFull, given_up)))
    }

    /// Waits for room and opens the database again: sled takes nothing more after a write that failed.
    pub(super) fn make_room(&self, unsettled: &mut Unsettled, error: &sled::Error) -> Result<(), EngineError> {
        // Half of a batch may be in its files by now, and must not be believed at a start.
        if self.vouched.swap(false, Ordering::Relaxed) {
            self.was_vouched.store(true, Ordering::Relaxed);
            trust::remove(&self.dir).map_err(|error| self.failed("be marked as unfinished", error))?;
        }
        let mut reason = error.to_string();
        loop {
            self.room
                .wait(ROOM_BYTES_MIN, &reason)
                .map_err(|given_up| EngineError::NoRoom {
                    source: Box::new(given_up),
                })?;
            match self.reopen(unsettled) {
                Ok(()) => return Ok(()),
                Err(error) if room::is_full(&error) => reason = error.to_string(),
                Err(error) => return Err(self.failed("be opened again", error)),
            }
        }
    }

    fn reopen(&self, unsettled: &mut Unsettled) -> sled::Result<()> {
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(database) = opened.database.take() {
            room::bounded(move || {
                drop(database);
                Ok(())
            })?;
        }
        let database = open_when_free(&self.dir.join(DATABASE))?;
        self.far.restart(&database)?;
        if let Some(key) = unsettled.witness_key() {
            let found = match database.get(key)? {
                Some(stored) => self.far.value(key, stored, &|key| database.get(key)).map_err(plain)?,
                None => None,
            };
            if !unsettled.may_be(found.as_deref()) {
                let text = "it came back with less than it had written".to_owned();
                return Err(sled::Error::ReportableBug(text));
            }
        }
        unsettled.reopened();
        opened.database = Some(database);
        opened.times += 1;
        drop(opened);
        tracing::warn!("the engine was opened again after it had failed for want of room");
        Ok(())
    }
}

/// sled's own error, for what is not sled's.
fn plain(error: ReadError) -> sled::Error {
    match error {
        ReadError::Sled(error) => error,
        ReadError::Io(error) => sled::Error::Io(error),
        ReadError::Corrupt(reason) => sled::Error::Io(io::Error::new(io::ErrorKind::InvalidData, reason)),
    }
}
