//! What a client can ask of its stream: create, cancel, progress.
//!
//! A request that cannot be met is answered and ends nothing else; etcd's texts, since clients match on them.

use futures::Stream;
use kvorum_api::error::{Code, Failure, Refusal};
use kvorum_api::etcdserverpb::{self as pb, watch_create_request::FilterType, watch_request::RequestUnion};
use kvorum_store::watch::{KeyRange, Kinds, Start, WatchError, Wish};

use super::{NO_WATCH, Session, Watch};

impl<R> Session<R>
where
    R: Stream<Item = Result<pb::WatchRequest, Failure>> + Unpin,
{
    /// Hears what the client said; `None` is the end of what it says, not of what it hears.
    pub(super) fn hear(&mut self, request: Option<Result<pb::WatchRequest, Failure>>) -> Result<(), Failure> {
        let Some(request) = request.transpose()? else {
            self.requests = None;
            return Ok(());
        };
        match request.request_union {
            Some(RequestUnion::CreateRequest(request)) => {
                let response = self.create(request);
                self.outbox.push_back(response);
            }
            Some(RequestUnion::CancelRequest(request)) => self.cancel(request.watch_id),
            Some(RequestUnion::ProgressRequest(_)) => self.ask_for_progress(),
            // A command of a newer client is no reason to end its other watches.
            None => {}
        }
        Ok(())
    }

    fn create(&mut self, request: pb::WatchCreateRequest) -> pb::WatchResponse {
        let revision = self.service.revision();
        let permitted = self
            .service
            .permit_watch(&self.caller, &request.key, &request.range_end);
        if let Err(refusal) = permitted {
            return self.refused(revision, reason(refusal));
        }
        let watch = Watch {
            prev_kv: request.prev_kv,
            fragment: request.fragment,
            progress_notify: request.progress_notify,
            is_quiet: true,
        };
        match self.start(&request, revision) {
            Ok(watch_id) => {
                self.watches.insert(watch_id, watch);
                if watch.progress_notify {
                    self.start_ticking();
                }
                pb::WatchResponse {
                    header: self.header(revision),
                    watch_id,
                    created: true,
                    ..Default::default()
                }
            }
            Err(reason) => self.refused(revision, reason),
        }
    }

    fn start(&self, request: &pb::WatchCreateRequest, revision: i64) -> Result<i64, String> {
        let range = KeyRange::of_watch(&request.key, &request.range_end).map_err(|error| error.to_string())?;
        let start = match request.start_revision {
            0 => Start::After(revision),
            start if start < 0 => return Err(Refusal::Compacted.message().to_owned()),
            start => Start::At(start),
        };
        let filtered = |filter: FilterType| request.filters.contains(&filter.into());
        let wish = Wish {
            id: request.watch_id,
            range,
            kinds: Kinds {
                puts: !filtered(FilterType::Noput),
                deletions: !filtered(FilterType::Nodelete),
            },
            start,
        };
        let compacted = self.service.compacted();
        self.board
            .hub()
            .watch(self.stream, wish, compacted)
            .map_err(|error| match error {
                WatchError::DuplicateId => error.to_string(),
                WatchError::TooMany => Refusal::TooManyRequests.message().to_owned(),
            })
    }

    fn refused(&self, revision: i64, cancel_reason: String) -> pb::WatchResponse {
        pb::WatchResponse {
            header: self.header(revision),
            watch_id: NO_WATCH,
            created: true,
            canceled: true,
            cancel_reason,
            ..Default::default()
        }
    }

    /// Ends a watcher; an unknown one is passed over, as in etcd.
    fn cancel(&mut self, watch_id: i64) {
        if self.board.hub().cancel(self.stream, watch_id) {
            self.watches.remove(&watch_id);
            self.outbox.push_back(pb::WatchResponse {
                header: self.header(self.service.revision()),
                watch_id,
                canceled: true,
                ..Default::default()
            });
        }
    }
}

/// A refusal as the reason of a cancel: the words of Go's gRPC library for a status.
fn reason(refusal: Refusal) -> String {
    let code: Code = refusal.code();
    format!("rpc error: code = {code:?} desc = {}", refusal.message())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_worded_as_etcd_words_them() {
        assert_eq!(
            reason(Refusal::PermissionDenied),
            "rpc error: code = PermissionDenied desc = etcdserver: permission denied"
        );
    }
}
