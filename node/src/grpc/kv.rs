//! etcd's `KV` service.

use futures::StreamExt;
use kvorum_api::etcdserverpb::{self as pb, kv_server};
use tonic::{Request, Response, Status};

use super::{Answers, caller, failed, status};
use crate::service::Service;

/// The service.
pub struct Kv(pub Service);

#[tonic::async_trait]
impl kv_server::Kv for Kv {
    async fn range(&self, request: Request<pb::RangeRequest>) -> Result<Response<pb::RangeResponse>, Status> {
        let caller = caller(&request);
        self.0
            .range(&caller, request.into_inner())
            .await
            .map(Response::new)
            .map_err(status)
    }

    type RangeStreamStream = Answers<pb::RangeStreamResponse>;

    async fn range_stream(
        &self,
        request: Request<pb::RangeRequest>,
    ) -> Result<Response<Self::RangeStreamStream>, Status> {
        let caller = caller(&request);
        let chunks = self.0.range_stream(caller, request.into_inner()).map_err(failed)?;
        Ok(Response::new(Box::pin(chunks.map(|chunk| chunk.map_err(failed)))))
    }

    async fn put(&self, request: Request<pb::PutRequest>) -> Result<Response<pb::PutResponse>, Status> {
        let caller = caller(&request);
        self.0
            .put(&caller, request.into_inner())
            .await
            .map(Response::new)
            .map_err(status)
    }

    async fn delete_range(
        &self,
        request: Request<pb::DeleteRangeRequest>,
    ) -> Result<Response<pb::DeleteRangeResponse>, Status> {
        let caller = caller(&request);
        self.0
            .delete_range(&caller, request.into_inner())
            .await
            .map(Response::new)
            .map_err(status)
    }

    async fn txn(&self, request: Request<pb::TxnRequest>) -> Result<Response<pb::TxnResponse>, Status> {
        let caller = caller(&request);
        self.0
            .txn(&caller, request.into_inner())
            .await
            .map(Response::new)
            .map_err(status)
    }

    async fn compact(
        &self,
        request: Request<pb::CompactionRequest>,
    ) -> Result<Response<pb::CompactionResponse>, Status> {
        let caller = caller(&request);
        self.0
            .compact(&caller, request.into_inner())
            .await
            .map(Response::new)
            .map_err(status)
    }
}
