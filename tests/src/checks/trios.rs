//! Clients that write and read three keys at once, at any member, while faults happen. What is judged is in
//! [`super::trio`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::trio::{Bounds, Read, judge};
use super::{Violation, Violations};
use crate::etcd::{Etcd, decode, encode, number};
use crate::wait::pause;

/// Time between two operations of one client.
const PACE: Duration = Duration::from_millis(10);
/// Clients that read.
const READERS: u64 = 3;

/// Running clients.
pub struct Trios {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

struct Shared {
    prefix: String,
    members: Vec<Etcd>,
    acknowledged: AtomicU64,
    tried: AtomicU64,
    writes: AtomicUsize,
    reads: AtomicUsize,
    stop: AtomicBool,
    violations: Violations,
}

impl Trios {
    /// Starts one client that writes and some that read, on keys that begin with `prefix`.
    #[must_use]
    pub fn start(prefix: &str, members: &[Etcd], seed: u64, violations: &Violations) -> Trios {
        let shared = Arc::new(Shared {
            prefix: prefix.to_owned(),
            members: members.to_vec(),
            acknowledged: AtomicU64::new(0),
            tried: AtomicU64::new(0),
            writes: AtomicUsize::new(0),
            reads: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            violations: violations.clone(),
        });
        let tasks = (0..=READERS).map(|client| {
            let shared = Arc::clone(&shared);
            let mut random = StdRng::seed_from_u64(seed ^ client << 48);
            tokio::spawn(async move {
                while !shared.stop.load(Ordering::Relaxed) {
                    let member = &shared.members[random.random_range(0..shared.members.len())];
                    if client == 0 {
                        shared.write(member).await;
                    } else {
                        shared.read(member).await;
                    }
                    pause(PACE).await;
                }
            })
        });
        Trios {
            tasks: tasks.collect(),
            shared,
        }
    }

    /// Ends them; how many writes and reads were answered.
    ///
    /// # Panics
    /// When a client did.
    pub async fn finish(self) -> (usize, usize) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("a client failed");
        }
        let count = |number: &AtomicUsize| number.load(Ordering::Relaxed);
        (count(&self.shared.writes), count(&self.shared.reads))
    }
}

impl Shared {
    /// A transaction that nobody answered may be done at any later time. So each asks that what is there is older: the
    /// numbers only rise.
    async fn write(&self, member: &Etcd) {
        let first = self.acknowledged.load(Ordering::SeqCst) == 0;
        let next = if first {
            1
        } else {
            self.tried.load(Ordering::SeqCst) + 1
        };
        self.tried.fetch_max(next, Ordering::SeqCst);
        let value = encode(format!("{next:012}"));
        let key = |key: &str| encode(format!("{}{key}", self.prefix));
        let put = |name: &str| json!({"request_put": {"key": key(name), "value": value}});
        let compare = if first {
            json!({"key": key("a"), "target": "CREATE", "create_revision": "0"})
        } else {
            json!({"key": key("a"), "target": "VALUE", "result": "LESS", "value": value})
        };
        let txn = json!({"compare": [compare], "success": [put("a"), put("b"), put("c")]});
        let Ok(answer) = member.ask("kv/txn", &txn).await else {
            return;
        };
        self.acknowledged.fetch_max(next, Ordering::SeqCst);
        self.writes.fetch_add(1, Ordering::Relaxed);
        if !first && answer["succeeded"] != true {
            let text = format!("{next} is refused, as if something newer were there: {answer}");
            self.violations.note::<()>("transactions", Err(Violation(text)));
        }
    }

    async fn read(&self, member: &Etcd) {
        let acknowledged = self.acknowledged.load(Ordering::SeqCst);
        let end = encode(format!("{}d", self.prefix));
        let range = json!({"key": encode(format!("{}a", self.prefix)), "range_end": end});
        let Ok(answer) = member.ask("kv/range", &range).await else {
            return;
        };
        let bounds = Bounds {
            acknowledged,
            tried: self.tried.load(Ordering::SeqCst),
        };
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.violations.note("transactions", judge(&numbers(&answer), bounds));
    }
}

/// What a range gave.
fn numbers(answer: &Value) -> Read {
    let kvs = answer["kvs"].as_array().into_iter().flatten();
    kvs.map(|kv| {
        let text = decode(&kv["value"]);
        let value = text.parse().unwrap_or_else(|_| panic!("nobody wrote {text}"));
        (value, number(&kv["mod_revision"]))
    })
    .collect()
}
