//! Block hash and sealing hash per engine.

use crate::{
    SealedHeader,
    extra_data::{ExtraDataError, qbft::QbftExtra},
    spec::EngineKind,
};
use alloy_consensus::Header;
use alloy_primitives::{B256, keccak256};

/// The block hash of a header under an engine's rule. QBFT leaves out committed seals and round,
/// so differently sealed forms of a block have one hash.
///
/// # Errors
/// When extraData is not what the engine writes.
pub fn block_hash(engine: EngineKind, header: &Header) -> Result<B256, ExtraDataError> {
    match engine {
        EngineKind::Qbft => {
            let extra = QbftExtra::decode(&header.extra_data)?;
            Ok(hash_with_extra(header, &extra.without_seals_and_round()))
        }
        EngineKind::Istanbul | EngineKind::Clique | EngineKind::Raft | EngineKind::Ethereum => {
            Ok(header.hash_slow())
        }
    }
}

/// Pairs a header with its block hash.
///
/// # Errors
/// As [`block_hash`].
pub fn seal(engine: EngineKind, header: Header) -> Result<SealedHeader, ExtraDataError> {
    let hash = block_hash(engine, &header)?;
    Ok(SealedHeader::new(header, hash))
}

/// What a QBFT commit seal signs: the header without seals, in the round that `extra` names.
#[must_use]
pub fn qbft_commit_digest(header: &Header, extra: &QbftExtra) -> B256 {
    hash_with_extra(header, &extra.without_seals())
}

fn hash_with_extra(header: &Header, extra: &QbftExtra) -> B256 {
    let header = Header { extra_data: extra.encode(), ..header.clone() };
    keccak256(alloy_rlp::encode(&header))
}
