//! Condition types and their reasons, as closed enums.
//!
//! Text exists only at the edge: `as_str` gives the word that goes into `status.conditions`. Reasons are an interface, as
//! scripts and alerts compare them, so a variant is never renamed.

/// What a condition speaks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConditionType {
    /// The summary: every wanted member is a healthy voter that runs what the spec says, and nothing is left to do.
    Ready,
    /// A quorum serves linearizable reads.
    Available,
    /// Exactly the wanted members vote, healthy and caught up.
    FullyReplicated,
    /// The operator is on its way from one state to another.
    Progressing,
    /// Something is broken, though the cluster may still serve.
    Degraded,
    /// Every member runs what the spec says.
    UpToDate,
    /// Every certificate that is needed exists and is valid.
    TlsReady,
    /// Too few voters are left to serve.
    QuorumLost,
    /// A person has to do something.
    ActionRequired,
}

impl ConditionType {
    /// All of them, in the order in which status lists them.
    pub const ALL: [Self; 9] = [
        Self::Ready,
        Self::Available,
        Self::FullyReplicated,
        Self::Progressing,
        Self::Degraded,
        Self::UpToDate,
        Self::TlsReady,
        Self::QuorumLost,
        Self::ActionRequired,
    ];

    /// The word in `status.conditions[].type`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Available => "Available",
            Self::FullyReplicated => "FullyReplicated",
            Self::Progressing => "Progressing",
            Self::Degraded => "Degraded",
            Self::UpToDate => "UpToDate",
            Self::TlsReady => "TLSReady",
            Self::QuorumLost => "QuorumLost",
            Self::ActionRequired => "ActionRequired",
        }
    }
}

/// A condition's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It is so.
    True,
    /// It is not so.
    False,
    /// It could not be told.
    Unknown,
}

impl Truth {
    /// The word in `status.conditions[].status`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}
