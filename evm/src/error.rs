//! A block is bad, or this node is broken: never both in one variant.

use crate::InvalidTransaction;
use alloy_primitives::{Address, B256, Bloom};
use entente_chain::{StateError, private::PayloadHash};

/// Why executing a block gave no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// A transaction may not stand where it stands.
    #[error("transaction {index} ({hash}): {cause}")]
    Transaction {
        /// Place in the block, from 0.
        index: usize,
        /// Its hash.
        hash: B256,
        /// The rule it breaks.
        cause: Box<InvalidTransaction>,
    },
    /// This node is or may be a party and cannot read the payload now.
    #[error("private payload {hash} cannot be read: {cause}; execution waits for it")]
    PayloadUnavailable {
        /// Which payload.
        hash: PayloadHash,
        /// Why not.
        cause: String,
    },
    /// The header names other transactions than the body has.
    #[error("transactions root is {got}, header says {expected}")]
    TransactionsRoot {
        /// Of the body.
        got: B256,
        /// In the header.
        expected: B256,
    },
    /// The header names other uncles than the body has.
    #[error("ommers hash is {got}, header says {expected}")]
    OmmersHash {
        /// Of the body.
        got: B256,
        /// In the header.
        expected: B256,
    },
    /// EIP-4895: the header names other withdrawals than the body has, or either lacks them.
    #[error("withdrawals root is {got:?}, header says {expected:?}")]
    WithdrawalsRoot {
        /// Of the body.
        got: Option<B256>,
        /// In the header.
        expected: Option<B256>,
    },
    /// Withdrawals before Shanghai, none from Shanghai on, or any under our engines.
    #[error("withdrawals do not fit the fork: {got:?} given")]
    Withdrawals {
        /// How many the body has; `None`: no list at all.
        got: Option<usize>,
    },
    /// The transactions used another amount of gas.
    #[error("gas used is {got}, header says {expected}")]
    GasUsed {
        /// By execution.
        got: u64,
        /// In the header.
        expected: u64,
    },
    /// EIP-4844: the transactions used another amount of blob gas.
    #[error("blob gas used is {got:?}, header says {expected:?}")]
    BlobGasUsed {
        /// By the body.
        got: Option<u64>,
        /// In the header.
        expected: Option<u64>,
    },
    /// The receipts differ.
    #[error("receipts root is {got}, header says {expected}")]
    ReceiptsRoot {
        /// Of execution.
        got: B256,
        /// In the header.
        expected: B256,
    },
    /// The logs differ.
    #[error("logs bloom is {got}, header says {expected}")]
    LogsBloom {
        /// Of execution.
        got: Box<Bloom>,
        /// In the header.
        expected: Box<Bloom>,
    },
    /// EIP-7685: the requests to the consensus layer differ.
    #[error("requests hash is {got:?}, header says {expected:?}")]
    RequestsHash {
        /// Of execution.
        got: Option<B256>,
        /// In the header.
        expected: Option<B256>,
    },
    /// EIP-7002, EIP-7251: a contract that must be there is missing or failed.
    #[error("system call to {contract} failed: {cause}")]
    SystemCall {
        /// The contract.
        contract: Address,
        /// What happened.
        cause: String,
    },
    /// EIP-6110: a log of the deposit contract that is no deposit.
    #[error("deposit log of transaction {index} is malformed")]
    Deposit {
        /// Place of the transaction in the block.
        index: usize,
    },
    /// The parent given is not the block's parent; the caller is wrong.
    #[error("parent of block {number} is {expected}, {got} was given")]
    Parent {
        /// The block's height.
        number: u64,
        /// The block given as parent.
        got: B256,
        /// The parent that the header names.
        expected: B256,
    },
    /// The state could not be read: nothing is known about the block.
    #[error(transparent)]
    State(#[from] StateError),
    /// Execution itself failed: nothing is known about the block.
    #[error("execution failed: {0}")]
    Internal(String),
}

impl BlockError {
    /// Whether the block breaks a rule. `false`: this node could not tell.
    #[must_use]
    pub const fn is_invalid(&self) -> bool {
        !matches!(
            self,
            Self::PayloadUnavailable { .. }
                | Self::State(_)
                | Self::Internal(_)
                | Self::Parent { .. }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::B512;

    /// It once was: in the first seconds of a network, validators that asked each other for
    /// payloads accused every proposer of an invalid block.
    #[test]
    fn a_payload_that_cannot_be_read_is_no_fault_of_the_block() {
        let hash = PayloadHash(B512::ZERO);
        let waiting = BlockError::PayloadUnavailable { hash, cause: "asked".to_owned() };
        assert!(!waiting.is_invalid());
        assert!(BlockError::GasUsed { got: 1, expected: 2 }.is_invalid());
    }
}
