//! etcd's `Cluster` service: the list of members, and its changes where no operator makes them.

use kvorum_api::etcdserverpb::{self as pb, cluster_server};
use tonic::{Request, Response, Status};

use super::{caller, status};
use crate::service::Service;

/// The service.
pub struct Cluster(pub Service);

#[tonic::async_trait]
impl cluster_server::Cluster for Cluster {
    async fn member_list(
        &self,
        request: Request<pb::MemberListRequest>,
    ) -> Result<Response<pb::MemberListResponse>, Status> {
        let caller = caller(&request);
        self.0
            .member_list(&caller, request.into_inner())
            .await
            .map(Response::new)
            .map_err(status)
    }

    async fn member_add(
        &self,
        request: Request<pb::MemberAddRequest>,
    ) -> Result<Response<pb::MemberAddResponse>, Status> {
        let caller = caller(&request);
        self.0
            .member_add(&caller, request.into_inner())
            .await
            .map(Response::new)
            .map_err(status)
    }

    async fn member_remove(
        &self,
        request: Request<pb::MemberRemoveRequest>,
    ) -> Result<Response<pb::MemberRemoveResponse>, Status> {
        let caller = caller(&request);
        self.0
            .member_remove(&caller, request.into_inner())
            .await
            .map(Response::new)
            .map_err(status)
    }

    async fn member_update(
        &self,
        request: Request<pb::MemberUpdateRequest>,
    ) -> Result<Response<pb::MemberUpdateResponse>, Status> {
        let caller = caller(&request);
        self.0
            .member_update(&caller, request.into_inner())
            .await
            .map(Response::new)
            .map_err(status)
    }

    async fn member_promote(
        &self,
        request: Request<pb::MemberPromoteRequest>,
    ) -> Result<Response<pb::MemberPromoteResponse>, Status> {
        let caller = caller(&request);
        self.0
            .member_promote(&caller, request.into_inner())
            .await
            .map(Response::new)
            .map_err(status)
    }
}
