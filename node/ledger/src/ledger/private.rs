//! The private side of a block: what execution gave, on its way to the batch and to listeners.

use super::Ledger;
use crate::LedgerError;
use entente_chain::{BlockNumber, private::PrivateReceipts};
use entente_evm::PrivateExecuted;
use entente_storage::{PrivateCommit, StoreError};
use std::sync::Arc;

impl Ledger {
    /// Works the roots of private states out; writes nothing.
    pub(super) fn private_commits(
        &self,
        executed: Vec<PrivateExecuted>,
    ) -> Result<Vec<PrivateCommit>, LedgerError> {
        let commit = |executed: PrivateExecuted| {
            let PrivateExecuted { id, changes, receipts, terms } = executed;
            let store = self.private.as_ref().and_then(|private| private.store(&id));
            let store = store.ok_or_else(|| StoreError::UnknownPrivateState(id.clone()))?;
            let state = store.root_after(&store.trie_at_head()?, Arc::new(changes))?;
            Ok(PrivateCommit { id, state, receipts, terms: terms.into_iter().collect() })
        };
        executed.into_iter().map(commit).collect()
    }

    /// What the private transactions of a committed block did in each private state.
    pub(crate) fn private_receipts(
        &self,
        number: BlockNumber,
    ) -> Result<PrivateReceipts, LedgerError> {
        let Some(states) = &self.private else { return Ok(Vec::new()) };
        let mut receipts = Vec::new();
        for id in states.ids() {
            if let Some(block) = states.block(&id, number)? {
                receipts.push((id, block.receipts));
            }
        }
        Ok(receipts)
    }
}
