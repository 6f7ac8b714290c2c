//! Streams of answers to streams of requests that need no session of their own: keepalives.
//!
//! Must keep true: a stream ends when the member stops, so that connections can; one that needs a leader ends when
//! there has been none for a while.

use futures::{Stream, StreamExt};
use kvorum_api::error::{Failure, Refusal};
use kvorum_api::etcdserverpb as pb;
use tokio_util::sync::CancellationToken;

use super::{Caller, LeaderWatch, Service};

struct KeepAlives<Requests> {
    service: Service,
    caller: Caller,
    requests: Requests,
    leader: Option<LeaderWatch>,
    stopping: CancellationToken,
    is_over: bool,
}

/// Answers keepalives, one after the other.
///
/// # Errors
/// A leader is needed, and there is none.
pub async fn keep_alives<Requests>(
    service: &Service,
    caller: Caller,
    needs_leader: bool,
    requests: Requests,
) -> Result<impl Stream<Item = Result<pb::LeaseKeepAliveResponse, Failure>> + use<Requests>, Refusal>
where
    Requests: Stream<Item = Result<pb::LeaseKeepAliveRequest, Failure>> + Unpin,
{
    let leader = match needs_leader {
        true => Some(service.leader_watch().await?),
        false => None,
    };
    let keep_alives = KeepAlives {
        service: service.clone(),
        caller,
        requests,
        leader,
        stopping: service.stopping(),
        is_over: false,
    };
    Ok(futures::stream::unfold(keep_alives, async |mut stream| {
        let answer = stream.next().await?;
        stream.is_over = answer.is_err();
        Some((answer, stream))
    }))
}

impl<Requests> KeepAlives<Requests>
where
    Requests: Stream<Item = Result<pb::LeaseKeepAliveRequest, Failure>> + Unpin,
{
    async fn next(&mut self) -> Option<Result<pb::LeaseKeepAliveResponse, Failure>> {
        if self.is_over {
            return None;
        }
        let leaderless = async {
            match &mut self.leader {
                Some(leader) => leader.lost().await,
                None => std::future::pending().await,
            }
        };
        let request = tokio::select! {
            request = self.requests.next() => request?,
            () = leaderless => return Some(Err(Refusal::NoLeader.into())),
            () = self.stopping.cancelled() => return Some(Err(Refusal::Stopped.into())),
        };
        let request = match request {
            Ok(request) => request,
            Err(failure) => return Some(Err(failure)),
        };
        let answer = self.service.lease_keep_alive(&self.caller, request).await;
        Some(answer.map_err(Failure::from))
    }
}
