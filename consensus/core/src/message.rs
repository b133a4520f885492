//! Consensus messages on the wire, and what a frame must pass before an engine sees it.
//!
//! [`admit`] is pure and stateless: the host runs it on many threads and hands the results over in
//! order. Cheap checks (size, shape, environment, height) come before signatures, signatures before
//! the senders of a block.

use crate::{clique, ibft, raft};
use alloy_consensus::proofs::calculate_transaction_root;
use alloy_primitives::{Address, Bytes};
use alloy_rlp::Decodable;
use entente_chain::{
    Block, BlockBody, BlockNumber, EnvironmentId, RecoveredBlock, RecoveredTransaction,
    SealedHeader, TransactionEnvelope, ValidatorSet,
    extra_data::ExtraDataError,
    limits::{
        BLOCK_BYTES_MAX, BLOCK_TRANSACTIONS_MAX, CONSENSUS_FRAME_BYTES_MAX, FUTURE_HEIGHTS_MAX,
        VALIDATORS_MAX,
    },
};
use std::sync::Arc;

/// First byte of a frame: whose message it is and in which version.
const IBFT: u8 = 1;
const RAFT: u8 = 2;
const CLIQUE: u8 = 3;

/// A message of any engine. Closed on purpose: the compiler lists every place a new engine touches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Of the IBFT engine.
    Ibft(ibft::Message),
    /// Of the Raft engine.
    Raft(Box<raft::Message>),
    /// Of the Clique engine.
    Clique(Box<clique::Message>),
}

impl Message {
    /// The frame that carries the message.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Ibft(message) => {
                let mut out = vec![IBFT];
                message.encode(&mut out);
                out.into()
            }
            Self::Raft(message) => {
                let mut out = vec![RAFT];
                message.encode(&mut out);
                out.into()
            }
            Self::Clique(message) => {
                let mut out = vec![CLIQUE];
                message.encode(&mut out);
                out.into()
            }
        }
    }
}

/// A message whose size, shape and signatures were checked, with the frame it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    message: Message,
    frame: Bytes,
}

impl Admitted {
    /// The message.
    #[must_use]
    pub const fn message(&self) -> &Message {
        &self.message
    }

    /// The message, when it is the IBFT engine's.
    pub(crate) const fn ibft(&self) -> Option<&ibft::Message> {
        match &self.message {
            Message::Ibft(message) => Some(message),
            Message::Raft(_) | Message::Clique(_) => None,
        }
    }

    /// The frame, byte for byte as it came, to be relayed.
    #[must_use]
    pub const fn frame(&self) -> &Bytes {
        &self.frame
    }
}

/// Where the chain stands, so that what cannot matter is dropped before any signature is checked.
/// It may lag behind the engine: the engine checks again.
#[derive(Clone, Copy, Debug)]
pub struct Gate<'a> {
    /// Messages of other environments are refused.
    pub environment: EnvironmentId,
    /// Height of the head. Heights from the next one to [`FUTURE_HEIGHTS_MAX`] above pass.
    pub head: BlockNumber,
    /// Validators of the block after `head`: nobody else is listened to at that height.
    pub validators: &'a ValidatorSet,
}

impl Gate<'_> {
    /// Whether a height lies within the window.
    pub(crate) fn check_height(&self, got: BlockNumber) -> Result<(), AdmissionError> {
        let lowest = self.head.saturating_add(1);
        let highest = self.head.saturating_add(FUTURE_HEIGHTS_MAX);
        match (lowest..=highest).contains(&got) {
            true => Ok(()),
            false => Err(AdmissionError::Height { got, lowest, highest }),
        }
    }

    /// Longest list of validators' signatures at a height.
    pub(crate) fn list_limit(&self, height: BlockNumber) -> usize {
        let known = height == self.head.saturating_add(1);
        if known { self.validators.len() } else { VALIDATORS_MAX }
    }

    /// Whether an author may vote at a height, as far as this node knows the set there.
    pub(crate) fn check_author(
        &self,
        height: BlockNumber,
        author: Address,
    ) -> Result<(), AdmissionError> {
        let known = height == self.head.saturating_add(1);
        match known && !self.validators.contains(author) {
            true => Err(AdmissionError::NotValidator(author)),
            false => Ok(()),
        }
    }
}

/// Recovers the senders of a block's transactions (the node's cache and thread pool do).
pub type RecoverSenders<'a> =
    &'a dyn Fn(Vec<TransactionEnvelope>) -> Result<Vec<Arc<RecoveredTransaction>>, String>;

/// Why a frame is dropped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdmissionError {
    /// Larger than any message.
    #[error("frame has {got} bytes, at most {CONSENSUS_FRAME_BYTES_MAX} are allowed")]
    TooLarge {
        /// Bytes given.
        got: usize,
    },
    /// The first byte names no engine.
    #[error("frame begins with {0:?}, expected 1 (ibft), 2 (raft) or 3 (clique)")]
    UnknownEngine(Option<u8>),
    /// Not the RLP of a message.
    #[error("not a consensus message: {0}")]
    Rlp(#[from] alloy_rlp::Error),
    /// A message type that does not exist.
    #[error("message code {0:#x} is unknown")]
    UnknownCode(u8),
    /// Signed for another environment.
    #[error("message of another environment")]
    OtherEnvironment,
    /// Too old or too far ahead.
    #[error("height {got} is outside {lowest} to {highest}")]
    Height {
        /// Height of the message.
        got: BlockNumber,
        /// Lowest height of interest.
        lowest: BlockNumber,
        /// Highest height of interest.
        highest: BlockNumber,
    },
    /// No honest node reaches this round.
    #[error("round {got} is above {allowed}")]
    Round {
        /// Round of the message.
        got: u64,
        /// Highest round allowed.
        allowed: u64,
    },
    /// A list longer than the validator set.
    #[error("{got} {what}, at most {allowed} are allowed")]
    TooMany {
        /// What is listed.
        what: &'static str,
        /// Entries given.
        got: usize,
        /// Entries allowed.
        allowed: usize,
    },
    /// The signature belongs to no key.
    #[error("signature belongs to no key")]
    Signature,
    /// The seal in a commit is not its author's.
    #[error("seal was made by {sealer}, expected the author {author}")]
    SealAuthor {
        /// Who made the seal.
        sealer: Address,
        /// Who signed the message.
        author: Address,
    },
    /// The author does not vote at this height.
    #[error("{0} is not a validator at this height")]
    NotValidator(Address),
    /// Parts of the message do not belong together.
    #[error("{0}")]
    Mismatch(&'static str),
    /// The header's extraData is not the engine's.
    #[error(transparent)]
    ExtraData(#[from] ExtraDataError),
    /// A transaction of the block has no sender.
    #[error("block: {0}")]
    Senders(String),
}

/// Decodes a frame and checks everything that needs no state: bounds first, then the height
/// window, then signatures, then the senders of the block it may carry.
///
/// # Errors
/// Says which check failed. A peer that sends such a frame is faulty, except for `Height` and
/// `NotValidator`, which a node that lags behind sends in good faith.
pub fn admit(
    frame: &Bytes,
    gate: &Gate<'_>,
    recover: RecoverSenders<'_>,
) -> Result<Admitted, AdmissionError> {
    if frame.len() > CONSENSUS_FRAME_BYTES_MAX {
        return Err(AdmissionError::TooLarge { got: frame.len() });
    }
    match frame.split_first() {
        Some((&IBFT, body)) => {
            let message = Message::Ibft(ibft::Message::admit(body, gate, recover)?);
            Ok(Admitted { message, frame: frame.clone() })
        }
        Some((&RAFT, body)) => {
            let message = Message::Raft(Box::new(raft::Message::admit(body, gate, recover)?));
            Ok(Admitted { message, frame: frame.clone() })
        }
        Some((&CLIQUE, body)) => {
            let message = Message::Clique(Box::new(clique::Message::admit(body, gate, recover)?));
            Ok(Admitted { message, frame: frame.clone() })
        }
        first => Err(AdmissionError::UnknownEngine(first.map(|(byte, _)| *byte))),
    }
}

/// Whether the transactions are those that the header names.
pub(crate) fn body_matches(block: &RecoveredBlock) -> bool {
    let envelopes: Vec<_> =
        block.transactions().iter().map(|transaction| transaction.envelope().clone()).collect();
    calculate_transaction_root(&envelopes) == block.header.transactions_root
}

/// Reads a block of an engine whose block hash is that of the whole header, at a height within
/// `(lowest, highest)`, its senders not recovered. Closed world: no uncles, no withdrawals; the body
/// belongs to the header.
pub(crate) fn decode_carried_block(
    fields: &mut &[u8],
    (lowest, highest): (BlockNumber, BlockNumber),
) -> Result<Block, AdmissionError> {
    let before = fields.len();
    let block = Block::decode(fields)?;
    let got = before.saturating_sub(fields.len());
    if got > BLOCK_BYTES_MAX {
        let what = "bytes of a block";
        return Err(AdmissionError::TooMany { what, got, allowed: BLOCK_BYTES_MAX });
    }
    let (got, allowed) = (block.transactions.len(), BLOCK_TRANSACTIONS_MAX);
    if got > allowed {
        return Err(AdmissionError::TooMany { what: "transactions", got, allowed });
    }
    let got = block.header.number;
    if !(lowest..=highest).contains(&got) {
        return Err(AdmissionError::Height { got, lowest, highest });
    }
    let withdrawn = block.withdrawals.as_ref().is_some_and(|list| !list.is_empty());
    let named = block.header.withdrawals_root.is_some();
    if !block.ommers.is_empty() || withdrawn || block.withdrawals.is_some() != named {
        return Err(AdmissionError::Mismatch("the block has uncles or withdrawals"));
    }
    if calculate_transaction_root(&block.transactions) != block.header.transactions_root {
        return Err(AdmissionError::Mismatch("the transactions are not those of the header"));
    }
    Ok(block)
}

/// The last and dearest step for a block that passed all checks.
pub(crate) fn recover_carried_block(
    block: Block,
    recover: RecoverSenders<'_>,
) -> Result<RecoveredBlock, AdmissionError> {
    let Block { header, transactions, ommers, withdrawals } = block;
    let transactions = recover(transactions).map_err(AdmissionError::Senders)?;
    let hash = header.hash_slow();
    let body = Arc::new(BlockBody { transactions, ommers, withdrawals });
    Ok(RecoveredBlock { header: SealedHeader::new(header, hash), body })
}

/// Both steps in one.
pub(crate) fn admit_block(
    fields: &mut &[u8],
    window: (BlockNumber, BlockNumber),
    recover: RecoverSenders<'_>,
) -> Result<RecoveredBlock, AdmissionError> {
    recover_carried_block(decode_carried_block(fields, window)?, recover)
}
