//! Full load: clients that write again as soon as they are answered, and how long the answers took.
//!
//! Latencies are kept as counts in buckets, each a twentieth wider than the one before, so that half an hour of them
//! takes no more room than a second. A write that is not acknowledged counts as failed, and for no latency.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinSet;

use crate::etcd::Etcd;

/// Each bucket ends this much later than the one before.
const GROWTH: f64 = 1.05;
/// From a microsecond to some ten minutes.
const BUCKETS: usize = 420;

/// How long answers took.
#[derive(Clone, Debug)]
pub struct Latencies {
    buckets: Vec<u64>,
    count: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self {
            buckets: vec![0; BUCKETS],
            count: 0,
        }
    }
}

impl Latencies {
    fn add(&mut self, latency: Duration) {
        let micros = latency.as_secs_f64() * 1e6;
        let bucket = micros.max(1.0).log(GROWTH) as usize;
        self.buckets[bucket.min(BUCKETS - 1)] += 1;
        self.count += 1;
    }

    /// Adds what another has.
    pub fn merge(&mut self, other: &Latencies) {
        for (own, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *own += more;
        }
        self.count += other.count;
    }

    /// How many answers.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The latency that this part of the answers, 0 to 1, did not exceed; zero when there is no answer.
    #[must_use]
    pub fn quantile(&self, part: f64) -> Duration {
        let wanted = (self.count as f64 * part).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Duration::from_secs_f64(GROWTH.powf(bucket as f64 + 1.0) / 1e6);
            }
        }
        Duration::ZERO
    }
}

/// Clients at work, until this is finished or dropped.
pub struct Load {
    latencies: Arc<Mutex<Latencies>>,
    failed: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    clients: JoinSet<()>,
}

/// What the clients write.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// How many clients, each with one request at a time.
    pub clients: usize,
    /// Different keys; what is written beyond them is written over.
    pub keys: usize,
    /// Length of a value.
    pub value_bytes: usize,
}

impl Load {
    /// Starts clients that each write at one of `members`, in turn.
    #[must_use]
    pub fn start(members: &[Etcd], shape: Shape, seed: u64) -> Load {
        let mut load = Load {
            latencies: Arc::default(),
            failed: Arc::default(),
            over: Arc::default(),
            clients: JoinSet::new(),
        };
        for number in 0..shape.clients {
            let etcd = members[number % members.len()].clone();
            let mut random = StdRng::seed_from_u64(seed ^ number as u64);
            let (latencies, failed) = (Arc::clone(&load.latencies), Arc::clone(&load.failed));
            let over = Arc::clone(&load.over);
            load.clients.spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    let key = format!("load/{:08}", random.random_range(0..shape.keys));
                    let value: String = (0..shape.value_bytes)
                        .map(|_| char::from(random.random_range(b'a'..=b'z')))
                        .collect();
                    let asked = Instant::now();
                    match etcd.put(&key, &value).await {
                        Ok(_) => locked(&latencies).add(asked.elapsed()),
                        Err(_) => _ = failed.fetch_add(1, Ordering::Relaxed),
                    }
                }
            });
        }
        load
    }

    /// The latencies since they were taken last.
    #[must_use]
    pub fn take(&self) -> Latencies {
        std::mem::take(&mut locked(&self.latencies))
    }

    /// Writes that were not acknowledged.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Ends the load when every client has its last answer.
    pub async fn finish(mut self) {
        self.over.store(true, Ordering::Relaxed);
        while self.clients.join_next().await.is_some() {}
    }
}

fn locked(latencies: &Mutex<Latencies>) -> std::sync::MutexGuard<'_, Latencies> {
    latencies.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_within_a_twentieth() {
        let mut all = Latencies::default();
        for half in [1..501_u64, 501..1_001] {
            let mut some = Latencies::default();
            half.for_each(|millis| some.add(Duration::from_millis(millis)));
            all.merge(&some);
        }
        assert_eq!(all.count(), 1_000);
        for (part, millis) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1_000.0)] {
            let found = all.quantile(part).as_secs_f64() * 1e3;
            assert!((millis..=millis * 1.06).contains(&found), "{part}: {found} ms");
        }
        assert_eq!(Latencies::default().quantile(0.99), Duration::ZERO);
    }
}
