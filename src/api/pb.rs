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

/// The servers of which some messages are not read into the generated types: `build.rs` says which.
#[expect(
    unreachable_pub,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::too_many_lines,
    reason = "generated code"
)]
pub(super) mod served {
    include!(concat!(env!("OUT_DIR"), "/served/bailiwick.v1.rs"));
}

/// The descriptors of everything in `proto/`, for reflection.
pub const DESCRIPTORS: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/bailiwick_descriptor.bin"));
