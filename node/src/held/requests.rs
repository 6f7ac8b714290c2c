//! Requests under way: how many there are, and how many bytes of their bodies are held.
//!
//! A request's bytes count from their arrival until it is answered; those of a stream of requests until the message that
//! they belong to is complete. Small requests are free, so that whoever fills the bound with large ones does not keep
//! everybody else out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::seldom::Seldom;
use crate::service::counts::add;

/// Requests under way at once, streams among them, over all connections. Each costs about 20 KiB beside its body.
pub const REQUESTS_MAX: usize = 32_768;
/// Bytes of each request that do not count: with [`REQUESTS_MAX`] they are half a gigabyte at most.
pub const FREE_BYTES: u64 = 16 << 10;

/// The requests of all clients.
#[derive(Debug)]
pub struct Requests {
    bytes_max: u64,
    bytes: AtomicU64,
    places: Arc<Semaphore>,
    refused: AtomicU64,
    said: Seldom,
}

/// One request under way, for as long as anybody holds this.
#[derive(Debug)]
pub struct Hold {
    requests: Arc<Requests>,
    /// What counts of its bytes.
    bytes: AtomicU64,
    /// All that came.
    arrived: AtomicU64,
    _place: OwnedSemaphorePermit,
}

/// There is no room for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl Requests {
    /// At most so many bytes at once.
    #[must_use]
    pub fn new(bytes_max: u64) -> Arc<Requests> {
        Arc::new(Requests {
            bytes_max,
            bytes: AtomicU64::default(),
            places: Arc::new(Semaphore::new(REQUESTS_MAX)),
            refused: AtomicU64::default(),
            said: Seldom::default(),
        })
    }

    /// Takes in a request, none of whose body has come.
    ///
    /// # Errors
    /// Too many are under way.
    pub fn begin(self: &Arc<Self>) -> Result<Arc<Hold>, Full> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_| self.refuse("requests"))?;
        Ok(Arc::new(Hold {
            requests: Arc::clone(self),
            bytes: AtomicU64::default(),
            arrived: AtomicU64::default(),
            _place: place,
        }))
    }

    /// Requests under way.
    pub fn under_way(&self) -> usize {
        REQUESTS_MAX - self.places.available_permits()
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Most bytes held at once.
    pub fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// Requests refused since the start.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn refuse(&self, what: &str) -> Full {
        add(&self.refused);
        if self.said.is_due() {
            tracing::warn!(
                "too many {what} are under way ({} requests, {} bytes of them held): further ones are refused",
                self.under_way(),
                self.bytes()
            );
        }
        Full
    }
}

impl Hold {
    /// Says how many bytes are held now.
    ///
    /// # Errors
    /// There is no room for more: what came must be dropped, and the request refused.
    pub fn set(&self, arrived: u64) -> Result<(), Full> {
        self.arrived.store(arrived, Ordering::Relaxed);
        let bytes = arrived.saturating_sub(FREE_BYTES);
        let before = self.bytes.swap(bytes, Ordering::Relaxed);
        if bytes <= before {
            self.requests.bytes.fetch_sub(before - bytes, Ordering::Relaxed);
            return Ok(());
        }
        let all = self.requests.bytes.fetch_add(bytes - before, Ordering::Relaxed) + bytes - before;
        if all > self.requests.bytes_max {
            // Nothing of it is kept.
            self.clear();
            return Err(self.requests.refuse("bytes of requests"));
        }
        Ok(())
    }

    /// Nothing is held any more.
    pub fn clear(&self) {
        self.arrived.store(0, Ordering::Relaxed);
        let before = self.bytes.swap(0, Ordering::Relaxed);
        self.requests.bytes.fetch_sub(before, Ordering::Relaxed);
    }

    /// Bytes that came and are held, those that do not count among them.
    pub fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::Relaxed)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_held_until_the_request_is_done() {
        let requests = Requests::new(1_000);
        let (one, two) = (requests.begin().unwrap(), requests.begin().unwrap());
        assert_eq!(one.set(FREE_BYTES + 400), Ok(()));
        assert_eq!(one.set(FREE_BYTES + 700), Ok(()));
        assert_eq!(
            (requests.under_way(), requests.bytes(), one.arrived()),
            (2, 700, FREE_BYTES + 700)
        );
        assert_eq!(two.set(FREE_BYTES + 301), Err(Full));
        assert_eq!(
            (requests.bytes(), requests.refused()),
            (700, 1),
            "nothing of what was refused is held"
        );
        assert_eq!(two.set(FREE_BYTES + 300), Ok(()));
        one.clear();
        assert_eq!(requests.bytes(), 300);
        drop((one, two));
        assert_eq!((requests.under_way(), requests.bytes()), (0, 0));
    }

    #[test]
    fn small_requests_pass_when_the_bound_is_reached() {
        let requests = Requests::new(1_000);
        let large = requests.begin().unwrap();
        assert_eq!(large.set(FREE_BYTES + 1_000), Ok(()));
        let small = requests.begin().unwrap();
        assert_eq!([small.set(FREE_BYTES), small.set(FREE_BYTES + 1)], [Ok(()), Err(Full)]);
    }

    #[test]
    fn there_are_only_so_many() {
        let requests = Requests::new(1_000);
        let all: Vec<_> = (0..REQUESTS_MAX).map(|_| requests.begin().unwrap()).collect();
        assert!(requests.begin().is_err());
        drop(all);
        assert!(requests.begin().is_ok());
    }
}
