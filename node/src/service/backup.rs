//! The whole state as a stream, for backups: etcd's `Snapshot`.
//!
//! ```text
//! image     a snapshot of the store (`kvorum_store::snapshot`), of one moment
//! padding   zero bytes up to a multiple of 512, as etcd's files have it and its clients demand
//! sha-256   32 bytes, of everything before
//! ```
//! Must keep true: writes go on meanwhile; memory holds a few pieces, whatever the size of the state; when the client
//! goes away the work stops.

use std::io::{self, Read, Write};

use bytes::Bytes;
use kvorum_api::error::Refusal;
use kvorum_api::etcdserverpb as pb;
use kvorum_store::{Act, View, snapshot};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::{Caller, Service};
use crate::CLUSTER_VERSION;

/// Bytes in a piece, as in etcd.
const PIECE_BYTES: usize = 32 << 10;
/// Pieces that wait for a slow client.
const PIECES_MAX: usize = 8;
/// The size of an image is a multiple of this.
const BLOCK_BYTES: u64 = 512;

/// Longest end of a backup, behind the image.
const END_BYTES_MAX: u64 = BLOCK_BYTES + 32;

/// Pieces of a backup; the last one is the hash. An error ends them.
pub type Pieces = mpsc::Receiver<Result<pb::SnapshotResponse, Refusal>>;

impl Service {
    /// Starts a backup.
    ///
    /// # Errors
    /// The caller is not root.
    pub async fn snapshot(&self, caller: &Caller, _: pb::SnapshotRequest) -> Result<Pieces, Refusal> {
        self.permit(caller, Act::Administer).await?;
        let view = self.inner.node.reader.view();
        let (sender, pieces) = mpsc::channel(PIECES_MAX);
        tokio::task::spawn_blocking(move || {
            let mut stream = Stream::new(&sender);
            if let Err(error) = send(&view, &mut stream) {
                tracing::info!("a backup broke off: {error}");
                // Nobody listens any more, or is told that what came is not whole.
                let _ = sender.blocking_send(Err(Refusal::Stopped));
            }
        });
        Ok(pieces)
    }
}

fn send(view: &View, stream: &mut Stream<'_>) -> Result<(), snapshot::SnapshotError> {
    // Once to know the size, which goes with every piece; a view gives the same bytes each time.
    let mut size = Size(0);
    snapshot::write(view, &mut size)?;
    let padding = size.0.next_multiple_of(BLOCK_BYTES) - size.0;
    stream.left = size.0 + padding;
    snapshot::write(view, stream)?;
    // Less than a block, so the cast keeps it.
    stream.write_all(&vec![0; padding as usize])?;
    stream.cut()?;
    let hash = Bytes::copy_from_slice(&stream.hash.clone().finalize());
    stream.send(hash)?;
    Ok(())
}

/// Counts.
struct Size(u64);

impl Write for Size {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Cuts what is written into pieces.
struct Stream<'a> {
    sender: &'a mpsc::Sender<Result<pb::SnapshotResponse, Refusal>>,
    piece: Vec<u8>,
    left: u64,
    hash: Sha256,
}

impl<'a> Stream<'a> {
    fn new(sender: &'a mpsc::Sender<Result<pb::SnapshotResponse, Refusal>>) -> Self {
        Self {
            sender,
            piece: Vec::with_capacity(PIECE_BYTES),
            left: 0,
            hash: Sha256::new(),
        }
    }

    /// Sends what there is of a piece.
    fn cut(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        self.hash.update(&self.piece);
        self.left = self.left.saturating_sub(self.piece.len() as u64);
        let piece = Bytes::copy_from_slice(&self.piece);
        self.piece.clear();
        self.send(piece)
    }

    fn send(&self, blob: Bytes) -> io::Result<()> {
        let response = pb::SnapshotResponse {
            header: None,
            remaining_bytes: self.left,
            blob,
            version: CLUSTER_VERSION.to_owned(),
        };
        let sent = self.sender.blocking_send(Ok(response));
        sent.map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the client went away"))
    }
}

impl Write for Stream<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = PIECE_BYTES - self.piece.len();
        let taken = &bytes[..bytes.len().min(room)];
        self.piece.extend_from_slice(taken);
        if self.piece.len() == PIECE_BYTES {
            self.cut()?;
        }
        Ok(taken.len())
    }

    /// Pieces go out when they are full; the last one with [`Stream::cut`].
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a backup: first its image, by [`Read`], then its end, by [`Reader::end`].
pub(crate) struct Reader<R> {
    stream: R,
    read: u64,
    hash: Sha256,
}

/// Why a backup does not end as it should.
#[derive(Debug)]
pub(crate) enum EndError {
    /// The end cannot be read.
    Read(io::Error),
    /// It is not the end of this image.
    Wrong(&'static str),
}

impl<R: Read> Reader<R> {
    pub(crate) fn new(stream: R) -> Self {
        Self {
            stream,
            read: 0,
            hash: Sha256::new(),
        }
    }

    /// Checks what follows the image: padding and hash, or nothing at all where the file is one that a member kept.
    pub(crate) fn end(mut self) -> Result<(), EndError> {
        let mut end = Vec::new();
        let more = (&mut self.stream).take(END_BYTES_MAX).read_to_end(&mut end);
        more.map_err(EndError::Read)?;
        if end.is_empty() {
            return Ok(());
        }
        let padding = self.read.next_multiple_of(BLOCK_BYTES) - self.read;
        // Less than a block, so the cast keeps it.
        let (padding, hash) = end
            .split_at_checked(padding as usize)
            .filter(|(_, hash)| hash.len() == 32)
            .ok_or(EndError::Wrong("it is cut, or something was added to it"))?;
        self.hash.update(padding);
        if padding.iter().any(|byte| *byte != 0) || *hash != *self.hash.finalize() {
            return Err(EndError::Wrong("the hash at its end does not match"));
        }
        Ok(())
    }
}

impl<R: Read> Read for Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        self.hash.update(&buffer[..count]);
        self.read += count as u64;
        Ok(count)
    }
}
