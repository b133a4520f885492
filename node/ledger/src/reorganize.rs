//! Leaves the canonical chain for a better branch (Clique). A branch that turns out to be bad
//! brings the old one back; a process that dies in between opens at a block that both sides know,
//! as every block is taken back and committed by a batch of its own.

use crate::{CommittedBlock, Ledger, LedgerError};
use entente_chain::{
    BlockNumber, Receipt, RecoveredBlock, limits::REORGANISATION_BLOCKS_MAX, spec::EngineKind,
};
use std::sync::Arc;

/// A block that is no longer canonical.
#[derive(Clone, Debug)]
pub struct RevertedBlock {
    /// The block.
    pub block: Arc<RecoveredBlock>,
    /// What it gave.
    pub receipts: Arc<Vec<Receipt>>,
}

/// What became of a change of branches.
#[derive(Debug)]
pub struct Reorganization {
    /// Blocks that were left, newest first.
    pub reverted: Vec<RevertedBlock>,
    /// Blocks that are canonical now, ascending; when the branch was refused, the old ones.
    pub committed: Vec<CommittedBlock>,
    /// The block of the branch that was refused, and why; then the old branch is back.
    pub refused: Option<(BlockNumber, LedgerError)>,
}

impl Ledger {
    /// Takes blocks back down to `ancestor` and imports `branch`, whose first block is its child.
    ///
    /// # Errors
    /// When the branch does not fit the chain (nothing has changed then) or the database failed.
    pub fn reorganize(
        &mut self,
        ancestor: BlockNumber,
        branch: Vec<RecoveredBlock>,
    ) -> Result<Reorganization, LedgerError> {
        self.check_branch(ancestor, &branch)?;
        let head = self.head().header.number;
        let mut receipts = Vec::new();
        for number in (ancestor.saturating_add(1)..=head).rev() {
            receipts.push(self.reader.receipts(number)?.unwrap_or_default());
        }
        let reverted: Vec<RevertedBlock> = self
            .writer
            .revert_to(ancestor)?
            .into_iter()
            .zip(receipts)
            .map(|(block, receipts)| RevertedBlock { block, receipts })
            .collect();
        self.reload()?;
        let mut committed = Vec::with_capacity(branch.len());
        for block in branch {
            let number = block.header.number;
            match self.import(block) {
                Ok(block) => committed.push(block),
                Err(error) => {
                    let committed = self.bring_back(ancestor, &reverted)?;
                    let refused = Some((number, error));
                    return Ok(Reorganization { reverted, committed, refused });
                }
            }
        }
        Ok(Reorganization { reverted, committed, refused: None })
    }

    fn bring_back(
        &mut self,
        ancestor: BlockNumber,
        reverted: &[RevertedBlock],
    ) -> Result<Vec<CommittedBlock>, LedgerError> {
        if self.head().header.number > ancestor {
            self.writer.revert_to(ancestor)?;
        }
        self.reload()?;
        let old = reverted.iter().rev();
        old.map(|old| self.adopt(RecoveredBlock::clone(&old.block), u64::MAX)).collect()
    }

    fn check_branch(
        &self,
        ancestor: BlockNumber,
        branch: &[RecoveredBlock],
    ) -> Result<(), LedgerError> {
        let allowed = REORGANISATION_BLOCKS_MAX;
        let head = self.head().header.number;
        let refused = LedgerError::Branch { ancestor, head, allowed };
        let Some(depth) = head.checked_sub(ancestor) else { return Err(refused) };
        let final_blocks = (ancestor.saturating_add(1)..=head)
            .any(|number| self.spec.engine_at(number) != EngineKind::Clique);
        if depth > allowed || final_blocks {
            return Err(refused);
        }
        let parent = self.reader.header(ancestor)?.map(|header| header.hash());
        match branch.first() {
            Some(first) if Some(first.header.parent_hash) == parent => Ok(()),
            Some(_) | None => Err(refused),
        }
    }
}
