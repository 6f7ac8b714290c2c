//! Clients that read and write without pause at every member, and record what they saw.
//!
//! A client treats a failure as what it is: no connection and a refusal that promises so mean "did not happen"; any
//! other failure of a write leaves its outcome unknown. A refusal that blames the request is a fault of the server and
//! ends the test, because the requests are good.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::checks::headers::Header;
use crate::etcd::{Etcd, decode, encode, id, number};
use crate::history::{Action, Answer, Recorder, Step};
use crate::wait::pause;

/// Time between two operations of one client: many clients at a walking pace give more overlap per operation than few
/// at full speed, and histories that can be searched.
const PACE: Duration = Duration::from_millis(4);

/// What a member says that has not recovered yet: there is nothing in it that could do what was asked.
const RECOVERING: &str = "the disk is still being read";

/// A running set of clients.
pub struct Workload {
    /// What they saw.
    pub recorder: Arc<Recorder>,
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

struct Client {
    number: u32,
    prefix: Arc<str>,
    members: Vec<Etcd>,
    keys: u32,
    values: Arc<AtomicU64>,
    recorder: Arc<Recorder>,
    /// Whether reads are answered by whoever is asked, as they happen to know it.
    careless: bool,
    random: StdRng,
    /// What this client last saw under each key, to have swaps that can succeed.
    seen: Vec<Option<u64>>,
}

impl Workload {
    /// Starts `clients` clients over `members`, on `keys` keys, drawing from `seed`.
    #[must_use]
    pub fn start(members: &[Etcd], clients: u32, keys: u32, seed: u64) -> Workload {
        Workload::start_on("k", members, clients, keys, seed)
    }

    /// As [`Workload::start`], on keys that begin with `prefix`: they must not be there yet.
    #[must_use]
    pub fn start_on(prefix: &str, members: &[Etcd], clients: u32, keys: u32, seed: u64) -> Workload {
        Workload::begin(prefix, members, (clients, keys), seed, false)
    }

    /// As [`Workload::start`], but reads are answered from the asked member's own state: what they show may be old, and
    /// the check of the history must see that.
    #[must_use]
    pub fn start_careless(members: &[Etcd], clients: u32, keys: u32, seed: u64) -> Workload {
        Workload::begin("k", members, (clients, keys), seed, true)
    }

    fn begin(prefix: &str, members: &[Etcd], (clients, keys): (u32, u32), seed: u64, careless: bool) -> Workload {
        let prefix: Arc<str> = Arc::from(prefix);
        let recorder = Arc::new(Recorder::new(seed));
        let stop = Arc::new(AtomicBool::new(false));
        let values = Arc::new(AtomicU64::new(1));
        let clients = (0..clients)
            .map(|number| {
                let mut client = Client {
                    number,
                    prefix: Arc::clone(&prefix),
                    members: members.to_vec(),
                    keys,
                    values: Arc::clone(&values),
                    recorder: Arc::clone(&recorder),
                    careless,
                    random: StdRng::seed_from_u64(seed ^ u64::from(number)),
                    seen: vec![None; keys as usize],
                };
                let stop = Arc::clone(&stop);
                tokio::spawn(async move {
                    while !stop.load(Ordering::Relaxed) {
                        client.one().await;
                        pause(PACE).await;
                    }
                })
            })
            .collect();
        Workload {
            recorder,
            stop,
            clients,
        }
    }

    /// How many writes were acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.recorder
            .operations()
            .iter()
            .filter(|operation| matches!(operation.op.answer, Answer::Put(_)))
            .count()
    }

    /// Lets every client finish what it is doing; what they saw.
    ///
    /// # Panics
    /// When a client did.
    pub async fn finish(self) -> Arc<Recorder> {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.expect("a client failed");
        }
        self.recorder
    }
}

impl Client {
    async fn one(&mut self) {
        let key = self.random.random_range(0..self.keys);
        let action = self.draw(key);
        let member = self.members[self.random.random_range(0..self.members.len())].clone();
        let called = self.recorder.now();
        let (path, mut body) = request(&format!("{}{key}", self.prefix), &action);
        if self.careless && action == Action::Get {
            body["serializable"] = true.into();
        }
        let Some(answer) = ask(&member, (path, &body), &action, &self.recorder).await else {
            return;
        };
        match (&action, &answer) {
            (Action::Put(value) | Action::Swap { value, .. }, Answer::Put(_) | Answer::Swapped(Some(_))) => {
                self.seen[key as usize] = Some(*value);
            }
            (_, Answer::Found(found)) => self.seen[key as usize] = found.map(|(value, _)| value),
            (_, Answer::Deleted(_)) => self.seen[key as usize] = None,
            _ => {}
        }
        self.recorder.add(self.number, called, Step { key, action, answer });
    }

    fn draw(&mut self, key: u32) -> Action {
        match self.random.random_range(0..100) {
            0..45 => Action::Get,
            45..80 => Action::Put(self.values.fetch_add(1, Ordering::Relaxed)),
            80..92 => Action::Swap {
                expected: self.seen[key as usize],
                value: self.values.fetch_add(1, Ordering::Relaxed),
            },
            _ => Action::Delete,
        }
    }
}

/// Does one action; `None` when it certainly did not happen.
async fn ask(member: &Etcd, (path, body): (&str, &Value), action: &Action, recorder: &Recorder) -> Option<Answer> {
    let known = recorder.known();
    match member.call(path, body).await {
        Err(error) => {
            let broken = error.downcast_ref::<hyper_util::client::legacy::Error>();
            let refused = broken.is_some_and(hyper_util::client::legacy::Error::is_connect);
            recorder.failed(match (refused, broken) {
                (true, _) => "no connection",
                (false, Some(_)) => "connection broke before the answer",
                (false, None) => "no answer in time",
            });
            (!refused).then_some(Answer::Unknown)
        }
        Ok(reply) if reply.status == 200 => {
            let reply = reply.json();
            if body["serializable"] != true {
                recorder.header(&known, header(&reply["header"]));
            }
            Some(answer(action, &reply))
        }
        Ok(reply) if reply.status >= 500 => {
            let reason = reply.json()["message"].as_str().unwrap_or_default().to_owned();
            recorder.failed(&format!("{} {reason}", reply.status));
            (reason != RECOVERING).then_some(Answer::Unknown)
        }
        Ok(reply) => panic!("{path} {body}: {} {}", reply.status, reply.text()),
    }
}

fn request(key: &str, action: &Action) -> (&'static str, Value) {
    let key = encode(key);
    match action {
        Action::Get => ("kv/range", json!({"key": key})),
        Action::Put(value) => ("kv/put", json!({"key": key, "value": encode(value.to_string())})),
        Action::Delete => ("kv/deleterange", json!({"key": key})),
        Action::Swap { expected, value } => {
            let compare = match expected {
                None => json!({"key": key, "target": "CREATE", "create_revision": "0"}),
                Some(expected) => json!({"key": key, "target": "VALUE", "value": encode(expected.to_string())}),
            };
            let put = json!({"request_put": {"key": key, "value": encode(value.to_string())}});
            ("kv/txn", json!({"compare": [compare], "success": [put]}))
        }
    }
}

fn header(header: &Value) -> Header {
    Header {
        member: id(&header["member_id"]),
        term: id(&header["raft_term"]),
        revision: number(&header["revision"]),
    }
}

fn answer(action: &Action, reply: &Value) -> Answer {
    let revision = number(&reply["header"]["revision"]);
    match action {
        Action::Put(_) => Answer::Put(revision),
        Action::Delete => Answer::Deleted((number(&reply["deleted"]) > 0).then_some(revision)),
        Action::Swap { .. } => Answer::Swapped(reply["succeeded"].as_bool().unwrap_or_default().then_some(revision)),
        Action::Get => Answer::Found(reply["kvs"].get(0).map(|kv| {
            let value = decode(&kv["value"]);
            (
                value.parse().unwrap_or_else(|_| panic!("nobody wrote {value}")),
                number(&kv["mod_revision"]),
            )
        })),
    }
}
