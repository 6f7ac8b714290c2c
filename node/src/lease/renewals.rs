//! Keepalives: those that wait together share one entry of the log.
//!
//! Must keep true: a keepalive is answered only after it is in the log of a majority, so that no later leader ends the
//! lease earlier than the answer says. One batch is under way at a time; what arrives meanwhile is the next.

use kvorum_api::error::Refusal;
use kvorum_store::{Command, LeaseRemaining, Response, Who};
use tokio::sync::{mpsc, oneshot};

use crate::fatal;
use crate::service::Service;

/// Keepalives that may wait; beyond it callers wait for a place, which bounds memory.
const WAITING_MAX: usize = 65_536;
/// Keepalives in one entry, about 20 bytes each.
const BATCH_MAX: usize = 4_096;

struct Renewal {
    id: i64,
    answer: oneshot::Sender<Result<i64, Refusal>>,
}

/// The queue of keepalives.
#[derive(Clone)]
pub struct Renewals {
    queue: mpsc::Sender<Renewal>,
}

/// The receiving end, for [`run`].
pub struct Batches(mpsc::Receiver<Renewal>);

/// A queue and its batches.
pub fn channel() -> (Renewals, Batches) {
    let (queue, renewals) = mpsc::channel(WAITING_MAX);
    (Renewals { queue }, Batches(renewals))
}

impl Renewals {
    /// Gives a lease back all the time it was granted; answers that time in seconds, zero when the lease is gone.
    ///
    /// # Errors
    /// No leader in time, or the outcome is unknown.
    pub async fn renew(&self, id: i64) -> Result<i64, Refusal> {
        let (answer, answered) = oneshot::channel();
        let renewal = Renewal { id, answer };
        self.queue.send(renewal).await.map_err(|_| Refusal::Stopped)?;
        answered.await.map_err(|_| Refusal::Stopped)?
    }
}

/// Proposes batches until every queue is gone.
pub async fn run(service: Service, mut batches: Batches) {
    let mut batch = Vec::new();
    while batches.0.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let leases = batch.iter().map(|renewal| LeaseRemaining {
            id: renewal.id,
            // More than any lease was granted: it gets what it was granted.
            remaining_ms: u64::MAX,
        });
        let command = Command::LeaseCheckpoint {
            now_ms: 0,
            leases: leases.collect(),
        };
        let answers = match service.write(Who::Member, command).await {
            Ok(Response::LeaseCheckpoint { ttls }) => ttls.into_iter().map(Ok).collect(),
            Ok(other) => fatal::die(format_args!("keepalives were answered with {other:?}")),
            Err(refusal) => vec![Err(refusal); batch.len()],
        };
        for (renewal, answer) in batch.drain(..).zip(answers) {
            // Who gave up meanwhile is no loss.
            let _ = renewal.answer.send(answer);
        }
    }
}
