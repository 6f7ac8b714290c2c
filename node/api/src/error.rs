//! Every error that etcd's API can answer, with its exact text, its gRPC code and its HTTP status.
//!
//! Clients match on the texts, so a text is never changed, not even where its grammar asks for it. The list is closed: a
//! condition without an entry here is either a mistake in a request's form ([`Failure`] with its own message) or a defect.
//! Two codes differ from etcd on purpose: etcd answers `too many requests` and the refusal to reconfigure without enough
//! started members as an internal error; here they carry the code that etcd itself declares for them.

mod code;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

pub use code::Code;

/// Declares [`Refusal`] and its tables from one list, so that no variant can lack a text or a code.
macro_rules! refusals {
    ($($variant:ident $code:ident $message:literal)*) => {
        /// An error of etcd's API. The text of a variant is its documentation.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Refusal {
            $(#[doc = $message] $variant,)*
        }

        impl Refusal {
            /// Every refusal, in the order of the list.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The exact text on the wire.
            pub const fn message(self) -> &'static str {
                match self { $(Self::$variant => $message,)* }
            }

            /// The gRPC code.
            pub const fn code(self) -> Code {
                match self { $(Self::$variant => Code::$code,)* }
            }

            /// The name of the variant: the `code` of problem documents and the label in metrics.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant),)* }
            }
        }
    };
}

refusals! {
    EmptyKey InvalidArgument "etcdserver: key is not provided"
    KeyNotFound InvalidArgument "etcdserver: key not found"
    ValueProvided InvalidArgument "etcdserver: value is provided"
    LeaseProvided InvalidArgument "etcdserver: lease is provided"
    TooManyOps InvalidArgument "etcdserver: too many operations in txn request"
    DuplicateKey InvalidArgument "etcdserver: duplicate key given in txn request"
    InvalidClientApiVersion InvalidArgument "etcdserver: invalid client api version"
    InvalidSortOption InvalidArgument "etcdserver: invalid sort option"
    Compacted OutOfRange "etcdserver: mvcc: required revision has been compacted"
    FutureRevision OutOfRange "etcdserver: mvcc: required revision is a future revision"
    NoSpace ResourceExhausted "etcdserver: mvcc: database space exceeded"

    LeaseNotFound NotFound "etcdserver: requested lease not found"
    LeaseExists FailedPrecondition "etcdserver: lease already exists"
    LeaseTtlTooLarge OutOfRange "etcdserver: too large lease TTL"

    WatchCanceled Canceled "etcdserver: watch canceled"

    MemberExists FailedPrecondition "etcdserver: member ID already exist"
    PeerUrlExists FailedPrecondition "etcdserver: Peer URLs already exists"
    MemberNotEnoughStarted FailedPrecondition "etcdserver: re-configuration failed due to not enough started members"
    MemberBadUrls InvalidArgument "etcdserver: given member URLs are invalid"
    MemberNotFound NotFound "etcdserver: member not found"
    MemberNotLearner FailedPrecondition "etcdserver: can only promote a learner member"
    LearnerNotReady FailedPrecondition "etcdserver: can only promote a learner member which is in sync with leader"
    TooManyLearners FailedPrecondition "etcdserver: too many learner members in cluster"
    ClusterIdMismatch FailedPrecondition "etcdserver: cluster ID mismatch"

    RequestTooLarge InvalidArgument "etcdserver: request is too large"
    TooManyRequests ResourceExhausted "etcdserver: too many requests"

    RootUserNotExist FailedPrecondition "etcdserver: root user does not exist"
    RootRoleNotExist FailedPrecondition "etcdserver: root user does not have root role"
    UserAlreadyExists FailedPrecondition "etcdserver: user name already exists"
    UserEmpty InvalidArgument "etcdserver: user name is empty"
    UserNotFound FailedPrecondition "etcdserver: user name not found"
    RoleAlreadyExists FailedPrecondition "etcdserver: role name already exists"
    RoleNotFound FailedPrecondition "etcdserver: role name not found"
    RoleEmpty InvalidArgument "etcdserver: role name is empty"
    AuthFailed InvalidArgument "etcdserver: authentication failed, invalid user ID or password"
    NoPasswordUser Unknown "auth: authentication failed, password was given for no password user"
    PasswordTooLong Unknown "bcrypt: password length exceeds 72 bytes"
    VerifyOnly Unknown "auth: token signing attempted with verify-only key"
    PermissionNotGiven InvalidArgument "etcdserver: permission not given"
    PermissionDenied PermissionDenied "etcdserver: permission denied"
    RoleNotGranted FailedPrecondition "etcdserver: role is not granted to the user"
    PermissionNotGranted FailedPrecondition "etcdserver: permission is not granted to the role"
    AuthNotEnabled FailedPrecondition "etcdserver: authentication is not enabled"
    InvalidAuthToken Unauthenticated "etcdserver: invalid auth token"
    InvalidAuthManagement InvalidArgument "etcdserver: invalid auth management"
    AuthOldRevision InvalidArgument "etcdserver: revision of auth store is old"

    NoLeader Unavailable "etcdserver: no leader"
    NotLeader FailedPrecondition "etcdserver: not leader"
    LeaderChanged Unavailable "etcdserver: leader changed"
    NotCapable FailedPrecondition "etcdserver: not capable"
    Stopped Unavailable "etcdserver: server stopped"
    Timeout Unavailable "etcdserver: request timed out"
    TimeoutLeaderFailure Unavailable "etcdserver: request timed out, possibly due to previous leader failure"
    TimeoutConnectionLost Unavailable "etcdserver: request timed out, possibly due to connection lost"
    TimeoutWaitApplied Unavailable "etcdserver: request timed out, waiting for the applied index took too long"
    Unhealthy Unavailable "etcdserver: unhealthy cluster"
    Corrupt DataLoss "etcdserver: corrupt cluster"
    NotSupportedForLearner FailedPrecondition "etcdserver: rpc not supported for learner"
    BadLeaderTransferee FailedPrecondition "etcdserver: bad leader transferee"

    ClusterVersionUnavailable FailedPrecondition "etcdserver: cluster version not found during downgrade"
    WrongDowngradeVersionFormat InvalidArgument "etcdserver: wrong downgrade target version format"
    InvalidDowngradeTargetVersion InvalidArgument "etcdserver: invalid downgrade target version"
    DowngradeInProcess FailedPrecondition "etcdserver: cluster has a downgrade job in progress"
    NoInflightDowngrade FailedPrecondition "etcdserver: no inflight downgrade job"

    RequestCanceled Canceled "etcdserver: request canceled"
    DeadlineExceeded DeadlineExceeded "context deadline exceeded"

    MissingLeaderKey Unknown "\"leader\" field must be provided"
    ElectionNoLeader Unknown "election: no leader"
    ElectionNotLeader Unknown "election: not leader"
    SessionExpired Unknown "mutex: session is expired"

    ManagedByOperator FailedPrecondition "kvorum: the operator of this cluster changes its members"

    UnknownPath NotFound "Not Found"
    MethodNotAllowed Unimplemented "Method Not Allowed"
}

impl Refusal {
    /// The gRPC code as a number.
    pub const fn grpc_code(self) -> i32 {
        self.code().number()
    }

    /// The HTTP status that etcd's gateway gives to the code.
    pub const fn http_status(self) -> u16 {
        self.code().http_status()
    }

    /// The refusal with this exact text, if it is one.
    pub fn from_message(message: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|refusal| refusal.message() == message)
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.message())
    }
}

impl std::error::Error for Refusal {}

/// A code with its message: a [`Refusal`], or a mistake in the form of a request, whose text names the mistake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The gRPC code.
    pub code: Code,
    /// The text on the wire.
    pub message: Cow<'static, str>,
}

impl Failure {
    /// A failure with a text of its own.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// The JSON body of etcd's gateway (`{"error","code","message"}`).
    pub fn json_body(&self) -> Vec<u8> {
        serde_json::to_vec(&Body::new(self.code, &self.message)).expect("two strings and a number always encode")
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.code(), refusal.message())
    }
}

/// The JSON body of an error on etcd's paths: the shape of 3.6 and later, with the older `error` as an extra.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Body<'a> {
    /// The message again, for clients older than 3.6.
    #[serde(borrow, default)]
    pub error: Cow<'a, str>,
    /// The gRPC code as a number.
    pub code: i32,
    /// What went wrong.
    #[serde(borrow, default)]
    pub message: Cow<'a, str>,
}

impl<'a> Body<'a> {
    /// The body for a code and a message.
    pub fn new(code: Code, message: &'a str) -> Self {
        Self {
            error: Cow::Borrowed(message),
            code: code.number(),
            message: Cow::Borrowed(message),
        }
    }
}

/// A line of a stream that ends in an error: `{"error":{"code","message"}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamError<'a> {
    /// The error itself.
    #[serde(borrow)]
    pub error: StreamErrorBody<'a>,
}

/// The inner part of a [`StreamError`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamErrorBody<'a> {
    /// The gRPC code as a number.
    pub code: i32,
    /// What went wrong.
    #[serde(borrow, default)]
    pub message: Cow<'a, str>,
}

impl<'a> StreamError<'a> {
    /// The line for a failure.
    pub fn new(failure: &'a Failure) -> Self {
        Self {
            error: StreamErrorBody {
                code: failure.code.number(),
                message: Cow::Borrowed(&failure.message),
            },
        }
    }
}

#[cfg(test)]
mod tests;
