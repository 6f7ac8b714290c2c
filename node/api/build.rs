//! Turns the `.proto` files into Rust: messages always, gRPC stubs with the feature `grpc`.
//!
//! No `protoc` is needed: `protox` reads the files. Every `bytes` field becomes `bytes::Bytes`.

use prost::Message as _;

/// Every `.proto` file, relative to [`ROOT`]; `header.proto` and the types come in by import.
const FILES: [&str; 8] = [
    "etcdserverpb/kv.proto",
    "etcdserverpb/watch.proto",
    "etcdserverpb/lease.proto",
    "etcdserverpb/cluster.proto",
    "etcdserverpb/maintenance.proto",
    "etcdserverpb/auth.proto",
    "v3lockpb/v3lock.proto",
    "v3electionpb/v3election.proto",
];

/// Folder of the `.proto` files, relative to this crate.
const ROOT: &str = "proto";

fn main() -> anyhow::Result<()> {
    println!("cargo:rerun-if-changed={ROOT}");
    let descriptors = protox::compile(FILES, [ROOT])?;
    let encoded = descriptors.encode_to_vec();
    if std::env::var_os("CARGO_FEATURE_GRPC").is_some() {
        tonic_prost_build::configure()
            .build_transport(false)
            .bytes(".")
            .compile_fds(descriptors)?;
    } else {
        prost_build::Config::new().bytes(["."]).compile_fds(descriptors)?;
    }
    pbjson_build::Builder::new()
        .register_descriptors(&encoded)?
        .preserve_proto_field_names()
        .ignore_unknown_fields()
        .build(&[".mvccpb", ".authpb", ".etcdserverpb", ".v3lockpb", ".v3electionpb"])?;
    Ok(())
}
