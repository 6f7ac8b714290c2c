//! What watchers must be told, said as simply as possible: all of history, looked through from the start each time.

use super::{Kinds, Start, Wish};
use kvorum_api::mvccpb::event::EventType;
use kvorum_api::mvccpb::{Event, KeyValue};

/// Everything that ever happened.
#[derive(Default)]
pub(super) struct History {
    pub(super) events: Vec<Event>,
    pub(super) revision: i64,
    pub(super) compacted: i64,
}

/// A watcher and all it was told.
pub(super) struct Told {
    pub(super) wish: Wish,
    pub(super) events: Vec<Event>,
    /// It ended because its history was gone.
    pub(super) is_compacted: bool,
}

/// The first revision that a watcher is to be told of.
pub(super) fn first(wish: &Wish) -> i64 {
    match wish.start {
        Start::After(revision) => revision + 1,
        Start::At(revision) => revision,
    }
}

pub(super) fn main(event: &Event) -> i64 {
    event.kv.as_ref().unwrap().mod_revision
}

pub(super) fn event(key: &[u8], is_put: bool, mod_revision: i64) -> Event {
    let kind = if is_put { EventType::Put } else { EventType::Delete };
    Event {
        r#type: kind.into(),
        kv: Some(KeyValue {
            key: key.to_vec().into(),
            mod_revision,
            ..KeyValue::default()
        }),
        prev_kv: None,
    }
}

impl History {
    /// Some events that follow a revision, at most about `events_max` of them, and where to go on.
    pub(super) fn replay(&self, from: i64, events_max: usize) -> (Vec<Event>, i64) {
        let mut part: Vec<Event> = Vec::new();
        for event in self.events.iter().filter(|event| main(event) >= from) {
            if part.len() >= events_max && part.last().is_some_and(|last| main(last) != main(event)) {
                let next = main(event);
                return (part, next);
            }
            part.push(event.clone());
        }
        (part, self.revision + 1)
    }

    /// All that a watcher is to be told by now.
    pub(super) fn wanted(&self, wish: &Wish) -> Vec<Event> {
        let Kinds { puts, deletions } = wish.kinds;
        let start = first(wish);
        let wants = |event: &&Event| {
            let pair = event.kv.as_ref().unwrap();
            let kind = if event.r#type() == EventType::Put {
                puts
            } else {
                deletions
            };
            kind && pair.mod_revision >= start && wish.range.contains(&pair.key)
        };
        self.events.iter().filter(wants).cloned().collect()
    }
}

impl Told {
    /// Checks what was told by now: a beginning of what is wanted, cut between two revisions.
    pub(super) fn check(&self, history: &History) {
        let wanted = history.wanted(&self.wish);
        assert!(
            wanted.starts_with(&self.events),
            "told {:?}\nof {wanted:?}",
            self.events
        );
        if let (Some(last), Some(next)) = (self.events.last(), wanted.get(self.events.len())) {
            assert_ne!(main(last), main(next), "a revision was split");
        }
    }
}
