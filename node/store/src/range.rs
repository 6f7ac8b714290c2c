//! Range requests: which keys, at which revision, in which order, how many.
//!
//! What must stay true: at the current revision, `count_only` and `limit` never walk the keys of the range; only the
//! records of an answer are read, and `keys_only` at the current revision reads none.
//!
//! Order of work, as in etcd, because clients see it: the limit is applied to keys in key order *before* the sort
//! when no order was asked for but a target was; otherwise sorting and filtering come first, and the limit last.

use crate::auth::{self, Act, Who};
use crate::engine::EngineError;
use crate::index::{History, Newest, Span};
use crate::outcome::{ReadError, header};
use crate::revision::Revision;
use crate::shared::Source;
use crate::state::State;
use crate::tree::Key;
use bytes::Bytes;
use kvorum_api::error::Refusal;
use kvorum_api::etcdserverpb::range_request::{SortOrder, SortTarget};
use kvorum_api::etcdserverpb::{RangeRequest, RangeResponse};
use kvorum_api::mvccpb::KeyValue;

/// A state to read from: published, or the writer's own in the middle of a command.
#[derive(Clone, Copy)]
pub(crate) struct Sight<'a> {
    pub(crate) state: &'a State,
    pub(crate) source: Source<'a>,
    /// The newest revision to be seen; one above the state's when the command has changed something already.
    pub(crate) current: i64,
}

impl Sight<'_> {
    /// Refuses what the caller may not do.
    pub(crate) fn permits(&self, who: &Who, act: Act<'_>) -> Result<(), Refusal> {
        auth::check(&self.state.auth, &self.state.leases, who, act)
    }

    /// Answers a range request.
    pub(crate) fn range(&self, request: &RangeRequest) -> Result<RangeResponse, ReadError> {
        let revision = self.readable(request.revision)?;
        let span = Span::new(&request.key, &request.range_end);
        let mut response = RangeResponse {
            header: header(self.current),
            ..RangeResponse::default()
        };
        if request.count_only {
            response.count = self.count(span, revision);
            return Ok(response);
        }
        let (mut pairs, count) = self.collect(span, revision, request)?;
        response.count = count;
        filter(&mut pairs, request);
        sort(&mut pairs, request);
        if let Ok(limit) = usize::try_from(request.limit)
            && limit > 0
            && pairs.len() > limit
        {
            pairs.truncate(limit);
            response.more = true;
        }
        if request.keys_only {
            let by_value = by_value(request);
            for pair in &mut pairs {
                pair.value = Bytes::new();
                // etcd answers from its index, which knows no leases, unless it has to sort by value.
                if !by_value {
                    pair.lease = 0;
                }
            }
        }
        response.kvs = pairs;
        Ok(response)
    }

    /// The pair of a key now.
    pub(crate) fn newest(&self, key: &[u8]) -> Result<Option<KeyValue>, EngineError> {
        self.state
            .index
            .live(key)
            .map(|newest| self.source.pair(newest.revision))
            .transpose()
    }

    /// The pairs of a span now, in key order.
    pub(crate) fn newest_in(&self, span: Span<'_>) -> Result<Vec<KeyValue>, EngineError> {
        let revisions: Vec<_> = self
            .state
            .index
            .live_keys(span)
            .map(|(_, history)| history.newest().revision)
            .collect();
        self.source.pairs(&revisions)
    }

    /// The revision that a request for `asked` reads at.
    pub(crate) fn readable(&self, asked: i64) -> Result<i64, Refusal> {
        if asked > self.current {
            return Err(Refusal::FutureRevision);
        }
        let revision = if asked <= 0 { self.current } else { asked };
        if revision < self.state.compacted {
            return Err(Refusal::Compacted);
        }
        Ok(revision)
    }

    fn count(&self, span: Span<'_>, revision: i64) -> i64 {
        let count = if revision == self.current {
            self.state.index.count(span)
        } else {
            self.state
                .index
                .all_keys(span)
                .filter(|(_, history)| history.visible(revision).is_some())
                .count()
        };
        i64::try_from(count).expect("no memory holds 2^63 keys")
    }

    /// The pairs to filter, sort and cut, in key order, and how many the span holds.
    fn collect(
        &self,
        span: Span<'_>,
        revision: i64,
        request: &RangeRequest,
    ) -> Result<(Vec<KeyValue>, i64), EngineError> {
        // One more than asked for tells whether there is more.
        let limit = fetch_limit(request);
        if revision == self.current {
            let count = self.count(span, revision);
            let newest = self.state.index.live_keys(span).take(limit);
            let pairs = if request.keys_only && !by_value(request) {
                newest
                    .map(|(key, history)| without_value(key, history.newest()))
                    .collect()
            } else {
                let passing = newest
                    .map(|(_, history)| history.newest())
                    .filter(|newest| newest_passes(newest, request));
                self.source
                    .pairs(&passing.map(|newest| newest.revision).collect::<Vec<_>>())?
            };
            return Ok((pairs, count));
        }
        let visible = |(_, history): (&Key, &History)| history.visible(revision);
        let (mut revisions, mut count) = (Vec::new(), 0_i64);
        for found in self.state.index.all_keys(span).filter_map(visible) {
            count += 1;
            if revisions.len() < limit {
                revisions.push(found);
            }
        }
        revisions
            .retain(|revision: &Revision| passes(revision.main, request.min_mod_revision, request.max_mod_revision));
        Ok((self.source.pairs(&revisions)?, count))
    }
}

/// How many keys in key order are looked at.
fn fetch_limit(request: &RangeRequest) -> usize {
    let unordered = request.sort_order == i32::from(SortOrder::None)
        || (request.sort_order == i32::from(SortOrder::Ascend) && request.sort_target == i32::from(SortTarget::Key));
    let filters = [
        request.min_mod_revision,
        request.max_mod_revision,
        request.min_create_revision,
        request.max_create_revision,
    ];
    match usize::try_from(request.limit) {
        Ok(limit) if limit > 0 && unordered && filters == [0; 4] => limit.saturating_add(1),
        _ => usize::MAX,
    }
}

/// Whether values must be read, because they decide the order.
fn by_value(request: &RangeRequest) -> bool {
    request.sort_target == i32::from(SortTarget::Value)
}

/// A pair as etcd's index knows it.
fn without_value(key: &Key, newest: &Newest) -> KeyValue {
    KeyValue {
        key: Bytes::copy_from_slice(key),
        create_revision: newest.create,
        mod_revision: newest.revision.main,
        version: newest.version,
        value: Bytes::new(),
        lease: 0,
    }
}

fn newest_passes(newest: &Newest, request: &RangeRequest) -> bool {
    passes(newest.revision.main, request.min_mod_revision, request.max_mod_revision)
        && passes(newest.create, request.min_create_revision, request.max_create_revision)
}

/// Whether a revision lies within bounds of which zero is none.
fn passes(revision: i64, min: i64, max: i64) -> bool {
    (max == 0 || revision <= max) && (min == 0 || revision >= min)
}

fn filter(pairs: &mut Vec<KeyValue>, request: &RangeRequest) {
    pairs.retain(|pair| {
        passes(pair.mod_revision, request.min_mod_revision, request.max_mod_revision)
            && passes(
                pair.create_revision,
                request.min_create_revision,
                request.max_create_revision,
            )
    });
}

fn sort(pairs: &mut [KeyValue], request: &RangeRequest) {
    let order = |left: &KeyValue, right: &KeyValue| match request.sort_target() {
        SortTarget::Key => left.key.cmp(&right.key),
        SortTarget::Version => left.version.cmp(&right.version),
        SortTarget::Create => left.create_revision.cmp(&right.create_revision),
        SortTarget::Mod => left.mod_revision.cmp(&right.mod_revision),
        SortTarget::Value => left.value.cmp(&right.value),
    };
    match (request.sort_order(), request.sort_target()) {
        // The keys come in this order.
        (SortOrder::None | SortOrder::Ascend, SortTarget::Key) => {}
        (SortOrder::None | SortOrder::Ascend, _) => pairs.sort_by(order),
        (SortOrder::Descend, _) => pairs.sort_by(|left, right| order(right, left)),
    }
}
