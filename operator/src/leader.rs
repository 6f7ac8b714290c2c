//! One writer at a time: takes and keeps a `coordination.k8s.io` Lease by the algorithm of client-go, in our own words.
//!
//! What it must keep true: every write to the Lease carries the resourceVersion it was decided on, so two candidates
//! cannot both win; a leader that could not renew within the deadline reports the loss and its process ends (fail-stop:
//! nothing started under the old leadership can go on); an orderly stop gives the lease back.
//!
//! The count of holders (`leaseTransitions`) is the fencing epoch: membership-changing calls carry it, and nodes refuse
//! one older than they remember. That closes the hole that any lease leaves open, a leader that was paused and wakes up.
//!
//! Deliberately not here: the rules of who may take the lease when (`leader::election`, pure and tested by tables).

pub mod election;

use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, PostParams};

use self::election::{Election, Move, Record, Timing};

/// Bound on one call to the API server about the Lease. Half the renewal deadline, so that a hanging call leaves time
/// for a second attempt.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a renewal or an attempt to take the lease failed. All are retried until the deadline.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// The API server answered with an error other than a conflict.
    #[error("the API server refused the Lease: {0}")]
    Api(#[from] kube::Error),
    /// The API server did not answer in time.
    #[error("the API server did not answer about the Lease within {} s", CALL_TIMEOUT.as_secs())]
    Timeout,
}

/// Leadership as the rest of the operator sees it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Leadership {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    transitions: AtomicI32,
    wanted: AtomicI32,
    used: AtomicU64,
    good_until: Mutex<Option<Instant>>,
}

impl Leadership {
    fn new() -> Self {
        let shared = Shared {
            transitions: AtomicI32::new(0),
            wanted: AtomicI32::new(0),
            used: AtomicU64::new(0),
            good_until: Mutex::new(None),
        };
        Leadership {
            shared: Arc::new(shared),
        }
    }

    /// Whether we lead now, by a renewal that is fresh enough to act on.
    #[must_use]
    pub fn leads(&self) -> bool {
        let until = *self
            .shared
            .good_until
            .lock()
            .expect("no code panics while it holds this lock");
        until.is_some_and(|until| Instant::now() < until)
    }

    /// The fencing epoch for a call that is made now, or `None` when the last renewal is too old to act on.
    #[must_use]
    pub fn epoch(&self) -> Option<u64> {
        if !self.leads() {
            return None;
        }
        let epoch = epoch_of(self.shared.transitions.load(Ordering::Acquire));
        self.shared.used.fetch_max(epoch, Ordering::AcqRel);
        Some(epoch)
    }

    /// Tells that a node remembers `epoch`. When that is not older than ours and none that we used, although we do hold
    /// the lease, the Lease was deleted and its count began anew: the next renewal raises the count beyond it. A leader
    /// that was really superseded cannot raise anything, since its renewal fails on the resourceVersion.
    pub fn remembered_elsewhere(&self, epoch: u64) {
        let ours = epoch_of(self.shared.transitions.load(Ordering::Acquire));
        let used = self.shared.used.load(Ordering::Acquire);
        if epoch > 0 && epoch >= ours && epoch != used {
            // The epoch after it belongs to a count of just this number.
            let transitions = i32::try_from(epoch).unwrap_or(i32::MAX);
            self.shared.wanted.fetch_max(transitions, Ordering::AcqRel);
        }
    }

    fn renewed(&self, transitions: i32, sent: Instant, timing: Timing) {
        self.shared.transitions.store(transitions, Ordering::Release);
        *self
            .shared
            .good_until
            .lock()
            .expect("no code panics while it holds this lock") = Some(sent + timing.renew_deadline);
    }

    fn dropped(&self) {
        *self
            .shared
            .good_until
            .lock()
            .expect("no code panics while it holds this lock") = None;
    }
}

/// A candidate for one Lease.
pub struct Candidate {
    api: Api<Lease>,
    name: String,
    timing: Timing,
    election: Election,
    lease: Option<Lease>,
    started: Instant,
    leadership: Leadership,
}

impl Candidate {
    /// A candidate called `identity` (unique to this process) for the Lease `name` in the namespace of `api`.
    #[must_use]
    pub fn new(api: Api<Lease>, name: impl Into<String>, identity: impl Into<String>, timing: Timing) -> Self {
        Candidate {
            api,
            name: name.into(),
            timing,
            election: Election::new(identity, timing),
            lease: None,
            started: Instant::now(),
            leadership: Leadership::new(),
        }
    }

    /// The handle through which others learn whether we lead, and in which epoch.
    #[must_use]
    pub fn leadership(&self) -> Leadership {
        self.leadership.clone()
    }

    /// Waits until the lease is ours. Never fails: errors are logged and tried again.
    pub async fn acquire(&mut self) {
        let mut announced = None;
        loop {
            match self.attempt().await {
                Ok(true) => return,
                Ok(false) => {
                    let holder = self.election.other_holder().map(str::to_owned);
                    if announced != holder {
                        tracing::info!(lease = self.name, holder, "standing by, another replica leads");
                        announced = holder;
                    }
                }
                Err(error) => tracing::warn!(lease = self.name, %error, "could not take the lease"),
            }
            tokio::time::sleep(self.timing.retry).await;
        }
    }

    /// Keeps the lease until it is lost; returns then. Cancel-safe between renewals: drop it to stop renewing.
    pub async fn keep(&mut self) {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(self.timing.retry).await;
            match tokio::time::timeout(self.timing.renew_deadline, self.attempt()).await {
                Ok(Ok(true)) => renewed = Instant::now(),
                Ok(Ok(false)) if self.election.other_holder().is_some() => break,
                Ok(Ok(false)) | Err(_) => {}
                Ok(Err(error)) => tracing::warn!(lease = self.name, %error, "could not renew the lease"),
            }
            if renewed.elapsed() >= self.timing.renew_deadline {
                break;
            }
        }
        self.leadership.dropped();
    }

    /// Gives the lease back, so that the next replica need not wait for it to run out.
    pub async fn release(&mut self) {
        let Some(record) = self.election.release(Timestamp::now()) else {
            return;
        };
        self.leadership.dropped();
        if let Err(error) = self.replace(record).await {
            tracing::warn!(lease = self.name, %error, "could not give the lease back");
        }
    }

    /// One attempt to take or renew. `Ok(false)`: another holds it, or was quicker.
    async fn attempt(&mut self) -> Result<bool, LeaseError> {
        self.election
            .raise(self.leadership.shared.wanted.load(Ordering::Acquire));
        // The holder writes on the record it wrote last, which costs one call; a conflict makes it look again.
        if !self.election.holds() {
            self.look().await?;
        }
        let sent = Instant::now();
        let won = match self.election.next(self.started.elapsed(), Timestamp::now()) {
            Move::Wait => None,
            Move::Create(record) => self.create(record).await?,
            Move::Replace(record) => self.replace(record).await?,
        };
        match won {
            Some(transitions) => self.leadership.renewed(transitions, sent, self.timing),
            None if self.election.holds() => self.look().await?,
            None => {}
        }
        Ok(won.is_some())
    }

    async fn look(&mut self) -> Result<(), LeaseError> {
        let lease = in_time(self.api.get_opt(&self.name)).await?;
        self.remember(lease);
        Ok(())
    }

    async fn create(&mut self, record: Record) -> Result<Option<i32>, LeaseError> {
        let metadata = ObjectMeta {
            name: Some(self.name.clone()),
            ..ObjectMeta::default()
        };
        let lease = Lease {
            metadata,
            spec: Some(to_spec(record)),
        };
        let written = in_time(self.api.create(&PostParams::default(), &lease)).await;
        self.written(written)
    }

    async fn replace(&mut self, record: Record) -> Result<Option<i32>, LeaseError> {
        let Some(seen) = &self.lease else { return Ok(None) };
        // The metadata as seen carries the resourceVersion, which makes this a compare-and-swap.
        let lease = Lease {
            metadata: seen.metadata.clone(),
            spec: Some(to_spec(record)),
        };
        let written = in_time(self.api.replace(&self.name, &PostParams::default(), &lease)).await;
        self.written(written)
    }

    fn written(&mut self, result: Result<Lease, LeaseError>) -> Result<Option<i32>, LeaseError> {
        match result {
            Ok(lease) => {
                self.remember(Some(lease));
                Ok(self.lease.as_ref().map(|lease| to_record(lease).transitions))
            }
            Err(LeaseError::Api(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn remember(&mut self, lease: Option<Lease>) {
        self.election
            .observe(lease.as_ref().map(to_record), self.started.elapsed());
        self.lease = lease;
    }
}

/// One more than the count, so that an epoch is never zero: nodes start out remembering zero.
fn epoch_of(transitions: i32) -> u64 {
    u64::try_from(transitions).unwrap_or(0) + 1
}

async fn in_time<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, LeaseError> {
    match tokio::time::timeout(CALL_TIMEOUT, call).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(LeaseError::Timeout),
    }
}

fn to_record(lease: &Lease) -> Record {
    let spec = lease.spec.clone().unwrap_or_default();
    Record {
        holder: spec.holder_identity.unwrap_or_default(),
        duration_s: spec.lease_duration_seconds.unwrap_or(0),
        acquired: spec.acquire_time.map(|time| time.0),
        renewed: spec.renew_time.map(|time| time.0),
        transitions: spec.lease_transitions.unwrap_or(0),
    }
}

fn to_spec(record: Record) -> LeaseSpec {
    LeaseSpec {
        holder_identity: Some(record.holder),
        lease_duration_seconds: Some(record.duration_s),
        acquire_time: record.acquired.map(MicroTime),
        renew_time: record.renewed.map(MicroTime),
        lease_transitions: Some(record.transitions),
        ..LeaseSpec::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    /// What count is wanted after a node remembered `epoch`, by a leader of `transitions` that has called `called`.
    fn wanted(transitions: i32, called: bool, epoch: u64) -> i32 {
        let leadership = Leadership::new();
        leadership.renewed(transitions, Instant::now(), Timing::default());
        if called {
            let _ = leadership.epoch();
        }
        leadership.remembered_elsewhere(epoch);
        leadership.shared.wanted.load(Ordering::Acquire)
    }

    #[test_case(3, false, 0 => 0; "a node that never heard of anyone")]
    #[test_case(3, false, 3 => 0; "an older epoch")]
    #[test_case(3, true, 4 => 0; "our own epoch")]
    #[test_case(0, false, 1 => 1; "our number, used by another before the Lease was deleted")]
    #[test_case(0, false, 7 => 7; "newer, from before the Lease was deleted")]
    #[test_case(0, true, 7 => 7; "newer, though we have called already")]
    fn raising(transitions: i32, called: bool, epoch: u64) -> i32 {
        wanted(transitions, called, epoch)
    }

    #[test]
    fn an_old_renewal_is_no_leadership() {
        let leadership = Leadership::new();
        assert_eq!(leadership.epoch(), None);
        let timing = Timing {
            renew_deadline: Duration::ZERO,
            ..Timing::default()
        };
        leadership.renewed(2, Instant::now(), timing);
        assert_eq!((leadership.leads(), leadership.epoch()), (false, None));
        leadership.renewed(2, Instant::now(), Timing::default());
        assert_eq!((leadership.leads(), leadership.epoch()), (true, Some(3)));
        leadership.dropped();
        assert_eq!(leadership.epoch(), None);
    }
}
