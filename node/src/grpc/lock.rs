//! etcd's `Lock` service.

use kvorum_api::v3lockpb::{LockRequest, LockResponse, UnlockRequest, UnlockResponse, lock_server};
use tonic::{Request, Response, Status};

use super::{caller, status};
use crate::service::Service;

/// The service.
pub struct Lock(pub Service);

#[tonic::async_trait]
impl lock_server::Lock for Lock {
    async fn lock(&self, request: Request<LockRequest>) -> Result<Response<LockResponse>, Status> {
        let caller = caller(&request);
        let locked = self.0.lock(&caller, request.into_inner()).await;
        locked.map(Response::new).map_err(status)
    }

    async fn unlock(&self, request: Request<UnlockRequest>) -> Result<Response<UnlockResponse>, Status> {
        let caller = caller(&request);
        let unlocked = self.0.unlock(&caller, request.into_inner()).await;
        unlocked.map(Response::new).map_err(status)
    }
}
