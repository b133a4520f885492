//! The durable state as one record, byte form `[1, 2] ++ RLP`: version, engine, then `[term, vote,
//! [accepted term, block]]`. The newest record is all there is to know.

use super::state::{Accepted, Durable};
use alloy_primitives::{Address, B256};
use alloy_rlp::{Decodable, Encodable, Header};
use entente_chain::{
    Block, BlockBody, RecoveredBlock, RecoveredTransaction, SealedHeader, transaction::Signing,
};
use std::sync::Arc;

/// Version and engine.
pub(crate) const PREFIX: [u8; 2] = [1, 2];

/// A record of the Raft engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record(pub(super) Durable);

/// Why bytes of the log are no record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Not the RLP of a record.
    #[error("record is damaged: {0}")]
    Rlp(#[from] alloy_rlp::Error),
    /// The block is not what it was.
    #[error("record is damaged: {0}")]
    Block(String),
}

impl Record {
    /// Height of the accepted block, if there is one.
    #[must_use]
    pub fn accepted_height(&self) -> Option<u64> {
        self.0.accepted.as_ref().map(|accepted| accepted.block.header.number)
    }

    /// Term in which the accepted block was accepted, and its hash.
    #[must_use]
    pub fn accepted(&self) -> Option<(u64, B256)> {
        self.0.accepted.as_ref().map(|accepted| (accepted.term, accepted.block.hash()))
    }

    /// Term and vote.
    #[must_use]
    pub const fn vote(&self) -> (u64, Option<Address>) {
        (self.0.term, self.0.voted_for)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let Durable { term, voted_for, accepted } = &self.0;
        let mut fields = Vec::with_capacity(128);
        term.encode(&mut fields);
        voted_for.as_ref().map_or(&[][..], |vote| vote.as_slice()).encode(&mut fields);
        let mut listed = Vec::new();
        if let Some(accepted) = accepted {
            accepted.term.encode(&mut listed);
            accepted.block.encode(&mut listed);
        }
        Header { list: true, payload_length: listed.len() }.encode(&mut fields);
        fields.extend_from_slice(&listed);
        let mut out = PREFIX.to_vec();
        Header { list: true, payload_length: fields.len() }.encode(&mut out);
        out.extend_from_slice(&fields);
        out
    }

    /// Reads what follows the prefix.
    pub(crate) fn decode(mut body: &[u8], signing: Signing) -> Result<Self, RecordError> {
        let mut fields = Header::decode_bytes(&mut body, true)?;
        let term = u64::decode(&mut fields)?;
        let voted_for = match Header::decode_bytes(&mut fields, false)? {
            [] => None,
            bytes => {
                Some(Address::try_from(bytes).map_err(|_| alloy_rlp::Error::UnexpectedLength)?)
            }
        };
        let mut listed = Header::decode_bytes(&mut fields, true)?;
        let accepted = match listed.is_empty() {
            true => None,
            false => {
                let term = u64::decode(&mut listed)?;
                Some(Accepted { term, block: recover(Block::decode(&mut listed)?, signing)? })
            }
        };
        if !body.is_empty() || !fields.is_empty() || !listed.is_empty() {
            return Err(alloy_rlp::Error::Custom("trailing bytes").into());
        }
        Ok(Self(Durable { term, voted_for, accepted }))
    }
}

/// Happens once, at start: senders are recovered here and not by the node's cache.
fn recover(block: Block, signing: Signing) -> Result<RecoveredBlock, RecordError> {
    let Block { header, transactions, ommers, withdrawals } = block;
    let hash = header.hash_slow();
    let transactions = transactions
        .into_iter()
        .map(|envelope| RecoveredTransaction::recover(envelope, signing).map(Arc::new))
        .collect::<Result<_, _>>()
        .map_err(|cause| RecordError::Block(cause.to_string()))?;
    let body = Arc::new(BlockBody { transactions, ommers, withdrawals });
    Ok(RecoveredBlock { header: SealedHeader::new(header, hash), body })
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
        let voted_for = Some(Address::repeat_byte(3));
        let accepted = Some(Accepted { term: 4, block });
        for durable in [Durable::default(), Durable { term: 5, voted_for, accepted }] {
            let record = Record(durable);
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
}
