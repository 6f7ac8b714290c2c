//! Watchers of all keys, one for each member, that hop from member to member while faults happen.
//!
//! A watcher begins at its own member. When its stream ends, says nothing for a while, or now and then for no reason, it
//! goes on at another one with the revision after the last it was told of. What is judged is in [`super::watched`].

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use kvorum_api::etcdserverpb::watch_client::WatchClient;
use kvorum_api::etcdserverpb::watch_request::RequestUnion;
use kvorum_api::etcdserverpb::{WatchCreateRequest, WatchRequest, WatchResponse};
use kvorum_api::mvccpb::event::EventType;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinHandle;
use tonic::Streaming;
use tonic::transport::Endpoint;

use super::watched::{Change, Told, Watched};
use super::{Violation, Violations};
use crate::wait::{SETTLE, pause, until};

/// How long opening a stream may take; a member whose time stands still never answers.
const OPEN: Duration = Duration::from_secs(2);
/// How long a stream may say nothing before its watcher leaves it, in milliseconds. Some stay over a whole fault.
const SILENCE_MS: std::ops::Range<u64> = 300..6_000;
/// How long a watcher stays at most, in milliseconds.
const STAY_MS: std::ops::Range<u64> = 500..15_000;
/// Before another member is tried.
const RETRY: Duration = Duration::from_millis(50);

/// Running watchers.
pub struct Watchers {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

struct Shared {
    watched: Mutex<Watched>,
    violations: Violations,
    resumed: AtomicUsize,
    stop: AtomicBool,
}

impl Shared {
    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().expect("nobody panicked while holding it")
    }

    fn stops(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

impl Watchers {
    /// Starts one watcher for each of the members' `endpoints`.
    #[must_use]
    pub fn start(endpoints: &[Endpoint], seed: u64, violations: &Violations) -> Watchers {
        let shared = Arc::new(Shared {
            watched: Mutex::default(),
            violations: violations.clone(),
            resumed: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
        });
        let tasks = (0..endpoints.len()).map(|number| {
            let watcher = Watcher {
                number,
                endpoints: endpoints.to_vec(),
                random: StdRng::seed_from_u64(seed ^ number as u64),
                shared: Arc::clone(&shared),
            };
            tokio::spawn(watcher.run())
        });
        Watchers {
            tasks: tasks.collect(),
            shared,
        }
    }

    /// Waits until every watcher was told everything up to `revision`, and lets `look` see what they were told. A watcher
    /// that was told something wrong goes no further, and is not waited for.
    pub async fn level<T>(&self, revision: i64, look: impl FnOnce(&Watched) -> T) -> T {
        until("the watchers to be told everything", SETTLE, || async {
            if self.shared.violations.found().is_empty() {
                self.shared.watched().level(self.tasks.len(), revision)
            } else {
                Ok(())
            }
        })
        .await;
        look(&self.shared.watched())
    }

    /// Ends them; how often one went on at another member.
    ///
    /// # Panics
    /// When a watcher did.
    pub async fn finish(self) -> usize {
        self.shared.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("a watcher failed");
        }
        self.shared.resumed.load(Ordering::Relaxed)
    }
}

struct Watcher {
    number: usize,
    endpoints: Vec<Endpoint>,
    random: StdRng,
    shared: Arc<Shared>,
}

impl Watcher {
    async fn run(mut self) {
        let mut at = self.number;
        while !self.shared.stops() {
            if let Some(stream) = self.open(&self.endpoints[at]).await
                && let Err(violation) = self.listen(stream).await
            {
                let text = format!("{violation} (at member {at})");
                self.shared.violations.note::<()>("watch", Err(Violation(text)));
                return;
            }
            self.shared.resumed.fetch_add(1, Ordering::Relaxed);
            at = self.random.random_range(0..self.endpoints.len());
            pause(RETRY).await;
        }
    }

    async fn open(&self, endpoint: &Endpoint) -> Option<Streaming<WatchResponse>> {
        let create = WatchCreateRequest {
            key: vec![0].into(),
            range_end: vec![0].into(),
            start_revision: self.shared.watched().next(self.number),
            ..WatchCreateRequest::default()
        };
        let first = WatchRequest {
            request_union: Some(RequestUnion::CreateRequest(create)),
        };
        let requests = stream::iter([first]).chain(stream::pending());
        let mut client = WatchClient::new(endpoint.connect_lazy()).max_decoding_message_size(64 << 20);
        let opened = tokio::time::timeout(OPEN, client.watch(requests)).await;
        Some(opened.ok()?.ok()?.into_inner())
    }

    /// Listens until the stream ends, is silent for too long, or it is time to go.
    async fn listen(&mut self, mut stream: Streaming<WatchResponse>) -> Result<(), Violation> {
        let stay = Duration::from_millis(self.random.random_range(STAY_MS));
        let silence = Duration::from_millis(self.random.random_range(SILENCE_MS));
        let since = Instant::now();
        while !self.shared.stops() && since.elapsed() < stay {
            let Ok(Ok(Some(response))) = tokio::time::timeout(silence, stream.message()).await else {
                return Ok(());
            };
            if response.canceled {
                return Err(Violation(format!("a watch of what is kept is cancelled: {response:?}")));
            }
            let told = told(&response);
            let header = response.header.map_or(0, |header| header.revision);
            if let Some((last, _)) = told.last().filter(|(last, _)| *last > header) {
                return Err(Violation(format!("told of revision {last} under a header of {header}")));
            }
            self.shared.watched().take(self.number, told)?;
        }
        Ok(())
    }
}

/// What a response tells, by revision, in its order.
#[must_use]
pub fn told(response: &WatchResponse) -> Vec<Told> {
    let mut told: Vec<Told> = Vec::new();
    for event in &response.events {
        let Some(pair) = &event.kv else { continue };
        let value = match event.r#type() {
            EventType::Put => Some(String::from_utf8_lossy(&pair.value).into_owned()),
            EventType::Delete => None,
        };
        let change = Change {
            key: String::from_utf8_lossy(&pair.key).into_owned(),
            value,
        };
        match told.last_mut() {
            Some((revision, changes)) if *revision == pair.mod_revision => changes.push(change),
            _ => told.push((pair.mod_revision, vec![change])),
        }
    }
    told
}
