//! The sending side of a transfer.
//!
//! A connection that breaks is made again as long as the receiver comes to have more of the snapshot. Then openraft is
//! told, which asks for the newest snapshot and begins again; what the receiver has of it counts there too.

use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::raft::SnapshotResponse;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};

use super::{Head, PIECE_BYTES, Reply, SIGN, SILENCE_MAX};
use crate::background;
use crate::raft::peer_counts::PeerCount;
use crate::raft::snapshots::SnapshotFile;
use crate::raft::{Types, frame};
use crate::service::counts::add;

/// Time without progress after which a transfer is given up. A member that was killed is back by then as a rule; longer,
/// and a snapshot that was replaced would keep its room on the disk for a member that may never come.
const STUCK_MAX: Duration = Duration::from_secs(60);
/// Before a broken connection is made again.
const BROKEN_PAUSE: Duration = Duration::from_millis(100);
/// Before a receiver that refused is asked again: it waits for room on its disk.
const REFUSED_PAUSE: Duration = Duration::from_secs(5);
/// A transfer that takes longer tells how far it is, this often.
const TELL: Duration = Duration::from_secs(2);

/// Why an attempt came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
    #[error("it was refused: {0}")]
    Refused(String),
}

/// How a transfer gets on.
pub struct Pace {
    target: u64,
    count: Arc<PeerCount>,
    began: Instant,
    told: Instant,
    /// The most that the receiver had, and since when.
    held: u64,
    held_since: Instant,
    /// What was logged last of failures, which are many when a member is gone.
    complained: Option<String>,
}

impl Pace {
    /// A transfer to `target` that begins now.
    pub fn new(target: u64, count: Arc<PeerCount>) -> Self {
        let now = Instant::now();
        Self {
            target,
            count,
            began: now,
            told: now,
            held: 0,
            held_since: now,
            complained: None,
        }
    }

    fn goes_on(&mut self, from: u64, head: &Head) {
        let (member, bytes) = (format_args!("{:016x}", self.target), head.content.bytes);
        match from {
            0 => tracing::info!(member, bytes, "sending a snapshot"),
            from => {
                add(&self.count.snapshots_resumed);
                tracing::info!(member, bytes, "sending a snapshot, resumed at {from} of {bytes} bytes");
            }
        }
        self.holds(from, head);
    }

    fn holds(&mut self, held: u64, head: &Head) {
        let now = Instant::now();
        if held > self.held {
            (self.held, self.held_since) = (held, now);
        }
        if now - self.told >= TELL {
            self.told = now;
            let (member, bytes) = (format_args!("{:016x}", self.target), head.content.bytes);
            tracing::info!(member, "the snapshot is there up to {held} of {bytes} bytes");
        }
    }

    fn failed(&mut self, error: &Failed) {
        let said = error.to_string();
        if self.complained.as_ref() != Some(&said) {
            tracing::warn!(
                member = format_args!("{:016x}", self.target),
                "sending a snapshot: {said}. It is tried again"
            );
            self.complained = Some(said);
        }
    }

    fn is_stuck(&self) -> bool {
        self.held_since.elapsed() >= STUCK_MAX
    }
}

/// Sends `file` over connections that `dial` makes, until the receiver has taken it up.
///
/// # Errors
/// For [`STUCK_MAX`] the receiver did not come to have more of it; the last reason is returned.
pub async fn send<C, D>(
    dial: impl Fn() -> D,
    head: &Head,
    file: &SnapshotFile,
    mut pace: Pace,
) -> io::Result<SnapshotResponse<Types>>
where
    C: AsyncRead + AsyncWrite,
    D: Future<Output = io::Result<C>>,
{
    loop {
        let tried = match dial().await {
            Ok(connection) => attempt(connection, head, file, &mut pace).await,
            Err(error) => Err(Failed::Broken(error)),
        };
        let failed = match tried {
            Ok(response) => {
                add(&pace.count.snapshots_sent);
                tracing::info!(
                    member = format_args!("{:016x}", pace.target),
                    "a snapshot of {} bytes was taken up after {:.1?}",
                    head.content.bytes,
                    pace.began.elapsed()
                );
                return Ok(response);
            }
            Err(failed) => failed,
        };
        add(&pace.count.snapshots_failed);
        if pace.is_stuck() {
            return Err(io::Error::other(failed));
        }
        pace.failed(&failed);
        sleep(match failed {
            Failed::Broken(_) => BROKEN_PAUSE,
            Failed::Refused(_) => REFUSED_PAUSE,
        })
        .await;
    }
}

/// One connection's worth of it.
pub(super) async fn attempt<C>(
    connection: C,
    head: &Head,
    file: &SnapshotFile,
    pace: &mut Pace,
) -> Result<SnapshotResponse<Types>, Failed>
where
    C: AsyncRead + AsyncWrite,
{
    let (mut reader, mut writer) = tokio::io::split(connection);
    frame::send(&mut writer, head).await?;
    let from = loop {
        match heard(&mut reader).await? {
            Reply::Wait => {}
            Reply::Held(from) => break from,
            Reply::Installed(response) => return Ok(response),
            Reply::Refused(why) => return Err(Failed::Refused(why)),
        }
    };
    pace.goes_on(from, head);
    let count = Arc::clone(&pace.count);
    let mut answered = std::pin::pin!(answered(&mut reader, head, pace));
    let written = tokio::select! {
        biased;
        answered = &mut answered => return answered,
        written = write(&mut writer, file, from, head.content.bytes, &count) => written,
    };
    let Err(error) = written else { return answered.await };
    // Whoever refuses hangs up afterwards, and why is worth more than that it did.
    timeout(SIGN, answered).await.unwrap_or(Err(Failed::Broken(error)))
}

async fn heard<R: AsyncRead + Unpin>(reader: &mut R) -> io::Result<Reply> {
    match timeout(SILENCE_MAX, frame::expect(reader)).await {
        Ok(reply) => reply,
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no sign of life in {SILENCE_MAX:?}"),
        )),
    }
}

/// Listens until there is an answer.
async fn answered<R: AsyncRead + Unpin>(
    reader: &mut R,
    head: &Head,
    pace: &mut Pace,
) -> Result<SnapshotResponse<Types>, Failed> {
    loop {
        match heard(reader).await? {
            Reply::Wait => {}
            Reply::Held(held) => pace.holds(held, head),
            Reply::Installed(response) => return Ok(response),
            Reply::Refused(why) => return Err(Failed::Refused(why)),
        }
    }
}

async fn write<W: AsyncWrite + Unpin>(
    writer: &mut W,
    file: &SnapshotFile,
    from: u64,
    to: u64,
    count: &PeerCount,
) -> io::Result<()> {
    let mut at = from;
    let mut piece = Vec::new();
    while at < to {
        let bytes = PIECE_BYTES.min(usize::try_from(to - at).unwrap_or(PIECE_BYTES));
        piece.resize(bytes, 0);
        let file = Arc::clone(&file.file);
        let read = move || file.read_exact_at(&mut piece, at).map(|()| piece);
        piece = background::run(read).await.map_err(io::Error::other)??;
        writer.write_all(&piece).await?;
        count.snapshot_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        at += bytes as u64;
    }
    writer.flush().await
}
