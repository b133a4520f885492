//! Block hash and sealing hash per engine.

use crate::{
    SealedHeader,
    extra_data::{ExtraDataError, istanbul::IstanbulExtra, qbft::QbftExtra},
    spec::EngineKind,
};
use alloy_consensus::Header;
use alloy_primitives::{B256, Bytes, keccak256};

/// The block hash of a header under an engine's rule. QBFT leaves out committed seals and round,
/// so differently sealed forms of a block have one hash.
///
/// # Errors
/// When extraData is not what the engine writes.
pub fn block_hash(engine: EngineKind, header: &Header) -> Result<B256, ExtraDataError> {
    match engine {
        EngineKind::Qbft => {
            let extra = QbftExtra::decode(&header.extra_data)?;
            Ok(hash_with_extra(header, extra.without_seals_and_round().encode()))
        }
        EngineKind::Istanbul => {
            let extra = IstanbulExtra::decode(&header.extra_data)?;
            Ok(hash_with_extra(header, extra.without_committed_seals().encode()))
        }
        EngineKind::Clique | EngineKind::Raft | EngineKind::Ethereum => Ok(header.hash_slow()),
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
    hash_with_extra(header, extra.without_seals().encode())
}

/// What an IBFT 1 proposer signs: the hash of the hash of the header without any seal.
#[must_use]
pub fn istanbul_proposer_digest(header: &Header, extra: &IstanbulExtra) -> B256 {
    keccak256(hash_with_extra(header, extra.without_seals().encode()))
}

/// What an IBFT 1 commit seal signs: the block hash and the code of a commit message.
#[must_use]
pub fn istanbul_commit_digest(block_hash: B256) -> B256 {
    const COMMIT: u8 = 2;
    keccak256([block_hash.as_slice(), &[COMMIT]].concat())
}

fn hash_with_extra(header: &Header, extra_data: Bytes) -> B256 {
    let header = Header { extra_data, ..header.clone() };
    keccak256(alloy_rlp::encode(&header))
}
