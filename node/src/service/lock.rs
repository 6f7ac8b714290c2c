//! Locks: etcd's `v3lockpb`, made of keys, leases and turns.

use bytes::Bytes;
use kvorum_api::error::Refusal;
use kvorum_api::etcdserverpb as pb;
use kvorum_api::v3lockpb::{LockRequest, LockResponse, UnlockRequest, UnlockResponse};

use super::{Caller, Service};

impl Service {
    /// Waits for the lock of a name under a lease; without one, under a lease of 60 s of its own. The lock is held as
    /// long as the key in the answer exists. A caller that gives up is not in line any more.
    ///
    /// # Errors
    /// The lease does not exist or ended meanwhile, or the member stops.
    pub async fn lock(&self, caller: &Caller, request: LockRequest) -> Result<LockResponse, Refusal> {
        let prefix = Bytes::from([&request.name[..], b"/"].concat());
        let place = self.queue_up(caller, &prefix, request.lease, Bytes::new()).await?;
        let header = self.wait_for_turn(&prefix, &place).await?;
        let key = place.key.clone();
        place.keep();
        Ok(LockResponse {
            header: Some(header),
            key,
        })
    }

    /// Releases a lock; one that is not held is no matter.
    ///
    /// # Errors
    /// The outcome is unknown.
    pub async fn unlock(&self, caller: &Caller, request: UnlockRequest) -> Result<UnlockResponse, Refusal> {
        let delete = pb::DeleteRangeRequest {
            key: request.key,
            ..Default::default()
        };
        let header = self.delete_range(caller, delete).await?.header;
        Ok(UnlockResponse { header })
    }
}
