//! Writes the canonical chain: one block is one batch, and there is no other write to the chain's
//! columns. What was being written when the process dies is there as a whole or not at all.

use crate::{
    Batch, Column, Durability, History, StoreError,
    canonical::{Canonical, Head, Tip, read_tip},
    chain_records,
    chain_store::ChainReader,
    change_set::{ChangeSet, Replaced},
    columns, log_index,
    private_states::{PrivateCommit, PrivateStates, PrivateTips},
    schema,
    state_trie::{StateUpdate, root_after},
    state_write,
};
use alloy_primitives::Bytes;
use entente_chain::{AccountChange, BlockNumber, Receipt, RecoveredBlock, StateChanges};
use std::sync::{Arc, atomic::Ordering::SeqCst};

/// Blocks whose reverse changes are deleted with one commit; more than one, so that a node
/// catches up after its history was shortened.
const PRUNED_PER_COMMIT: u64 = 4;

/// All that belongs to one block: nothing of it can be committed without the rest.
#[derive(Debug)]
pub struct BlockCommit {
    /// The block, sealed.
    pub block: RecoveredBlock,
    /// One receipt per transaction.
    pub receipts: Vec<Receipt>,
    /// The state after it.
    pub state: StateUpdate,
    /// Votes counted after it, where the engine keeps such; opaque.
    pub tally: Option<Bytes>,
    /// What it changes in private states.
    pub private: Vec<PrivateCommit>,
}

/// The one writer of a database. Owned by the chain thread.
#[derive(Debug)]
pub struct ChainWriter {
    canonical: Arc<Canonical>,
    durability: Durability,
    history: History,
    private: Option<PrivateStates>,
    failed: bool,
}

impl ChainWriter {
    pub(crate) const fn new(
        canonical: Arc<Canonical>,
        durability: Durability,
        history: History,
        private: Option<PrivateStates>,
    ) -> Self {
        Self { canonical, durability, history, private, failed: false }
    }

    /// Writes a block that follows the head and makes it the head. It is on the disk on return.
    ///
    /// # Errors
    /// When the block does not follow the head or its state is not the one of its header: then
    /// nothing was written. When the disk fails: then the writer refuses everything until the
    /// database is opened again.
    pub fn commit(&mut self, commit: BlockCommit) -> Result<Arc<Head>, StoreError> {
        self.commit_as(commit, self.durability)
    }

    /// As [`commit`](Self::commit), but not synced: after a loss of power the block may be missing,
    /// and then it comes again out of the consensus log. The log and the chain share one
    /// write-ahead log, so every record that is appended later makes this block durable too.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn commit_logged(&mut self, commit: BlockCommit) -> Result<Arc<Head>, StoreError> {
        self.commit_as(commit, Durability::Buffered)
    }

    fn commit_as(
        &mut self,
        commit: BlockCommit,
        durability: Durability,
    ) -> Result<Arc<Head>, StoreError> {
        if self.failed {
            return Err(StoreError::Failed);
        }
        let tip = self.canonical.tip();
        let BlockCommit { block, receipts, state, tally, private } = commit;
        check_follows(&tip, &block, &state)?;
        let number = block.header.number;
        let head = Arc::new(Head {
            header: block.header.clone(),
            total_difficulty: tip.head.total_difficulty.saturating_add(block.header.difficulty),
        });
        let mut batch = Batch::default();
        put_block(&mut batch, &head, &block, &receipts);
        if let Some(tally) = tally {
            batch.put(Column::Tallies, &number.to_be_bytes(), &tally);
        }
        let replaced = state_write::put_state(&mut batch, &*self.canonical.disk, &state)?;
        state_write::put_change_set(&mut batch, number, &replaced);
        let oldest = self.prune(&mut batch, number)?;
        let private = match (&self.private, private.first()) {
            (Some(states), _) => Some(states.put(&mut batch, number, private)?),
            (None, Some(first)) => return Err(StoreError::UnknownPrivateState(first.id.clone())),
            (None, None) => None,
        };

        self.canonical.begin(number);
        if let Some(oldest) = oldest {
            self.canonical.set_oldest(oldest);
            self.private.iter().for_each(|states| states.set_oldest(oldest));
        }
        self.write(&batch, durability)?;
        self.canonical.blocks.insert(Arc::new(block), Arc::new(receipts));
        self.canonical.publish(Tip { head: Arc::clone(&head), trie: state.trie().settled() });
        private.into_iter().for_each(|tips| tips.publish(&head));
        Ok(head)
    }

    /// Replaces the tally after the head: whoever votes next is not always known from the block
    /// alone (a contract names the validators of block 1, a changed genesis file those of the next).
    ///
    /// # Errors
    /// When the disk fails.
    pub fn replace_tally(&mut self, tally: &[u8]) -> Result<(), StoreError> {
        if self.failed {
            return Err(StoreError::Failed);
        }
        let number = self.canonical.tip().head.header.number;
        let mut batch = Batch::default();
        batch.put(Column::Tallies, &number.to_be_bytes(), tally);
        self.write(&batch, self.durability)
    }

    /// Takes blocks back until `number` is the head; returns them, newest first. Each is taken
    /// back by a batch of its own.
    ///
    /// # Errors
    /// When `number` is above the head, its state is no longer kept, or the disk fails; blocks
    /// may have been taken back before the failure.
    pub fn revert_to(
        &mut self,
        number: BlockNumber,
    ) -> Result<Vec<Arc<RecoveredBlock>>, StoreError> {
        if self.failed {
            return Err(StoreError::Failed);
        }
        let head = self.canonical.tip().head.header.number;
        if number > head {
            return Err(StoreError::UnknownBlock(number));
        }
        let oldest = self.canonical.oldest.load(SeqCst);
        if number < oldest {
            return Err(StoreError::NotKept { block: number, oldest });
        }
        let mut reverted = Vec::new();
        for number in (number..head).rev() {
            reverted.push(self.revert_head(number.saturating_add(1))?);
        }
        Ok(reverted)
    }

    fn revert_head(&mut self, number: BlockNumber) -> Result<Arc<RecoveredBlock>, StoreError> {
        let canonical = Arc::clone(&self.canonical);
        let disk = &*canonical.disk;
        let reader = ChainReader::new(Arc::clone(&canonical));
        let unknown = || StoreError::UnknownBlock(number);
        let block = reader.block(number)?.ok_or_else(unknown)?;
        let receipts = reader.receipts(number)?.ok_or_else(unknown)?;
        let parent = read_tip(disk, number.saturating_sub(1))?;

        let replaced = state_write::change_set(disk, number)?;
        let changes = Arc::new(reversed(&replaced));
        let state = root_after(disk, &canonical.tip().trie, changes)?;
        let expected = parent.head.header.state_root;
        if state.root() != expected {
            let number = parent.head.header.number;
            return Err(StoreError::StateRoot { number, got: state.root(), expected });
        }
        let mut batch = Batch::default();
        delete_block(&mut batch, &block, &receipts);
        state_write::put_state(&mut batch, disk, &state)?;
        state_write::delete_change_set(&mut batch, number, &replaced);
        schema::put_head(&mut batch, number.saturating_sub(1));
        let private = match &self.private {
            Some(states) => states.put_reverted(&mut batch, number)?,
            None => PrivateTips::default(),
        };

        let reverting = canonical.start_revert();
        private.revert(&parent.head, || self.write(&batch, self.durability))?;
        canonical.blocks.clear();
        canonical.begin(number.saturating_sub(1));
        canonical.publish(Tip { head: parent.head, trie: state.trie().settled() });
        drop(reverting);
        Ok(block)
    }

    fn write(&mut self, batch: &Batch, durability: Durability) -> Result<(), StoreError> {
        let written = self.canonical.disk.write(batch, durability);
        written.inspect_err(|_| self.failed = true)
    }

    /// Deletes reverse changes that are no longer to be kept once `number` is the head; returns
    /// the oldest state that is left when it moves.
    fn prune(
        &self,
        batch: &mut Batch,
        number: BlockNumber,
    ) -> Result<Option<BlockNumber>, StoreError> {
        let History::Last(kept) = self.history else { return Ok(None) };
        let oldest = self.canonical.oldest.load(SeqCst);
        let wanted = number.saturating_sub(kept).min(oldest.saturating_add(PRUNED_PER_COMMIT));
        if wanted <= oldest {
            return Ok(None);
        }
        for pruned in oldest.saturating_add(1)..=wanted {
            let replaced = state_write::change_set(&*self.canonical.disk, pruned)?;
            state_write::delete_change_set(batch, pruned, &replaced);
            if let Some(states) = &self.private {
                states.prune(batch, pruned)?;
            }
        }
        schema::put_oldest_state(batch, wanted);
        Ok(Some(wanted))
    }
}

fn check_follows(tip: &Tip, block: &RecoveredBlock, state: &StateUpdate) -> Result<(), StoreError> {
    let number = block.header.number;
    let parent = &tip.head.header;
    if parent.number.checked_add(1) != Some(number) || block.header.parent_hash != parent.hash() {
        let got = block.header.parent_hash;
        return Err(StoreError::NotChildOfHead { number, got, expected: parent.hash() });
    }
    let expected = tip.trie.root();
    if state.parent_root != expected {
        let number = parent.number;
        return Err(StoreError::StateRoot { number, got: state.parent_root, expected });
    }
    let (got, expected) = (state.root(), block.header.state_root);
    if got != expected {
        return Err(StoreError::StateRoot { number, got, expected });
    }
    Ok(())
}

/// Header, body, receipts, indices and the head pointer.
pub(crate) fn put_block(
    batch: &mut Batch,
    head: &Head,
    block: &RecoveredBlock,
    receipts: &[Receipt],
) {
    let number = block.header.number;
    chain_records::put_header(batch, &block.header, head.total_difficulty);
    chain_records::put_body(batch, block);
    chain_records::put_receipts(batch, number, receipts);
    for (transaction, index) in block.transactions().iter().zip(0..) {
        let location = columns::location_value(number, index);
        batch.put(Column::Transactions, transaction.hash().as_slice(), &location);
    }
    log_index::put(batch, number, receipts);
    schema::put_head(batch, number);
}

fn delete_block(batch: &mut Batch, block: &RecoveredBlock, receipts: &[Receipt]) {
    let number = block.header.number;
    let key = number.to_be_bytes();
    let by_number =
        [Column::Headers, Column::Bodies, Column::Senders, Column::Receipts, Column::Tallies];
    for column in by_number {
        batch.delete(column, &key);
    }
    batch.delete(Column::Numbers, block.hash().as_slice());
    for transaction in block.transactions() {
        batch.delete(Column::Transactions, transaction.hash().as_slice());
    }
    log_index::delete(batch, number, receipts);
}

/// The changes that lead from a block back to its parent.
pub(crate) fn reversed(replaced: &ChangeSet) -> StateChanges {
    let change = |replaced: &Replaced| AccountChange {
        before: None,
        after: replaced.account,
        storage_wiped: false,
        // Values before are not read: what a revert replaces is not kept.
        storage: replaced.slots.iter().map(|(slot, value)| (*slot, (*value, *value))).collect(),
    };
    let accounts = replaced.accounts.iter();
    StateChanges {
        accounts: accounts.map(|(address, replaced)| (*address, change(replaced))).collect(),
        ..StateChanges::default()
    }
}
