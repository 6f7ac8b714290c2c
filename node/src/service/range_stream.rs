//! A range in chunks, so that a large one needs little memory on either side.
//!
//! As in etcd: all chunks are of one revision, which is not held against compaction; header, `more` and `count` come
//! with the last chunk; a chunk's size is found by trying.

use bytes::Bytes;
use futures::Stream;
use kvorum_api::error::{Code, Failure};
use kvorum_api::etcdserverpb as pb;
use kvorum_api::etcdserverpb::range_request::{SortOrder, SortTarget};
use kvorum_store::validate;
use prost::Message;

use super::{Caller, Service};

/// Pairs of the first chunk: small enough whatever the values are.
const FIRST_CHUNK_PAIRS: i64 = 10;
/// What a chunk's size is steered to, in bytes; it may be twice that, or one pair.
const CHUNK_BYTES: usize = 1 << 20;

struct Chunks {
    service: Service,
    caller: Caller,
    /// The next part to ask for.
    request: pb::RangeRequest,
    /// What the client asked for at most; `i64::MAX` for everything.
    limit: i64,
    sent: i64,
    header: Option<pb::ResponseHeader>,
    is_over: bool,
}

impl Service {
    /// Reads a range in chunks.
    ///
    /// # Errors
    /// The request asks for an order or a filter, which chunks cannot have.
    pub fn range_stream(
        &self,
        caller: Caller,
        request: pb::RangeRequest,
    ) -> Result<impl Stream<Item = Result<pb::RangeStreamResponse, Failure>> + Send + use<>, Failure> {
        validate::range(&request)?;
        let by_key = request.sort_target == i32::from(SortTarget::Key);
        let order = request.sort_order;
        if order != i32::from(SortOrder::None) && !(by_key && order == i32::from(SortOrder::Ascend)) {
            let reason = "RangeStream does not support custom sort orders";
            return Err(Failure::new(Code::Unimplemented, reason));
        }
        let filters = [
            request.min_mod_revision,
            request.max_mod_revision,
            request.min_create_revision,
            request.max_create_revision,
        ];
        if filters != [0; 4] {
            let reason = "RangeStream does not support revision filters";
            return Err(Failure::new(Code::Unimplemented, reason));
        }
        let limit = if request.limit > 0 { request.limit } else { i64::MAX };
        let chunks = Chunks {
            service: self.clone(),
            caller,
            request: pb::RangeRequest {
                limit: limit.min(FIRST_CHUNK_PAIRS),
                ..request
            },
            limit,
            sent: 0,
            header: None,
            is_over: false,
        };
        Ok(futures::stream::unfold(chunks, async |mut chunks| {
            if chunks.is_over {
                return None;
            }
            let chunk = chunks.next().await;
            chunks.is_over |= chunk.is_err();
            let response = chunk.map(|chunk| pb::RangeStreamResponse {
                range_response: Some(chunk),
            });
            Some((response, chunks))
        }))
    }
}

impl Chunks {
    async fn next(&mut self) -> Result<pb::RangeResponse, Failure> {
        let read = self.service.range(&self.caller, self.request.clone()).await?;
        let header = *self.header.get_or_insert(read.header.unwrap_or_default());
        if self.request.count_only {
            self.is_over = true;
            return Ok(read);
        }
        self.sent += i64::try_from(read.kvs.len()).unwrap_or(i64::MAX);
        let bytes = read.encoded_len();
        // Later chunks are of the revision of the first, so this member can answer them.
        self.request.serializable = true;
        if self.request.revision == 0 {
            self.request.revision = header.revision;
        }
        if let Some(last) = read.kvs.last() {
            self.request.key = Bytes::from([&last.key[..], &[0]].concat());
        }
        if read.more && self.sent < self.limit {
            let chunk = match bytes {
                small if small < CHUNK_BYTES / 2 => self.request.limit.saturating_mul(2),
                large if large > CHUNK_BYTES * 2 => self.request.limit / 2,
                _ => self.request.limit,
            };
            self.request.limit = chunk.clamp(1, self.limit - self.sent);
            return Ok(pb::RangeResponse {
                kvs: read.kvs,
                ..Default::default()
            });
        }
        self.is_over = true;
        let mut count = self.sent;
        if read.more {
            let rest = pb::RangeRequest {
                count_only: true,
                limit: 0,
                ..self.request.clone()
            };
            count += self.service.range(&self.caller, rest).await?.count;
        }
        Ok(pb::RangeResponse {
            header: Some(header),
            kvs: read.kvs,
            more: read.more,
            count,
        })
    }
}
