//! Who leads, in a form that is cheap to look at for every request.
//!
//! openraft's own metrics change with every entry and carry maps; this picture changes only when leadership or the
//! membership does.

use std::sync::Arc;

use openraft::async_runtime::WatchReceiver;
use openraft::metrics::RaftServerMetrics;
use tokio::sync::watch;

use super::{MemberNode, Raft, Types};

/// Who leads now, as this member sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Leadership {
    /// The term.
    pub term: u64,
    /// The leader, where there is one.
    pub leader: Option<(u64, MemberNode)>,
    /// How often the leader changed since the start of this process.
    pub changes: u64,
}

impl Leadership {
    /// The leader's id.
    pub fn leader_id(&self) -> Option<u64> {
        self.leader.as_ref().map(|(id, _)| *id)
    }
}

/// Follows `raft`, which has answered once; ends with it. What it gives is true from the beginning.
pub fn follow(raft: &Raft) -> watch::Receiver<Arc<Leadership>> {
    let mut metrics = raft.server_metrics();
    let first = seen(&metrics.borrow_and_update(), 0);
    let (sender, receiver) = watch::channel(Arc::new(first));
    tokio::spawn(async move {
        let mut last_leader = None;
        loop {
            let mut now = seen(&metrics.borrow_and_update(), sender.borrow().changes);
            if now.leader_id().is_some() && now.leader_id() != last_leader {
                last_leader = now.leader_id();
                now.changes += 1;
            }
            sender.send_if_modified(|held| {
                let modified = **held != now;
                if modified {
                    *held = Arc::new(now);
                }
                modified
            });
            if metrics.changed().await.is_err() {
                return;
            }
        }
    });
    receiver
}

/// The picture that openraft's metrics give.
fn seen(metrics: &RaftServerMetrics<Types>, changes: u64) -> Leadership {
    let membership = metrics.membership_config.membership();
    let leader = metrics
        .current_leader
        .and_then(|id| Some((id, membership.get_node(&id)?.clone())));
    Leadership {
        term: metrics.vote.leader_id().term,
        leader,
        changes,
    }
}
