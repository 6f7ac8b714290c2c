//! etcd's `Watch` service.

use futures::StreamExt;
use kvorum_api::etcdserverpb::{self as pb, watch_server};
use tonic::{Request, Response, Status, Streaming};

use super::{Answers, caller, failed, needs_leader, requests, status};
use crate::service::Service;

/// The service.
pub struct Watch(pub Service);

#[tonic::async_trait]
impl watch_server::Watch for Watch {
    type WatchStream = Answers<pb::WatchResponse>;

    async fn watch(
        &self,
        request: Request<Streaming<pb::WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (caller, needs_leader) = (caller(&request), needs_leader(&request));
        let requests = requests(request.into_inner());
        let session = self.0.watch(caller, needs_leader, requests).await.map_err(status)?;
        let responses = session.responses().map(|response| response.map_err(failed));
        Ok(Response::new(Box::pin(responses)))
    }
}
