//! The generated protobuf messages, servers and clients. Nothing is written by hand here; nothing
//! outside `api`, `cli` and the tests may name these types.

/// Package `bailiwick.v1`.
#[expect(
    missing_docs,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::large_enum_variant,
    clippy::too_many_lines,
    reason = "generated code"
)]
pub mod v1 {
    tonic::include_proto!("bailiwick.v1");
}

/// The descriptors of everything in `proto/`, for reflection.
pub const DESCRIPTORS: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/bailiwick_descriptor.bin"));
