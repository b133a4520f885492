//! The words that every other part of the node shares: blocks, transactions, forks, genesis files,
//! validator sets, seals and limits. No I/O, no clock, no threads of its own.
//!
//! Read on at [`spec::ChainSpec`] (what a chain's rules are at a block), [`block`] (what a block
//! is on its way from bytes to disk) and [`state`] (the language between execution and storage).

pub mod block;
pub mod extra_data;
pub mod fork;
pub mod genesis;
pub mod header_hash;
pub mod ids;
pub mod limits;
pub mod private;
pub mod seal;
pub mod signer;
pub mod spec;
pub mod state;
pub mod transaction;
pub mod transition;
pub mod validators;
pub mod votes;

pub use alloy_consensus::{EthereumReceipt as Receipt, Header};
pub use block::{Block, BlockBody, RecoveredBlock, SealedHeader};
pub use ids::{EnvironmentId, NodeId};
pub use spec::ChainSpec;
pub use state::{Account, AccountChange, StateChanges, StateError, StateReader};
pub use transaction::{RecoveredTransaction, TransactionEnvelope};
pub use validators::ValidatorSet;

/// Height of a block.
pub type BlockNumber = u64;
