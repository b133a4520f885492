//! Why the chain did not take a block: the block is bad, or this node is broken.

use alloy_primitives::B256;
use entente_chain::{BlockNumber, StateError, extra_data::ExtraDataError, votes::VoteTallyError};
use entente_consensus::rules::HeaderError;
use entente_evm::BlockError;
use entente_storage::StoreError;

/// See the module.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// A header rule is broken.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// extraData is not the engine's.
    #[error(transparent)]
    ExtraData(#[from] ExtraDataError),
    /// Execution gave something else than the header says, or the database failed in it.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// Execution led to another state.
    #[error("state root {got}, the header says {expected}")]
    StateRoot {
        /// Root after execution here.
        got: B256,
        /// Root in the header.
        expected: B256,
    },
    /// The block does not follow the head.
    #[error("parent {got} is not the head {head}")]
    ParentMissing {
        /// Parent of the block.
        got: B256,
        /// Our head.
        head: B256,
    },
    /// The validators of a block are not in the database.
    #[error("validators after block {0} are missing from the database; run `entente db check`")]
    TallyMissing(BlockNumber),
    /// The chain asks for something that this version cannot do.
    #[error("{0}")]
    Unsupported(String),
    /// This node could not ask the validator contract.
    #[error("the validator contract could not be asked: {0}")]
    Contract(String),
    /// A branch begins too deep, above the head, or not on the canonical chain.
    #[error(
        "a branch from block {ancestor} does not fit the head {head}: at most {allowed} blocks are taken back"
    )]
    Branch {
        /// Newest block that both branches share.
        ancestor: BlockNumber,
        /// Our head.
        head: BlockNumber,
        /// Deepest reorganisation.
        allowed: u64,
    },
    /// They are there but cannot be read.
    #[error(transparent)]
    Tally(#[from] VoteTallyError),
    /// The state could not be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl LedgerError {
    /// Why a private payload cannot be read, when that is what is wrong.
    #[must_use]
    pub fn missing_payload(&self) -> Option<String> {
        match self {
            Self::Block(error @ BlockError::PayloadUnavailable { .. }) => Some(error.to_string()),
            _ => None,
        }
    }

    /// Whether the block is at fault, and not this node.
    #[must_use]
    pub fn is_invalid_block(&self) -> bool {
        match self {
            // Our clock may be behind: ask again, accuse nobody.
            Self::Header(HeaderError::TimestampInFuture { .. }) => false,
            Self::Header(_) | Self::ExtraData(_) | Self::StateRoot { .. } => true,
            Self::Block(error) => error.is_invalid(),
            Self::ParentMissing { .. }
            | Self::TallyMissing(_)
            | Self::Unsupported(_)
            | Self::Contract(_)
            | Self::Branch { .. }
            | Self::Tally(_)
            | Self::State(_)
            | Self::Store(_) => false,
        }
    }
}
