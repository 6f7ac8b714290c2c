//! State: every member holds the same at the same revision, byte for byte.

use serde_json::json;

use super::Violation;
use super::watched::Held;
use crate::etcd::{Etcd, decode, encode, number};
use crate::wait::{SETTLE, until};

/// A member's hash of everything it holds at a revision, and from which revision on it holds anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash {
    /// The hash.
    pub hash: u64,
    /// Which revision it is of.
    pub revision: i64,
    /// Up to which revision history was thrown away; not before anything was, it is zero or less.
    pub compacted: i64,
}

/// Compares what all members say of one revision.
///
/// # Errors
/// They differ.
pub fn judge(hashes: &[Hash]) -> Result<(), Violation> {
    if hashes.windows(2).all(|pair| pair[0] == pair[1]) {
        return Ok(());
    }
    Err(Violation(format!("the members differ: {hashes:x?}")))
}

/// Asks every member, each as soon as it is there, what it holds at `revision`.
pub async fn hashes(members: &[Etcd], revision: i64) -> Vec<Hash> {
    let mut all = Vec::new();
    for member in members {
        let answer = until("a member to hash what it holds", SETTLE, || async {
            let body = json!({"revision": revision.to_string()});
            let answer = member.ask("maintenance/hashkv", &body).await;
            answer.map_err(|error| format!("{error:#}"))
        })
        .await;
        all.push(Hash {
            hash: answer["hash"].as_u64().unwrap_or_default(),
            revision: number(&answer["hash_revision"]),
            compacted: number(&answer["compact_revision"]),
        });
    }
    all
}

/// Everything that a member holds, read linearizably; and the revision of the read.
pub async fn held(member: &Etcd) -> (i64, Held) {
    let everything = json!({"key": encode([0]), "range_end": encode([0])});
    let answer = until("a read of everything", SETTLE, || async {
        let answer = member.ask("kv/range", &everything).await;
        answer.map_err(|error| format!("{error:#}"))
    })
    .await;
    let kvs = answer["kvs"].as_array().into_iter().flatten();
    let held = kvs.map(|kv| (decode(&kv["key"]), (decode(&kv["value"]), number(&kv["mod_revision"]))));
    (number(&answer["header"]["revision"]), held.collect())
}

/// Throws history before `revision` away, at every member.
pub async fn compact(member: &Etcd, revision: i64) {
    until("a compaction", SETTLE, || async {
        let body = json!({"revision": revision.to_string()});
        let answer = member.call("kv/compaction", &body).await;
        match answer.map_err(|error| format!("{error:#}"))? {
            reply if reply.status == 200 => Ok(()),
            // One that was given up before was done all the same.
            reply if reply.text().contains("compacted") => Ok(()),
            reply => Err(format!("{} {}", reply.status, reply.text())),
        }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: Hash = Hash {
        hash: 7,
        revision: 3,
        compacted: 0,
    };

    #[test]
    fn members_that_hold_the_same_are_good() {
        judge(&[HASH; 5]).unwrap();
    }

    #[test]
    fn a_member_that_differs_is_seen() {
        assert!(judge(&[HASH, HASH, Hash { hash: 8, ..HASH }]).is_err());
        assert!(judge(&[HASH, Hash { revision: 4, ..HASH }, HASH]).is_err());
    }
}
