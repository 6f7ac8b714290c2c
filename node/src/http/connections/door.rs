//! Who is let in at a port: a bound on open connections, on those that are refused with a word, and on what may be on its
//! way to us unread.
//!
//! Must keep true: nobody waits at the door. There is a place at once, or a refusal.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::seldom::Seldom;
use crate::service::counts::add;

/// Connections at once that are refused with a word, which over TLS costs a handshake; further ones are closed without.
pub const REFUSALS_MAX: usize = 128;
/// Connections at once that may have [`super::WIDE_WINDOW_BYTES`] on their way to us; the others make do with
/// HTTP/2's 64 KiB. So what clients can have us hold by sending what nobody reads is at most 256 MiB for these, and 1 GiB
/// for 16,384 others.
const WIDE_MAX: usize = 256;

/// The bounds of one port, or of several that share them.
#[derive(Debug)]
pub struct Door {
    max: u32,
    places: Arc<Semaphore>,
    words: Arc<Semaphore>,
    wide: Arc<Semaphore>,
    refused: AtomicU64,
    said: Seldom,
}

/// A place inside, free again when dropped.
#[derive(Debug)]
pub struct Place {
    _place: OwnedSemaphorePermit,
    wide: Option<OwnedSemaphorePermit>,
}

impl Place {
    /// Whether there may be much on its way on this connection.
    pub(super) fn is_wide(&self) -> bool {
        self.wide.is_some()
    }
}

impl Door {
    /// A door for at most `max` connections at once.
    #[must_use]
    pub fn new(max: u32) -> Arc<Door> {
        let semaphore = |permits: usize| Arc::new(Semaphore::new(permits));
        Arc::new(Door {
            max,
            places: semaphore(max as usize),
            words: semaphore(REFUSALS_MAX),
            wide: semaphore(WIDE_MAX),
            refused: AtomicU64::default(),
            said: Seldom::default(),
        })
    }

    /// Most connections at once.
    pub fn max(&self) -> u32 {
        self.max
    }

    /// Open connections.
    pub fn open(&self) -> u64 {
        u64::from(self.max) - self.places.available_permits() as u64
    }

    /// Connections that were turned away since the start.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// A place; `None` when all are taken, and the connection must be turned away.
    pub(super) fn enter(&self) -> Option<Place> {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            self.turn_away();
            if self.said.is_due() {
                tracing::warn!(
                    "{} connections are open, and no more are allowed: further ones are refused",
                    self.max
                );
            }
            return None;
        };
        Some(Place {
            _place: place,
            wide: Arc::clone(&self.wide).try_acquire_owned().ok(),
        })
    }

    /// Counts a connection that was turned away.
    pub(super) fn turn_away(&self) {
        add(&self.refused);
    }

    /// Leave to tell somebody why there is no place; `None` when many are being told already.
    pub(super) fn word(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.words).try_acquire_owned().ok()
    }

    /// Returns when everybody has left.
    pub(super) async fn empty(&self) {
        // The semaphore is never closed.
        drop(self.places.acquire_many(self.max).await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_taken_and_given_back() {
        let door = Door::new(2);
        let places = [door.enter(), door.enter()];
        assert!(places.iter().flatten().all(Place::is_wide));
        assert!(door.enter().is_none());
        assert_eq!((door.open(), door.refused()), (2, 1));
        drop(places);
        assert!(door.enter().is_some());
        assert_eq!((door.open(), door.refused()), (0, 1));
    }

    #[test]
    fn only_some_may_have_much_on_their_way() {
        let door = Door::new(1_000);
        let places: Vec<Place> = (0..1_000).filter_map(|_| door.enter()).collect();
        assert_eq!(places.iter().filter(|place| place.is_wide()).count(), WIDE_MAX);
    }
}
