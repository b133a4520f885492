//! The language between execution, storage, pool and RPC: what may be read of a state, and what a
//! block changed in it.

use crate::BlockNumber;
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256};
use std::collections::BTreeMap;

/// An account without its storage, as execution sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Transactions sent, or contracts created.
    pub nonce: u64,
    /// In wei.
    pub balance: U256,
    /// keccak256 of the code; [`KECCAK256_EMPTY`] when there is none.
    pub code_hash: B256,
}

impl Default for Account {
    fn default() -> Self {
        Self { nonce: 0, balance: U256::ZERO, code_hash: KECCAK256_EMPTY }
    }
}

impl Account {
    /// Whether the account counts as empty (EIP-161).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nonce == 0 && self.balance.is_zero() && self.code_hash == KECCAK256_EMPTY
    }

    /// Whether the account has code.
    #[must_use]
    pub fn has_code(&self) -> bool {
        self.code_hash != KECCAK256_EMPTY
    }
}

/// The state could not be read: the node is broken, the block is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// The database failed.
    #[error("state of block {block} cannot be read: {cause}")]
    Database {
        /// Block whose state was asked for.
        block: BlockNumber,
        /// What the database said.
        cause: String,
    },
    /// The state is older than what is kept.
    #[error("state of block {block} is not kept, the oldest is block {oldest}")]
    NotKept {
        /// Block whose state was asked for.
        block: BlockNumber,
        /// Oldest block whose state is kept.
        oldest: BlockNumber,
    },
    /// Code that an account refers to is missing.
    #[error("code {0} is missing from the database")]
    CodeMissing(B256),
}

/// A state that can be read. Implemented by the state at a block, and by overlays over it.
pub trait StateReader: Send + Sync {
    /// The account, or `None` when it does not exist.
    ///
    /// # Errors
    /// When the database fails or the state is no longer kept.
    fn account(&self, address: Address) -> Result<Option<Account>, StateError>;
    /// The value of a storage slot; zero when it was never written.
    ///
    /// # Errors
    /// When the database fails or the state is no longer kept.
    fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError>;
    /// The code with this hash.
    ///
    /// # Errors
    /// When the database fails or the code is missing.
    fn code(&self, hash: B256) -> Result<Bytes, StateError>;
    /// The hash of an ancestor; zero when the number is unknown.
    ///
    /// # Errors
    /// When the database fails.
    fn block_hash(&self, number: BlockNumber) -> Result<B256, StateError>;
}

/// What one block did to one account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountChange {
    /// The account before the block; `None` when it did not exist.
    pub before: Option<Account>,
    /// The account after the block; `None` when it was deleted.
    pub after: Option<Account>,
    /// Everything in storage was removed before `storage` was written (selfdestruct).
    pub storage_wiped: bool,
    /// Slots whose value changed: (before, after). `before` is zero for a wiped storage's slots.
    pub storage: BTreeMap<U256, (U256, U256)>,
}

/// What one block did to the state. Ordered maps: the order reaches bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateChanges {
    /// Changed accounts.
    pub accounts: BTreeMap<Address, AccountChange>,
    /// Code that was deployed, by hash.
    pub code: BTreeMap<B256, Bytes>,
}
