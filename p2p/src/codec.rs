//! What this crate itself says on the wire. Consensus and transaction frames pass through as
//! bytes; their owners decode them.

pub(crate) mod blocks;
pub(crate) mod hello;
pub(crate) mod status;

/// Bytes that are not what the lane carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CodecError {
    /// Not canonical RLP of the expected shape, or something follows it.
    #[error("malformed message")]
    Malformed,
    /// A list or number beyond its bound.
    #[error("{what} {got}, at most {limit} expected")]
    TooMany { what: &'static str, got: u64, limit: u64 },
}

impl From<alloy_rlp::Error> for CodecError {
    fn from(_: alloy_rlp::Error) -> Self {
        Self::Malformed
    }
}

/// Decodes all of some bytes.
fn decode_exact<T: alloy_rlp::Decodable>(bytes: &[u8]) -> Result<T, CodecError> {
    Ok(alloy_rlp::decode_exact(bytes)?)
}
