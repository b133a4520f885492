//! What must be durable before this node says it: byte form `[1, 1] ++ RLP`, version and engine
//! first. A record that cannot be read stops the node instead of letting it forget a vote.

use super::{
    payload::{Kind, PreparePayload, Signed, nothing_left},
    wire::{decode_prepares, encode_list},
};
use crate::message::AdmissionError;
use alloy_primitives::B256;
use alloy_rlp::{Decodable, Encodable, Header};
use entente_chain::{
    Block, BlockBody, BlockNumber, EnvironmentId, RecoveredBlock, RecoveredTransaction,
    SealedHeader, header_hash, limits::VALIDATORS_MAX, spec::EngineKind, transaction::Signing,
};
use std::sync::Arc;

/// Version and engine.
pub(crate) const PREFIX: [u8; 2] = [1, 1];
const VOTE_SENT: u8 = 1;
const PREPARED: u8 = 2;
const ROUND_REACHED: u8 = 3;

/// A record of the IBFT engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// We voted for a block.
    VoteSent {
        /// Height.
        height: BlockNumber,
        /// Round.
        round: u64,
        /// Proposal, prepare or commit.
        kind: Kind,
        /// Block hash.
        digest: B256,
    },
    /// We saw a quorum of prepares.
    Prepared {
        /// Height.
        height: BlockNumber,
        /// Round.
        round: u64,
        /// The block.
        block: Box<RecoveredBlock>,
        /// The quorum.
        prepares: Vec<Signed<PreparePayload>>,
    },
    /// We gave up on all earlier rounds.
    RoundReached {
        /// Height.
        height: BlockNumber,
        /// The round we asked for.
        round: u64,
    },
}

/// Why bytes of the log are no record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Not the RLP of a record.
    #[error("record is damaged: {0}")]
    Rlp(#[from] alloy_rlp::Error),
    /// The certificate is not what it was.
    #[error("record is damaged: {0}")]
    Certificate(#[from] AdmissionError),
    /// The block is not what it was.
    #[error("record is damaged: {0}")]
    Block(String),
}

impl Record {
    /// Height that the record is about.
    #[must_use]
    pub const fn height(&self) -> BlockNumber {
        match self {
            Self::VoteSent { height, .. }
            | Self::Prepared { height, .. }
            | Self::RoundReached { height, .. } => *height,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut fields = Vec::with_capacity(128);
        match self {
            Self::VoteSent { height, round, kind, digest } => {
                begin(VOTE_SENT, *height, *round, &mut fields);
                kind.code().encode(&mut fields);
                digest.encode(&mut fields);
            }
            Self::Prepared { height, round, block, prepares } => {
                begin(PREPARED, *height, *round, &mut fields);
                block.encode(&mut fields);
                encode_list(prepares, &mut fields);
            }
            Self::RoundReached { height, round } => {
                begin(ROUND_REACHED, *height, *round, &mut fields);
            }
        }
        let mut out = PREFIX.to_vec();
        Header { list: true, payload_length: fields.len() }.encode(&mut out);
        out.extend_from_slice(&fields);
        out
    }

    /// Reads what follows the prefix.
    pub(crate) fn decode(
        mut body: &[u8],
        environment: EnvironmentId,
        signing: Signing,
    ) -> Result<Self, RecordError> {
        let mut fields = Header::decode_bytes(&mut body, true)?;
        nothing_left(body)?;
        let tag = u8::decode(&mut fields)?;
        let height = u64::decode(&mut fields)?;
        let round = u64::decode(&mut fields)?;
        let record = match tag {
            VOTE_SENT => {
                let kind = Kind::from_code(u8::decode(&mut fields)?)
                    .ok_or(alloy_rlp::Error::Custom("unknown vote"))?;
                Self::VoteSent { height, round, kind, digest: B256::decode(&mut fields)? }
            }
            PREPARED => {
                let block = Block::decode(&mut fields)?;
                let prepares = decode_prepares(&mut fields, environment, VALIDATORS_MAX)?;
                let digest = prepares.first().map(|prepare| prepare.payload().digest);
                let block = Box::new(recover(block, digest, signing)?);
                Self::Prepared { height, round, block, prepares }
            }
            ROUND_REACHED => Self::RoundReached { height, round },
            _ => return Err(alloy_rlp::Error::Custom("unknown record").into()),
        };
        nothing_left(fields)?;
        Ok(record)
    }
}

fn begin(tag: u8, height: BlockNumber, round: u64, out: &mut Vec<u8>) {
    tag.encode(out);
    height.encode(out);
    round.encode(out);
}

/// Happens once, at start: senders are recovered here and not by the node's cache.
fn recover(
    block: Block,
    digest: Option<B256>,
    signing: Signing,
) -> Result<RecoveredBlock, RecordError> {
    let Block { header, transactions, ommers, withdrawals } = block;
    let is = |engine| header_hash::block_hash(engine, &header).ok() == digest;
    let header = match digest {
        Some(digest) if is(EngineKind::Qbft) || is(EngineKind::Istanbul) => {
            SealedHeader::new(header, digest)
        }
        _ => return Err(RecordError::Block("the prepares are of another block".to_owned())),
    };
    let transactions = transactions
        .into_iter()
        .map(|envelope| RecoveredTransaction::recover(envelope, signing).map(Arc::new))
        .collect::<Result<_, _>>()
        .map_err(|cause| RecordError::Block(cause.to_string()))?;
    Ok(RecoveredBlock { header, body: Arc::new(BlockBody { transactions, ommers, withdrawals }) })
}
