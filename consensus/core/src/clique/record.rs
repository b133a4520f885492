//! Our newest seal: byte form `[1, 3] ++ RLP` of `[number, total difficulty, hash]`. A seal of the
//! same or less weight would be a second word about the same thing.

use alloy_primitives::{B256, U256};
use alloy_rlp::{Decodable, RlpDecodable, RlpEncodable};
use entente_chain::BlockNumber;

/// Version and engine.
pub(crate) const PREFIX: [u8; 2] = [1, 3];

/// A record of the Clique engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct Record {
    /// Height.
    pub number: BlockNumber,
    /// Sum of difficulties up to the block.
    pub total_difficulty: U256,
    /// Block hash.
    pub hash: B256,
}

/// Why bytes of the log are no record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record is damaged: {0}")]
pub struct RecordError(#[from] alloy_rlp::Error);

impl Record {
    pub(crate) fn encode(&self) -> Vec<u8> {
        [&PREFIX[..], &alloy_rlp::encode(self)].concat()
    }

    /// Reads what follows the prefix.
    pub(crate) fn decode(mut body: &[u8]) -> Result<Self, RecordError> {
        let record = <Self as Decodable>::decode(&mut body)?;
        if !body.is_empty() {
            return Err(alloy_rlp::Error::Custom("trailing bytes").into());
        }
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_every_cut_refused() {
        let record =
            Record { number: 7, total_difficulty: U256::from(13), hash: B256::repeat_byte(3) };
        let bytes = record.encode();
        assert_eq!(Record::decode(&bytes[2..]), Ok(record));
        for length in 2..bytes.len() {
            assert!(Record::decode(&bytes[2..length]).is_err(), "cut to {length} bytes");
        }
    }
}
