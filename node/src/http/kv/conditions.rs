//! `If-Match` and `If-None-Match`: what must hold of a key for a request to be done.

use bytes::Bytes;
use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName};
use kvorum_api::etcdserverpb::{self as pb, compare};

use crate::http::problem::{ProblemResponse, malformed};

/// What a client wants to hold of a key at the moment of the write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    Any,
    /// `If-Match: *`: the key exists.
    Exists,
    /// `If-None-Match: *`: the key does not exist.
    Absent,
    /// `If-Match: "7"`: the key was last changed at this revision.
    At(i64),
}

impl Condition {
    /// Reads the headers of a request that writes.
    ///
    /// # Errors
    /// Both are given, or one is not what it may be.
    pub fn of_write(headers: &HeaderMap) -> Result<Condition, ProblemResponse> {
        match (text(headers, &IF_MATCH)?, text(headers, &IF_NONE_MATCH)?) {
            (None, None) => Ok(Condition::Any),
            (Some("*"), None) => Ok(Condition::Exists),
            (Some(tag), None) => parse_tag(tag)
                .map(Condition::At)
                .ok_or_else(|| malformed(format!("If-Match must be * or one ETag such as \"7\", not {tag}"))),
            (None, Some("*")) => Ok(Condition::Absent),
            (None, Some(tag)) => Err(malformed(format!("If-None-Match must be * for a write, not {tag}"))),
            (Some(_), Some(_)) => Err(malformed("give If-Match or If-None-Match, not both")),
        }
    }

    /// The compare that checks it; `None` for [`Condition::Any`].
    #[must_use]
    pub fn compare(self, key: Bytes) -> Option<pb::Compare> {
        use compare::{CompareResult, CompareTarget, TargetUnion};
        let (target, result, union) = match self {
            Condition::Any => return None,
            Condition::Exists => (
                CompareTarget::Create,
                CompareResult::Greater,
                TargetUnion::CreateRevision(0),
            ),
            Condition::Absent => (
                CompareTarget::Create,
                CompareResult::Equal,
                TargetUnion::CreateRevision(0),
            ),
            Condition::At(revision) => (
                CompareTarget::Mod,
                CompareResult::Equal,
                TargetUnion::ModRevision(revision),
            ),
        };
        let (target, result) = (target.into(), result.into());
        Some(pb::Compare {
            key,
            target,
            result,
            target_union: Some(union),
            ..Default::default()
        })
    }
}

/// Whether `If-None-Match` of a read names this revision: then the client has the value already.
///
/// # Errors
/// It is not a tag of ours.
pub fn unchanged(headers: &HeaderMap, mod_revision: i64) -> Result<bool, ProblemResponse> {
    let Some(tags) = text(headers, &IF_NONE_MATCH)? else {
        return Ok(false);
    };
    for tag in tags.split(',').map(str::trim) {
        let known = match tag {
            "*" => true,
            tag => {
                let revision = parse_tag(tag.strip_prefix("W/").unwrap_or(tag));
                revision.ok_or_else(|| malformed(format!("If-None-Match must list ETags such as \"7\", not {tag}")))?
                    == mod_revision
            }
        };
        if known {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The `ETag` of a key last changed at this revision.
#[must_use]
pub fn tag(mod_revision: i64) -> String {
    format!("\"{mod_revision}\"")
}

fn parse_tag(tag: &str) -> Option<i64> {
    let digits = tag.strip_prefix('"')?.strip_suffix('"')?;
    digits.parse().ok().filter(|revision| *revision > 0)
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ProblemResponse> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(malformed(format!("the header {name} is given twice")));
    }
    value
        .to_str()
        .map(Some)
        .map_err(|_| malformed(format!("the header {name} is not text")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use test_case::test_case;

    fn headers(list: &[(HeaderName, &str)]) -> HeaderMap {
        list.iter()
            .map(|(name, value)| (name.clone(), value.parse().unwrap()))
            .collect()
    }

    #[test_case(&[] => Ok(Condition::Any); "none")]
    #[test_case(&[(IF_MATCH, "*")] => Ok(Condition::Exists); "exists")]
    #[test_case(&[(IF_NONE_MATCH, "*")] => Ok(Condition::Absent); "absent")]
    #[test_case(&[(IF_MATCH, "\"7\"")] => Ok(Condition::At(7)); "at a revision")]
    #[test_case(&[(IF_MATCH, "7")] => Err("If-Match must be * or one ETag such as \"7\", not 7".into()); "no quotes")]
    #[test_case(&[(IF_MATCH, "\"0\"")] => Err("If-Match must be * or one ETag such as \"7\", not \"0\"".into()); "zero")]
    #[test_case(&[(IF_NONE_MATCH, "\"7\"")] => Err("If-None-Match must be * for a write, not \"7\"".into()); "none match of a tag")]
    #[test_case(&[(IF_MATCH, "*"), (IF_NONE_MATCH, "*")] => Err("give If-Match or If-None-Match, not both".into()); "both")]
    fn of_write(list: &[(HeaderName, &str)]) -> Result<Condition, String> {
        Condition::of_write(&headers(list)).map_err(|problem| problem.0.detail)
    }

    #[test_case("\"7\"", true; "same")]
    #[test_case("\"6\", W/\"7\"", true; "one of two, weak")]
    #[test_case("*", true; "any")]
    #[test_case("\"6\"", false; "older")]
    fn reads_that_need_no_answer(value: &str, expected: bool) {
        assert_eq!(unchanged(&headers(&[(IF_NONE_MATCH, value)]), 7).unwrap(), expected);
    }
}
