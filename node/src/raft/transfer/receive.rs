//! The receiving side of a transfer.
//!
//! Must keep true: what was begun to be taken up is finished, whether or not the sender still listens, before another
//! transfer touches a file; where there is no room, what is here of the snapshot goes, since the last room on a disk is
//! the log's.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;

use openraft::raft::SnapshotResponse;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::partial::{self, Partial, Turn};
use super::{Head, PIECE_BYTES, Reply, SIGN, SILENCE_MAX};
use crate::raft::snapshots::{self, SnapshotDir, SnapshotFile};
use crate::raft::{Types, frame};
use crate::{background, disk};

/// How long a sender that was refused may go on talking: it hears of it when it has been heard.
const FAREWELL: Duration = Duration::from_secs(1);

/// Receives a snapshot and has `install` take it up, then tells the sender.
///
/// # Errors
/// The connection broke, or the snapshot was refused.
pub async fn receive<C>(
    mut connection: C,
    snapshots: &SnapshotDir,
    install: impl AsyncFnOnce(&Head, SnapshotFile) -> io::Result<SnapshotResponse<Types>>,
) -> io::Result<()>
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    let head: Head = frame::expect(&mut connection).await?;
    let (reply, outcome) = match take(&mut connection, snapshots, &head, install).await {
        Ok(response) => {
            snapshots.incoming().content();
            (Reply::Installed(response), Ok(()))
        }
        Err(error) => {
            if disk::is_full(&error) || error.kind() == io::ErrorKind::InvalidData {
                snapshots.incoming().complain(&error);
            }
            (Reply::Refused(error.to_string()), Err(error))
        }
    };
    let said = frame::send(&mut connection, &reply).await;
    if said.is_ok() && connection.shutdown().await.is_ok() {
        // Hanging up on what is still on its way would take the reply with it.
        let _ = timeout(FAREWELL, tokio::io::copy(&mut connection, &mut tokio::io::sink())).await;
    }
    outcome.and(said)
}

async fn take<C>(
    connection: &mut C,
    snapshots: &SnapshotDir,
    head: &Head,
    install: impl AsyncFnOnce(&Head, SnapshotFile) -> io::Result<SnapshotResponse<Types>>,
) -> io::Result<SnapshotResponse<Types>>
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    let began = Instant::now();
    let all = Reply::Held(head.content.bytes);
    let mut turn = signing(connection, &Reply::Wait, snapshots.incoming().begin()).await;
    let (dir, wanted) = (snapshots.dir().to_owned(), head.clone());
    let found = signing(connection, &Reply::Wait, blocking(move || begin(&dir, &wanted))).await?;
    let partial = match found {
        Found::Whole(file) => return signing(connection, &all, install(head, file)).await,
        Found::Partial(partial) => partial,
    };
    let from = partial.held();
    let partial = match snapshots.demand_room(head.content.bytes - from) {
        Ok(()) => fill(connection, &mut turn, partial, head).await?,
        Err(error) => return Err(give_up(partial, error)),
    };
    let partial = signing(connection, &all, verified(partial, head)).await?;
    let response = signing(connection, &all, install(head, partial.file())).await?;
    tracing::info!(
        "a snapshot of {} bytes was received from byte {from} on and taken up, in {:.1?}",
        head.content.bytes,
        began.elapsed()
    );
    blocking(move || partial.remove()).await?;
    Ok(response)
}

enum Found {
    Whole(SnapshotFile),
    Partial(Partial),
}

fn begin(dir: &std::path::Path, head: &Head) -> io::Result<Found> {
    match partial::whole(dir, head)? {
        Some(file) => Ok(Found::Whole(file)),
        None => Partial::open(dir, head).map(Found::Partial),
    }
}

/// Takes what comes until all is here.
async fn fill<C>(connection: &mut C, turn: &mut Turn, mut partial: Partial, head: &Head) -> io::Result<Partial>
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    frame::send(connection, &Reply::Held(partial.held())).await?;
    let mut told = Instant::now();
    let mut buffer = Vec::new();
    while partial.held() < head.content.bytes {
        let left = head.content.bytes - partial.held();
        buffer.resize(PIECE_BYTES.min(usize::try_from(left).unwrap_or(PIECE_BYTES)), 0);
        let (count, came) = tokio::select! {
            biased;
            () = turn.overtaken() => return Err(io::Error::other("a later transfer took its place")),
            came = piece(connection, &mut buffer) => came,
        };
        let appended;
        (partial, buffer, appended) = blocking(move || {
            let appended = partial.append(&buffer[..count]);
            Ok((partial, buffer, appended))
        })
        .await?;
        match appended {
            Ok(()) => came?,
            Err(error) => return Err(give_up(partial, error)),
        }
        if told.elapsed() >= SIGN {
            told = Instant::now();
            frame::send(connection, &Reply::Held(partial.held())).await?;
        }
    }
    Ok(partial)
}

/// Fills the buffer, or as much of it as comes within [`SIGN`]; how much that was, and what ended it early.
async fn piece<R: AsyncRead + Unpin>(reader: &mut R, buffer: &mut [u8]) -> (usize, io::Result<()>) {
    let began = Instant::now();
    let mut count = 0;
    while count < buffer.len() && (count == 0 || began.elapsed() < SIGN) {
        let silence = || io::Error::new(io::ErrorKind::TimedOut, format!("nothing came for {SILENCE_MAX:?}"));
        let read = timeout(SILENCE_MAX, reader.read(&mut buffer[count..])).await;
        match read.unwrap_or_else(|_| Err(silence())) {
            Ok(0) => return (count, Err(io::ErrorKind::UnexpectedEof.into())),
            Ok(more) => count += more,
            Err(error) => return (count, Err(error)),
        }
    }
    (count, Ok(()))
}

/// Nothing is replaced before this.
async fn verified(partial: Partial, head: &Head) -> io::Result<Partial> {
    let (id, sha256) = (head.meta.last_log_id, head.content.sha256);
    blocking(move || {
        let why = match snapshots::verify(id, &partial.file(), &mut |_| ()) {
            Ok(summary) if summary.sha256 == sha256 => return Ok(partial),
            Ok(_) => "it is another snapshot than was said".to_owned(),
            Err(error) => error.to_string(),
        };
        partial.remove()?;
        Err(io::Error::new(io::ErrorKind::InvalidData, why))
    })
    .await
}

/// Where it failed for want of room, that is given back.
fn give_up(partial: Partial, error: io::Error) -> io::Error {
    if !disk::is_full(&error) {
        return error;
    }
    let held = partial.held();
    match partial.remove() {
        Ok(()) => io::Error::new(
            error.kind(),
            format!("no room for a snapshot: {error}. The {held} bytes of it that were here are removed"),
        ),
        Err(stays) => io::Error::new(error.kind(), format!("no room for a snapshot: {error}; {stays}")),
    }
}

/// Works, and says `sign` meanwhile. Work is never given up because nobody listens.
async fn signing<W: AsyncWrite + Unpin, T>(writer: &mut W, sign: &Reply, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    loop {
        if let Ok(done) = timeout(SIGN, &mut work).await {
            return done;
        }
        if frame::send(writer, sign).await.is_err() {
            return work.await;
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    background::run(work).await.map_err(io::Error::other)?
}
