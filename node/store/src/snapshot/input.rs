//! Reading a snapshot, into an engine or only to check it.

use super::frame::{Input, damaged};
use super::{FORMAT, Header, SnapshotError, Summary};
use crate::engine::{Batch, Engine};
use crate::keyspace::{self, ALARMS, AUTH, LEASES, MEMBERSHIP, META, Meta, RECORDS, UNFINISHED};
use crate::revision::LogPosition;
use bytes::Bytes;
use prost::Message;
use std::io;

/// Reads a snapshot into an engine, in place of everything it holds.
///
/// After an error the engine is marked as unfinished: it cannot be opened, but can be read into again.
pub fn read(stream: &mut dyn io::Read, engine: &dyn Engine) -> Result<Summary, SnapshotError> {
    let mut input = Input::begin(stream)?;
    let (header, meta) = header(&mut input)?;
    mark(engine)?;
    engine.clear()?;
    mark(engine)?;
    let entries = chunks(&mut input, &mut |_, batch| Ok(engine.write(batch)?))?;
    let summary = header.summary(entries, input.end()?);
    let mut last = Batch::default();
    last.put(META.to_vec(), meta.to_bytes());
    if let Some(membership) = header.membership {
        last.put(MEMBERSHIP.to_vec(), membership);
    }
    last.delete(UNFINISHED.to_vec());
    engine.write(last)?;
    Ok(summary)
}

/// Checks a snapshot from its first byte to its last, and tells what is in it.
pub fn verify(stream: &mut dyn io::Read) -> Result<Summary, SnapshotError> {
    let mut input = Input::begin(stream)?;
    let (header, _) = header(&mut input)?;
    let entries = chunks(&mut input, &mut |_, _| Ok(()))?;
    Ok(header.summary(entries, input.end()?))
}

/// The position and the membership in the header; nothing behind the header is read or checked.
pub fn peek(stream: &mut dyn io::Read) -> Result<(Option<LogPosition>, Option<Bytes>), SnapshotError> {
    let (header, meta) = header(&mut Input::begin(stream)?)?;
    Ok((meta.position.map(Into::into), header.membership))
}

/// How much of the beginning of a snapshot is sound, in bytes: all frames before the first that is damaged, cut short or
/// empty. An empty one ends a snapshot, but a hole in a file that was never written looks the same.
///
/// # Errors
/// The stream failed.
pub fn sound(stream: &mut dyn io::Read) -> io::Result<u64> {
    let mut sound = 0;
    let judged = Input::begin(stream).and_then(|mut input| {
        loop {
            sound = input.offset();
            if input.frame()?.is_empty() {
                return Ok(());
            }
        }
    });
    match judged {
        Err(SnapshotError::Stream(error)) => Err(error),
        Ok(()) | Err(_) => Ok(sound),
    }
}

/// Marks the engine as not to be trusted; before the old state goes, and again after.
fn mark(engine: &dyn Engine) -> Result<(), SnapshotError> {
    let mut batch = Batch::default();
    batch.put(UNFINISHED.to_vec(), Bytes::from_static(b"1"));
    Ok(engine.write(batch)?)
}

pub(super) fn header(input: &mut Input<'_>) -> Result<(Header, Meta), SnapshotError> {
    let offset = input.offset();
    let header = Header::decode(&input.frame()?[..]).map_err(|error| damaged(offset, error.to_string()))?;
    if header.format != FORMAT {
        return Err(SnapshotError::Format {
            found: header.format,
            known: FORMAT,
        });
    }
    let meta = header.meta.ok_or_else(|| damaged(offset, "no counters"))?;
    if meta.format != keyspace::FORMAT {
        return Err(SnapshotError::Format {
            found: meta.format,
            known: keyspace::FORMAT,
        });
    }
    Ok((header, meta))
}

/// What is done with a chunk: as it is, and as a batch.
type Take<'a> = dyn FnMut(&[u8], Batch) -> Result<(), SnapshotError> + 'a;

/// Hands every chunk on, as it is and as a batch; answers the number of entries.
pub(super) fn chunks(input: &mut Input<'_>, take: &mut Take<'_>) -> Result<u64, SnapshotError> {
    let mut entries = 0;
    loop {
        let offset = input.offset();
        let chunk = input.frame()?;
        if chunk.is_empty() {
            return Ok(entries);
        }
        let batch = batch(&chunk).ok_or_else(|| damaged(offset, "a chunk's entries do not fit it"))?;
        entries += batch.len() as u64;
        take(&chunk, batch)?;
    }
}

/// The puts in a chunk; `None` when it is not made of entries with keys of this build's key space.
fn batch(mut chunk: &[u8]) -> Option<Batch> {
    let mut batch = Batch::default();
    while !chunk.is_empty() {
        let (key_length, rest) = chunk.split_first_chunk::<4>()?;
        let (value_length, rest) = rest.split_first_chunk::<4>()?;
        let (key, rest) = rest.split_at_checked(u32::from_be_bytes(*key_length) as usize)?;
        let (value, rest) = rest.split_at_checked(u32::from_be_bytes(*value_length) as usize)?;
        let known = [LEASES, RECORDS, AUTH, ALARMS].iter().any(|range| range.contains(&key));
        if !known {
            return None;
        }
        batch.put(key.to_vec(), Bytes::copy_from_slice(value));
        chunk = rest;
    }
    Some(batch)
}
