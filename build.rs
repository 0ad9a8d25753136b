//! Compiles `proto/` to Rust, without a `protoc` on the machine. Nothing else.

use std::error::Error;
use std::path::PathBuf;

use prost::Message;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = ["authorization_service", "tuple_service", "model_service", "delegation_service"]
        .map(|name| format!("proto/bailiwick/v1/{name}.proto"));
    let descriptors = protox::compile(files, ["proto"])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("bailiwick_descriptor.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .codec_path("crate::api::codec::WireCodec")
        .compile_fds(descriptors)?;
    Ok(())
}
