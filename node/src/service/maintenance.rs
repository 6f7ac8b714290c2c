//! etcd's calls that care for one member: hashes, leadership, versions, room on disk.
//!
//! Must keep true: every call but the status needs the role `root` while auth is on.

use kvorum_api::admin::Role;
use kvorum_api::error::Refusal;
use kvorum_api::etcdserverpb as pb;
use kvorum_api::etcdserverpb::downgrade_request::DowngradeAction;
use kvorum_store::Act;

use super::kv::read;
use super::{Caller, Service};
use crate::ETCD_VERSION;
use crate::background;

impl Service {
    /// The hash of everything this member stores: keys now, users and roles.
    ///
    /// # Errors
    /// The caller is not root.
    pub async fn hash(&self, caller: &Caller, _: pb::HashRequest) -> Result<pb::HashResponse, Refusal> {
        self.permit(caller, Act::Administer).await?;
        let reader = &self.inner.node.reader;
        let (revision, keys) = reader.hash();
        let (_, people) = reader.auth_hash();
        let mut header = Some(pb::ResponseHeader {
            revision,
            ..Default::default()
        });
        self.fill(&mut header);
        Ok(pb::HashResponse {
            header,
            hash: keys.folded() ^ people.folded().rotate_left(16),
        })
    }

    /// The hash of the keys alive at a revision; of the newest for zero.
    ///
    /// # Errors
    /// The caller is not root; the revision is compacted or in the future.
    pub async fn hash_kv(&self, caller: &Caller, request: pb::HashKvRequest) -> Result<pb::HashKvResponse, Refusal> {
        self.permit(caller, Act::Administer).await?;
        let view = self.inner.node.reader.view();
        let revision = view.revision();
        let hash_revision = if request.revision == 0 {
            revision
        } else {
            request.revision
        };
        let compact_revision = view.compacted();
        // An old revision reads every record that was alive then.
        let hashing = background::run(move || view.hash_at(hash_revision));
        let hash = read(hashing.await.map_err(|_| Refusal::Stopped)?)?;
        let mut header = Some(pb::ResponseHeader {
            revision,
            ..Default::default()
        });
        self.fill(&mut header);
        Ok(pb::HashKvResponse {
            header,
            hash: hash.folded(),
            compact_revision,
            hash_revision,
        })
    }

    /// Measures the room on disk anew. The engine collects its garbage by itself, so there is nothing more to do.
    ///
    /// # Errors
    /// The caller is not root.
    pub async fn defragment(
        &self,
        caller: &Caller,
        _: pb::DefragmentRequest,
    ) -> Result<pb::DefragmentResponse, Refusal> {
        self.permit(caller, Act::Administer).await?;
        let engine = std::sync::Arc::clone(&self.inner.node.engine);
        let measuring = background::run(move || engine.measure());
        measuring.await.map_err(|_| Refusal::Stopped)?;
        Ok(pb::DefragmentResponse::default())
    }

    /// Hands leadership to another voter. Only the leader can.
    ///
    /// # Errors
    /// The caller is not root, this member does not lead, the target does not vote or does not take over in time.
    pub async fn move_leader_to(
        &self,
        caller: &Caller,
        request: pb::MoveLeaderRequest,
    ) -> Result<pb::MoveLeaderResponse, Refusal> {
        self.permit(caller, Act::Administer).await?;
        let me = self.inner.identity.member_id.get();
        if self.inner.node.leadership.borrow().leader_id() != Some(me) {
            return Err(Refusal::NotLeader);
        }
        let members = self.members(&self.metrics());
        let target = members.iter().find(|member| member.id.get() == request.target_id);
        if target.is_none_or(|member| member.role != Role::Voter) {
            return Err(Refusal::BadLeaderTransferee);
        }
        match self.move_leader(request.target_id).await {
            Ok(()) => Ok(pb::MoveLeaderResponse::default()),
            Err(error) => {
                tracing::warn!("leadership could not be moved: {error}");
                Err(Refusal::Timeout)
            }
        }
    }

    /// Answers whether the cluster could go back one version of etcd's API. It never does so itself: the operator rolls
    /// versions of this software, and there is only one version of the API.
    ///
    /// # Errors
    /// The caller is not root; the version is malformed, or not the one before; a downgrade is asked for.
    pub async fn downgrade(
        &self,
        caller: &Caller,
        request: pb::DowngradeRequest,
    ) -> Result<pb::DowngradeResponse, Refusal> {
        self.permit(caller, Act::Administer).await?;
        match DowngradeAction::try_from(request.action) {
            Ok(DowngradeAction::Validate) => {
                downgradable(&request.version)?;
                Ok(self.downgraded())
            }
            Ok(DowngradeAction::Enable) => {
                downgradable(&request.version)?;
                Err(Refusal::NotCapable)
            }
            // As in etcd, cancelling nothing succeeds.
            Ok(DowngradeAction::Cancel) => Ok(self.downgraded()),
            Err(_) => Err(Refusal::NotCapable),
        }
    }

    fn downgraded(&self) -> pb::DowngradeResponse {
        pb::DowngradeResponse {
            header: self.header(),
            version: cluster_version(),
        }
    }
}

/// Major and minor version.
fn numbers(version: &str) -> Option<(u64, u64)> {
    let mut parts = version.split('.');
    let mut next = || parts.next()?.parse::<u64>().ok();
    let numbers = (next()?, next()?);
    match parts.next() {
        Some(patch) if patch.parse::<u64>().is_err() => None,
        Some(_) | None if parts.next().is_none() => Some(numbers),
        Some(_) | None => None,
    }
}

/// The version that clusters agree on: major and minor.
fn cluster_version() -> String {
    let (major, minor) = numbers(ETCD_VERSION).unwrap_or_default();
    format!("{major}.{minor}")
}

/// etcd goes back one minor version at a time.
fn downgradable(version: &str) -> Result<(), Refusal> {
    let (major, minor) = numbers(version).ok_or(Refusal::WrongDowngradeVersionFormat)?;
    let (own_major, own_minor) = numbers(ETCD_VERSION).unwrap_or_default();
    if (major, minor + 1) == (own_major, own_minor) {
        Ok(())
    } else {
        Err(Refusal::InvalidDowngradeTargetVersion)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    #[test_case("3.6" => Ok(()); "one minor back")]
    #[test_case("3.6.0" => Ok(()); "with a patch")]
    #[test_case("3.7.0" => Err(Refusal::InvalidDowngradeTargetVersion); "the same")]
    #[test_case("3.5" => Err(Refusal::InvalidDowngradeTargetVersion); "two back")]
    #[test_case("2.6" => Err(Refusal::InvalidDowngradeTargetVersion); "another major")]
    #[test_case("" => Err(Refusal::WrongDowngradeVersionFormat); "empty")]
    #[test_case("3" => Err(Refusal::WrongDowngradeVersionFormat); "major alone")]
    #[test_case("3.x" => Err(Refusal::WrongDowngradeVersionFormat); "letters")]
    #[test_case("3.6.0.1" => Err(Refusal::WrongDowngradeVersionFormat); "too many parts")]
    fn targets(version: &str) -> Result<(), Refusal> {
        downgradable(version)
    }
}
