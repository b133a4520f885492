//! The private states of a node: each has accounts, tries, history and a log index of its own, and
//! moves with the chain, in the block's own batch.
//!
//! A private state is a [`Canonical`] over a disk that is a namespace of the database, so past
//! states, roots and proofs are those of the public state.

mod block;
mod disk;

pub use block::PrivateBlock;

use crate::{
    Batch, Column, Durability, KeyRange, KeyValue, LogIndexQuery, StateStore, StoreError,
    canonical::{Canonical, Head, Tip, locked},
    chain_writer::reversed,
    log_index,
    state_trie::{StateTrie, StateUpdate, root_after},
    state_write,
    value_cipher::{CipherCheck, ValueCipher},
};
use alloy_primitives::{Address, B256, Log};
use alloy_trie::EMPTY_ROOT_HASH;
use block::{decode_terms, encode_terms};
pub(crate) use disk::PrivateDisk as Disk;
use disk::{BLOCKS, PrivateDisk, TERMS};
use entente_chain::{
    BlockNumber, Receipt,
    private::{ContractTerms, PrivateReceipt, PrivateStateId},
};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
};

const CHECK: CipherCheck = CipherCheck {
    column: Column::PrivateState,
    key: b"private_check",
    value: b"entente private states",
};

/// What a block changes in one private state.
#[derive(Debug)]
pub struct PrivateCommit {
    /// Which private state.
    pub id: PrivateStateId,
    /// The state after the block.
    pub state: StateUpdate,
    /// One receipt per private transaction, ascending by its place in the block.
    pub receipts: Vec<PrivateReceipt>,
    /// Terms of contracts that came into being or were extended.
    pub terms: Vec<(Address, ContractTerms)>,
}

/// One private state.
#[derive(Clone, Debug)]
struct Space {
    disk: Arc<PrivateDisk>,
    canonical: Arc<Canonical>,
}

/// The private states of a node. Cheap to clone.
#[derive(Clone)]
pub struct PrivateStates {
    public: Arc<Canonical>,
    cipher: Arc<dyn ValueCipher>,
    spaces: Arc<Mutex<BTreeMap<PrivateStateId, Space>>>,
}

impl fmt::Debug for PrivateStates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateStates").field("ids", &self.ids()).finish_non_exhaustive()
    }
}

impl PrivateStates {
    /// Checks that the private columns were sealed by this cipher.
    pub(crate) fn open(
        public: Arc<Canonical>,
        cipher: Arc<dyn ValueCipher>,
        durability: Durability,
    ) -> Result<Self, StoreError> {
        match CHECK.passes(&*public.disk, &*cipher, durability)? {
            true => Ok(Self { public, cipher, spaces: Arc::default() }),
            false => Err(StoreError::OtherPrivateKey),
        }
    }

    /// Whether a database keeps private states: then blocks must not be committed without them.
    pub(crate) fn are_kept(disk: &dyn KeyValue) -> Result<bool, StoreError> {
        Ok(disk.get(CHECK.column, CHECK.key)?.is_some())
    }

    /// Forgets that a database keeps private states.
    pub(crate) fn give_up(disk: &dyn KeyValue, durability: Durability) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        batch.delete(CHECK.column, CHECK.key);
        disk.write(&batch, durability)
    }

    /// Keeps a private state from now on; one that is kept already goes on. Only its own node's
    /// chain thread commits, so a state is added before that thread runs or by it.
    ///
    /// # Errors
    /// When the disk fails or a record is damaged.
    pub fn add(&self, id: &PrivateStateId) -> Result<(), StoreError> {
        let mut spaces = locked(&self.spaces);
        if spaces.contains_key(id) {
            return Ok(());
        }
        let disk =
            Arc::new(PrivateDisk::new(Arc::clone(&self.public.disk), id, Arc::clone(&self.cipher)));
        let head = self.public.tip().head;
        let root = root_at(&disk, head.header.number)?;
        let trie = StateTrie::stored(root);
        let canonical = Canonical::private(&self.public, Arc::clone(&disk), Tip { head, trie });
        spaces.insert(id.clone(), Space { disk, canonical: Arc::new(canonical) });
        Ok(())
    }

    /// The private states that are kept, ascending.
    #[must_use]
    pub fn ids(&self) -> Vec<PrivateStateId> {
        locked(&self.spaces).keys().cloned().collect()
    }

    /// The states of a private state by block; `None`: there is no such private state.
    #[must_use]
    pub fn store(&self, id: &PrivateStateId) -> Option<StateStore> {
        let space = self.space(id)?;
        Some(StateStore::new(space.canonical))
    }

    /// What a block did in a private state; `None`: nothing.
    ///
    /// # Errors
    /// When the disk fails or the record is damaged.
    pub fn block(
        &self,
        id: &PrivateStateId,
        number: BlockNumber,
    ) -> Result<Option<PrivateBlock>, StoreError> {
        self.space(id).map_or(Ok(None), |space| private_block(&space.disk, number))
    }

    /// The terms that a contract came into being under or was extended with, at the head.
    ///
    /// # Errors
    /// When the disk fails or the record is damaged.
    pub fn terms(
        &self,
        id: &PrivateStateId,
        contract: Address,
    ) -> Result<Option<ContractTerms>, StoreError> {
        self.space(id).map_or(Ok(None), |space| terms_of(&space.disk, contract))
    }

    /// The root of a private state after a block of the chain.
    ///
    /// # Errors
    /// When the disk fails or a record is damaged.
    pub fn root(
        &self,
        id: &PrivateStateId,
        number: BlockNumber,
    ) -> Result<Option<B256>, StoreError> {
        self.space(id).map(|space| root_at(&space.disk, number)).transpose()
    }

    /// The blocks between `from` and `to`, both included, that may have private logs for a query,
    /// ascending; only blocks with private logs where there is no condition.
    ///
    /// # Errors
    /// When the disk fails or the index is damaged.
    pub fn blocks_with_logs(
        &self,
        id: &PrivateStateId,
        query: &LogIndexQuery,
        from: BlockNumber,
        to: BlockNumber,
    ) -> Result<Vec<BlockNumber>, StoreError> {
        let Some(space) = self.space(id) else { return Ok(Vec::new()) };
        let to = to.min(space.canonical.tip().head.header.number);
        if from > to {
            return Ok(Vec::new());
        }
        log_index::blocks(&*space.disk, query, from, to)
    }

    fn space(&self, id: &PrivateStateId) -> Option<Space> {
        locked(&self.spaces).get(id).cloned()
    }

    fn all(&self) -> Vec<(PrivateStateId, Space)> {
        locked(&self.spaces).iter().map(|(id, space)| (id.clone(), space.clone())).collect()
    }

    /// Puts what a block changes, and marks that its batch is about to be written.
    pub(crate) fn put(
        &self,
        batch: &mut Batch,
        number: BlockNumber,
        commits: Vec<PrivateCommit>,
    ) -> Result<PrivateTips, StoreError> {
        let mut commits: BTreeMap<_, _> =
            commits.into_iter().map(|commit| (commit.id.clone(), commit)).collect();
        let mut tips = Vec::new();
        for (id, space) in self.all() {
            let trie = match commits.remove(&id) {
                Some(commit) => space.put(batch, number, commit)?,
                None => space.canonical.tip().trie,
            };
            space.canonical.begin(number);
            tips.push((space.canonical, trie));
        }
        match commits.into_keys().next() {
            Some(id) => Err(StoreError::UnknownPrivateState(id)),
            None => Ok(PrivateTips(tips)),
        }
    }

    /// Deletes the reverse changes of a block whose predecessor's state is no longer kept.
    pub(crate) fn prune(&self, batch: &mut Batch, number: BlockNumber) -> Result<(), StoreError> {
        for (_, space) in self.all() {
            if private_block(&space.disk, number)?.is_some() {
                let replaced = state_write::change_set(&*space.disk, number)?;
                let mut own = Batch::default();
                state_write::delete_change_set(&mut own, number, &replaced);
                space.disk.append(batch, &own);
            }
        }
        Ok(())
    }

    /// Marks the oldest state that is kept, as the public state has it.
    pub(crate) fn set_oldest(&self, oldest: BlockNumber) {
        for (_, space) in self.all() {
            space.canonical.set_oldest(oldest);
        }
    }

    /// Puts the way back from a block to its parent.
    pub(crate) fn put_reverted(
        &self,
        batch: &mut Batch,
        number: BlockNumber,
    ) -> Result<PrivateTips, StoreError> {
        let mut tips = Vec::new();
        for (_, space) in self.all() {
            let trie = space.put_reverted(batch, number)?;
            tips.push((space.canonical, trie));
        }
        Ok(PrivateTips(tips))
    }
}

/// What is published once the batch is written.
#[derive(Default)]
pub(crate) struct PrivateTips(Vec<(Arc<Canonical>, StateTrie)>);

impl PrivateTips {
    pub(crate) fn publish(self, head: &Arc<Head>) {
        for (canonical, trie) in self.0 {
            canonical.publish(Tip { head: Arc::clone(head), trie: trie.settled() });
        }
    }

    /// Runs `write`, which takes a block back to `parent`, and publishes. Readers that overlap with
    /// it read again.
    pub(crate) fn revert<E>(
        self,
        parent: &Arc<Head>,
        write: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let canonicals: Vec<_> =
            self.0.iter().map(|(canonical, _)| Arc::clone(canonical)).collect();
        let _guards: Vec<_> = canonicals.iter().map(|canonical| canonical.start_revert()).collect();
        write()?;
        canonicals.iter().for_each(|canonical| canonical.begin(parent.header.number));
        self.publish(parent);
        Ok(())
    }
}

impl Space {
    fn put(
        &self,
        batch: &mut Batch,
        number: BlockNumber,
        commit: PrivateCommit,
    ) -> Result<StateTrie, StoreError> {
        let PrivateCommit { state, receipts, terms, .. } = commit;
        let expected = self.canonical.tip().trie.root();
        if state.parent_root != expected {
            let got = state.parent_root;
            return Err(StoreError::StateRoot { number: number.saturating_sub(1), got, expected });
        }
        let mut own = Batch::default();
        let replaced = state_write::put_state(&mut own, &*self.disk, &state)?;
        state_write::put_change_set(&mut own, number, &replaced);
        log_index::put(&mut own, number, &indexed(&receipts));
        self.disk.append(batch, &own);
        let mut before = Vec::new();
        for (contract, terms) in &terms {
            before.extend(terms_of(&self.disk, *contract)?.map(|known| (*contract, known)));
            self.disk.put(batch, TERMS, contract.as_slice(), &encode_terms(terms));
        }
        let terms = terms.into_iter().map(|(contract, _)| contract).collect();
        let block = PrivateBlock { state_root: state.root(), receipts, terms, replaced: before };
        self.disk.put(batch, BLOCKS, &number.to_be_bytes(), &block.encode());
        Ok(state.trie())
    }

    fn put_reverted(
        &self,
        batch: &mut Batch,
        number: BlockNumber,
    ) -> Result<StateTrie, StoreError> {
        let trie = self.canonical.tip().trie;
        let Some(block) = private_block(&self.disk, number)? else { return Ok(trie) };
        let replaced = state_write::change_set(&*self.disk, number)?;
        let state = root_after(&*self.disk, &trie, Arc::new(reversed(&replaced)))?;
        let expected = root_at(&self.disk, number.saturating_sub(1))?;
        if state.root() != expected {
            let number = number.saturating_sub(1);
            return Err(StoreError::StateRoot { number, got: state.root(), expected });
        }
        let mut own = Batch::default();
        state_write::put_state(&mut own, &*self.disk, &state)?;
        state_write::delete_change_set(&mut own, number, &replaced);
        log_index::delete(&mut own, number, &indexed(&block.receipts));
        self.disk.append(batch, &own);
        for contract in &block.terms {
            self.disk.delete(batch, TERMS, contract.as_slice());
        }
        for (contract, terms) in &block.replaced {
            self.disk.put(batch, TERMS, contract.as_slice(), &encode_terms(terms));
        }
        self.disk.delete(batch, BLOCKS, &number.to_be_bytes());
        Ok(state.trie())
    }
}

/// The logs of private receipts, as the log index takes them.
fn indexed(receipts: &[PrivateReceipt]) -> Vec<Receipt> {
    let with_logs = |logs: &Vec<Log>| Receipt { logs: logs.clone(), ..Receipt::default() };
    receipts.iter().map(|receipt| with_logs(&receipt.logs)).collect()
}

fn terms_of(disk: &PrivateDisk, contract: Address) -> Result<Option<ContractTerms>, StoreError> {
    let key = contract.as_slice();
    let Some(value) = disk.get_tagged(TERMS, key)? else { return Ok(None) };
    let damaged = || StoreError::record(Column::PrivateState, key, "not the terms of a contract");
    decode_terms(&value).map(Some).ok_or_else(damaged)
}

fn private_block(
    disk: &PrivateDisk,
    number: BlockNumber,
) -> Result<Option<PrivateBlock>, StoreError> {
    let key = number.to_be_bytes();
    let Some(value) = disk.get_tagged(BLOCKS, &key)? else { return Ok(None) };
    let damaged = || StoreError::record(Column::PrivateState, &key, "not a private block");
    PrivateBlock::decode(&value).map(Some).ok_or_else(damaged)
}

/// Root of a private state after a block: that of the newest block at or below it that did
/// anything.
fn root_at(disk: &PrivateDisk, number: BlockNumber) -> Result<B256, StoreError> {
    let newest = disk.last_tagged(BLOCKS, &KeyRange::numbers(&[], 0, number))?;
    let Some((key, value)) = newest else { return Ok(EMPTY_ROOT_HASH) };
    PrivateBlock::decode(&value)
        .map(|block| block.state_root)
        .ok_or_else(|| StoreError::record(Column::PrivateState, &key, "not a private block"))
}

/// How the shared state code asks a private state for what a header would say of a public one.
#[derive(Debug)]
pub(crate) struct PrivateRoots(Arc<PrivateDisk>);

impl PrivateRoots {
    pub(crate) const fn new(disk: Arc<PrivateDisk>) -> Self {
        Self(disk)
    }

    pub(crate) fn root_at(&self, number: BlockNumber) -> Result<B256, StoreError> {
        root_at(&self.0, number)
    }

    pub(crate) fn has_changes(&self, number: BlockNumber) -> Result<bool, StoreError> {
        Ok(private_block(&self.0, number)?.is_some())
    }
}
