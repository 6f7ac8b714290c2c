//! The store against a model that keeps everything and looks at all of it: random commands and reads, the same
//! answers.
//!
//! The store runs with its engine a random number of batches behind, is opened anew now and then, and is moved
//! through a snapshot at the end; whatever happens, each answer, each event and each hash must be the model's or its
//! own from before. `PROPTEST_CASES` sets how many runs there are.

#![allow(clippy::unwrap_used, reason = "all of this crate is a test")]

mod model;
mod refusals;
mod steps;

use kvorum_api::etcdserverpb::RangeRequest;
use kvorum_store::{
    Command, Engine, LogPosition, MemoryEngine, Options, ReadError, Refusal, Store, Writes, snapshot, validate,
};
use model::Model;
use proptest::prelude::*;
use std::collections::VecDeque;
use std::sync::Arc;
use steps::Step;

/// A cache of a few records, so that reads go to pending records, cache and engine in turn.
const OPTIONS: Options = Options { cache_bytes_max: 600 };

struct Pair {
    engine: Arc<MemoryEngine>,
    store: Store,
    model: Model,
    waiting: VecDeque<Writes>,
    index: u64,
}

fn open(engine: &Arc<MemoryEngine>) -> Store {
    let engine: Arc<dyn Engine> = engine.clone();
    Store::open_with(engine, OPTIONS).unwrap()
}

impl Pair {
    fn new() -> Self {
        let engine = Arc::new(MemoryEngine::default());
        let store = open(&engine);
        Self {
            engine,
            store,
            model: Model::default(),
            waiting: VecDeque::new(),
            index: 0,
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Command(command) => self.apply(command),
            Step::Range(request) => self.range(request),
            Step::Take => self.waiting.extend(self.store.take_writes()),
            Step::Commit => {
                if let Some(writes) = self.waiting.pop_front() {
                    writes.commit().unwrap();
                }
            }
            Step::Reopen => {
                self.settle();
                let before = (
                    self.store.hash(),
                    self.store.revision(),
                    self.store.applied(),
                    self.store.membership(),
                );
                self.store = open(&self.engine);
                let after = (
                    self.store.hash(),
                    self.store.revision(),
                    self.store.applied(),
                    self.store.membership(),
                );
                assert_eq!(before, after);
            }
        }
    }

    fn apply(&mut self, command: &Command) {
        if let Command::Txn(request) = command
            && validate::txn(request, &validate::Limits::default()).is_err()
        {
            return;
        }
        self.index += 1;
        let before = (self.store.hash(), self.store.revision());
        let outcome = self
            .store
            .apply(
                LogPosition {
                    term: 3,
                    node: 1,
                    index: self.index,
                },
                command,
            )
            .unwrap();
        self.store.publish();
        assert_eq!(outcome, self.model.apply(command), "{command:?}");
        if outcome.response.is_err() {
            assert_eq!((self.store.hash(), self.store.revision()), before);
        }
    }

    fn range(&self, request: &RangeRequest) {
        let answer = self.store.reader().range(request).map_err(refusal);
        assert_eq!(answer, self.model.range(request), "{request:?}");
    }

    fn settle(&mut self) {
        loop {
            self.waiting.extend(self.store.take_writes());
            let Some(writes) = self.waiting.pop_front() else { return };
            writes.commit().unwrap();
        }
    }

    /// What a snapshot gives: the same store, and from it the same snapshot.
    fn through_a_snapshot(&mut self) {
        let mut image = Vec::new();
        let view = self.store.reader().view();
        let written = snapshot::write(&view, &mut image).unwrap();
        assert_eq!(snapshot::verify(&mut &image[..]).unwrap(), written);
        let engine = Arc::new(MemoryEngine::default());
        assert_eq!(snapshot::read(&mut &image[..], &*engine).unwrap(), written);
        let copy = open(&engine);
        assert_eq!(copy.hash(), self.store.hash());
        assert_eq!(copy.applied(), self.store.applied());
        let mut again = Vec::new();
        snapshot::write(&copy.reader().view(), &mut again).unwrap();
        assert!(image == again, "the same state gives the same bytes");
        (self.engine, self.store) = (engine, copy);
        self.waiting.clear();
    }

    /// Every revision that can still be read, key by key.
    fn history(&self) {
        let view = self.store.reader().view();
        for revision in self.model.compacted().max(1)..=self.model.revision() {
            let request = RangeRequest {
                revision,
                ..steps::everything()
            };
            assert_eq!(view.range(&request).map_err(refusal), self.model.range(&request));
        }
        assert_eq!(view.hash_at(0).unwrap(), self.store.hash());
        let from = self.model.compacted().max(0);
        let events = view.replay(from, usize::MAX, usize::MAX).unwrap().events;
        assert_eq!(events, self.model.events());
    }
}

fn refusal(error: ReadError) -> Refusal {
    match error {
        ReadError::Refused(refusal) => refusal,
        ReadError::Engine(_) | ReadError::Replaced => panic!("{error}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn answers_are_the_models(
        steps in prop::collection::vec(steps::step(), 1..120),
        more in prop::collection::vec(steps::step(), 0..30),
    ) {
        let mut pair = Pair::new();
        steps.iter().for_each(|step| pair.step(step));
        pair.history();
        pair.through_a_snapshot();
        pair.history();
        more.iter().for_each(|step| pair.step(step));
        pair.history();
    }
}
