//! One client's stream of watches: its requests in, its responses out.
//!
//! A session does one thing after the other, so that what it tells is in order: it hands out what it has, hears the
//! client, takes what the hub holds, reads a part of history for watchers that are behind, answers for progress; and
//! only when there is nothing of all this it waits. It runs when it is polled: a client that does not read costs what
//! the session and the hub hold for it, and no work. It takes nothing while too much waits for all clients together.
//!
//! Must keep true: answers to a request come before anything that the request caused; a watcher that was cancelled says
//! nothing more.

mod requests;
mod responses;

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, Stream, StreamExt};
use kvorum_api::error::{Failure, Refusal};
use kvorum_api::etcdserverpb as pb;
use kvorum_store::ReadError;
use kvorum_store::watch::{Delivery, StreamKey, Taken};
use tokio::sync::Notify;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use super::Switchboard;
use crate::fatal;
use crate::service::{Caller, LeaderWatch, Service};

/// Bytes of events taken from the hub at a time; a revision is never split, so one may come on top.
pub const TAKE_BYTES_MAX: usize = 64 << 10;
/// A snapshot is taking the state's place: history is looked at again after this, or when the hub says so.
const REPLACED_PAUSE: Duration = Duration::from_millis(20);

/// The id of a watch that there is not, as etcd has it.
const NO_WATCH: i64 = -1;

/// A stream of watches. `R` brings the client's requests.
pub struct Session<R> {
    service: Service,
    caller: Caller,
    board: Arc<Switchboard>,
    stream: StreamKey,
    wake: Arc<Notify>,
    /// `None` when the client has said all.
    requests: Option<R>,
    watches: BTreeMap<i64, Watch>,
    outbox: VecDeque<pb::WatchResponse>,
    /// The client asked how far all its watchers are; at least this revision must be reached.
    progress: Option<i64>,
    ticks: Option<Interval>,
    leader: Option<LeaderWatch>,
    is_over: bool,
}

/// What the client wants to be told of one watcher.
#[derive(Clone, Copy, Debug, Default)]
struct Watch {
    prev_kv: bool,
    fragment: bool,
    progress_notify: bool,
    /// Nothing was sent since the last tick.
    is_quiet: bool,
}

/// What ended a wait.
enum Woken<M> {
    Request(Option<Result<M, Failure>>),
    News,
    Tick,
    Stop,
    NoLeader,
}

impl<R> Session<R>
where
    R: Stream<Item = Result<pb::WatchRequest, Failure>> + Unpin,
{
    /// A session for a caller; one that needs a leader ends when `leader` is lost.
    pub fn open(service: &Service, caller: Caller, leader: Option<LeaderWatch>, requests: R) -> Self {
        let board = service.switchboard();
        let wake = Arc::new(Notify::new());
        let stream = board.hub().open(Arc::clone(&wake));
        Self {
            service: service.clone(),
            caller,
            board,
            stream,
            wake,
            requests: Some(requests),
            watches: BTreeMap::new(),
            outbox: VecDeque::new(),
            progress: None,
            ticks: None,
            leader,
            is_over: false,
        }
    }

    /// Asks, as a client can, how far all watchers are; the answer comes when they are level.
    pub fn ask_for_progress(&mut self) {
        self.progress = Some(self.service.revision());
    }

    /// The responses as a stream.
    pub fn responses(self) -> impl Stream<Item = Result<pb::WatchResponse, Failure>> {
        futures::stream::unfold(self, async |mut session| {
            let response = session.next().await?;
            Some((response, session))
        })
    }

    /// The next response; `None` when nothing can come any more. May be dropped and asked again: nothing is lost.
    pub async fn next(&mut self) -> Option<Result<pb::WatchResponse, Failure>> {
        loop {
            if let Some(response) = self.outbox.pop_front() {
                return Some(Ok(response));
            }
            if self.is_over {
                return None;
            }
            match self.work().await {
                Ok(true) => {}
                Ok(false) => self.is_over = true,
                Err(failure) => {
                    self.is_over = true;
                    return Some(Err(failure));
                }
            }
        }
    }

    /// Does the next thing that there is to do; false when there is nothing and nothing can come.
    async fn work(&mut self) -> Result<bool, Failure> {
        if let Some(requests) = &mut self.requests
            && let Some(request) = requests.next().now_or_never()
        {
            self.hear(request)?;
            return Ok(true);
        }
        if !self.board.answers.has_room() {
            let room = Arc::clone(&self.board.answers);
            let woken = self.wait(async move { room.room().await }).await;
            return self.go_on(woken);
        }
        let Taken { deliveries, behind } = self.board.hub().take(self.stream, TAKE_BYTES_MAX);
        if !deliveries.is_empty() {
            self.tell(deliveries);
            return Ok(true);
        }
        if behind {
            self.catch_up().await;
            return Ok(true);
        }
        if self.report_progress() {
            return Ok(true);
        }
        if self.requests.is_none() && self.watches.is_empty() {
            return Ok(false);
        }
        let hub = Arc::clone(&self.wake);
        let woken = self.wait(async move { hub.notified().await }).await;
        self.go_on(woken)
    }

    fn go_on(&mut self, woken: Woken<pb::WatchRequest>) -> Result<bool, Failure> {
        match woken {
            Woken::Request(request) => self.hear(request)?,
            Woken::News => {}
            Woken::Tick => self.tick(),
            Woken::Stop => return Err(Refusal::Stopped.into()),
            Woken::NoLeader => return Err(Refusal::NoLeader.into()),
        }
        Ok(true)
    }

    /// Waits for `news`, or for anything else.
    async fn wait(&mut self, news: impl Future<Output = ()>) -> Woken<pb::WatchRequest> {
        let request = async {
            match &mut self.requests {
                Some(requests) => requests.next().await,
                None => std::future::pending().await,
            }
        };
        let tick = async {
            match &mut self.ticks {
                Some(ticks) => ticks.tick().await,
                None => std::future::pending().await,
            }
        };
        let leaderless = async {
            match &mut self.leader {
                Some(leader) => leader.lost().await,
                None => std::future::pending().await,
            }
        };
        let stopping = self.service.stopping();
        tokio::select! {
            () = news => Woken::News,
            request = request => Woken::Request(request),
            _ = tick => Woken::Tick,
            () = leaderless => Woken::NoLeader,
            () = stopping.cancelled() => Woken::Stop,
        }
    }

    /// Reads a part of history for some of the watchers that are behind.
    async fn catch_up(&mut self) {
        let view = self.service.view();
        let compacted = view.compacted();
        let plan = self.board.hub().catch_up(self.stream, compacted);
        for id in &plan.compacted {
            self.watches.remove(id);
            self.outbox.push_back(self.compacted(*id, compacted));
        }
        let Some(from) = plan.from else { return };
        match self.board.read(view, from).await {
            Ok(Ok(replay)) => {
                let next = replay.next;
                self.tell(plan.deliveries(replay.events, next));
                self.board.hub().advance(&plan, next);
            }
            Ok(Err(ReadError::Engine(error))) => fatal::die(format_args!("history could not be read: {error}")),
            // Replaced: the next try meets the new state. Refused: it cannot be, the view's own bound was asked for.
            Ok(Err(ReadError::Replaced | ReadError::Refused(_))) => {
                let _ = timeout(REPLACED_PAUSE, self.wake.notified()).await;
            }
            Err(error) => fatal::die(format_args!("a read of history was lost: {error}")),
        }
    }

    fn tell(&mut self, deliveries: Vec<Delivery>) {
        let mut view = None;
        for delivery in deliveries {
            let Some(watch) = self.watches.get_mut(&delivery.id) else {
                continue;
            };
            watch.is_quiet = false;
            let watch = *watch;
            self.board.sent(delivery.events.len());
            if watch.prev_kv && view.is_none() {
                view = Some(self.service.view());
            }
            let before = view.as_ref().filter(|_| watch.prev_kv);
            let header = self.header(delivery.revision);
            self.outbox
                .extend(responses::of(delivery, header, before, watch.fragment));
        }
    }

    /// Answers a question for progress, if all watchers are level; true when it did.
    fn report_progress(&mut self) -> bool {
        let Some(target) = self.progress else { return false };
        if self.watches.is_empty() {
            // As in etcd, who watches nothing is told nothing.
            self.progress = None;
            return false;
        }
        let level = self.board.hub().level(self.stream, target);
        let Some(revision) = level else { return false };
        self.progress = None;
        self.outbox.push_back(pb::WatchResponse {
            header: self.header(revision),
            watch_id: NO_WATCH,
            ..Default::default()
        });
        true
    }

    /// Tells the watchers that want to know, and were told nothing for an interval, how far they are.
    fn tick(&mut self) {
        let hub = self.board.hub();
        let mut reports = Vec::new();
        for (id, watch) in self.watches.iter_mut().filter(|(_, watch)| watch.progress_notify) {
            if watch.is_quiet
                && let Some(revision) = hub.level_of(self.stream, *id)
            {
                reports.push((*id, revision));
            }
            watch.is_quiet = true;
        }
        drop(hub);
        for (watch_id, revision) in reports {
            self.outbox.push_back(pb::WatchResponse {
                header: self.header(revision),
                watch_id,
                ..Default::default()
            });
        }
    }

    /// Begins to tick with the first watcher that wants to be told of progress.
    fn start_ticking(&mut self) {
        if self.ticks.is_none() {
            let mut ticks = interval(self.service.progress_interval());
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks.reset();
            self.ticks = Some(ticks);
        }
    }

    fn header(&self, revision: i64) -> Option<pb::ResponseHeader> {
        self.service.header_at(revision)
    }

    /// As etcd says it: no revision in the header, and no reason but the revision.
    fn compacted(&self, watch_id: i64, compact_revision: i64) -> pb::WatchResponse {
        pb::WatchResponse {
            header: self.header(0),
            watch_id,
            canceled: true,
            compact_revision,
            ..Default::default()
        }
    }
}

impl<R> Drop for Session<R> {
    fn drop(&mut self) {
        self.board.hub().close(self.stream);
    }
}
