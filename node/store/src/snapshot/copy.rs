//! Copying a snapshot for another cluster: the same state, other members.

use super::frame::{Input, Output};
use super::input::{chunks, header};
use super::{Header, SnapshotError, Summary};
use bytes::Bytes;
use prost::Message;
use std::io;

/// Copies a snapshot with another membership in its header, and tells what is in the copy. Buffer both streams.
///
/// What is read is checked from its first byte to its last. After an error what was written is no snapshot, and says so
/// to whoever reads it.
pub fn copy(
    stream: &mut dyn io::Read,
    target: &mut dyn io::Write,
    membership: Bytes,
) -> Result<Summary, SnapshotError> {
    let mut input = Input::begin(stream)?;
    let (old, _) = header(&mut input)?;
    let header = Header {
        membership: Some(membership),
        ..old
    };
    let mut output = Output::begin(target)?;
    output.frame(&header.encode_to_vec())?;
    let entries = chunks(&mut input, &mut |chunk, _| output.frame(chunk))?;
    output.frame(&[])?;
    // Only now: a hash at the end of the copy vouches for all that was read.
    input.end()?;
    Ok(header.summary(entries, output.end()?))
}
