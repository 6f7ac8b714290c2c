//! The hub: streams, their watchers, and what waits for them. See [`crate::watch`].

mod catch_up;
mod publish;
mod recent;

use super::intervals::Intervals;
use super::range::KeyRange;
use bytes::Bytes;
pub use catch_up::CatchUp;
use kvorum_api::mvccpb::Event;
use kvorum_api::mvccpb::event::EventType;
pub use publish::Batch;
use recent::Recent;
use slab::Slab;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// What an event costs beside its key and values, in bytes: the message and a place in a queue.
const EVENT_OVERHEAD_BYTES: usize = 160;

/// How much a hub holds. Who has no room is caught up from history.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes of events that wait for one stream.
    pub stream_bytes_max: usize,
    /// Bytes of events that wait for all streams together; an event that waits for several counts for each.
    pub total_bytes_max: usize,
    /// Bytes of the newest events, kept so that watchers which are nearly level need no history.
    pub recent_bytes_max: usize,
    /// Watchers of one stream.
    pub stream_watchers_max: usize,
    /// Watchers of all streams together.
    pub watchers_max: usize,
}

impl Default for Bounds {
    /// A megabyte for a client that is slow for a moment; a quarter of a gigabyte for all of them; ten thousand watchers
    /// for the busiest client and a million for the member, at about 300 bytes apiece.
    fn default() -> Self {
        Self {
            stream_bytes_max: 1 << 20,
            total_bytes_max: 256 << 20,
            recent_bytes_max: 4 << 20,
            stream_watchers_max: 16_384,
            watchers_max: 1 << 20,
        }
    }
}

/// A stream of a hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamKey(usize);

/// Which kinds of event a watcher is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds {
    /// Puts.
    pub puts: bool,
    /// Deletions.
    pub deletions: bool,
}

impl Kinds {
    fn wants(self, event: &Event) -> bool {
        match event.r#type() {
            EventType::Put => self.puts,
            EventType::Delete => self.deletions,
        }
    }
}

/// What a new watcher wants.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Its id on the stream; zero lets the hub choose.
    pub id: i64,
    /// Keys.
    pub range: KeyRange,
    /// Kinds of event.
    pub kinds: Kinds,
    /// Where it starts.
    pub start: Start,
}

/// Where a watcher starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Now, which is at this revision of the store: with what comes after.
    After(i64),
    /// At this revision, past or future. Before it is reached, the watcher is not level.
    At(i64),
}

/// Why there is no watcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// The stream has a watcher of this id.
    #[error("mvcc: duplicate watch ID provided on the WatchStream")]
    DuplicateId,
    /// The stream, or the member, has as many watchers as it may.
    #[error("too many watchers")]
    TooMany,
}

/// Events for one watcher: whole revisions, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// The watcher's id on its stream.
    pub id: i64,
    /// At least one event. `prev_kv` is not filled.
    pub events: Vec<Arc<Event>>,
    /// With these events the watcher has been told everything up to this revision.
    pub revision: i64,
}

/// What [`Hub::take`] found.
#[derive(Debug, Default, PartialEq)]
pub struct Taken {
    /// Events for watchers of the stream, at most one delivery for each.
    pub deliveries: Vec<Delivery>,
    /// Some watchers of the stream are behind: [`Hub::catch_up`] is due.
    pub behind: bool,
}

/// Sizes, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Streams.
    pub streams: usize,
    /// Watchers of all streams.
    pub watchers: usize,
    /// Watchers that are behind.
    pub behind: usize,
    /// Events that wait to be taken; one that waits for several watchers counts for each.
    pub queued_events: usize,
    /// Their bytes.
    pub queued_bytes: usize,
}

/// The hub; see the module. `T` is what the owner needs to wake the reader of a stream.
pub struct Hub<T> {
    bounds: Bounds,
    /// Everything up to here was published.
    revision: i64,
    streams: Slab<Stream<T>>,
    watchers: Slab<Watcher>,
    /// The live watchers.
    index: Intervals,
    /// Streams to be woken when a revision is reached.
    calls: BTreeSet<(i64, usize)>,
    recent: Recent,
    behind: usize,
    queued_events: usize,
    queued_bytes: usize,
}

struct Stream<T> {
    token: T,
    ids: BTreeMap<i64, usize>,
    next_id: i64,
    /// Watchers with something queued, in turn; and some that had, which are passed over when their turn comes, because
    /// looking for them in here would cost more.
    ready: VecDeque<usize>,
    behind: BTreeSet<usize>,
    queued_bytes: usize,
    /// It was woken and has not taken since.
    is_awake: bool,
    /// Whose turn it is when some watchers are far behind and others are not.
    far_first: bool,
}

struct Watcher {
    stream: usize,
    id: i64,
    range: KeyRange,
    kinds: Kinds,
    /// The watcher is not level before this revision.
    level_from: i64,
    /// Behind: where to go on from. Live: no event below is wanted.
    next: i64,
    is_live: bool,
    queue: VecDeque<Arc<Event>>,
}

impl<T> Hub<T> {
    /// A hub at a revision: the next batch begins one above.
    #[must_use]
    pub fn new(revision: i64, bounds: Bounds) -> Self {
        Self {
            bounds,
            revision,
            streams: Slab::new(),
            watchers: Slab::new(),
            index: Intervals::default(),
            calls: BTreeSet::new(),
            recent: Recent::new(revision + 1, bounds.recent_bytes_max),
            behind: 0,
            queued_events: 0,
            queued_bytes: 0,
        }
    }

    /// The revision up to which everything was published.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// Sizes.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            streams: self.streams.len(),
            watchers: self.watchers.len(),
            behind: self.behind,
            queued_events: self.queued_events,
            queued_bytes: self.queued_bytes,
        }
    }

    /// A new stream; `token` wakes its reader.
    pub fn open(&mut self, token: T) -> StreamKey {
        StreamKey(self.streams.insert(Stream {
            token,
            ids: BTreeMap::new(),
            next_id: 0,
            ready: VecDeque::new(),
            behind: BTreeSet::new(),
            queued_bytes: 0,
            is_awake: false,
            far_first: false,
        }))
    }

    /// Ends a stream with all its watchers.
    ///
    /// # Panics
    /// When it was closed before.
    pub fn close(&mut self, stream: StreamKey) {
        let ids: Vec<i64> = self.streams[stream.0].ids.keys().copied().collect();
        for id in ids {
            self.cancel(stream, id);
        }
        self.calls.retain(|(_, called)| *called != stream.0);
        self.streams.remove(stream.0);
    }

    /// Adds a watcher; answers its id. One that starts below what was compacted is behind, and [`Hub::catch_up`] ends
    /// it, even where the hub still remembers what it wants.
    ///
    /// # Errors
    /// The id is taken, or there are too many.
    pub fn watch(&mut self, stream: StreamKey, wish: Wish, compacted: i64) -> Result<i64, WatchError> {
        let Wish {
            id,
            range,
            kinds,
            start,
        } = wish;
        let own = &mut self.streams[stream.0];
        if own.ids.contains_key(&id) && id != 0 {
            return Err(WatchError::DuplicateId);
        }
        if own.ids.len() >= self.bounds.stream_watchers_max || self.watchers.len() >= self.bounds.watchers_max {
            return Err(WatchError::TooMany);
        }
        let id = if id == 0 { own.choose_id() } else { id };
        let (level_from, next) = match start {
            Start::After(revision) => (revision, revision + 1),
            Start::At(revision) => (revision, revision),
        };
        let key = self.watchers.insert(Watcher {
            stream: stream.0,
            id,
            range,
            kinds,
            level_from,
            next,
            is_live: false,
            queue: VecDeque::new(),
        });
        own.ids.insert(id, key);
        own.behind.insert(key);
        self.behind += 1;
        if next >= compacted {
            self.join(key);
        }
        Ok(id)
    }

    /// Ends a watcher; what waits for it is dropped. Answers whether there was one.
    pub fn cancel(&mut self, stream: StreamKey, id: i64) -> bool {
        let Some(key) = self.streams[stream.0].ids.remove(&id) else {
            return false;
        };
        self.drop_queue(key);
        let watcher = self.watchers.remove(key);
        if watcher.is_live {
            self.index.remove(&watcher.range, key);
        } else {
            self.streams[stream.0].behind.remove(&key);
            self.behind -= 1;
        }
        true
    }

    /// Takes about `bytes_max` bytes of what waits for a stream; a revision is never split. With room left, nothing
    /// stays behind.
    pub fn take(&mut self, stream: StreamKey, bytes_max: usize) -> Taken {
        let own = &mut self.streams[stream.0];
        own.is_awake = false;
        let mut room = bytes_max.max(1);
        let mut deliveries = Vec::new();
        while room > 0
            && let Some(key) = own.ready.pop_front()
        {
            let Some(watcher) = self.watchers.get_mut(key) else {
                continue;
            };
            if watcher.stream != stream.0 || watcher.queue.is_empty() {
                continue;
            }
            let (mut events, mut bytes) = (Vec::new(), 0);
            while bytes < room
                && let Some(first) = watcher.queue.front()
            {
                let revision = revision_of(first);
                while let Some(event) = watcher.queue.pop_front_if(|event| revision_of(event) == revision) {
                    bytes += size_of(&event);
                    events.push(event);
                }
            }
            let last = events.last().map_or(0, |event| revision_of(event));
            let is_drained = watcher.queue.is_empty();
            if !is_drained {
                own.ready.push_back(key);
            }
            own.queued_bytes -= bytes;
            self.queued_bytes -= bytes;
            self.queued_events -= events.len();
            room = room.saturating_sub(bytes);
            deliveries.push(Delivery {
                id: watcher.id,
                events,
                revision: if is_drained { self.revision } else { last },
            });
        }
        Taken {
            deliveries,
            behind: !own.behind.is_empty(),
        }
    }

    /// The revision up to which every watcher of a stream has been told everything, once it is at least `target` and at
    /// least where each of them starts. Until the hub has come that far the answer is `None`, and the stream is woken
    /// when it has.
    pub fn level(&mut self, stream: StreamKey, target: i64) -> Option<i64> {
        let own = &self.streams[stream.0];
        if own.ids.is_empty() || !own.behind.is_empty() || own.queued_bytes > 0 {
            return None;
        }
        let starts = own.ids.values().map(|key| self.watchers[*key].level_from);
        let needed = starts.max().unwrap_or_default().max(target);
        if self.revision < needed {
            self.calls.insert((needed, stream.0));
            return None;
        }
        Some(self.revision)
    }

    /// The revision up to which one watcher has been told everything, if it is live and its start was reached.
    #[must_use]
    pub fn level_of(&self, stream: StreamKey, id: i64) -> Option<i64> {
        let watcher = &self.watchers[*self.streams[stream.0].ids.get(&id)?];
        let is_level = watcher.is_live && watcher.queue.is_empty() && watcher.level_from <= self.revision;
        is_level.then_some(self.revision)
    }

    /// Drops what waits for a watcher.
    fn drop_queue(&mut self, key: usize) {
        let watcher = &mut self.watchers[key];
        if watcher.queue.is_empty() {
            return;
        }
        let bytes: usize = watcher.queue.iter().map(|event| size_of(event)).sum();
        self.queued_events -= watcher.queue.len();
        self.queued_bytes -= bytes;
        watcher.queue = VecDeque::new();
        self.streams[watcher.stream].queued_bytes -= bytes;
    }
}

impl<T> Stream<T> {
    fn choose_id(&mut self) -> i64 {
        while self.ids.contains_key(&self.next_id) {
            self.next_id += 1;
        }
        self.next_id += 1;
        self.next_id - 1
    }
}

fn revision_of(event: &Event) -> i64 {
    event.kv.as_ref().map_or(0, |pair| pair.mod_revision)
}

fn key_of(event: &Event) -> &[u8] {
    event.kv.as_ref().map_or(&[], |pair| &pair.key[..])
}

/// What an event costs while it waits.
fn size_of(event: &Event) -> usize {
    let value = event.kv.as_ref().map_or(0, |pair| Bytes::len(&pair.value));
    EVENT_OVERHEAD_BYTES + key_of(event).len() + value
}
