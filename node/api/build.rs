//! Turns the `.proto` files into Rust: messages and their JSON always, gRPC stubs with the feature `grpc`.
//!
//! No `protoc` is needed: `protox` reads the files. Every `bytes` field becomes `bytes::Bytes`. The JSON mapping is
//! written by [`json`], because etcd's gateway is more lenient than the generators at hand (`src/json.rs` says where).

#[path = "build/json.rs"]
mod json;

use std::path::Path;

use anyhow::Context as _;
use prost::Message as _;
use prost_types::FileDescriptorSet;

/// Every `.proto` file with a service, relative to [`ROOT`]; the others come in by import.
const FILES: [&str; 9] = [
    "etcdserverpb/kv.proto",
    "etcdserverpb/watch.proto",
    "etcdserverpb/lease.proto",
    "etcdserverpb/cluster.proto",
    "etcdserverpb/maintenance.proto",
    "etcdserverpb/auth.proto",
    "v3lockpb/v3lock.proto",
    "v3electionpb/v3election.proto",
    "grpc/health/v1/health.proto",
];

/// Folder of the `.proto` files, relative to this crate.
const ROOT: &str = "proto";

fn main() -> anyhow::Result<()> {
    println!("cargo:rerun-if-changed={ROOT}");
    println!("cargo:rerun-if-changed=build");
    let descriptors = protox::compile(FILES, [ROOT])?;
    json::write(&descriptors)?;
    if std::env::var_os("CARGO_FEATURE_GRPC").is_some() {
        write_descriptors(descriptors.clone())?;
        tonic_prost_build::configure()
            .build_transport(false)
            .bytes(".")
            .compile_fds(descriptors)?;
    } else {
        prost_build::Config::new().bytes(["."]).compile_fds(descriptors)?;
    }
    Ok(())
}

/// The descriptors as gRPC's reflection shows them: without comments and places in the files, which nobody asks for.
fn write_descriptors(mut descriptors: FileDescriptorSet) -> anyhow::Result<()> {
    for file in &mut descriptors.file {
        file.source_code_info = None;
    }
    let folder = std::env::var_os("OUT_DIR").context("cargo names the folder for what is generated")?;
    std::fs::write(Path::new(&folder).join("descriptors.bin"), descriptors.encode_to_vec())?;
    Ok(())
}
