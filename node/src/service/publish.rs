//! Telling the cluster where clients reach this member, where the membership does not say so yet.
//!
//! Members that found a cluster together know only each other's peer URLs; etcd's clients ask the member list for the
//! client URLs of all. So each member compares its own entry with its settings after a start and has the leader correct
//! it.
//!
//! Must keep true: only client URLs are ever replaced this way, and a name only where there was none, of a member that
//! was added by its peer URLs alone. A wrong peer URL could split a cluster, so those change through calls alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kvorum_api::error::Refusal;
use openraft::ChangeMembers;
use tokio::time::{interval, timeout};

use super::{REQUEST_TIME_MAX, Service};
use crate::raft::forward::{Ask, Reply};

/// Between attempts: the cluster may not have a leader for a while. Short, because clients ask for the list of members as
/// soon as one is ready.
const RETRY_TIME: Duration = Duration::from_millis(100);

impl Service {
    /// Repeats until the membership has this member's client URLs, or this process ends.
    pub(super) async fn publish_client_urls(self) {
        let mut clock = interval(RETRY_TIME);
        let me = self.inner.identity.member_id.get();
        let wanted = &self.inner.self_node.client_urls;
        let name = &self.inner.identity.name;
        loop {
            clock.tick().await;
            let metrics = self.metrics();
            if metrics.running_state.is_err() {
                return;
            }
            match metrics.membership_config.membership().get_node(&me) {
                Some(node) if node.client_urls == *wanted && !node.name.is_empty() => return,
                // Not a member yet: whoever adds this one says where its clients go.
                None => continue,
                Some(_) => {}
            }
            let leadership = Arc::clone(&self.inner.node.leadership.borrow());
            let Some((leader, node)) = &leadership.leader else {
                continue;
            };
            let result = if *leader == me {
                self.set_client_urls(me, name.clone(), wanted.clone()).await
            } else {
                let ask = Ask::ClientUrls {
                    member_id: me,
                    name: name.clone(),
                    client_urls: wanted.clone(),
                };
                match timeout(REQUEST_TIME_MAX, self.inner.node.forwarder.ask(*leader, node, ask)).await {
                    Ok(Ok(Reply::Done)) => Ok(()),
                    _ => Err(Refusal::Timeout),
                }
            };
            if let Err(refusal) = result {
                tracing::debug!("the client URLs of this member are not published yet: {refusal}");
            }
        }
    }

    /// The leader's side: replaces the client URLs of one member, and its name if it has none.
    pub(super) async fn set_client_urls(
        &self,
        member_id: u64,
        name: String,
        client_urls: Vec<String>,
    ) -> Result<(), Refusal> {
        let _turn = self.turn().await?;
        let metrics = self.metrics();
        let known = metrics.membership_config.membership().get_node(&member_id).cloned();
        let mut node = known.ok_or(Refusal::MemberNotFound)?;
        if node.name.is_empty() {
            node.name = name;
        }
        node.client_urls = client_urls;
        let change = ChangeMembers::SetNodes(BTreeMap::from([(member_id, node)]));
        let changing = self.inner.node.raft.change_membership(change, true);
        match timeout(REQUEST_TIME_MAX, changing).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => {
                tracing::debug!("the membership could not be changed: {error}");
                Err(Refusal::LeaderChanged)
            }
            Err(_) => Err(Refusal::Timeout),
        }
    }
}
