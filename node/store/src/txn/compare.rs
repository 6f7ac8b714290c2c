//! The compares of a transaction.
//!
//! Etcd's rules: a compare over a range holds when it holds for each key in it; on no key at all, numbers compare as
//! zero, and a value compares as false whatever the relation, because absent and empty must not look alike. A union
//! that is not set compares with zero or with the empty value.

use crate::engine::EngineError;
use crate::index::{Newest, Span};
use crate::range::Sight;
use kvorum_api::etcdserverpb::Compare;
use kvorum_api::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use std::cmp::Ordering;

/// Whether every compare holds.
pub(super) fn all(sight: &Sight<'_>, compares: &[Compare]) -> Result<bool, EngineError> {
    for compare in compares {
        if !holds(sight, compare)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn holds(sight: &Sight<'_>, compare: &Compare) -> Result<bool, EngineError> {
    let span = Span::new(&compare.key, &compare.range_end);
    let wanted = |ordering| wanted(compare, ordering);
    if compare.target == i32::from(CompareTarget::Value) {
        let value = match &compare.target_union {
            Some(TargetUnion::Value(value)) => &value[..],
            _ => &[],
        };
        let pairs = sight.newest_in(span)?;
        return Ok(!pairs.is_empty() && pairs.iter().all(|pair| wanted(pair.value[..].cmp(value))));
    }
    let mut keys = sight
        .state
        .index
        .live_keys(span)
        .map(|(_, history)| history.newest())
        .peekable();
    if keys.peek().is_none() {
        return Ok(wanted(number(compare, &Newest::default())));
    }
    Ok(keys.all(|newest| wanted(number(compare, newest))))
}

/// How a key's number stands to the compare's.
fn number(compare: &Compare, newest: &Newest) -> Ordering {
    // A union of another kind than the target counts as not set.
    let (own, other) = match (CompareTarget::try_from(compare.target), &compare.target_union) {
        (Ok(CompareTarget::Version), Some(TargetUnion::Version(other))) => (newest.version, *other),
        (Ok(CompareTarget::Version), _) => (newest.version, 0),
        (Ok(CompareTarget::Create), Some(TargetUnion::CreateRevision(other))) => (newest.create, *other),
        (Ok(CompareTarget::Create), _) => (newest.create, 0),
        (Ok(CompareTarget::Mod), Some(TargetUnion::ModRevision(other))) => (newest.revision.main, *other),
        (Ok(CompareTarget::Mod), _) => (newest.revision.main, 0),
        (Ok(CompareTarget::Lease), Some(TargetUnion::Lease(other))) => (newest.lease, *other),
        (Ok(CompareTarget::Lease), _) => (newest.lease, 0),
        // A target that nobody knows compares as equal, as in etcd; values are compared elsewhere.
        (Ok(CompareTarget::Value) | Err(_), _) => (0, 0),
    };
    own.cmp(&other)
}

fn wanted(compare: &Compare, ordering: Ordering) -> bool {
    match CompareResult::try_from(compare.result) {
        Ok(CompareResult::Equal) => ordering.is_eq(),
        Ok(CompareResult::NotEqual) => ordering.is_ne(),
        Ok(CompareResult::Greater) => ordering.is_gt(),
        Ok(CompareResult::Less) => ordering.is_lt(),
        // A relation that nobody knows holds, as in etcd.
        Err(_) => true,
    }
}
