//! The runner: turns a line of a script into a request, and what comes back into text.
//!
//! Besides printing, it asserts what holds for every command: a refusal changes nothing, readers see exactly what was
//! published, events carry the outcome's revision, and commands survive their encoding.

use crate::{auth, words};
use goldenscript::{Argument, Command as Line, Context, Runner};
use kvorum_api::etcdserverpb::{AlarmMember, AlarmType, CompactionRequest, TxnRequest};
use kvorum_store::{
    Command, Engine, Fingerprint, LeaseRemaining, Limits, LogPosition, MemoryEngine, Options, Outcome, ReadError,
    Refusal, Response, Store, Who, Writes, validate,
};
use std::collections::BTreeMap;
use std::error::Error;
use std::ops::ControlFlow;
use std::sync::Arc;

type Answer = Result<String, Box<dyn Error>>;

/// How the engine is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// One batch behind the memory, as in a running node.
    Behind,
    /// Level after each command, and all that the next one starts from.
    Reopened,
}

/// A store and what a script has defined.
pub(crate) struct Machine {
    mode: Mode,
    engine: Arc<MemoryEngine>,
    store: Store,
    waiting: Option<Writes>,
    index: u64,
    /// Who gives the command of this line.
    who: Who,
    transactions: BTreeMap<String, TxnRequest>,
}

impl Machine {
    pub(crate) fn new(mode: Mode) -> Self {
        let engine = Arc::new(MemoryEngine::default());
        let store = open(&engine);
        Self {
            mode,
            engine,
            store,
            waiting: None,
            index: 0,
            who: Who::Nobody,
            transactions: BTreeMap::new(),
        }
    }

    fn apply(&mut self, command: &Command) -> Answer {
        let command = &command.clone().given_by(self.who.clone());
        let mut encoded = Vec::new();
        command.encode(&mut encoded);
        assert_eq!(&Command::decode(&encoded[..])?, command);
        let before = self.state();
        let at = self.next();
        let outcome = self.store.apply(at, command)?;
        assert_eq!(
            self.store.reader().revision(),
            before.0,
            "nothing is visible before it is published"
        );
        self.store.publish();
        let after = self.state();
        assert_eq!(outcome.revision, after.0);
        assert_eq!(self.store.reader().revision(), after.0);
        assert_eq!(
            outcome.events.is_empty(),
            after.0 == before.0,
            "events and revisions come together"
        );
        if outcome.response.is_err() {
            assert_eq!(before, after, "a refused command changes nothing");
        }
        self.keep();
        self.check();
        Ok(words::outcome(&outcome))
    }

    /// Everything that a refused command must leave alone.
    fn state(&self) -> (i64, Fingerprint, i64, (u64, Fingerprint), Vec<AlarmMember>) {
        let reader = self.store.reader();
        let alarms = reader.alarms(AlarmType::None);
        let (revision, hash) = (self.store.revision(), self.store.hash());
        (revision, hash, reader.compacted(), reader.auth_hash(), alarms)
    }

    fn next(&mut self) -> LogPosition {
        self.index += 1;
        LogPosition {
            term: 1,
            node: 7,
            index: self.index,
        }
    }

    /// Brings the engine to where the mode wants it.
    fn keep(&mut self) {
        match self.mode {
            Mode::Behind => {
                let next = self.store.take_writes();
                if let Some(writes) = std::mem::replace(&mut self.waiting, next) {
                    writes.commit().unwrap();
                }
            }
            Mode::Reopened => {
                self.settle();
                let (hash, bytes) = (self.store.hash(), self.store.reader().bytes());
                self.store = open(&self.engine);
                assert_eq!(
                    self.store.hash(),
                    hash,
                    "the hash is the same when the state is read back"
                );
                assert_eq!(self.store.reader().bytes(), bytes, "no byte is lost from the count");
                assert_eq!(self.store.applied().map(|at| at.index), Some(self.index));
            }
        }
    }

    fn settle(&mut self) {
        let mut next = self.waiting.take();
        while let Some(writes) = next {
            writes.commit().unwrap();
            next = self.store.take_writes();
        }
        while let Some(writes) = self.store.take_writes() {
            writes.commit().unwrap();
        }
        self.store.publish();
    }

    /// The running hash against the one that is computed from the records.
    fn check(&self) {
        let view = self.store.reader().view();
        assert_eq!(view.hash_at(0).unwrap(), self.store.hash());
        let pairs = view.range(&words::everything()).unwrap();
        assert_eq!(pairs.count, pairs.kvs.len() as i64);
        assert_eq!(view.keys() as i64, pairs.count);
        if self.mode == Mode::Reopened {
            let mut bytes = 0;
            let counted = self.engine.scan(&[0x20]..&[0x21], &mut |key, value| {
                bytes += (key.len() + value.len()) as u64;
                ControlFlow::Continue(())
            });
            counted.unwrap();
            assert_eq!(self.store.reader().bytes(), bytes);
        }
    }

    fn records(&self) -> String {
        let mut text = String::new();
        let scanned = self.engine.scan(&[0x20]..&[0x21], &mut |key, value| {
            let main = i64::from_be_bytes(key[1..9].try_into().unwrap());
            let sub = u32::from_be_bytes(key[9..].try_into().unwrap());
            text += &format!("{main}.{sub}{}\n", if value[0] == 0 { "" } else { " deletion" });
            ControlFlow::Continue(())
        });
        scanned.unwrap();
        text
    }

    fn define(&mut self, line: &Line) -> Answer {
        let mut args = line.consume_args();
        let name = args.next_pos().ok_or("a transaction needs a name")?.to_owned();
        let mut txn = TxnRequest::default();
        for argument in args {
            let Argument::KeyValue(key, value) = argument else {
                return Err("only if=, then= and else= follow".into());
            };
            let parts: Vec<&str> = value.split_whitespace().collect();
            match key.as_str() {
                "if" => txn.compare.push(words::compare(&parts)?),
                "then" => txn.success.push(words::operation(&parts, &self.transactions)?),
                "else" => txn.failure.push(words::operation(&parts, &self.transactions)?),
                other => return Err(format!("a transaction has no {other}=").into()),
            }
        }
        self.transactions.insert(name, txn);
        Ok(String::new())
    }

    fn txn(&mut self, parts: &[&str]) -> Answer {
        let name = *parts.first().ok_or("which transaction?")?;
        let txn_ops_max = words::optional(parts, "limit")?.unwrap_or(128).try_into()?;
        let request = self.transactions.get(name).ok_or("no such transaction")?.clone();
        if let Err(refusal) = validate::txn(
            &request,
            &Limits {
                txn_ops_max,
                ..Limits::default()
            },
        ) {
            return Ok(words::refused(refusal));
        }
        let read = validate::is_read_only(&request).then(|| self.store.reader().txn_for(&self.who, &request));
        let applied = self.apply(&Command::Txn(request))?;
        if let Some(read) = read {
            // What a reader answers without a log entry must be what the log would have answered.
            let response = read.map(Response::Txn).map_err(refusal);
            let outcome = Outcome {
                response,
                events: Vec::new(),
                tokens: None,
                revision: self.store.revision(),
            };
            assert_eq!(words::outcome(&outcome), applied);
        }
        Ok(applied)
    }

    fn put(&mut self, parts: &[&str]) -> Answer {
        let request = words::put(parts)?;
        match validate::put(&request) {
            Ok(()) => self.apply(&Command::Put(request)),
            Err(refusal) => Ok(words::refused(refusal)),
        }
    }

    fn delete(&mut self, parts: &[&str]) -> Answer {
        let request = words::delete(parts)?;
        match validate::delete_range(&request) {
            Ok(()) => self.apply(&Command::DeleteRange(request)),
            Err(refusal) => Ok(words::refused(refusal)),
        }
    }

    fn get(&self, parts: &[&str]) -> Answer {
        let request = words::range(parts)?;
        if let Err(refusal) = validate::range(&request) {
            return Ok(words::refused(refusal));
        }
        let read = self.store.reader().range_for(&self.who, &request);
        if let Err(ReadError::Refused(refusal)) = read {
            return Ok(words::refused(refusal));
        }
        let frozen = self.store.reader().view().range(&request);
        match (read, frozen) {
            (Ok(read), Ok(frozen)) => {
                assert_eq!(read, frozen);
                Ok(words::range_response(&read, ""))
            }
            (Err(read), Err(frozen)) => {
                assert_eq!(read.to_string(), frozen.to_string());
                Ok(words::refused(refusal(read)))
            }
            (read, frozen) => panic!("a reader answered {read:?} and a view {frozen:?}"),
        }
    }

    fn replay(&self, from: i64, limit: usize) -> Answer {
        match self.store.reader().view().replay(from, limit, usize::MAX) {
            Ok(replay) => Ok(format!("{}next {}\n", words::events(&replay.events), replay.next)),
            Err(error) => Ok(words::refused(refusal(error))),
        }
    }

    fn time_to_live(&self, parts: &[&str]) -> Answer {
        let now_ms = words::number(parts, "now")?;
        let response = self
            .store
            .reader()
            .lease_time_to_live(words::first(parts)?, true, now_ms.try_into()?);
        let keys: Vec<_> = response.keys.iter().map(|key| key.escape_ascii().to_string()).collect();
        Ok(format!(
            "ttl {} of {} keys [{}]\n",
            response.ttl,
            response.granted_ttl,
            keys.join(" ")
        ))
    }

    fn checkpoint(&mut self, line: &Line) -> Answer {
        let (mut leases, mut now_ms) = (Vec::new(), 0);
        for argument in line.consume_args() {
            match argument {
                Argument::KeyValue(key, value) if key == "now" => now_ms = value.parse()?,
                Argument::KeyValue(id, value) => {
                    leases.push(LeaseRemaining {
                        id: id.parse()?,
                        remaining_ms: value.parse()?,
                    });
                }
                Argument::Positional(other) => return Err(format!("unexpected {other}").into()),
                _ => return Err("unexpected argument".into()),
            }
        }
        self.apply(&Command::LeaseCheckpoint { now_ms, leases })
    }
}

impl Runner for Machine {
    type Command = Line;

    fn run(&mut self, line: &Line, context: &Context) -> Answer {
        let texts: Vec<String> = line.args.iter().map(text).collect();
        let parts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let reader = self.store.reader();
        self.who = auth::who(context.prefix.as_deref(), reader.auth_status().1)?;
        if let Some(answer) = auth::read(&reader, &self.who, &line.name, &parts) {
            return answer;
        }
        if let Some(command) = auth::command(&line.name, &parts)? {
            return self.apply(&command);
        }
        match line.name.as_str() {
            "put" => self.put(&parts),
            "delete" => self.delete(&parts),
            "get" => self.get(&parts),
            "define" => self.define(line),
            "txn" => self.txn(&parts),
            "compact" => self.apply(&Command::Compact(CompactionRequest {
                revision: words::first(&parts)?,
                physical: false,
            })),
            "grant" => self.apply(&Command::LeaseGrant {
                id: words::first(&parts)?,
                ttl: words::number(&parts, "ttl")?,
                now_ms: words::number(&parts, "now")?.try_into()?,
            }),
            "revoke" => self.apply(&Command::LeaseRevoke {
                id: words::first(&parts)?,
            }),
            "expire" => self.apply(&Command::LeaseExpire {
                id: words::first(&parts)?,
                now_ms: words::number(&parts, "now")?.try_into()?,
            }),
            "checkpoint" => self.checkpoint(line),
            "fence" => self.apply(&Command::Fence {
                epoch: words::first(&parts)?.try_into()?,
            }),
            "ttl" => self.time_to_live(&parts),
            "leases" => Ok(format!(
                "{:?}\n",
                reader
                    .lease_leases()
                    .leases
                    .iter()
                    .map(|own| own.id)
                    .collect::<Vec<_>>()
            )),
            "expired" => Ok(format!(
                "{:?}\n",
                reader.expired_leases(words::number(&parts, "now")?.try_into()?, 9)
            )),
            "replay" => {
                let limit = words::optional(&parts, "limit")?.unwrap_or(100);
                self.replay(words::first(&parts)?, limit.try_into()?)
            }
            "revision" => Ok(format!(
                "revision {} compacted {}\n",
                reader.revision(),
                reader.compacted()
            )),
            "hash" => match reader.view().hash_at(words::first(&parts)?) {
                Ok(hash) => Ok(format!("{hash}\n")),
                Err(error) => Ok(words::refused(refusal(error))),
            },
            "records" => {
                self.settle();
                Ok(self.records())
            }
            other => Err(format!("no command {other}").into()),
        }
    }
}

/// A small cache, so that reads of the scripts meet memory and engine alike.
fn open(engine: &Arc<MemoryEngine>) -> Store {
    let engine: Arc<dyn Engine> = engine.clone();
    Store::open_with(engine, Options { cache_bytes_max: 400 }).unwrap()
}

fn text(argument: &Argument) -> String {
    match argument {
        Argument::Positional(value) => value.clone(),
        Argument::KeyValue(key, value) => format!("{key}={value}"),
        _ => unreachable!("goldenscript has two kinds of arguments"),
    }
}

fn refusal(error: ReadError) -> Refusal {
    match error {
        ReadError::Refused(refusal) => refusal,
        ReadError::Engine(_) | ReadError::Replaced => panic!("{error}"),
    }
}
