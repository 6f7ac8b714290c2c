//! The sixteen gRPC codes and the HTTP statuses that etcd's gateway gives them.
//!
//! Our own enum rather than tonic's, because the store names codes too and must not know gRPC.

/// A gRPC status code. `Ok` is no error and is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Code {
    /// The caller gave up.
    Canceled = 1,
    /// Anything without a better code.
    Unknown = 2,
    /// The request makes no sense whatever the state.
    InvalidArgument = 3,
    /// Time ran out.
    DeadlineExceeded = 4,
    /// What was asked for does not exist.
    NotFound = 5,
    /// What should be made exists.
    AlreadyExists = 6,
    /// The caller may not do this.
    PermissionDenied = 7,
    /// A quota or a limit is used up.
    ResourceExhausted = 8,
    /// The state does not allow it; retrying will not help.
    FailedPrecondition = 9,
    /// A concurrent change won.
    Aborted = 10,
    /// Past the valid range.
    OutOfRange = 11,
    /// Not offered here.
    Unimplemented = 12,
    /// A broken invariant.
    Internal = 13,
    /// Cannot be served now; another member or a later try may.
    Unavailable = 14,
    /// Data is lost or damaged.
    DataLoss = 15,
    /// No valid credentials.
    Unauthenticated = 16,
}

impl Code {
    /// Every code, by number.
    pub const ALL: [Self; 16] = [
        Self::Canceled,
        Self::Unknown,
        Self::InvalidArgument,
        Self::DeadlineExceeded,
        Self::NotFound,
        Self::AlreadyExists,
        Self::PermissionDenied,
        Self::ResourceExhausted,
        Self::FailedPrecondition,
        Self::Aborted,
        Self::OutOfRange,
        Self::Unimplemented,
        Self::Internal,
        Self::Unavailable,
        Self::DataLoss,
        Self::Unauthenticated,
    ];

    /// The number on the wire.
    pub const fn number(self) -> i32 {
        self as i32
    }

    /// The code with this number; `None` for zero (no error) and for numbers that gRPC does not define.
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.number() == number)
    }

    /// The HTTP status of an answer with this code.
    pub const fn http_status(self) -> u16 {
        match self {
            Self::InvalidArgument | Self::FailedPrecondition | Self::OutOfRange => 400,
            Self::Unauthenticated => 401,
            Self::PermissionDenied => 403,
            Self::NotFound => 404,
            Self::AlreadyExists | Self::Aborted => 409,
            Self::ResourceExhausted => 429,
            Self::Canceled => 499,
            Self::Unknown | Self::Internal | Self::DataLoss => 500,
            Self::Unimplemented => 501,
            Self::Unavailable => 503,
            Self::DeadlineExceeded => 504,
        }
    }
}
