//! The public contract over gRPC, and the only module that speaks protobuf. (Service files follow.)

pub mod client;

/// The messages, clients and servers made from `proto/dialgate/v1`.
pub mod pb {
    tonic::include_proto!("dialgate.v1");

    /// The compiled contract, for reflection and for tests that walk over every method.
    pub const FILE_DESCRIPTOR_SET: &[u8] =
        tonic::include_file_descriptor_set!("dialgate_descriptor");
}
