//! Rebuilding the state in memory from what the engine holds.
//!
//! Records are read in the order of revisions, so the index and the list of garbage come out as they were. What this
//! refuses to believe: another format, an unfinished snapshot, and records that the counters do not cover.

use crate::compaction::Garbage;
use crate::engine::{Engine, EngineError};
use crate::hash::Fingerprint;
use crate::index::Newest;
use crate::keyspace::{
    ALARMS, AUTH, FORMAT, LEASES, LeaseRecord, MEMBERSHIP, META, Meta, RECORDS, UNFINISHED, lease_id, record_revision,
};
use crate::record::{self, Kind};
use crate::state::State;
use bytes::Bytes;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

/// Why an engine's state cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The engine failed, or holds what makes no sense.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Written by a build with another format.
    #[error("the engine holds format {found}, and this build reads format {known}")]
    Format {
        /// What was found.
        found: u32,
        /// What is known.
        known: u32,
    },
    /// A snapshot was being read in when the process stopped. Clear the engine and install a snapshot again.
    #[error("the engine holds only a part of a snapshot")]
    Unfinished,
}

/// The state in an engine, what of it is garbage, and the bytes of its records.
pub(super) fn load(engine: &dyn Engine) -> Result<(State, Garbage, u64), OpenError> {
    if engine.get(UNFINISHED)?.is_some() {
        return Err(OpenError::Unfinished);
    }
    let mut garbage = Garbage::default();
    let Some(meta) = Meta::load(engine)? else {
        refuse_orphans(engine)?;
        return Ok((State::default(), garbage, 0));
    };
    if meta.format != FORMAT {
        return Err(OpenError::Format {
            found: meta.format,
            known: FORMAT,
        });
    }
    let mut state = State::with_meta(&meta);
    state.membership = engine.get(MEMBERSHIP)?;
    visit(engine, LEASES, &mut |key, value| {
        state.leases.set(lease_id(key)?, LeaseRecord::decoded(key, value)?);
        Ok(())
    })?;
    let mut bytes = 0;
    visit(engine, RECORDS, &mut |key, value| {
        bytes += u64::from(record::bytes(value));
        restore(&mut state, &mut garbage, key, value)
    })?;
    attach(&mut state);
    let auth = Arc::make_mut(&mut state.auth);
    visit(engine, AUTH, &mut |key, value| auth.load(key, value))?;
    auth.loaded();
    let alarms = Arc::make_mut(&mut state.alarms);
    visit(engine, ALARMS, &mut |key, _| alarms.load(key))?;
    Ok((state, garbage, bytes))
}

/// Replays one record.
fn restore(state: &mut State, garbage: &mut Garbage, key: &[u8], value: &[u8]) -> Result<(), EngineError> {
    let revision = record_revision(key)?;
    if revision.main > state.revision {
        return Err(EngineError::corrupt(
            key,
            format!("newer than the store's revision {}", state.revision),
        ));
    }
    let (kind, pair) = record::decode(key, &Bytes::copy_from_slice(value))?;
    let newest = match kind {
        Kind::Deletion => Newest::deletion(revision, record::bytes(value)),
        Kind::Put => Newest {
            revision,
            create: pair.create_revision,
            version: pair.version,
            lease: pair.lease,
            hash: Fingerprint::of(record::hashed(value)),
            bytes: record::bytes(value),
        },
    };
    if kind == Kind::Put && newest.version < 1 {
        return Err(EngineError::corrupt(key, "a put without a version"));
    }
    let change = state.index.record(&pair.key, |_| newest);
    let before = change.before.unwrap_or_default();
    state.hash = state.hash.minus(before.hash).plus(newest.hash);
    if change.before.is_some() || kind == Kind::Deletion {
        garbage.add(revision.main, change.key);
    }
    Ok(())
}

/// Attaches every live key to the lease that its newest record names.
fn attach(state: &mut State) {
    let State { index, leases, .. } = state;
    for (key, history) in index.live_keys(crate::index::Span::From(b"")) {
        let lease = history.newest().lease;
        if lease != 0 {
            leases.attach(lease, key);
        }
    }
}

/// An engine without counters must be empty: anything else was not written by a store.
fn refuse_orphans(engine: &dyn Engine) -> Result<(), EngineError> {
    let all = &[0_u8][..]..&[0xff][..];
    visit(engine, all, &mut |key, _| {
        Err(EngineError::corrupt(
            key,
            format!("there is no {META:?}, but there is this"),
        ))
    })
}

/// What [`visit`] calls for each key and value.
type Each<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), EngineError> + 'a;

/// Visits every key of a range until the first error.
fn visit(engine: &dyn Engine, range: Range<&[u8]>, each: &mut Each<'_>) -> Result<(), EngineError> {
    let mut answer = Ok(());
    engine.scan(range, &mut |key, value| {
        answer = each(key, value);
        if answer.is_ok() {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    answer
}
