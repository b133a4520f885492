//! What engines keep in a header's extraData.

pub mod clique;
pub mod istanbul;
pub mod qbft;
pub mod raft;

/// Why extraData is not what the engine writes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExtraDataError {
    /// More bytes than any validator set needs.
    #[error("extraData has {got} bytes, at most {allowed} are allowed")]
    TooLong {
        /// Bytes given.
        got: usize,
        /// Bytes allowed.
        allowed: usize,
    },
    /// Not the RLP that the engine writes.
    #[error("extraData is not valid: {0}")]
    Rlp(#[from] alloy_rlp::Error),
    /// More entries than validators may exist.
    #[error("extraData lists {got} {what}, at most {allowed} are allowed")]
    TooMany {
        /// `validators` or `committed seals`.
        what: &'static str,
        /// Entries given.
        got: usize,
        /// Entries allowed.
        allowed: usize,
    },
}

pub(crate) const fn bounded(
    what: &'static str,
    got: usize,
    allowed: usize,
) -> Result<(), ExtraDataError> {
    if got > allowed { Err(ExtraDataError::TooMany { what, got, allowed }) } else { Ok(()) }
}
