//! What was seen of one cluster, by its clients and by those who look at it.
//!
//! It outlives every member; members only add to it, and learn from it nothing but when to stop.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kvorum_tests::checks::terms::Terms;
use kvorum_tests::checks::watched::{Held, Watched};
use kvorum_tests::checks::{Violation, Violations};
use kvorum_tests::history::Recorder;

/// The offset and the prime of FNV-1a over 64 bits.
const FNV: (u64, u64) = (0xcbf2_9ce4_8422_2325, 0x0000_0100_0000_01b3);

/// All that was seen.
pub(crate) struct Record {
    /// What the clients did.
    pub(crate) recorder: Recorder,
    /// What must not have been seen.
    pub(crate) violations: Violations,
    watched: Mutex<Watched>,
    terms: Mutex<Terms>,
    careless: Mutex<Vec<Careless>>,
    reports: Mutex<BTreeMap<usize, Report>>,
    counts: Mutex<BTreeMap<String, u64>>,
    digest: Mutex<u64>,
    stopped: AtomicBool,
    /// Members that are to stop in order, and whether they have.
    stopping: Mutex<BTreeMap<usize, bool>>,
    /// When the faults ended, in nanoseconds; zero before.
    healed: AtomicI64,
}

/// What a serializable read gave.
pub(crate) struct Careless {
    /// The key.
    pub(crate) key: String,
    /// Its value.
    pub(crate) value: String,
    /// The revision that wrote it.
    pub(crate) revision: i64,
}

/// What a member says of itself after the faults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    /// When.
    pub(crate) at: i64,
    /// Its revision.
    pub(crate) revision: i64,
    /// The hash of its state at that revision.
    pub(crate) hash: String,
    /// Its keys at that revision.
    pub(crate) held: Held,
}

/// The time of the simulation, in nanoseconds, and never the same or an earlier one than was told before: within a step
/// turmoil runs one host after the other, each on its own clock, and what one did first may have the later time. What
/// happened before what is a matter of the order in which it was done.
pub(crate) fn now() -> i64 {
    static LAST: AtomicI64 = AtomicI64::new(0);
    let elapsed = turmoil::sim_elapsed().unwrap_or_default();
    let elapsed = i64::try_from(elapsed.as_nanos()).unwrap_or(i64::MAX);
    // One thread runs all hosts.
    let now = elapsed.max(LAST.load(Relaxed) + 1);
    LAST.store(now, Relaxed);
    now
}

/// The time of the simulation.
pub(crate) fn now_duration() -> Duration {
    turmoil::sim_elapsed().unwrap_or_default()
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Record {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            recorder: Recorder::new(seed),
            violations: Violations::default(),
            watched: Mutex::default(),
            terms: Mutex::default(),
            careless: Mutex::default(),
            reports: Mutex::default(),
            counts: Mutex::default(),
            digest: Mutex::new(FNV.0),
            stopped: AtomicBool::new(false),
            stopping: Mutex::default(),
            healed: AtomicI64::new(0),
        }
    }

    /// Takes an event into the digest.
    pub(crate) fn event(&self, text: &str) {
        tracing::debug!(target: "event", "{text}");
        let mut digest = held(&self.digest);
        for byte in text.bytes() {
            *digest = (*digest ^ u64::from(byte)).wrapping_mul(FNV.1);
        }
    }

    pub(crate) fn digest(&self) -> u64 {
        *held(&self.digest)
    }

    /// Counts something of this kind.
    pub(crate) fn count(&self, kind: &str, by: u64) {
        *held(&self.counts).entry(kind.to_owned()).or_default() += by;
    }

    pub(crate) fn counts(&self) -> BTreeMap<String, u64> {
        held(&self.counts).clone()
    }

    /// Notes what must not be.
    pub(crate) fn wrong(&self, checker: &str, text: String) {
        self.violations.note::<()>(checker, Err(Violation(text)));
    }

    /// Members that are to stop in order, and whether they have.
    pub(crate) fn stopping(&self) -> MutexGuard<'_, BTreeMap<usize, bool>> {
        held(&self.stopping)
    }

    pub(crate) fn watched(&self) -> MutexGuard<'_, Watched> {
        held(&self.watched)
    }

    pub(crate) fn terms(&self) -> MutexGuard<'_, Terms> {
        held(&self.terms)
    }

    pub(crate) fn careless(&self) -> MutexGuard<'_, Vec<Careless>> {
        held(&self.careless)
    }

    pub(crate) fn reports(&self) -> MutexGuard<'_, BTreeMap<usize, Report>> {
        held(&self.reports)
    }

    /// The faults are over, and so is the load.
    pub(crate) fn heal(&self, at: Duration) {
        let at = i64::try_from(at.as_nanos()).unwrap_or(i64::MAX);
        self.healed.store(at, Relaxed);
        self.stopped.store(true, Relaxed);
    }

    /// Whether the load is over.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Relaxed)
    }

    /// When the faults ended; now, as long as they go on.
    pub(crate) fn healed(&self) -> Duration {
        match self.healed.load(Relaxed) {
            0 => now_duration(),
            at => Duration::from_nanos(at.unsigned_abs()),
        }
    }
}
