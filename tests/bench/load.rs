//! One kind of load, and what was measured under it.

use std::time::{Duration, Instant};

use kvorum_tests::etcd::{Etcd, encode};
use kvorum_tests::web::Web;
use serde_json::{Value, json};

use crate::side::Side;

/// Bytes in a value, as in etcd's own published figures.
const VALUE_BYTES: usize = 256;
/// Keys that are written and read.
const KEYS: usize = 10_000;
/// Time before measuring, for connections and caches.
const WARM_UP: Duration = Duration::from_secs(1);

/// Some connections that ask one after the other, without pause.
pub(crate) struct Load {
    /// What it is called in the table.
    pub(crate) name: &'static str,
    /// How many connections.
    pub(crate) connections: usize,
    /// Whether they read; otherwise they write.
    pub(crate) read: bool,
}

/// What came out.
pub(crate) struct Measured {
    /// Requests answered per second.
    pub(crate) per_second: f64,
    /// Half were answered within this.
    pub(crate) p50: Duration,
    /// 99 of 100 were answered within this.
    pub(crate) p99: Duration,
    /// CPU time of all members per request, in microseconds.
    pub(crate) cpu_micros: f64,
}

impl Load {
    /// Runs it for `time` after a warm-up.
    pub(crate) async fn measure(&self, side: &Side, time: Duration) -> anyhow::Result<Measured> {
        self.run(side, WARM_UP).await?;
        let before = side.cpu_seconds()?;
        let started = Instant::now();
        let mut latencies = self.run(side, time).await?;
        let elapsed = started.elapsed().as_secs_f64();
        let cpu = side.cpu_seconds()? - before;
        latencies.sort_unstable();
        anyhow::ensure!(!latencies.is_empty(), "nothing was answered");
        let count = latencies.len();
        let at = |share: f64| latencies[((count - 1) as f64 * share) as usize];
        Ok(Measured {
            per_second: count as f64 / elapsed,
            p50: at(0.5),
            p99: at(0.99),
            cpu_micros: cpu * 1e6 / count as f64,
        })
    }

    async fn run(&self, side: &Side, time: Duration) -> anyhow::Result<Vec<Duration>> {
        let until = Instant::now() + time;
        let clients = (0..self.connections).map(|number| {
            // One client object each, so that each has a connection of its own.
            let etcd = Etcd::new(Web::new(None, None), side.urls[number % side.urls.len()].clone());
            let read = self.read;
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                let mut turn = number;
                while Instant::now() < until {
                    let (path, body) = request(read, turn % KEYS);
                    let asked = Instant::now();
                    etcd.ask(path, &body).await?;
                    latencies.push(asked.elapsed());
                    turn += 7919;
                }
                anyhow::Ok(latencies)
            })
        });
        let mut all = Vec::new();
        for client in clients.collect::<Vec<_>>() {
            all.extend(client.await??);
        }
        Ok(all)
    }
}

fn request(read: bool, number: usize) -> (&'static str, Value) {
    let key = encode(format!("key-{number:08}"));
    if read {
        ("kv/range", json!({"key": key}))
    } else {
        ("kv/put", json!({"key": key, "value": encode([b'x'; VALUE_BYTES])}))
    }
}
