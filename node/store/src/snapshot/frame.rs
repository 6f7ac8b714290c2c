//! Frames with checksums over a stream, and the hash of all of it.

use super::{FRAME_BYTES_MAX, MAGIC, SnapshotError};
use sha2::{Digest, Sha256};
use std::io::{Read, Write};

/// Writes frames and hashes them.
pub(super) struct Output<'a> {
    stream: &'a mut dyn Write,
    hash: Sha256,
}

impl<'a> Output<'a> {
    pub(super) fn begin(stream: &'a mut dyn Write) -> Result<Self, SnapshotError> {
        let mut output = Self {
            stream,
            hash: Sha256::new(),
        };
        output.raw(MAGIC)?;
        Ok(output)
    }

    pub(super) fn frame(&mut self, payload: &[u8]) -> Result<(), SnapshotError> {
        let length = u32::try_from(payload.len())
            .ok()
            .filter(|_| payload.len() <= FRAME_BYTES_MAX);
        let length = length.ok_or_else(|| {
            std::io::Error::other(format!(
                "a record of {} bytes does not fit in a snapshot",
                payload.len()
            ))
        })?;
        self.raw(&length.to_be_bytes())?;
        self.raw(&crc32c::crc32c(payload).to_be_bytes())?;
        self.raw(payload)
    }

    /// Writes the hash; answers it.
    pub(super) fn end(self) -> Result<[u8; 32], SnapshotError> {
        let hash: [u8; 32] = self.hash.finalize().into();
        self.stream.write_all(&hash)?;
        self.stream.flush()?;
        Ok(hash)
    }

    fn raw(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        self.stream.write_all(bytes)?;
        self.hash.update(bytes);
        Ok(())
    }
}

/// Reads frames and checks them.
pub(super) struct Input<'a> {
    stream: &'a mut dyn Read,
    hash: Sha256,
    offset: u64,
}

impl<'a> Input<'a> {
    pub(super) fn begin(stream: &'a mut dyn Read) -> Result<Self, SnapshotError> {
        let mut input = Self {
            stream,
            hash: Sha256::new(),
            offset: 0,
        };
        let mut magic = [0; MAGIC.len()];
        input.raw(&mut magic)?;
        if &magic != MAGIC {
            return Err(damaged(0, "not a snapshot"));
        }
        Ok(input)
    }

    /// The next frame.
    pub(super) fn frame(&mut self) -> Result<Vec<u8>, SnapshotError> {
        let start = self.offset;
        let (mut length, mut sum) = ([0; 4], [0; 4]);
        self.raw(&mut length)?;
        self.raw(&mut sum)?;
        let length = u32::from_be_bytes(length) as usize;
        if length > FRAME_BYTES_MAX {
            return Err(damaged(start, format!("a frame of {length} bytes")));
        }
        // Taken as it comes rather than allocated up front, so that a lie about the length costs no memory.
        let mut payload = Vec::new();
        let taken = Read::take(&mut *self.stream, length as u64).read_to_end(&mut payload)?;
        if taken < length {
            return Err(cut(self.offset + taken as u64));
        }
        self.hash.update(&payload);
        self.offset += length as u64;
        if crc32c::crc32c(&payload) != u32::from_be_bytes(sum) {
            return Err(damaged(start, "a frame's checksum does not match"));
        }
        Ok(payload)
    }

    /// Reads and checks the hash at the end; answers it.
    pub(super) fn end(self) -> Result<[u8; 32], SnapshotError> {
        let mut hash = [0; 32];
        let offset = self.offset;
        self.stream
            .read_exact(&mut hash)
            .map_err(|error| early(offset, error))?;
        let own: [u8; 32] = self.hash.finalize().into();
        if hash != own {
            return Err(damaged(self.offset, "the hash of the whole does not match"));
        }
        Ok(hash)
    }

    /// Bytes read so far.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    fn raw(&mut self, bytes: &mut [u8]) -> Result<(), SnapshotError> {
        let offset = self.offset;
        self.stream.read_exact(bytes).map_err(|error| early(offset, error))?;
        self.hash.update(&*bytes);
        self.offset += bytes.len() as u64;
        Ok(())
    }
}

/// What an error of the stream means where `offset` bytes were read before.
fn early(offset: u64, error: std::io::Error) -> SnapshotError {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => cut(offset),
        _ => error.into(),
    }
}

fn cut(offset: u64) -> SnapshotError {
    damaged(offset, "it is cut short here")
}

pub(super) fn damaged(offset: u64, reason: impl Into<String>) -> SnapshotError {
    SnapshotError::Damaged {
        offset,
        reason: reason.into(),
    }
}
