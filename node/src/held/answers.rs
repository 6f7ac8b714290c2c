//! Answers that were made and not taken whole yet: large ones, over all connections.
//!
//! Whoever makes an answer that may be large waits for room first. What it makes is then counted as it is, so that the
//! bound is passed by no more than what is being made at that moment: one answer for each thread.
//!
//! Must keep true:
//! 1. Whoever waits for room is held up by those alone that take their answers. As far as somebody waits, answers of which
//!    nothing has been taken for [`STUCK_TIME_MAX`] are given up, those first that have been stuck for longest: each is
//!    dropped with what it comes from, and its client, when it reads on, finds the stream broken off.
//! 2. While nobody waits, nothing is given up, however slowly it is taken.
//! 3. An answer counts whole until the last of it is taken: pieces of it share its memory, and so may what made it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::seldom::Seldom;
use crate::service::counts::add;

/// A client that has taken nothing for this long gives way to those that wait. A client that reads takes a piece in
/// microseconds, and in a few round trips when a packet is lost.
pub const STUCK_TIME_MAX: Duration = Duration::from_millis(500);
/// Largest piece that a client takes at once, in bytes. What is no larger is not counted: the protocol holds as much for
/// each stream anyway.
pub const PIECE_BYTES_MAX: usize = 32 << 10;

/// The answers of all clients, of one kind.
#[derive(Debug)]
pub struct Answers {
    bytes_max: u64,
    waiting: Mutex<Waiting>,
    freed: Notify,
    given_up: AtomicU64,
    said: Seldom,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: u64,
    next: u64,
    parcels: BTreeMap<u64, Rest>,
}

/// One answer.
struct Rest {
    /// What has not been taken.
    bytes: Bytes,
    size: u64,
    taken_at: Instant,
    give_up: GiveUp,
}

/// Drops what an answer comes from, and tells the client if need be.
type GiveUp = Box<dyn FnOnce() + Send>;

impl fmt::Debug for Rest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} of {} bytes", self.bytes.len(), self.size)
    }
}

/// One answer that is being taken.
#[derive(Debug)]
pub struct Parcel {
    answers: Arc<Answers>,
    key: u64,
}

/// What a client takes.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// Some bytes, in memory of their own.
    Bytes(Bytes),
    /// There is nothing left.
    End,
    /// The answer was given up, and nothing of it is left.
    GivenUp,
}

impl Answers {
    /// At most about so many bytes at once.
    #[must_use]
    pub fn new(bytes_max: u64) -> Arc<Answers> {
        Arc::new(Answers {
            bytes_max,
            waiting: Mutex::default(),
            freed: Notify::new(),
            given_up: AtomicU64::default(),
            said: Seldom::default(),
        })
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> u64 {
        self.waiting().bytes
    }

    /// Answers given up since the start.
    pub fn given_up(&self) -> u64 {
        self.given_up.load(Ordering::Relaxed)
    }

    /// Whether there is room for an answer.
    pub fn has_room(&self) -> bool {
        self.waiting().bytes < self.bytes_max
    }

    /// Waits until there is room for an answer. May be dropped.
    pub async fn room(&self) {
        loop {
            let freed = self.freed.notified();
            let Some(wait) = self.make_room(Instant::now()) else {
                return;
            };
            // Whoever is woken by what another freed looks again, and waits on if it was quicker.
            let _ = timeout(wait, freed).await;
        }
    }

    /// As [`Answers::room`], for at most `wait`; false when there was none.
    pub async fn room_within(&self, wait: Duration) -> bool {
        self.has_room() || timeout(wait, self.room()).await.is_ok()
    }

    /// Counts an answer. Where it is given up, `give_up` drops what it comes from.
    pub fn hold(self: &Arc<Self>, bytes: Bytes, give_up: impl FnOnce() + Send + 'static) -> Parcel {
        let size = bytes.len() as u64;
        let mut waiting = self.waiting();
        waiting.bytes += size;
        let key = waiting.next;
        waiting.next += 1;
        let rest = Rest {
            bytes,
            size,
            taken_at: Instant::now(),
            give_up: Box::new(give_up),
        };
        waiting.parcels.insert(key, rest);
        Parcel {
            answers: Arc::clone(self),
            key,
        }
    }

    /// `None` when there is room, if need be because answers were given up, those first that have been stuck for longest;
    /// otherwise how long it takes until one may be.
    fn make_room(&self, now: Instant) -> Option<Duration> {
        let mut waiting = self.waiting();
        if waiting.bytes < self.bytes_max {
            return None;
        }
        let mut stuck = Vec::new();
        let wait = loop {
            if waiting.bytes < self.bytes_max {
                break None;
            }
            let longest = waiting.parcels.iter().min_by_key(|(_, rest)| rest.taken_at);
            let longest = longest.map(|(key, rest)| (*key, now.duration_since(rest.taken_at)));
            match longest {
                Some((key, age)) if age >= STUCK_TIME_MAX => {
                    let rest = waiting.parcels.remove(&key);
                    waiting.bytes -= rest.as_ref().map_or(0, |rest| rest.size);
                    stuck.extend(rest);
                }
                Some((_, age)) => break Some(STUCK_TIME_MAX - age),
                None => break Some(STUCK_TIME_MAX),
            }
        };
        drop(waiting);
        if !stuck.is_empty() {
            self.give_up(stuck);
        }
        wait
    }

    fn give_up(&self, stuck: Vec<Rest>) {
        let count = stuck.len();
        for rest in stuck {
            add(&self.given_up);
            (rest.give_up)();
        }
        self.freed.notify_waiters();
        if self.said.is_due() {
            tracing::warn!(
                "{count} answers were given up whose clients take nothing: {} bytes of answers wait, and others need room",
                self.bytes_max
            );
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // A panic while the lock was held has already ended the process (main installs an aborting hook).
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Parcel {
    /// The next piece.
    pub fn take(&self) -> Piece {
        let mut waiting = self.answers.waiting();
        let Some(rest) = waiting.parcels.get_mut(&self.key) else {
            return Piece::GivenUp;
        };
        if rest.bytes.is_empty() {
            return Piece::End;
        }
        let piece = rest.bytes.split_to(rest.bytes.len().min(PIECE_BYTES_MAX));
        rest.taken_at = Instant::now();
        drop(waiting);
        // A part of the same memory would keep all of it.
        Piece::Bytes(Bytes::copy_from_slice(&piece))
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        let mut waiting = self.answers.waiting();
        let Some(rest) = waiting.parcels.remove(&self.key) else {
            return;
        };
        let was_full = waiting.bytes >= self.answers.bytes_max;
        waiting.bytes -= rest.size;
        let has_room = waiting.bytes < self.answers.bytes_max;
        drop(waiting);
        if was_full && has_room {
            self.answers.freed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: usize = 3 * PIECE_BYTES_MAX + 5;

    fn large() -> Bytes {
        vec![7; LARGE].into()
    }

    #[test]
    fn an_answer_is_taken_in_pieces() {
        let answers = Answers::new(1 << 20);
        let parcel = answers.hold(large(), || {});
        assert_eq!(answers.bytes(), LARGE as u64);
        let mut taken = Vec::new();
        while let Piece::Bytes(piece) = parcel.take() {
            assert!(piece.len() <= PIECE_BYTES_MAX);
            taken.extend_from_slice(&piece);
        }
        assert_eq!((taken, answers.bytes()), (large().to_vec(), LARGE as u64));
        assert_eq!(parcel.take(), Piece::End);
        drop(parcel);
        assert_eq!(answers.bytes(), 0);
    }

    #[test]
    fn what_is_not_taken_is_dropped_with_its_owner() {
        let answers = Answers::new(1 << 20);
        let parcel = answers.hold(large(), || {});
        parcel.take();
        drop(parcel);
        assert_eq!(answers.bytes(), 0);
    }

    #[test]
    fn stuck_answers_give_way_and_others_do_not() {
        let answers = Answers::new(2 * LARGE as u64);
        let source = Arc::new(());
        let used = Arc::clone(&source);
        let stuck = answers.hold(large(), move || drop(used));
        let since = Instant::now();
        assert_eq!(answers.make_room(since + STUCK_TIME_MAX), None, "there is room");
        while Instant::now() == since {}
        let read = answers.hold(large(), || {});
        assert!(!answers.has_room());
        let wait = answers.make_room(since + STUCK_TIME_MAX / 2).unwrap();
        assert!(wait <= STUCK_TIME_MAX / 2 + Duration::from_millis(1), "{wait:?}");
        assert_eq!(Arc::strong_count(&source), 2, "none is stuck for long enough");
        assert_eq!(answers.make_room(since + STUCK_TIME_MAX), None);
        assert_eq!(Arc::strong_count(&source), 1);
        assert_eq!((stuck.take(), answers.given_up()), (Piece::GivenUp, 1));
        assert!(matches!(read.take(), Piece::Bytes(_)), "this one is read");
        drop(stuck);
        assert_eq!(answers.bytes(), LARGE as u64);
    }

    #[tokio::test]
    async fn whoever_waits_goes_on_when_something_is_taken() {
        let answers = Answers::new(LARGE as u64);
        let parcel = answers.hold(large(), || {});
        let waiting = Arc::clone(&answers);
        let waiter = tokio::spawn(async move { waiting.room_within(STUCK_TIME_MAX / 2).await });
        tokio::task::yield_now().await;
        drop(parcel);
        assert!(waiter.await.unwrap());
        assert_eq!(answers.given_up(), 0);
    }
}
