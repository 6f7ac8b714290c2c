//! Dialling other members: from a member's URLs to a greeted connection.
//!
//! Must keep true: a connection handed out was accepted by the very member that was meant. The log tells once that a
//! member cannot be reached, and once that it is back, however often it is tried.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::MemberNode;
use super::frame::{self, Channel, Greeting, Hello, MAGIC};
use super::peer_counts::PeerCounts;
use crate::service::counts::add;
use crate::tls::{PeerStream, PeerTransport};

/// Longer than any handshake on a working network; shorter than an election, so that a dead peer's first URL does not
/// keep us from its second.
const DIAL_MS_MAX: u64 = 900;

/// Dials members of one cluster on behalf of one member.
#[derive(Clone)]
pub struct Dialler {
    transport: Arc<PeerTransport>,
    cluster_id: u64,
    member_id: u64,
    /// Members whose last dial failed.
    away: Arc<Mutex<BTreeSet<u64>>>,
    counts: Arc<PeerCounts>,
}

impl Dialler {
    /// A dialler for `member_id` of `cluster_id`.
    pub fn new(transport: Arc<PeerTransport>, cluster_id: u64, member_id: u64) -> Self {
        Self {
            transport,
            cluster_id,
            member_id,
            away: Arc::default(),
            counts: Arc::default(),
        }
    }

    /// What goes to and comes from each member.
    pub fn counts(&self) -> Arc<PeerCounts> {
        Arc::clone(&self.counts)
    }

    /// Connects to `target` at the first of its URLs that answers.
    ///
    /// # Errors
    /// No URL answered; the last reason is returned.
    pub async fn dial(&self, target: u64, node: &MemberNode, channel: Channel) -> io::Result<PeerStream> {
        let dialled = self.try_each(target, node, channel).await;
        let count = self.counts.of(target);
        if dialled.is_err() {
            add(&count.failures);
        }
        let mut away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        match &dialled {
            Err(error) if away.insert(target) => {
                tracing::warn!(member = format_args!("{target:016x}"), %error, "a member cannot be reached");
            }
            Ok(_) if away.remove(&target) => {
                tracing::info!(member = format_args!("{target:016x}"), "a member is reached again");
            }
            _ => {}
        }
        drop(away);
        dialled.map(|stream| stream.counted(count))
    }

    async fn try_each(&self, target: u64, node: &MemberNode, channel: Channel) -> io::Result<PeerStream> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, format!("member {target:016x} has no peer URL"));
        for url in &node.peer_urls {
            let attempt = self.dial_url(target, url, channel);
            match timeout(Duration::from_millis(DIAL_MS_MAX), attempt).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = io::Error::new(error.kind(), format!("{url}: {error}")),
                Err(_) => {
                    last = io::Error::new(io::ErrorKind::TimedOut, format!("{url}: no answer in {DIAL_MS_MAX} ms"))
                }
            }
        }
        Err(last)
    }

    async fn dial_url(&self, target: u64, url: &str, channel: Channel) -> io::Result<PeerStream> {
        let (host, port) = host_and_port(url)?;
        let mut stream = self.transport.connect(&host, port).await?;
        let hello = Hello {
            cluster_id: self.cluster_id,
            from: self.member_id,
            to: target,
            channel,
        };
        let mut opening = MAGIC.to_vec();
        frame::push(&mut opening, &hello)?;
        stream.write_all(&opening).await?;
        stream.flush().await?;
        match frame::expect(&mut stream).await? {
            Greeting::Accepted => Ok(stream),
            Greeting::WrongCluster { cluster_id } => Err(io::Error::other(format!(
                "belongs to cluster {cluster_id:016x}, not {:016x}",
                self.cluster_id
            ))),
            Greeting::WrongMember { member_id } => Err(io::Error::other(format!(
                "is member {member_id:016x}, not {target:016x}"
            ))),
        }
    }
}

fn host_and_port(url: &str) -> io::Result<(String, u16)> {
    let bad = || io::Error::new(io::ErrorKind::InvalidInput, format!("not a peer URL: {url}"));
    let uri: http::Uri = url.parse().map_err(|_| bad())?;
    let host = uri.host().ok_or_else(bad)?.trim_matches(['[', ']']).to_owned();
    Ok((host, uri.port_u16().ok_or_else(bad)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        assert_eq!(
            host_and_port("https://demo-0.x.svc:2380").unwrap(),
            ("demo-0.x.svc".into(), 2380)
        );
        assert_eq!(host_and_port("http://[::1]:2380").unwrap(), ("::1".into(), 2380));
        assert!(host_and_port("https://no-port").is_err());
    }
}
