//! Watches, and what their sessions need of a member.

use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use kvorum_api::error::{Failure, Refusal};
use kvorum_api::etcdserverpb as pb;
use kvorum_store::{Act, View};
use tokio_util::sync::CancellationToken;

use super::{Caller, Service};
use crate::watch::{Session, Switchboard};

impl Service {
    /// A stream of watches for a caller. With `needs_leader` it ends when this member knows no leader for a while.
    ///
    /// # Errors
    /// A leader is needed, and there is none.
    pub async fn watch<R>(&self, caller: Caller, needs_leader: bool, requests: R) -> Result<Session<R>, Refusal>
    where
        R: Stream<Item = Result<pb::WatchRequest, Failure>> + Unpin,
    {
        // Waits until this member knows what the caller's token stands for; who it is, each watch asks again.
        self.who(&caller).await?;
        let leader = match needs_leader {
            true => Some(self.leader_watch().await?),
            false => None,
        };
        Ok(Session::open(self, caller, leader, requests))
    }

    /// Whether a caller may be told of the events of a range, spelled as in a watch request.
    ///
    /// # Errors
    /// It may not.
    pub fn permit_watch(&self, caller: &Caller, key: &[u8], range_end: &[u8]) -> Result<(), Refusal> {
        let who = self.who_now(caller)?;
        // As etcd reads it, no key at all is the smallest one.
        let key = if key.is_empty() { b"\0" } else { key };
        self.inner.node.reader.permits(&who, Act::Read { key, range_end })
    }

    /// The newest revision of this member.
    pub fn revision(&self) -> i64 {
        self.inner.node.reader.revision()
    }

    /// The oldest revision of this member whose history is kept; below zero before the first compaction.
    pub fn compacted(&self) -> i64 {
        self.inner.node.reader.compacted()
    }

    /// The newest state of this member, frozen. It keeps history from being compacted: drop it soon.
    pub fn view(&self) -> View {
        self.inner.node.reader.view()
    }

    /// The hub of this member's watches.
    pub fn switchboard(&self) -> Arc<Switchboard> {
        Arc::clone(&self.inner.node.watches)
    }

    /// Cancelled when this member stops: streams end then, so that connections can.
    pub fn stopping(&self) -> CancellationToken {
        self.inner.stopping.clone()
    }

    /// Ends every stream.
    pub fn end_streams(&self) {
        self.inner.stopping.cancel();
    }

    /// After how long without an event a watcher is told how far it is, if it wants to know.
    pub fn progress_interval(&self) -> Duration {
        self.inner.progress_interval
    }
}
