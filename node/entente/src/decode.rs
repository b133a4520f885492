//! Bytes of blocks into blocks with senders and hash.

use alloy_rlp::Decodable;
use entente_chain::{Block, ChainSpec, RecoveredBlock, header_hash};
use entente_evm::Senders;

/// Decodes exactly one block and recovers its senders.
///
/// # Errors
/// In words: not RLP of a block, extraData of another engine, a signature without a sender.
pub(crate) fn block(
    senders: &Senders,
    spec: &ChainSpec,
    bytes: &[u8],
) -> Result<RecoveredBlock, String> {
    let mut rest = bytes;
    let block = Block::decode(&mut rest).map_err(|error| format!("block: {error}"))?;
    if !rest.is_empty() {
        return Err(format!("block: {} trailing bytes", rest.len()));
    }
    recover(senders, spec, block)
}

/// Recovers the senders of a decoded block.
///
/// # Errors
/// As [`block`].
pub(crate) fn recover(
    senders: &Senders,
    spec: &ChainSpec,
    block: Block,
) -> Result<RecoveredBlock, String> {
    let hash = header_hash::block_hash(spec.engine_at(block.header.number), &block.header)
        .map_err(|error| format!("block {}: {error}", block.header.number))?;
    senders.recover_block(block, hash).map_err(|error| error.to_string())
}
