//! etcd's `Lease` service.

use futures::StreamExt;
use kvorum_api::etcdserverpb::{self as pb, lease_server};
use tonic::{Request, Response, Status, Streaming};

use super::{Answers, caller, failed, needs_leader, requests, status};
use crate::service::Service;
use crate::service::streams::keep_alives;

/// The service.
pub struct Lease(pub Service);

#[tonic::async_trait]
impl lease_server::Lease for Lease {
    async fn lease_grant(
        &self,
        request: Request<pb::LeaseGrantRequest>,
    ) -> Result<Response<pb::LeaseGrantResponse>, Status> {
        let caller = caller(&request);
        let granted = self.0.lease_grant(&caller, request.into_inner()).await;
        granted.map(Response::new).map_err(status)
    }

    async fn lease_revoke(
        &self,
        request: Request<pb::LeaseRevokeRequest>,
    ) -> Result<Response<pb::LeaseRevokeResponse>, Status> {
        let caller = caller(&request);
        let revoked = self.0.lease_revoke(&caller, request.into_inner()).await;
        revoked.map(Response::new).map_err(status)
    }

    type LeaseKeepAliveStream = Answers<pb::LeaseKeepAliveResponse>;

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<pb::LeaseKeepAliveRequest>>,
    ) -> Result<Response<Self::LeaseKeepAliveStream>, Status> {
        let (caller, needs_leader) = (caller(&request), needs_leader(&request));
        let requests = requests(request.into_inner());
        let answers = keep_alives(&self.0, caller, needs_leader, requests)
            .await
            .map_err(status)?;
        Ok(Response::new(Box::pin(answers.map(|answer| answer.map_err(failed)))))
    }

    async fn lease_time_to_live(
        &self,
        request: Request<pb::LeaseTimeToLiveRequest>,
    ) -> Result<Response<pb::LeaseTimeToLiveResponse>, Status> {
        let caller = caller(&request);
        let left = self.0.lease_time_to_live(&caller, request.into_inner()).await;
        left.map(Response::new).map_err(status)
    }

    async fn lease_leases(
        &self,
        request: Request<pb::LeaseLeasesRequest>,
    ) -> Result<Response<pb::LeaseLeasesResponse>, Status> {
        let caller = caller(&request);
        let leases = self.0.lease_leases(&caller, request.into_inner()).await;
        leases.map(Response::new).map_err(status)
    }
}
