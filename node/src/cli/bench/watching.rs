//! Watchers beside a writer: how long after a put was sent its event arrived. Sender and receiver are this one process, so
//! both times are of one clock.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kvorum_api::etcdserverpb::watch_request::RequestUnion;
use kvorum_api::etcdserverpb::{WatchCreateRequest, WatchRequest, WatchResponse};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::super::Failure;
use super::channels::{Channels, Speaker, failure, told};
use super::flags::{Plan, within};
use super::latency::Tally;
use super::load::lock;
use super::workload::stamped;

/// Most streams.
const STREAMS_MAX: u32 = 1_000;
/// Most watchers in all: every put makes as many events.
const WATCHERS_MAX: u32 = 100_000;

/// How many watch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watchers {
    streams: u32,
    each: u32,
    prev_kv: bool,
}

impl Watchers {
    pub(super) fn new(streams: u32, each: u32, prev_kv: bool) -> Result<Self, Failure> {
        within("--streams", streams, 1, STREAMS_MAX)?;
        within("--watchers-per-stream", each, 1, WATCHERS_MAX / streams)?;
        Ok(Self { streams, each, prev_kv })
    }

    pub(super) fn count(&self) -> u64 {
        u64::from(self.streams) * u64::from(self.each)
    }
}

/// Watchers that watch.
pub(super) struct Watching {
    tally: Arc<Mutex<Tally>>,
    seen: watch::Receiver<u64>,
    // Its end ends them.
    _streams: JoinSet<()>,
}

/// One stream.
struct Stream {
    // The stream ends when nobody can ask any more.
    _requests: mpsc::Sender<WatchRequest>,
    responses: Streaming<WatchResponse>,
}

/// What the streams share.
#[derive(Clone)]
struct Events {
    origin: Instant,
    tally: Arc<Mutex<Tally>>,
    seen: watch::Sender<u64>,
}

impl Watching {
    /// Opens the streams; returns when every watcher watches. Times in values count from `origin`.
    pub(super) async fn open(
        watchers: &Watchers,
        plan: &Plan,
        channels: &Channels,
        origin: Instant,
    ) -> Result<Self, Failure> {
        let (sender, seen) = watch::channel(0);
        let tally = Arc::new(Mutex::new(Tally::default()));
        let events = Events {
            origin,
            tally: Arc::clone(&tally),
            seen: sender,
        };
        let mut streams = JoinSet::new();
        for number in 0..watchers.streams {
            let opening = open(channels.of(number), watchers, plan);
            let opened = tokio::time::timeout(channels.timeout, opening).await;
            let opened = opened.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time")));
            let stream = opened.map_err(|status| failure("the watchers cannot be made", &status))?;
            streams.spawn(listen(stream, events.clone()));
        }
        Ok(Self {
            tally,
            seen,
            _streams: streams,
        })
    }

    /// Waits, but not too long, until `expected` events have come; what came.
    pub(super) async fn finish(mut self, expected: u64, time: Duration) -> Tally {
        let all = self.seen.wait_for(|seen| *seen >= expected);
        // That time is up, or that every stream has ended, shows in what is missing.
        let _ = tokio::time::timeout(time, all).await.is_ok();
        let mut tally = lock(&self.tally).clone();
        let missing = expected.saturating_sub(tally.succeeded());
        if missing > 0 {
            tally.failed("the event did not come in time", missing);
        }
        tally
    }
}

async fn open(speaker: Speaker, watchers: &Watchers, plan: &Plan) -> Result<Stream, Status> {
    // At most as many as there may be watchers, so the cast keeps it.
    let (requests, queue) = mpsc::channel(watchers.each as usize);
    for _ in 0..watchers.each {
        let create = WatchCreateRequest {
            key: plan.keys.key(0),
            prev_kv: watchers.prev_kv,
            ..WatchCreateRequest::default()
        };
        let request = WatchRequest {
            request_union: Some(RequestUnion::CreateRequest(create)),
        };
        // There is room for all of them.
        requests
            .try_send(request)
            .map_err(|_| Status::internal("no room for the request"))?;
    }
    let request = speaker.signed(ReceiverStream::new(queue));
    let mut responses = speaker.watch().watch(request).await?.into_inner();
    let mut created = 0;
    while created < watchers.each {
        let response = responses.message().await?;
        let response = response.ok_or_else(|| Status::unavailable("the stream of watches ended"))?;
        if response.canceled {
            return Err(Status::aborted(response.cancel_reason));
        }
        created += u32::from(response.created);
    }
    Ok(Stream {
        _requests: requests,
        responses,
    })
}

/// Counts what a stream brings, until it ends.
async fn listen(mut stream: Stream, events: Events) {
    loop {
        match stream.responses.message().await {
            Ok(Some(response)) if response.canceled => {
                return lock(&events.tally).failed(&format!("a watcher was cancelled: {}", response.cancel_reason), 1);
            }
            Ok(Some(response)) => events.take(&response),
            Ok(None) => return lock(&events.tally).failed("a stream of watches ended", 1),
            Err(status) => return lock(&events.tally).failed(&told(&status), 1),
        }
    }
}

impl Events {
    fn take(&self, response: &WatchResponse) {
        let now = self.origin.elapsed();
        let sent = response
            .events
            .iter()
            .filter_map(|event| stamped(&event.kv.as_ref()?.value));
        let mut count = 0;
        {
            let mut tally = lock(&self.tally);
            for sent in sent {
                tally.latencies.record(now.saturating_sub(sent));
                count += 1;
            }
        }
        self.seen.send_modify(|seen| *seen += count);
    }
}
