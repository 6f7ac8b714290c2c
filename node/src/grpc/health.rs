//! The gRPC project's `Health` service, as etcd offers it: one status, of everything together.

use futures::StreamExt;
use kvorum_api::grpc::health::v1::health_check_response::ServingStatus;
use kvorum_api::grpc::health::v1::{HealthCheckRequest, HealthCheckResponse, health_server};
use tonic::{Request, Response, Status};

use super::Answers;
use crate::service::Service;

/// The service.
pub struct Health(pub Service);

/// The name of everything together; no other is known.
const EVERYTHING: &str = "";

impl Health {
    fn status(&self) -> ServingStatus {
        if self.0.stopping().is_cancelled() {
            ServingStatus::NotServing
        } else {
            ServingStatus::Serving
        }
    }
}

#[tonic::async_trait]
impl health_server::Health for Health {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        if request.into_inner().service != EVERYTHING {
            return Err(Status::not_found("unknown service"));
        }
        Ok(Response::new(answer(self.status())))
    }

    type WatchStream = Answers<HealthCheckResponse>;

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let is_known = request.into_inner().service == EVERYTHING;
        let now = if is_known {
            self.status()
        } else {
            ServingStatus::ServiceUnknown
        };
        let stopping = self.0.stopping();
        let later = async move {
            stopping.cancelled().await;
            ServingStatus::NotServing
        };
        // The status of an unknown service never changes, but its stream, too, ends when the member stops.
        let later = futures::stream::once(later).filter(move |_| std::future::ready(is_known));
        let all = futures::stream::iter([now]).chain(later);
        Ok(Response::new(Box::pin(all.map(|status| Ok(answer(status))))))
    }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}
