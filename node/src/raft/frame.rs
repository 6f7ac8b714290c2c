//! How members talk: a greeting that says who and what, then frames of a length and a postcard message.
//!
//! ```text
//! dialler  → "KVP1" ‖ frame(Hello{cluster, from, to, channel})
//! acceptor → frame(Greeting)          then, on Accepted, frames as the channel has it
//! frame    = length u32 little-endian ‖ postcard bytes
//! ```
//!
//! Must keep true: no frame is longer than [`FRAME_BYTES_MAX`]; nothing is read from a peer whose greeting names another
//! cluster or another member. TLS has checked the certificate before the first byte comes here.

use std::io;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The first bytes of every connection: protocol and version.
pub const MAGIC: [u8; 4] = *b"KVP1";
/// One frame holds at most the entries of one message (`log_store` bounds those to 4 MiB and one entry to a request's
/// size), so 64 MiB is never reached by an honest peer.
pub const FRAME_BYTES_MAX: usize = 64 << 20;

/// What a connection is for. Each has its own, so that a snapshot never delays a heartbeat.
///
/// A channel whose conversation changes gets a new name at the end: to a member of another version it is then unknown, or
/// known to be old, and that connection is closed, while the other channels go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Channel {
    /// A pipelined stream of log entries.
    Append,
    /// One question, one answer, again and again: votes, heartbeats, transfer of leadership.
    Call,
    /// A snapshot as builds before 0.1.0 sent it. Refused.
    Snapshot,
    /// Proposals and read-index questions of a follower, many at once.
    Forward,
    /// One snapshot, taken up where it broke.
    Transfer,
}

/// The dialler's first frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The dialler's cluster.
    pub cluster_id: u64,
    /// The dialler.
    pub from: u64,
    /// Whom the dialler wants to speak to.
    pub to: u64,
    /// What for.
    pub channel: Channel,
}

/// The acceptor's first frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Greeting {
    /// Go on.
    Accepted,
    /// Another cluster lives here.
    WrongCluster {
        /// The acceptor's cluster.
        cluster_id: u64,
    },
    /// Another member lives here.
    WrongMember {
        /// The acceptor.
        member_id: u64,
    },
}

impl Hello {
    /// What `(cluster_id, member_id)` answers to this greeting.
    pub fn judge(&self, cluster_id: u64, member_id: u64) -> Greeting {
        if self.cluster_id != cluster_id {
            Greeting::WrongCluster { cluster_id }
        } else if self.to != member_id {
            Greeting::WrongMember { member_id }
        } else {
            Greeting::Accepted
        }
    }
}

/// Appends one frame to `buffer`.
///
/// # Errors
/// The message does not serialize, or is longer than [`FRAME_BYTES_MAX`].
pub fn push<T: Serialize>(buffer: &mut Vec<u8>, message: &T) -> io::Result<()> {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; 4]);
    *buffer = postcard::to_extend(message, std::mem::take(buffer)).map_err(io::Error::other)?;
    let length = buffer.len() - start - 4;
    if length > FRAME_BYTES_MAX {
        return Err(io::Error::other(format!(
            "a frame of {length} bytes is over the {FRAME_BYTES_MAX} allowed"
        )));
    }
    let header = u32::try_from(length)
        .expect("FRAME_BYTES_MAX fits in u32")
        .to_le_bytes();
    buffer[start..start + 4].copy_from_slice(&header);
    Ok(())
}

/// Writes one frame and flushes it.
///
/// # Errors
/// As [`push`], and what the connection says.
pub async fn send<W: AsyncWrite + Unpin, T: Serialize>(writer: &mut W, message: &T) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(256);
    push(&mut buffer, message)?;
    writer.write_all(&buffer).await?;
    writer.flush().await
}

/// Reads one frame; `None` at an orderly end between two frames.
///
/// # Errors
/// The connection broke, the frame is too long, or it is not the message expected.
pub async fn receive<R: AsyncRead + Unpin, T: DeserializeOwned>(reader: &mut R) -> io::Result<Option<T>> {
    let mut header = [0; 4];
    match reader.read_exact(&mut header).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = u32::from_le_bytes(header) as usize;
    if length > FRAME_BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a peer announced a frame of {length} bytes"),
        ));
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).await?;
    postcard::from_bytes(&body)
        .map(Some)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Reads one frame where the end of the connection would be an error.
///
/// # Errors
/// As [`receive`]; `UnexpectedEof` at the end.
pub async fn expect<R: AsyncRead + Unpin, T: DeserializeOwned>(reader: &mut R) -> io::Result<T> {
    receive(reader)
        .await?
        .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_round_trip_and_end() {
        let hello = Hello {
            cluster_id: 7,
            from: 1,
            to: 2,
            channel: Channel::Forward,
        };
        let mut buffer = Vec::new();
        push(&mut buffer, &hello).unwrap();
        push(&mut buffer, &"second").unwrap();
        let mut reader = buffer.as_slice();
        assert_eq!(receive::<_, Hello>(&mut reader).await.unwrap(), Some(hello));
        assert_eq!(expect::<_, String>(&mut reader).await.unwrap(), "second");
        assert_eq!(receive::<_, Hello>(&mut reader).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_frame_that_is_too_long_is_refused_before_it_is_read() {
        let mut reader: &[u8] = &u32::MAX.to_le_bytes();
        assert_eq!(
            receive::<_, Hello>(&mut reader).await.unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
    }

    /// Members of different builds talk to each other while a cluster is upgraded.
    #[test]
    fn channels_are_known_by_numbers_that_stay() {
        let channels = [
            Channel::Append,
            Channel::Call,
            Channel::Snapshot,
            Channel::Forward,
            Channel::Transfer,
        ];
        for (number, channel) in channels.iter().enumerate() {
            let bytes = postcard::to_stdvec(channel).unwrap();
            assert_eq!(bytes, [u8::try_from(number).unwrap()], "{channel:?}");
        }
    }

    #[test]
    fn greetings_are_judged() {
        let hello = Hello {
            cluster_id: 7,
            from: 1,
            to: 2,
            channel: Channel::Call,
        };
        assert_eq!(hello.judge(7, 2), Greeting::Accepted);
        assert_eq!(hello.judge(8, 2), Greeting::WrongCluster { cluster_id: 8 });
        assert_eq!(hello.judge(7, 3), Greeting::WrongMember { member_id: 3 });
    }
}
