//! gRPC's reflection: tells tools like `grpcurl` which services and messages there are, in both versions of its protocol.
//!
//! It answers from the `.proto` files alone, never from data, and so asks nobody who they are, as in etcd.

use kvorum_api::FILE_DESCRIPTOR_SET;
use tonic_reflection::server::v1::{ServerReflection, ServerReflectionServer};
use tonic_reflection::server::v1alpha;
use tonic_reflection::server::{Builder, Error};

/// Version 1 of the protocol.
pub(super) fn v1() -> ServerReflectionServer<impl ServerReflection> {
    built(builder().build_v1())
}

/// The version before, which older tools speak.
pub(super) fn v1alpha() -> v1alpha::ServerReflectionServer<impl v1alpha::ServerReflection> {
    built(builder().build_v1alpha())
}

fn builder() -> Builder<'static> {
    Builder::configure().register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
}

/// The descriptors are made by the build from files that it has just compiled; a test asks for them.
fn built<Server>(server: Result<Server, Error>) -> Server {
    server.expect("the descriptors of this build can be read")
}
