//! Why a transaction does not get in. The texts are geth's: clients match on them.

use alloy_primitives::{Address, U256};
use entente_evm::InvalidTransaction;

/// Why the pool refuses a transaction. `Display` is what RPC answers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// It is here.
    #[error("already known")]
    AlreadyKnown,
    /// The nonce was used.
    #[error("nonce too low: next nonce {next}, tx nonce {nonce}")]
    NonceTooLow {
        /// The account's nonce.
        next: u64,
        /// The transaction's.
        nonce: u64,
    },
    /// Another transaction with this nonce waits, and this one does not replace it.
    #[error("replacement transaction underpriced")]
    Underpriced,
    /// The sender cannot pay.
    #[error(
        "insufficient funds for gas * price + value: balance {balance}, tx cost {cost}, overshot {}",
        .cost.saturating_sub(*.balance)
    )]
    InsufficientFunds {
        /// The account's balance in wei.
        balance: U256,
        /// Gas limit times price, plus value, in wei.
        cost: U256,
    },
    /// No room, and nothing that would have to go first.
    #[error("txpool is full")]
    Full,
    /// The sender has as many transactions waiting as it may.
    #[error(
        "account limit exceeded: {waiting} transactions of {sender} wait, {allowed} are allowed"
    )]
    SenderFull {
        /// The sender.
        sender: Address,
        /// How many wait, executable or gapped ones.
        waiting: usize,
        /// How many may.
        allowed: usize,
    },
    /// No block could hold it.
    #[error("{0}")]
    Invalid(#[from] InvalidTransaction),
    /// The sender's account could not be read: the node is broken, the transaction may be fine.
    #[error("the state of the head cannot be read")]
    Unavailable,
}

impl PoolError {
    /// A short name for counting.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::AlreadyKnown => "known",
            Self::NonceTooLow { .. } => "nonce",
            Self::Underpriced => "underpriced",
            Self::InsufficientFunds { .. } => "funds",
            Self::Full => "full",
            Self::SenderFull { .. } => "sender",
            Self::Invalid(_) => "invalid",
            Self::Unavailable => "unavailable",
        }
    }
}
