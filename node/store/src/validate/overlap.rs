//! Whether operations of one branch of a transaction touch the same key in a way that has no order.
//!
//! Two puts of one key do, and a put with a deletion of a range that holds its key. Children count as a part of the
//! branch, but the two branches of one child exclude each other. The walk is etcd's, step for step, because its
//! verdicts are visible: it does not look for a child's put against the deletions of a *later* child, and it takes a
//! range end of one zero byte literally, so that a deletion "from this key on" overlaps with nothing. Such
//! transactions run in the order of their operations.

use kvorum_api::error::Refusal;
use kvorum_api::etcdserverpb::request_op::Request;
use kvorum_api::etcdserverpb::{DeleteRangeRequest, PutRequest, RequestOp, TxnRequest};
use std::collections::BTreeSet;

/// What a branch and its children put and delete.
#[derive(Default)]
struct Touched<'a> {
    puts: BTreeSet<&'a [u8]>,
    deletions: Vec<Deletion<'a>>,
}

/// One deleted key, or a range of them.
#[derive(Clone, Copy)]
struct Deletion<'a> {
    key: &'a [u8],
    end: Option<&'a [u8]>,
}

impl Deletion<'_> {
    fn covers(&self, key: &[u8]) -> bool {
        match self.end {
            None => key == self.key,
            Some(end) => key >= self.key && key < end,
        }
    }
}

/// Refuses a branch with an overlap.
pub(super) fn check(branch: &[RequestOp]) -> Result<(), Refusal> {
    touched(branch).map(|_| ())
}

fn touched(branch: &[RequestOp]) -> Result<Touched<'_>, Refusal> {
    let mut all = Touched {
        deletions: deletions(branch).collect(),
        ..Touched::default()
    };
    for child in children(branch) {
        let (then, otherwise) = (touched(&child.success)?, touched(&child.failure)?);
        for key in &then.puts {
            all.put(key)?;
        }
        for key in &otherwise.puts {
            if then.puts.contains(key) {
                // Both branches of the child put it, and only one of them runs.
                all.refuse_deleted(key)?;
            } else {
                all.put(key)?;
            }
        }
        all.deletions.extend(then.deletions);
        all.deletions.extend(otherwise.deletions);
    }
    for put in puts(branch) {
        all.put(&put.key)?;
    }
    Ok(all)
}

impl<'a> Touched<'a> {
    fn put(&mut self, key: &'a [u8]) -> Result<(), Refusal> {
        self.refuse_deleted(key)?;
        if self.puts.insert(key) {
            Ok(())
        } else {
            Err(Refusal::DuplicateKey)
        }
    }

    fn refuse_deleted(&self, key: &[u8]) -> Result<(), Refusal> {
        let deleted = self.deletions.iter().any(|deletion| deletion.covers(key));
        if deleted { Err(Refusal::DuplicateKey) } else { Ok(()) }
    }
}

fn deletions(branch: &[RequestOp]) -> impl Iterator<Item = Deletion<'_>> {
    branch.iter().filter_map(|operation| match &operation.request {
        Some(Request::RequestDeleteRange(DeleteRangeRequest { key, range_end, .. })) => Some(Deletion {
            key,
            end: (!range_end.is_empty()).then_some(&range_end[..]),
        }),
        _ => None,
    })
}

fn puts(branch: &[RequestOp]) -> impl Iterator<Item = &PutRequest> {
    branch.iter().filter_map(|operation| match &operation.request {
        Some(Request::RequestPut(put)) => Some(put),
        _ => None,
    })
}

fn children(branch: &[RequestOp]) -> impl Iterator<Item = &TxnRequest> {
    branch.iter().filter_map(|operation| match &operation.request {
        Some(Request::RequestTxn(txn)) => Some(txn),
        _ => None,
    })
}
