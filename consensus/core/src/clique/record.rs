//! Our newest seal: byte form `[1, 3] ++ RLP` of `[total difficulty, block]`. A seal of the same or less
//! weight would be a second word about the same thing; the block itself is kept, so that a seal that
//! nobody has heard of is said again and does not silence us for ever.

use alloy_primitives::U256;
use alloy_rlp::{Decodable, Encodable, Header};
use entente_chain::{
    Block, BlockBody, RecoveredBlock, RecoveredTransaction, SealedHeader, transaction::Signing,
    transaction::TransactionError,
};
use std::sync::Arc;

/// Version and engine.
pub(crate) const PREFIX: [u8; 2] = [1, 3];

/// A record of the Clique engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Sum of difficulties up to the block.
    pub total_difficulty: U256,
    /// The block, sealed: said again if nobody has heard of it when we start.
    pub block: RecoveredBlock,
}

/// Why bytes of the log are no record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Not the RLP of a record.
    #[error("record is damaged: {0}")]
    Rlp(#[from] alloy_rlp::Error),
    /// A transaction of the block has no sender.
    #[error("record is damaged: {0}")]
    Sender(#[from] TransactionError),
}

impl Record {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = PREFIX.to_vec();
        let payload_length = self.total_difficulty.length() + self.block.length();
        Header { list: true, payload_length }.encode(&mut out);
        self.total_difficulty.encode(&mut out);
        self.block.encode(&mut out);
        out
    }

    /// Reads what follows the prefix.
    pub(crate) fn decode(mut body: &[u8], signing: Signing) -> Result<Self, RecordError> {
        let mut fields = Header::decode_bytes(&mut body, true)?;
        let total_difficulty = U256::decode(&mut fields)?;
        let Block { header, transactions, ommers, withdrawals } = Block::decode(&mut fields)?;
        if !body.is_empty() || !fields.is_empty() {
            return Err(alloy_rlp::Error::Custom("trailing bytes").into());
        }
        let transactions = transactions
            .into_iter()
            .map(|envelope| RecoveredTransaction::recover(envelope, signing).map(Arc::new))
            .collect::<Result<_, _>>()?;
        let hash = header.hash_slow();
        let body = Arc::new(BlockBody { transactions, ommers, withdrawals });
        let block = RecoveredBlock { header: SealedHeader::new(header, hash), body };
        Ok(Self { total_difficulty, block })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use entente_chain::Header as BlockHeader;

    #[test]
    fn what_is_written_is_read_back_and_every_cut_refused() {
        let header = BlockHeader { number: 7, ..BlockHeader::default() };
        let hash = header.hash_slow();
        let header = SealedHeader::new(header, hash);
        let block = RecoveredBlock { header, body: Arc::default() };
        let record = Record { total_difficulty: U256::from(13), block };
        let bytes = record.encode();
        assert_eq!(Record::decode(&bytes[2..], Signing::Ethereum), Ok(record));
        for length in 2..bytes.len() {
            assert!(
                Record::decode(&bytes[2..length], Signing::Ethereum).is_err(),
                "cut to {length} bytes"
            );
        }
    }
}
