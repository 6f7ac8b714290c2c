//! etcd's `Election` service.

use futures::StreamExt;
use kvorum_api::v3electionpb::{
    CampaignRequest, CampaignResponse, LeaderRequest, LeaderResponse, ProclaimRequest, ProclaimResponse, ResignRequest,
    ResignResponse, election_server,
};
use tonic::{Request, Response, Status};

use super::{Answers, caller, failed, status};
use crate::service::Service;

/// The service.
pub struct Election(pub Service);

#[tonic::async_trait]
impl election_server::Election for Election {
    async fn campaign(&self, request: Request<CampaignRequest>) -> Result<Response<CampaignResponse>, Status> {
        let caller = caller(&request);
        let leads = self.0.campaign(&caller, request.into_inner()).await;
        leads.map(Response::new).map_err(status)
    }

    async fn proclaim(&self, request: Request<ProclaimRequest>) -> Result<Response<ProclaimResponse>, Status> {
        let caller = caller(&request);
        let proclaimed = self.0.proclaim(&caller, request.into_inner()).await;
        proclaimed.map(Response::new).map_err(status)
    }

    async fn leader(&self, request: Request<LeaderRequest>) -> Result<Response<LeaderResponse>, Status> {
        let caller = caller(&request);
        let leader = self.0.election_leader(&caller, request.into_inner()).await;
        leader.map(Response::new).map_err(status)
    }

    type ObserveStream = Answers<LeaderResponse>;

    async fn observe(&self, request: Request<LeaderRequest>) -> Result<Response<Self::ObserveStream>, Status> {
        let caller = caller(&request);
        let leaders = self.0.observe(caller, request.into_inner());
        Ok(Response::new(Box::pin(leaders.map(|leader| leader.map_err(failed)))))
    }

    async fn resign(&self, request: Request<ResignRequest>) -> Result<Response<ResignResponse>, Status> {
        let caller = caller(&request);
        let resigned = self.0.resign(&caller, request.into_inner()).await;
        resigned.map(Response::new).map_err(status)
    }
}
