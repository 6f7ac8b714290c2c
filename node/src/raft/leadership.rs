//! Who leads, in a form that is cheap to look at for every request.
//!
//! openraft's own metrics change with every entry and carry maps; this picture changes only when leadership or the
//! membership does.

use std::sync::Arc;

use openraft::async_runtime::WatchReceiver;
use tokio::sync::watch;

use super::{MemberNode, Raft};

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

/// Follows `raft`; ends with it.
pub fn follow(raft: &Raft) -> watch::Receiver<Arc<Leadership>> {
    let mut metrics = raft.server_metrics();
    let (sender, receiver) = watch::channel(Arc::new(Leadership::default()));
    tokio::spawn(async move {
        let mut last_leader = None;
        loop {
            let mut now = {
                let seen = metrics.borrow_and_update();
                let membership = seen.membership_config.membership();
                let leader = seen
                    .current_leader
                    .and_then(|id| Some((id, membership.get_node(&id)?.clone())));
                Leadership {
                    term: seen.vote.leader_id().term,
                    leader,
                    changes: sender.borrow().changes,
                }
            };
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
