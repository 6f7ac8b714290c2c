//! Linearizable reads: one round of questions for all reads that wait.
//!
//! A read may answer from local state once that state includes everything acknowledged before the read began. The
//! leader confirms with a majority that it still leads and names its commit index (Raft thesis §6.4); the member waits
//! until it has applied that far.
//!
//! Must keep true: a read joins only a round that starts after the read arrived. There is one round at a time; what
//! arrives meanwhile shares the next.

use kvorum_api::error::Refusal;
use tokio::sync::{mpsc, oneshot};

use crate::service::Service;

/// Reads that may wait for a round; beyond it readers wait for a place, which bounds memory.
const WAITING_MAX: usize = 65_536;
/// Reads taken into one round at a time.
const ROUND_MAX: usize = 8_192;

type Waiter = oneshot::Sender<Result<u64, Refusal>>;

/// The queue of reads that wait for a round.
#[derive(Clone)]
pub struct ReadIndex {
    queue: mpsc::Sender<Waiter>,
}

/// The receiving end, for [`run`].
pub struct Rounds(mpsc::Receiver<Waiter>);

/// A queue and its rounds.
pub fn channel() -> (ReadIndex, Rounds) {
    let (queue, waiters) = mpsc::channel(WAITING_MAX);
    (ReadIndex { queue }, Rounds(waiters))
}

impl ReadIndex {
    /// The index to have applied before a read that arrived now may answer.
    ///
    /// # Errors
    /// There is no leader, it lost its majority, or the member stops.
    pub async fn next(&self) -> Result<u64, Refusal> {
        let (sender, receiver) = oneshot::channel();
        self.queue.send(sender).await.map_err(|_| Refusal::Stopped)?;
        receiver.await.map_err(|_| Refusal::Stopped)?
    }
}

/// Runs rounds until every queue is gone.
pub async fn run(service: Service, mut rounds: Rounds) {
    let mut waiters = Vec::new();
    while rounds.0.recv_many(&mut waiters, ROUND_MAX).await > 0 {
        let index = service.confirm_read_index().await;
        for waiter in waiters.drain(..) {
            // A reader that gave up meanwhile is no loss.
            let _ = waiter.send(index);
        }
    }
}
