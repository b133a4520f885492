//! What execution gave, kept until a block is adopted or its height has passed.
//!
//! Results are found by what was executed: the header without extraData, and the author. Raft,
//! Clique and IBFT 1 seal a block after it was built, which changes its hash and nothing that
//! execution sees.

use alloy_primitives::{Address, B256, Bytes};
use entente_chain::{Header, Receipt, RecoveredBlock, StateChanges, limits::EXECUTED_BLOCKS_MAX};
use entente_storage::{PrivateCommit, StateUpdate};
use std::{collections::VecDeque, sync::Arc};

/// A block that was executed and may be adopted.
pub(crate) struct ExecutedBlock {
    pub(crate) block: RecoveredBlock,
    pub(crate) receipts: Vec<Receipt>,
    pub(crate) state: StateUpdate,
    pub(crate) changes: Arc<StateChanges>,
    pub(crate) private: Vec<PrivateCommit>,
}

/// What two blocks have in common that execute alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExecutionKey {
    unsealed: B256,
    author: Address,
}

impl ExecutionKey {
    pub(crate) fn new(header: &Header, author: Address) -> Self {
        let unsealed = Header { extra_data: Bytes::new(), ..header.clone() }.hash_slow();
        Self { unsealed, author }
    }
}

/// The newest results.
#[derive(Default)]
pub(crate) struct ExecutedBlocks {
    kept: VecDeque<(ExecutionKey, ExecutedBlock)>,
}

impl ExecutedBlocks {
    pub(crate) fn keep(&mut self, key: ExecutionKey, block: ExecutedBlock) {
        while self.kept.len() >= EXECUTED_BLOCKS_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back((key, block));
    }

    pub(crate) fn get(&self, key: ExecutionKey) -> Option<&ExecutedBlock> {
        self.kept.iter().find(|(known, _)| *known == key).map(|(_, block)| block)
    }

    pub(crate) fn take(&mut self, key: ExecutionKey) -> Option<ExecutedBlock> {
        let index = self.kept.iter().position(|(known, _)| *known == key)?;
        self.kept.remove(index).map(|(_, block)| block)
    }

    pub(crate) fn clear(&mut self) {
        self.kept.clear();
    }
}
