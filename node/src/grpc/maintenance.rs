//! etcd's `Maintenance` service: the care for one member.

use kvorum_api::etcdserverpb::{self as pb, maintenance_server};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{caller, status};
use crate::service::Service;

/// The service.
pub struct Maintenance(pub Service);

/// The pieces of a backup, refusals as statuses.
type Pieces = futures::stream::BoxStream<'static, Result<pb::SnapshotResponse, Status>>;

/// Declares the service: calls that are one call of [`Service`] each, and the one stream.
macro_rules! calls {
    ($($name:ident $own:ident $request:ident $response:ident)*) => {
        #[tonic::async_trait]
        impl maintenance_server::Maintenance for Maintenance {
            $(
                async fn $name(&self, request: Request<pb::$request>) -> Result<Response<pb::$response>, Status> {
                    let caller = caller(&request);
                    let answer = self.0.$own(&caller, request.into_inner()).await;
                    answer.map(Response::new).map_err(status)
                }
            )*

            type SnapshotStream = Pieces;

            async fn snapshot(&self, request: Request<pb::SnapshotRequest>) -> Result<Response<Pieces>, Status> {
                let caller = caller(&request);
                let pieces = self.0.snapshot(&caller, request.into_inner()).await.map_err(status)?;
                let pieces = ReceiverStream::new(pieces).map(|piece| piece.map_err(status));
                Ok(Response::new(Box::pin(pieces)))
            }
        }
    };
}

calls! {
    status status StatusRequest StatusResponse
    alarm alarm AlarmRequest AlarmResponse
    defragment defragment DefragmentRequest DefragmentResponse
    hash hash HashRequest HashResponse
    hash_kv hash_kv HashKvRequest HashKvResponse
    move_leader move_leader_to MoveLeaderRequest MoveLeaderResponse
    downgrade downgrade DowngradeRequest DowngradeResponse
}
