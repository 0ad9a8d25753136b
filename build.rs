//! Compiles `proto/` to Rust, without a `protoc` on the machine. Nothing else.

use std::error::Error;
use std::path::{Path, PathBuf};

use prost::Message;
use prost_types::FileDescriptorSet;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = ["authorization_service", "tuple_service", "model_service", "delegation_service"]
        .map(|name| format!("proto/bailiwick/v1/{name}.proto"));
    let descriptors = protox::compile(files, ["proto"])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("bailiwick_descriptor.bin"), descriptors.encode_to_vec())?;
    let as_generated = tonic_prost_build::configure().codec_path(CODEC).extern_path(STRUCT, VALUES);
    as_generated.compile_fds(descriptors.clone())?;
    served(descriptors, &out.join("served"))
}

/// Values stay in the bytes that they came in.
const STRUCT: &str = ".google.protobuf.Struct";
const VALUES: &str = "crate::api::values::Values";

/// A commit stays in the bytes that it came in.
const WRITE_TUPLES: &str = "crate::api::encoded::Encoded::<crate::api::pb::v1::WriteTuplesRequest>";

/// The codec of every method.
const CODEC: &str = "crate::api::codec::WireCodec";

/// The servers of the services of which some messages are of our own: batches are read and answered in place, and
/// commits are read where nobody waits.
fn served(mut descriptors: FileDescriptorSet, out: &Path) -> Result<(), Box<dyn Error>> {
    let own = ["authorization_service.proto", "tuple_service.proto"];
    for file in &mut descriptors.file {
        if !own.iter().any(|own| file.name().ends_with(own)) {
            file.service.clear();
        }
    }
    std::fs::create_dir_all(out)?;
    tonic_prost_build::configure()
        .codec_path(CODEC)
        .build_client(false)
        .out_dir(out)
        .extern_path(".bailiwick.v1", "crate::api::pb::v1")
        .extern_path(".bailiwick.v1.BatchCheckRequest", "crate::api::batch::Questions")
        .extern_path(".bailiwick.v1.BatchCheckResponse", "crate::api::batch::Answers")
        .extern_path(".bailiwick.v1.WriteTuplesRequest", WRITE_TUPLES)
        .compile_fds(descriptors)?;
    Ok(())
}
