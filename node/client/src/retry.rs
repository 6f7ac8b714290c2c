//! Which endpoint is asked next, and whether a request may be asked again.
//!
//! The rotation remembers the endpoint that answered last and starts there. Within one call every endpoint gets its turn;
//! after a whole round without an answer there is a pause, which grows, and the number of rounds is bounded, so that a
//! cluster that is down is reported quickly instead of after the whole timeout.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::transport::{Answer, Call, Transport};
use crate::{Endpoint, Error};

/// Rounds over all endpoints. Together with the pauses they outlast an election (about a second).
const ROUNDS_MAX: u32 = 6;
/// Pause after the first round; it doubles.
const PAUSE: Duration = Duration::from_millis(50);

/// Whether a request may be sent again although an earlier attempt may have had its effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// A read, or a change that is the same done twice.
    Freely,
    /// A change: only when it is certain that it was not done.
    IfNotDone,
}

/// The endpoints and the one to start with. Clones share the memory of which endpoint works.
#[derive(Clone, Debug)]
pub(crate) struct Rotation {
    endpoints: Arc<[Endpoint]>,
    first: Arc<AtomicUsize>,
    timeout: Duration,
}

impl Rotation {
    pub(crate) fn new(endpoints: Vec<Endpoint>, timeout: Duration) -> Self {
        debug_assert!(!endpoints.is_empty(), "the configuration was checked");
        Self {
            endpoints: endpoints.into(),
            first: Arc::default(),
            timeout,
        }
    }

    pub(crate) fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The same endpoints, with another time.
    pub(crate) fn within(&self, timeout: Duration) -> Self {
        Self {
            timeout,
            ..self.clone()
        }
    }

    /// Opens a call at the first endpoint that answers at all; each gets one turn, because a stream is opened anew by
    /// whoever wants it carried on.
    pub(crate) async fn open(
        &self,
        transport: &Transport,
        call: &Call,
    ) -> Result<(Endpoint, http::Response<hyper::body::Incoming>), Error> {
        let deadline = Instant::now() + self.timeout;
        let mut tried = 0;
        loop {
            let index = self.first.load(Ordering::Relaxed) % self.endpoints.len();
            let endpoint = &self.endpoints[index];
            let timeout = self.share(deadline, tried, Repeat::Freely);
            let error = match transport.open(endpoint, call, timeout).await {
                Ok(response) => return Ok((endpoint.clone(), response)),
                Err(error) => error,
            };
            self.first.store(index + 1, Ordering::Relaxed);
            tried += 1;
            if tried >= self.endpoints.len() {
                return Err(error);
            }
        }
    }

    /// Sends a call to one endpoint after the other until `read` accepts an answer or finds a reason to stop.
    pub(crate) async fn send<T>(
        &self,
        transport: &Transport,
        call: &Call,
        repeat: Repeat,
        read: impl Fn(Answer) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let deadline = Instant::now() + self.timeout;
        let mut tried = 0;
        loop {
            let index = self.first.load(Ordering::Relaxed) % self.endpoints.len();
            let timeout = self.share(deadline, tried, repeat);
            let result = transport
                .send(&self.endpoints[index], call, timeout)
                .await
                .and_then(&read);
            let error = match result {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let again = error.is_unavailable() && (repeat == Repeat::Freely || error.is_certainly_not_done());
            if error.is_unavailable() {
                // Whoever comes next starts elsewhere; if someone else has already moved on, that is as good.
                let next = (index + 1) % self.endpoints.len();
                let _ = self
                    .first
                    .compare_exchange(index, next, Ordering::Relaxed, Ordering::Relaxed);
            }
            tried += 1;
            if !again || !self.wait(tried, deadline).await {
                return Err(error);
            }
        }
    }

    /// Time for one attempt: what is left; half of it for a read that another endpoint could still answer.
    fn share(&self, deadline: Instant, tried: usize, repeat: Repeat) -> Duration {
        let left = deadline.saturating_duration_since(Instant::now());
        if repeat == Repeat::Freely && tried + 1 < self.endpoints.len() {
            left / 2
        } else {
            left
        }
    }

    /// Pauses after a whole round. False when rounds or time are used up.
    async fn wait(&self, tried: usize, deadline: Instant) -> bool {
        let rounds = u32::try_from(tried / self.endpoints.len()).unwrap_or(u32::MAX);
        if rounds >= ROUNDS_MAX {
            return false;
        }
        if !tried.is_multiple_of(self.endpoints.len()) {
            return Instant::now() < deadline;
        }
        let pause = PAUSE * 2_u32.pow(rounds - 1);
        let left = deadline.saturating_duration_since(Instant::now());
        if left <= pause {
            return false;
        }
        tokio::time::sleep(pause).await;
        true
    }
}
