//! What a check tells. Field names in JSON and YAML are written as etcdctl's are.

use serde::Serialize;

/// The whole of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The data directory.
    pub data_dir: String,
    /// Whether a node would start on it, and lose nothing.
    pub starts: bool,
    /// What it would do, in a sentence.
    pub at_start: String,
    /// Who the directory belongs to.
    pub identity: Option<Who>,
    /// The write-ahead log, as far as it could be read.
    pub log: Log,
    /// The snapshot files, oldest first.
    pub snapshots: Vec<Snapshot>,
    /// The engine.
    pub engine: Engine,
    /// What is not as it should be.
    pub findings: Vec<Finding>,
}

/// An identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Who {
    /// The cluster, 16 hex digits; nothing until the operator has said.
    pub cluster_id: Option<String>,
    /// The member, 16 hex digits.
    pub member_id: String,
    /// Its name.
    pub name: String,
}

/// A write-ahead log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Log {
    /// Its id, 16 hex digits.
    pub log_id: Option<String>,
    /// Its segments.
    pub segments: Vec<Segment>,
    /// Records of entries, those included that were cut off or forgotten later.
    pub entries: u64,
    /// Records of votes.
    pub votes: u64,
    /// Records of what was known to be committed.
    pub commits: u64,
    /// Records of entries cut off.
    pub truncations: u64,
    /// Records of entries forgotten.
    pub purges: u64,
    /// Index of the first entry held.
    pub first_index: Option<u64>,
    /// Index of the last entry.
    pub last_index: Option<u64>,
    /// Term of the last entry.
    pub last_term: Option<u64>,
    /// Index of the last entry forgotten.
    pub purged_index: Option<u64>,
    /// Index of the last entry known to be committed.
    pub committed_index: Option<u64>,
    /// Term of the vote.
    pub vote_term: Option<u64>,
    /// Member voted for, 16 hex digits.
    pub voted_for: Option<String>,
    /// Bytes of a write that a crash cut short, at the end of the last segment in use.
    pub torn_bytes: u64,
}

/// A file of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Segment {
    /// The file, within the data directory.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// Where its records end.
    pub used_bytes: u64,
    /// Whole records in it.
    pub records: u64,
    /// What it is: sealed, open, prepared (and empty) or broken.
    pub state: &'static str,
}

/// A snapshot file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// The file, within the data directory.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// Whether every byte of it is as it was written.
    pub whole: bool,
    /// Index of the last entry in it; as its name has it where it is not whole.
    pub index: Option<u64>,
    /// Term of that entry.
    pub term: Option<u64>,
    /// Revision of the store.
    pub revision: Option<i64>,
    /// Records, leases, users, roles and alarms in it, together.
    pub entries: Option<u64>,
    /// SHA-256 of all of it.
    pub sha256: Option<String>,
}

/// The engine under the store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Engine {
    /// Whether a node would go on with it; otherwise it is rebuilt.
    pub believed: bool,
    /// Why.
    pub because: String,
    /// Index of the last entry in it, where it was closed in order.
    pub applied_index: Option<u64>,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// Worth knowing; a node does not mind.
    Note,
    /// A node puts it right at its start, and loses nothing.
    Repair,
    /// A node refuses to start.
    Refusal,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// The file, within the data directory.
    pub file: String,
    /// Where in it, in bytes.
    pub offset: Option<u64>,
    /// What is wrong.
    pub what: String,
    /// What happens next, or what a person should do.
    pub next_step: String,
}

impl Severity {
    /// In a word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Severity::Note => "note",
            Severity::Repair => "repair",
            Severity::Refusal => "refusal",
        }
    }
}
