//! Leaves the canonical chain for a better branch (Clique). A branch that turns out to be bad
//! brings the old one back; a process that dies in between opens at a block that both sides know,
//! as every block is taken back and committed by a batch of its own.

use crate::{CommittedBlock, Ledger, LedgerError, ledger::stored_tally};
use entente_chain::{
    BlockNumber, Receipt, RecoveredBlock, SealedHeader, limits::REORGANISATION_BLOCKS_MAX,
    private::PrivateReceipts, spec::EngineKind,
};
use std::sync::Arc;

/// A block that is no longer canonical.
#[derive(Clone, Debug)]
pub struct RevertedBlock {
    /// The block.
    pub block: Arc<RecoveredBlock>,
    /// What it gave.
    pub receipts: Arc<Vec<Receipt>>,
    /// What its private transactions did in each private state of this node.
    pub private: PrivateReceipts,
}

/// What became of a change of branches.
#[derive(Debug)]
pub struct Reorganization {
    /// Blocks that were left, newest first; none when a header of the branch was refused or a private
    /// payload of it cannot be read now.
    pub reverted: Vec<RevertedBlock>,
    /// Blocks that are canonical now, ascending; when the branch was refused, the old ones.
    pub committed: Vec<CommittedBlock>,
    /// The block of the branch that was refused, and why; then the old branch is back.
    pub refused: Option<(BlockNumber, LedgerError)>,
}

impl Ledger {
    /// Takes blocks back down to `ancestor` and imports `branch`, whose first block is its child.
    /// Its headers and seals are checked before anything is taken back: a branch that only pretends
    /// to be better costs no work on the disk.
    ///
    /// # Errors
    /// When the branch does not fit the chain (nothing has changed then) or the database failed.
    pub fn reorganize(
        &mut self,
        ancestor: BlockNumber,
        branch: Vec<RecoveredBlock>,
        unix_seconds: u64,
    ) -> Result<Reorganization, LedgerError> {
        let parent = self.check_branch(ancestor, &branch)?;
        if let Some(refused) = self.refused_header(parent, &branch, unix_seconds)? {
            let (reverted, committed) = (Vec::new(), Vec::new());
            return Ok(Reorganization { reverted, committed, refused: Some(refused) });
        }
        // Nothing is taken back for a branch that could not be executed to its end now.
        for block in &branch {
            if let Err(error) = self.execution.check_payloads(block) {
                let refused = Some((block.header.number, error.into()));
                return Ok(Reorganization { reverted: Vec::new(), committed: Vec::new(), refused });
            }
        }
        let head = self.head().header.number;
        let mut receipts = Vec::new();
        for number in (ancestor.saturating_add(1)..=head).rev() {
            let private = self.private_receipts(number)?;
            receipts.push((self.reader.receipts(number)?.unwrap_or_default(), private));
        }
        let reverted: Vec<RevertedBlock> = self
            .writer
            .revert_to(ancestor)?
            .into_iter()
            .zip(receipts)
            .map(|(block, (receipts, private))| RevertedBlock { block, receipts, private })
            .collect();
        self.reload()?;
        let mut committed = Vec::with_capacity(branch.len());
        for block in branch {
            let number = block.header.number;
            match self.import(block, unix_seconds) {
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

    /// The first header of a branch that breaks a rule. Stops at a change of engine: whose turn it
    /// is there may depend on the state.
    fn refused_header(
        &self,
        mut parent: SealedHeader,
        branch: &[RecoveredBlock],
        unix_seconds: u64,
    ) -> Result<Option<(BlockNumber, LedgerError)>, LedgerError> {
        let mut tally = stored_tally(&self.reader, parent.number)?;
        for block in branch {
            let (header, rules) = (&block.header, &self.rules);
            if self.spec.engine_at(header.number) != EngineKind::Clique {
                break;
            }
            let now = self.latest_time(header.number, unix_seconds);
            let checked = rules
                .check_alone(header, now)
                .and_then(|()| rules.check_with_parent(header, &parent, &tally))
                .and_then(|()| rules.check_seals(header, tally.validators()))
                .and_then(|()| rules.tally_after(header, tally));
            tally = match checked {
                Ok(tally) => tally,
                Err(error) => return Ok(Some((header.number, error.into()))),
            };
            parent = header.clone();
        }
        Ok(None)
    }

    /// The ancestor, when the branch fits on it and may replace what follows it.
    fn check_branch(
        &self,
        ancestor: BlockNumber,
        branch: &[RecoveredBlock],
    ) -> Result<SealedHeader, LedgerError> {
        let allowed = REORGANISATION_BLOCKS_MAX;
        let head = self.head().header.number;
        let refused = LedgerError::Branch { ancestor, head, allowed };
        let Some(depth) = head.checked_sub(ancestor) else { return Err(refused) };
        let final_blocks = (ancestor.saturating_add(1)..=head)
            .any(|number| self.spec.engine_at(number) != EngineKind::Clique);
        // Its state must still be there to go back to.
        let kept = self.reader.oldest_state()? <= ancestor;
        if depth > allowed || final_blocks || !kept {
            return Err(refused);
        }
        let Some(parent) = self.reader.header(ancestor)? else { return Err(refused) };
        match branch.first() {
            Some(first) if first.header.parent_hash == parent.hash() => Ok(parent),
            Some(_) | None => Err(refused),
        }
    }
}
