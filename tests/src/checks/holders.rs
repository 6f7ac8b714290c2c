//! Clients that hold leases at any member while faults happen. What is judged is in [`super::leases`].
//!
//! Each is granted a lease, ties a key to it, renews it some times or never, and then looks until the key is gone.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::leases::Life;
use super::{Violation, Violations};
use crate::etcd::{Etcd, encode, number};
use crate::wait::pause;

/// How long leases live, in seconds.
const TTL_S: std::ops::Range<i64> = 2..6;
/// Between two looks whether a key is still there. Short against a lease: what ends early by less is not seen.
const LOOK: Duration = Duration::from_millis(60);
/// How long after the end of all faults a look may go unanswered before the holder gives up.
const PATIENCE: Duration = Duration::from_secs(40);

/// Running holders.
pub struct Holders {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

struct Shared {
    start: Instant,
    healed: OnceLock<Duration>,
    violations: Violations,
    counts: Counts,
}

/// What the holders did.
#[derive(Default)]
struct Counts {
    ended: AtomicUsize,
    renewals: AtomicUsize,
    /// The longest time that a lease outlived its promise, in milliseconds; faults that lasted are in it.
    latest_ms: AtomicUsize,
}

/// What the holders of one round did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Held {
    /// Leases that were seen to their end.
    pub ended: usize,
    /// Renewals that were acknowledged.
    pub renewals: usize,
    /// The longest time that one outlived its promise; faults that lasted are in it.
    pub latest: Duration,
}

struct Holder {
    number: usize,
    members: Vec<Etcd>,
    random: StdRng,
    shared: Arc<Shared>,
}

/// How a look or a renewal ended.
enum Seen {
    There,
    Gone,
    Nothing,
}

impl Holders {
    /// Starts `count` holders, whose keys begin with `prefix`.
    #[must_use]
    pub fn start(prefix: &str, members: &[Etcd], count: usize, seed: u64, violations: &Violations) -> Holders {
        let shared = Arc::new(Shared {
            start: Instant::now(),
            healed: OnceLock::new(),
            violations: violations.clone(),
            counts: Counts::default(),
        });
        let tasks = (0..count).map(|number| {
            let holder = Holder {
                number,
                members: members.to_vec(),
                random: StdRng::seed_from_u64(seed ^ (number as u64) << 32),
                shared: Arc::clone(&shared),
            };
            tokio::spawn(holder.run(prefix.to_owned()))
        });
        Holders {
            tasks: tasks.collect(),
            shared,
        }
    }

    /// To be called when the faults are over and every member serves: no lease is renewed from now on, and all are seen to
    /// their end.
    ///
    /// # Panics
    /// When a holder did.
    pub async fn finish(self) -> Held {
        let _ = self.shared.healed.set(self.shared.now());
        for task in self.tasks {
            task.await.expect("a holder failed");
        }
        let counts = &self.shared.counts;
        Held {
            ended: counts.ended.load(Ordering::Relaxed),
            renewals: counts.renewals.load(Ordering::Relaxed),
            latest: Duration::from_millis(counts.latest_ms.load(Ordering::Relaxed) as u64),
        }
    }
}

impl Shared {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }
}

impl Holder {
    async fn run(mut self, prefix: String) {
        let mut turn = 0;
        while self.shared.healed.get().is_none() {
            turn += 1;
            let key = format!("{prefix}{}-{turn}", self.number);
            self.hold(&key).await;
            pause(LOOK).await;
        }
    }

    /// One lease, from its grant to its end.
    async fn hold(&mut self, key: &str) {
        let seconds = self.random.random_range(TTL_S);
        let asked = self.shared.now();
        let Ok(granted) = self.anyone().ask("lease/grant", &json!({"TTL": seconds})).await else {
            return;
        };
        let ttl = Duration::from_secs(number(&granted["TTL"]).unsigned_abs());
        let mut life = Life::granted(number(&granted["ID"]), ttl, asked, self.shared.now());
        let put = json!({"key": encode(key), "value": encode(life.id.to_string()), "lease": life.id.to_string()});
        match self.say("kv/put", &put, |_| true).await {
            Seen::There => {}
            // Nobody knows whether the key is there: it ends with its lease.
            Seen::Nothing => return,
            Seen::Gone => return self.gone(&life),
        }
        for _ in 0..self.random.random_range(0..4) {
            let part = self.random.random_range(0.0..0.9);
            if !self.stays(key, ttl.mul_f64(part)).await {
                return self.gone(&life);
            }
            if self.shared.healed.get().is_some() {
                break;
            }
            if !self.renew(&mut life).await {
                return self.gone(&life);
            }
        }
        self.see_it_end(&life, key).await;
    }

    fn anyone(&mut self) -> Etcd {
        self.members[self.random.random_range(0..self.members.len())].clone()
    }

    fn gone(&self, life: &Life) {
        let Some(late) = self.shared.violations.note("lease", life.gone(self.shared.now())) else {
            return;
        };
        let counts = &self.shared.counts;
        counts.ended.fetch_add(1, Ordering::Relaxed);
        let late = usize::try_from(late.as_millis()).unwrap_or(usize::MAX);
        counts.latest_ms.fetch_max(late, Ordering::Relaxed);
    }

    /// Asks anyone; `is_there` reads an answer that is a success. A refusal that knows no such lease means that it is gone.
    async fn say(&mut self, path: &str, body: &Value, is_there: impl Fn(&Value) -> bool) -> Seen {
        match self.anyone().call(path, body).await {
            Ok(reply) if reply.status == 200 && is_there(&reply.json()) => Seen::There,
            Ok(reply) if reply.status == 200 || reply.status == 404 => Seen::Gone,
            _ => Seen::Nothing,
        }
    }

    async fn look(&mut self, key: &str) -> Seen {
        self.say("kv/range", &json!({"key": encode(key)}), |answer| {
            answer["kvs"][0].is_object()
        })
        .await
    }

    /// Renews it; whether it is there.
    async fn renew(&mut self, life: &mut Life) -> bool {
        let asked = self.shared.now();
        let body = json!({"ID": life.id.to_string()});
        let seen = self
            .say("lease/keepalive", &body, |answer| number(&answer["result"]["TTL"]) > 0)
            .await;
        match seen {
            Seen::There => {
                life.renewed(asked, self.shared.now());
                self.shared.counts.renewals.fetch_add(1, Ordering::Relaxed);
            }
            Seen::Nothing => life.perhaps_renewed(self.shared.now()),
            Seen::Gone => return false,
        }
        true
    }

    /// Looks at the key for `time`; whether it is still there.
    async fn stays(&mut self, key: &str, time: Duration) -> bool {
        let until = self.shared.now() + time;
        while self.shared.now() < until {
            if matches!(self.look(key).await, Seen::Gone) {
                return false;
            }
            pause(LOOK).await;
        }
        true
    }

    /// Looks until the key is gone, or should have been for too long.
    async fn see_it_end(&mut self, life: &Life, key: &str) {
        loop {
            let asked = self.shared.now();
            let healed = self.shared.healed.get().copied();
            match self.look(key).await {
                Seen::Gone => return self.gone(life),
                Seen::There => {
                    let present = healed.map_or(Ok(()), |healed| life.present(asked, healed));
                    if self.shared.violations.note("lease", present).is_none() {
                        return;
                    }
                }
                Seen::Nothing if healed.is_some_and(|healed| asked > healed + PATIENCE) => {
                    let text = format!("no member says whether lease {:x} is gone", life.id);
                    self.shared.violations.note::<()>("lease", Err(Violation(text)));
                    return;
                }
                Seen::Nothing => {}
            }
            pause(LOOK).await;
        }
    }
}
