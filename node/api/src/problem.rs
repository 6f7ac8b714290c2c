//! Problem documents (RFC 9457), the errors of everything under `/v1`.
//!
//! `code` is the name that programs match on: the name of a [`Refusal`], of an [`admin::Rejection`](crate::admin::Rejection),
//! or of a [`plain::Fault`](crate::plain::Fault). `detail` is for people and may change.

use serde::{Deserialize, Serialize};

use crate::{Id, error::Refusal};

/// The media type of a problem document.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Prefix of the `type` of a problem; the code follows.
const TYPE_PREFIX: &str = "urn:kvorum:problem:";

/// An error document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{detail}")]
pub struct Problem {
    /// A URI for the kind of problem.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// The kind of problem in words.
    #[serde(default)]
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The name that programs match on.
    #[serde(default)]
    pub code: String,
    /// What happened this time, in a sentence.
    #[serde(default)]
    pub detail: String,
    /// With the code `NotLeader`: who leads, when that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader_id: Option<Id>,
}

impl Problem {
    /// A problem; `code` in CamelCase, `title` without a full stop, `detail` a sentence.
    pub fn new(status: u16, code: &str, title: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("{TYPE_PREFIX}{code}"),
            title: title.to_owned(),
            status,
            code: code.to_owned(),
            detail: detail.into(),
            leader_id: None,
        }
    }

    /// The JSON of the document.
    pub fn json_body(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and numbers always encode")
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.message();
        let title = message.rsplit(": ").next().unwrap_or(message);
        Self::new(refusal.http_status(), refusal.name(), title, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn refusal_as_problem() {
        let json = String::from_utf8(Problem::from(Refusal::Compacted).json_body()).unwrap();
        expect![[r#"{"type":"urn:kvorum:problem:Compacted","title":"required revision has been compacted","status":400,"code":"Compacted","detail":"etcdserver: mvcc: required revision has been compacted"}"#]]
            .assert_eq(&json);
        assert_eq!(
            serde_json::from_str::<Problem>(&json).unwrap(),
            Problem::from(Refusal::Compacted)
        );
    }

    #[test]
    fn foreign_problem_is_read() {
        let problem: Problem = serde_json::from_str(r#"{"status":502,"title":"Bad Gateway","instance":"/x"}"#).unwrap();
        assert_eq!((problem.status, problem.code.as_str()), (502, ""));
    }
}
