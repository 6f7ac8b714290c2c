//! Writing a snapshot from a view.

use super::frame::Output;
use super::{CHUNK_BYTES, FORMAT, Header, SnapshotError, Summary};
use crate::keyspace::{LeaseRecord, lease_key, record_key};
use crate::record;
use crate::revision::Revision;
use crate::view::View;
use prost::Message;
use std::io;

/// Records taken out of the history at a time,
const RECORDS_PER_READ: usize = 1_024;
/// and their bytes, which one record may exceed: what a snapshot needs of memory, however large the values are.
pub(super) const BYTES_PER_READ: usize = 4 << 20;

/// Writes the whole state of a view. Buffer the stream: frames are written in several small parts.
pub fn write(view: &View, stream: &mut dyn io::Write) -> Result<Summary, SnapshotError> {
    let state = view.state();
    let header = Header {
        format: FORMAT,
        meta: Some(state.meta()),
        membership: state.membership.clone(),
    };
    let mut chunks = Chunks {
        output: Output::begin(stream)?,
        chunk: Vec::new(),
        entries: 0,
    };
    chunks.output.frame(&header.encode_to_vec())?;
    for (id, lease) in state.leases.iter() {
        chunks.add(&lease_key(id), &LeaseRecord::encoded(&lease))?;
    }
    records(view, &mut chunks)?;
    for (key, value) in state.auth.entries() {
        chunks.add(&key, &value)?;
    }
    for key in state.alarms.entries() {
        chunks.add(&key, &[])?;
    }
    if view.is_replaced() {
        return Err(SnapshotError::Replaced);
    }
    let (entries, sha256) = chunks.end()?;
    Ok(header.summary(entries, sha256))
}

/// Writes every record that the view needs. What compaction may already be deleting is left out, deleted or not.
fn records(view: &View, chunks: &mut Chunks<'_>) -> Result<(), SnapshotError> {
    let mut first = Revision::default();
    loop {
        let part = view
            .shared()
            .replay(first, view.revision(), RECORDS_PER_READ, BYTES_PER_READ)?;
        for (revision, record) in &part.records {
            let key = record_key(*revision);
            let (_, pair) = record::decode(&key, record)?;
            if view.needs(&pair.key, *revision) {
                chunks.add(&key, record)?;
            }
        }
        match part.records.last() {
            Some((last, _)) if part.cut => first = Revision::new(last.main, last.sub + 1),
            _ => return Ok(()),
        }
    }
}

struct Chunks<'a> {
    output: Output<'a>,
    chunk: Vec<u8>,
    entries: u64,
}

impl Chunks<'_> {
    fn add(&mut self, key: &[u8], value: &[u8]) -> Result<(), SnapshotError> {
        for part in [key, value] {
            // A longer one makes the frame too long, which is refused when it is written.
            let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
            self.chunk.extend_from_slice(&length.to_be_bytes());
        }
        self.chunk.extend_from_slice(key);
        self.chunk.extend_from_slice(value);
        self.entries += 1;
        if self.chunk.len() >= CHUNK_BYTES {
            self.output.frame(&self.chunk)?;
            self.chunk.clear();
        }
        Ok(())
    }

    fn end(mut self) -> Result<(u64, [u8; 32]), SnapshotError> {
        if !self.chunk.is_empty() {
            self.output.frame(&self.chunk)?;
        }
        self.output.frame(&[])?;
        Ok((self.entries, self.output.end()?))
    }
}
