//! The hub against the model: random writes, watchers, cancels, stalls, gaps and compactions, and in the end everyone
//! was told everything, once.

use super::model::{History, Told, event, first, main};
use super::{Batch, Bounds, Delivery, Hub, KeyRange, Kinds, Start, StreamKey, WatchError, Wish};
use proptest::prelude::*;
use std::collections::BTreeMap;

const STREAMS: usize = 3;

/// Small enough that random runs fill them.
const BOUNDS: Bounds = Bounds {
    stream_bytes_max: 1_500,
    total_bytes_max: 3_000,
    recent_bytes_max: 1_000,
    stream_watchers_max: 8,
    watchers_max: 16,
};

#[derive(Clone, Debug)]
enum Step {
    /// Revisions, each with the keys it puts (true) or deletes.
    Write(Vec<Vec<(u8, bool)>>),
    /// The same, but the hub never hears of it.
    Lose(Vec<Vec<(u8, bool)>>),
    Watch {
        stream: usize,
        key: u8,
        end: Option<u8>,
        puts: bool,
        deletions: bool,
        start: i64,
    },
    Cancel {
        stream: usize,
        id: i64,
    },
    Take {
        stream: usize,
        bytes_max: usize,
    },
    CatchUp {
        stream: usize,
        events_max: usize,
        meanwhile: Vec<Vec<(u8, bool)>>,
    },
    Compact {
        back: i64,
    },
}

fn revisions() -> impl Strategy<Value = Vec<Vec<(u8, bool)>>> {
    let changes = prop::collection::btree_map(0..6_u8, any::<bool>(), 1..4);
    prop::collection::vec(changes.prop_map(|changes| changes.into_iter().collect()), 1..5)
}

fn step() -> impl Strategy<Value = Step> {
    let stream = 0..STREAMS;
    prop_oneof![
        6 => revisions().prop_map(Step::Write),
        1 => revisions().prop_map(Step::Lose),
        3 => (stream.clone(), 0..6_u8, prop::option::of(0..8_u8), any::<bool>(), any::<bool>(), -3..6_i64)
            .prop_map(|(stream, key, end, puts, deletions, start)| Step::Watch { stream, key, end, puts, deletions, start }),
        1 => (stream.clone(), 0..6_i64).prop_map(|(stream, id)| Step::Cancel { stream, id }),
        4 => (stream.clone(), 1..2_000_usize).prop_map(|(stream, bytes_max)| Step::Take { stream, bytes_max }),
        4 => (stream, 1..6_usize, prop::collection::vec(revisions(), 0..2))
            .prop_map(|(stream, events_max, meanwhile)| Step::CatchUp { stream, events_max, meanwhile: meanwhile.concat() }),
        1 => (0..6_i64).prop_map(|back| Step::Compact { back }),
    ]
}

/// A hub, the model beside it, and every watcher's book.
struct Bench {
    hub: Hub<usize>,
    history: History,
    streams: Vec<StreamKey>,
    told: BTreeMap<(usize, i64), Told>,
    woken: Vec<usize>,
}

impl Bench {
    fn new() -> Self {
        let mut hub = Hub::new(1, BOUNDS);
        let streams = (0..STREAMS).map(|stream| hub.open(stream)).collect();
        let history = History {
            revision: 1,
            ..History::default()
        };
        Self {
            hub,
            history,
            streams,
            told: BTreeMap::new(),
            woken: Vec::new(),
        }
    }

    fn write(&mut self, revisions: &[Vec<(u8, bool)>], is_lost: bool) {
        let first = self.history.revision + 1;
        let mut events = Vec::new();
        for changes in revisions {
            self.history.revision += 1;
            let made = changes
                .iter()
                .map(|(key, is_put)| event(&[b'a' + key], *is_put, self.history.revision));
            events.extend(made);
        }
        self.history.events.extend(events.clone());
        if is_lost {
            return;
        }
        let batch = Batch {
            first,
            last: self.history.revision,
            events,
        };
        self.woken.clear();
        self.hub.publish(batch, |stream| self.woken.push(*stream));
        assert_eq!(self.hub.revision(), self.history.revision);
    }

    fn deliver(&mut self, stream: usize, deliveries: Vec<Delivery>) {
        for Delivery { id, events, revision } in deliveries {
            let told = self.told.get_mut(&(stream, id)).expect("only watchers are told");
            assert!(!events.is_empty());
            assert!(events.iter().all(|event| main(event) <= revision));
            told.events.extend(events.iter().map(|event| (**event).clone()));
            told.check(&self.history);
            let through = self
                .history
                .wanted(&told.wish)
                .into_iter()
                .filter(|event| main(event) <= revision);
            assert_eq!(told.events.len(), through.count(), "not everything up to {revision}");
        }
    }

    fn watch(&mut self, stream: usize, wish: Wish) {
        match self
            .hub
            .watch(self.streams[stream], wish.clone(), self.history.compacted)
        {
            Ok(id) => {
                let told = Told {
                    wish,
                    events: Vec::new(),
                    is_compacted: false,
                };
                self.told.insert((stream, id), told);
            }
            Err(error) => assert_eq!(error, WatchError::TooMany),
        }
    }

    fn catch_up(&mut self, stream: usize, events_max: usize, meanwhile: &[Vec<(u8, bool)>]) {
        let plan = self.hub.catch_up(self.streams[stream], self.history.compacted);
        for id in &plan.compacted {
            let mut told = self.told.remove(&(stream, *id)).expect("only watchers end");
            told.is_compacted = true;
            let wanted = self.history.wanted(&told.wish);
            let next = wanted.get(told.events.len()).map_or(i64::MAX, main);
            let asked = first(&told.wish).max(told.events.last().map_or(0, |event| main(event) + 1));
            assert!(
                asked < self.history.compacted,
                "it had all up to {asked} and wanted {next}"
            );
        }
        let Some(from) = plan.from else { return };
        let (events, next) = self.history.replay(from, events_max);
        if !meanwhile.is_empty() {
            self.write(meanwhile, false);
        }
        let deliveries = plan.deliveries(events, next);
        self.deliver(stream, deliveries);
        self.hub.advance(&plan, next);
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Write(revisions) => self.write(&revisions, false),
            Step::Lose(revisions) => self.write(&revisions, true),
            Step::Watch {
                stream,
                key,
                end,
                puts,
                deletions,
                start,
            } => {
                let end = end.map_or_else(Vec::new, |end| if end == 7 { vec![0] } else { vec![b'a' + end] });
                let Ok(range) = KeyRange::of_watch(&[b'a' + key], &end) else {
                    return;
                };
                let start = Start::At((self.history.revision + start).max(1));
                let kinds = Kinds { puts, deletions };
                self.watch(
                    stream,
                    Wish {
                        id: 0,
                        range,
                        kinds,
                        start,
                    },
                );
            }
            Step::Cancel { stream, id } => {
                let was = self.told.remove(&(stream, id)).is_some();
                assert_eq!(self.hub.cancel(self.streams[stream], id), was);
            }
            Step::Take { stream, bytes_max } => {
                let taken = self.hub.take(self.streams[stream], bytes_max);
                self.deliver(stream, taken.deliveries);
            }
            Step::CatchUp {
                stream,
                events_max,
                meanwhile,
            } => self.catch_up(stream, events_max, &meanwhile),
            Step::Compact { back } => {
                self.history.compacted = self.history.compacted.max(self.history.revision - back);
            }
        }
        let counts = self.hub.counts();
        assert!(counts.queued_bytes <= BOUNDS.total_bytes_max);
        assert_eq!(counts.watchers, self.told.len());
    }

    /// Takes and catches up until nothing is left, then checks that everyone knows everything.
    fn settle(&mut self) {
        for stream in 0..STREAMS {
            loop {
                let taken = self.hub.take(self.streams[stream], usize::MAX);
                let is_done = taken.deliveries.is_empty() && !taken.behind;
                self.deliver(stream, taken.deliveries);
                if is_done {
                    break;
                }
                self.catch_up(stream, 4, &[]);
            }
        }
        for told in self.told.values() {
            assert_eq!(told.events, self.history.wanted(&told.wish));
        }
        let counts = self.hub.counts();
        assert_eq!((counts.behind, counts.queued_events, counts.queued_bytes), (0, 0, 0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, ..ProptestConfig::default() })]
    #[test]
    fn everyone_is_told_everything_once_and_in_order(steps in prop::collection::vec(step(), 1..80)) {
        let mut bench = Bench::new();
        for step in steps {
            bench.step(step);
        }
        // What was lost is only noticed with the next batch.
        bench.write(&[vec![(0, true)]], false);
        bench.settle();
        for stream in bench.streams.clone() {
            bench.hub.close(stream);
        }
        prop_assert_eq!(bench.hub.counts(), super::Counts::default());
    }
}

const BOTH: Kinds = Kinds {
    puts: true,
    deletions: true,
};

fn wish(start: i64) -> Wish {
    Wish {
        id: 0,
        range: KeyRange::of_watch(b"a", b"").unwrap(),
        kinds: BOTH,
        start: Start::At(start),
    }
}

#[test]
fn only_the_streams_concerned_are_woken_and_only_once() {
    let mut bench = Bench::new();
    bench.watch(0, wish(2));
    let other = KeyRange::of_watch(b"b", b"c").unwrap();
    bench.watch(
        1,
        Wish {
            range: other,
            ..wish(2)
        },
    );
    bench.write(&[vec![(0, true)], vec![(0, false)]], false);
    assert_eq!(bench.woken, [0]);
    bench.write(&[vec![(0, true)]], false);
    assert!(bench.woken.is_empty(), "it was woken and has not looked yet");
    bench.step(Step::Take {
        stream: 0,
        bytes_max: usize::MAX,
    });
    bench.write(&[vec![(0, true), (1, true)]], false);
    assert_eq!(bench.woken, [0, 1]);
}

#[test]
fn a_stalled_stream_falls_behind_and_the_others_do_not_notice() {
    let mut bench = Bench::new();
    bench.watch(0, wish(2));
    bench.watch(1, wish(2));
    for _ in 0..100 {
        bench.write(&[vec![(0, true)]], false);
        bench.step(Step::Take {
            stream: 1,
            bytes_max: usize::MAX,
        });
    }
    assert_eq!(bench.hub.counts().behind, 1);
    assert_eq!(bench.told[&(1, 0)].events.len(), 100);
    bench.settle();
    assert_eq!(bench.told[&(0, 0)].events.len(), 100);
}

#[test]
fn ids_are_chosen_around_those_of_the_client() {
    let mut bench = Bench::new();
    let stream = bench.streams[0];
    let mut with = |id| bench.hub.watch(stream, Wish { id, ..wish(2) }, -1);
    assert_eq!(with(1), Ok(1));
    assert_eq!(with(0), Ok(0));
    assert_eq!(with(0), Ok(2));
    assert_eq!(with(1), Err(WatchError::DuplicateId));
    assert_eq!(with(-5), Ok(-5));
    assert_eq!(with(0), Ok(3));
}

#[test]
fn a_stream_is_level_when_all_its_watchers_are() {
    let mut bench = Bench::new();
    let stream = bench.streams[0];
    assert_eq!(bench.hub.level(stream, 0), None, "there is no watcher");
    bench.watch(0, wish(4));
    assert_eq!(bench.hub.level(stream, 0), None, "its start is not reached");
    bench.write(&[vec![(1, true)], vec![(1, true)], vec![(1, true)]], false);
    assert_eq!(bench.woken, [0], "now it is");
    assert_eq!(bench.hub.level(stream, 4), Some(4));
    assert_eq!(bench.hub.level_of(stream, 0), Some(4));
    assert_eq!(bench.hub.level(stream, 5), None);
    bench.write(&[vec![(0, true)]], false);
    assert_eq!(bench.hub.level(stream, 5), None, "an event waits");
    bench.step(Step::Take {
        stream: 0,
        bytes_max: usize::MAX,
    });
    assert_eq!(bench.hub.level(stream, 5), Some(5));
    let now = Wish {
        start: Start::After(5),
        ..wish(0)
    };
    bench.hub.watch(bench.streams[1], now, -1).unwrap();
    assert_eq!(
        bench.hub.level(bench.streams[1], 0),
        Some(5),
        "who starts now is level now"
    );
}

#[test]
fn a_snapshot_that_takes_the_states_place_leaves_no_gap() {
    let mut far = crate::testing::Bench::new();
    let mut near = crate::testing::Bench::new();
    let mut hub: Hub<()> = Hub::new(1, Bounds::default());
    let stream = hub.open(());
    hub.watch(stream, wish(2), -1).unwrap();
    for number in 2..=20 {
        far.apply(crate::testing::put("a", &number.to_string()));
    }
    let mut image = Vec::new();
    crate::snapshot::write(&far.store.reader().view(), &mut image).unwrap();
    near.store.install(&mut &image[..]).unwrap();
    let (first, last) = (near.store.revision() + 1, near.store.revision());
    let mut woken = 0;
    hub.publish(
        Batch {
            first,
            last,
            events: Vec::new(),
        },
        |()| woken += 1,
    );
    assert_eq!((woken, hub.counts().behind), (1, 1));
    let mut revisions = Vec::new();
    while hub.counts().behind > 0 {
        let view = near.store.reader().view();
        let plan = hub.catch_up(stream, view.compacted());
        let replay = view.replay(plan.from.unwrap(), 7, usize::MAX).unwrap();
        let deliveries = plan.deliveries(replay.events, replay.next);
        revisions.extend(
            deliveries
                .iter()
                .flat_map(|delivery| &delivery.events)
                .map(|event| main(event)),
        );
        hub.advance(&plan, replay.next);
    }
    assert_eq!(revisions, (2..=20).collect::<Vec<_>>());
    assert!(hub.take(stream, usize::MAX).deliveries.is_empty());
}

#[test]
fn there_are_only_so_many_watchers() {
    let mut bench = Bench::new();
    for _ in 0..BOUNDS.stream_watchers_max {
        bench.watch(0, wish(2));
    }
    assert_eq!(bench.hub.watch(bench.streams[0], wish(2), -1), Err(WatchError::TooMany));
    assert_eq!(bench.hub.watch(bench.streams[1], wish(2), -1), Ok(0));
}
