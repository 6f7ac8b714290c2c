//! Wire types and error codes of Kvorum.
//!
//! The modules named after etcd's protocol buffer packages hold its v3.7 messages, byte for byte and, through serde, with
//! the proto3 JSON mapping that etcd's gateway speaks. Around them: Kvorum's own plain JSON, its admin calls, and every
//! error text that a client may match on.
//!
//! What must stay true: without the feature `grpc` no async runtime and no HTTP library is a dependency, because the
//! store, which is synchronous and deterministic, uses these messages as its language. This crate decides nothing about
//! requests; it only names, encodes and decodes.

pub mod admin;
pub mod error;
mod id;
pub mod json;
pub mod plain;
pub mod problem;
pub mod range;

pub use id::{Id, ParseIdError};

/// Declares a module with the code generated for one protocol buffer package.
macro_rules! generated {
    ($(#[$doc:meta])* $package:ident) => {
        $(#[$doc])*
        // Generated code keeps the documentation of the `.proto` files, but not this repository's lints.
        #[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, clippy::too_many_lines, clippy::unwrap_used)]
        pub mod $package {
            include!(concat!(env!("OUT_DIR"), "/", stringify!($package), ".rs"));
            include!(concat!(env!("OUT_DIR"), "/", stringify!($package), ".json.rs"));
        }
    };
}

generated! {
    /// Requests and answers of etcd's services KV, Watch, Lease, Cluster, Maintenance and Auth.
    etcdserverpb
}
generated! {
    /// Keys, values and events.
    mvccpb
}
generated! {
    /// Users, roles and permissions.
    authpb
}
generated! {
    /// etcd's lock service.
    v3lockpb
}
generated! {
    /// etcd's election service.
    v3electionpb
}

/// Every service and message of this crate, as an encoded `google.protobuf.FileDescriptorSet`.
#[cfg(feature = "grpc")]
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The gRPC project's own services.
pub mod grpc {
    /// Whether a server serves.
    pub mod health {
        /// Version 1 of the protocol.
        // As above: generated.
        #[allow(
            missing_docs,
            unreachable_pub,
            clippy::all,
            clippy::pedantic,
            clippy::too_many_lines,
            clippy::unwrap_used
        )]
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/grpc.health.v1.rs"));
            include!(concat!(env!("OUT_DIR"), "/grpc.health.v1.json.rs"));
        }
    }
}
