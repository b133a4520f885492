//! States by block: views of them, roots after changes, proofs.
//!
//! Working a root out and writing it are two verbs: [`StateStore::root_after`] writes nothing, so
//! competing proposals cost nothing; [`crate::ChainWriter::commit`] writes.

use crate::{
    Column, KeyRange, StoreError,
    canonical::{Canonical, Tip},
    chain_writer::reversed,
    change_set::ChangeSet,
    columns::{decode_slot_value, slot_of},
    state_trie::{StateTrie, StateUpdate, root_after},
    state_view::StateView,
    trie::{NodeReader, prove},
};
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use alloy_rlp::Decodable;
use alloy_trie::{EMPTY_ROOT_HASH, TrieAccount};
use entente_chain::{BlockNumber, StateChanges, StateError};
use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    sync::{Arc, atomic::Ordering::SeqCst},
};

/// Most accounts and slots in which a past state may differ from the head for a proof.
pub const PROOF_CHANGES_MAX: usize = 100_000;
/// Attempts at a proof while blocks are committed under it.
const PROOF_ATTEMPTS: usize = 4;
/// Attempts to read all slots of an account between two blocks.
const SLOTS_ATTEMPTS: usize = 16;

/// The head's number, and slots with their values if they are not too many.
pub type SlotsAtHead = (BlockNumber, Option<BTreeMap<U256, U256>>);

/// States by block. Cheap to clone.
#[derive(Clone, Debug)]
pub struct StateStore {
    canonical: Arc<Canonical>,
}

/// A proof of an account and some of its slots (EIP-1186).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountProof {
    /// The account.
    pub address: Address,
    /// In wei; zero when the account does not exist.
    pub balance: U256,
    /// Zero when the account does not exist.
    pub nonce: u64,
    /// keccak256 of nothing when the account does not exist.
    pub code_hash: B256,
    /// Root of the empty trie when the account does not exist.
    pub storage_hash: B256,
    /// RLP of the nodes from the state root towards the account.
    pub account_proof: Vec<Bytes>,
    /// One per slot, in the order asked.
    pub storage: Vec<SlotProof>,
}

/// A proof of one slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotProof {
    /// The slot.
    pub key: U256,
    /// Its value; zero when it was never written.
    pub value: U256,
    /// RLP of the nodes from the storage root towards the slot.
    pub proof: Vec<Bytes>,
}

impl StateStore {
    pub(crate) const fn new(canonical: Arc<Canonical>) -> Self {
        Self { canonical }
    }

    /// The state after a block of the canonical chain.
    ///
    /// # Errors
    /// When there is no such block, its state is no longer kept, or the disk fails.
    pub fn at(&self, number: BlockNumber) -> Result<StateView, StateError> {
        StateView::open(Arc::clone(&self.canonical), number)
            .map_err(|cause| cause.reading_state(number))
    }

    /// The tries of the state at the head. Use it before the next commit: nodes that are not in
    /// memory are read by path, and a commit overwrites them.
    ///
    /// # Errors
    /// When no genesis is stored.
    pub fn trie_at_head(&self) -> Result<StateTrie, StoreError> {
        let tip = self.canonical.tip();
        if tip.head.header.hash() == B256::ZERO {
            return Err(StoreError::Uninitialised);
        }
        Ok(tip.trie)
    }

    /// Works out the state root after changes, in parallel; writes nothing. The parent is the
    /// state at the head or follows it by updates that are not committed yet.
    ///
    /// # Errors
    /// When the disk fails, or the parent is no longer on disk.
    pub fn root_after(
        &self,
        parent: &StateTrie,
        changes: Arc<StateChanges>,
    ) -> Result<StateUpdate, StateError> {
        root_after(&*self.canonical.disk, parent, changes)
            .map_err(|cause| cause.reading_state(self.canonical.tip().head.header.number))
    }

    /// Accounts as they stand in the trie once `changes` are made after a block, in the order asked;
    /// `None`: there is no such account then.
    ///
    /// # Errors
    /// As [`Self::proof`].
    pub fn leaves_after(
        &self,
        number: BlockNumber,
        changes: Arc<StateChanges>,
        accounts: &[Address],
    ) -> Result<Vec<Option<TrieAccount>>, StateError> {
        let leaves = || {
            let tip = self.canonical.tip();
            let trie = self.trie_at(&tip, number)?;
            let disk = &*self.canonical.disk;
            let update = root_after(disk, &trie, changes)?;
            let nodes = NodeReader::accounts(disk);
            let leaf = |address: &Address| {
                if let Some(touched) = update.touched.get(address) {
                    return Ok(touched.row.map(|row| row.leaf()));
                }
                let (_, leaf) = prove(nodes, &trie.accounts, keccak256(address))?;
                leaf.map(|leaf| decode_leaf(address, &leaf)).transpose()
            };
            accounts.iter().map(leaf).collect::<Result<_, StoreError>>()
        };
        leaves().map_err(|cause| cause.reading_state(number))
    }

    /// All slots of an account that are not zero, at the head, and the head's number; `None`: they
    /// are more than `most`.
    ///
    /// # Errors
    /// When a record is damaged, the disk fails, or blocks come faster than the slots are read.
    pub fn slots_at_head(&self, address: Address, most: usize) -> Result<SlotsAtHead, StateError> {
        let read = || {
            for _ in 0..SLOTS_ATTEMPTS {
                let number = self.canonical.tip().head.header.number;
                let slots = self.canonical.steadily(|_| self.all_slots(address, most))?;
                let canonical = &self.canonical;
                if canonical.begun.load(SeqCst) == number
                    && canonical.tip().head.header.number == number
                {
                    return Ok((number, slots));
                }
            }
            let number = self.canonical.tip().head.header.number;
            Err(StoreError::UnknownBlock(number))
        };
        read().map_err(|cause: StoreError| {
            cause.reading_state(self.canonical.tip().head.header.number)
        })
    }

    fn all_slots(
        &self,
        address: Address,
        most: usize,
    ) -> Result<Option<BTreeMap<U256, U256>>, StoreError> {
        let (mut slots, mut fits) = (BTreeMap::new(), true);
        let range = KeyRange::prefix(address.as_slice());
        self.canonical.disk.scan(Column::Slots, &range, &mut |key, value| {
            fits = slots.len() < most;
            if !fits {
                return Ok(ControlFlow::Break(()));
            }
            let damaged = || StoreError::record(Column::Slots, key, "not a slot");
            let slot = slot_of(key).ok_or_else(damaged)?;
            slots.insert(slot, decode_slot_value(key, value)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(fits.then_some(slots))
    }

    /// Proves an account and some of its slots as they were after a block. For a past block the
    /// difference to the head is undone in memory, at most [`PROOF_CHANGES_MAX`] places.
    ///
    /// # Errors
    /// When there is no such block, its state is no longer kept or too far away, or the disk
    /// fails.
    pub fn proof(
        &self,
        number: BlockNumber,
        address: Address,
        slots: &[U256],
    ) -> Result<AccountProof, StateError> {
        let mut attempts = PROOF_ATTEMPTS;
        let proof = loop {
            attempts -= 1;
            let tip = self.canonical.tip();
            match self.proof_from(&tip, number, address, slots) {
                // A block committed meanwhile has overwritten nodes of the trie we read.
                Err(StoreError::TrieNode { .. } | StoreError::StateRoot { .. })
                    if attempts > 0
                        && self.canonical.begun.load(SeqCst) != tip.head.header.number => {}
                done => break done,
            }
            // Wait for the commit that is under way, so that the next attempt starts from it.
            std::thread::yield_now();
        };
        proof.map_err(|cause| cause.reading_state(number))
    }

    fn proof_from(
        &self,
        tip: &Tip,
        number: BlockNumber,
        address: Address,
        slots: &[U256],
    ) -> Result<AccountProof, StoreError> {
        let trie = self.trie_at(tip, number)?;
        let disk = &*self.canonical.disk;
        let hashed = keccak256(address);
        let (account_proof, leaf) = prove(NodeReader::accounts(disk), &trie.accounts, hashed)?;
        let account = leaf.map_or_else(
            || Ok(TrieAccount::new(0, U256::ZERO, EMPTY_ROOT_HASH, KECCAK256_EMPTY)),
            |leaf| decode_leaf(&address, &leaf),
        )?;
        let root = trie.storage(hashed, account.storage_root);
        let nodes = NodeReader::storage(disk, hashed);
        let storage = slots.iter().map(|key| {
            let (proof, leaf) = prove(nodes, &root, keccak256(key.to_be_bytes::<32>()))?;
            let value = leaf.and_then(|leaf| U256::decode(&mut leaf.as_slice()).ok());
            Ok(SlotProof { key: *key, value: value.unwrap_or_default(), proof })
        });
        Ok(AccountProof {
            address,
            balance: account.balance,
            nonce: account.nonce,
            code_hash: account.code_hash,
            storage_hash: account.storage_root,
            account_proof,
            storage: storage.collect::<Result<_, StoreError>>()?,
        })
    }

    fn trie_at(&self, tip: &Tip, number: BlockNumber) -> Result<StateTrie, StoreError> {
        if number == tip.head.header.number {
            return Ok(tip.trie.clone());
        }
        self.past_trie(tip, number)
    }

    /// The tries of a past state: those at the head with every later block undone.
    fn past_trie(&self, tip: &Tip, number: BlockNumber) -> Result<StateTrie, StoreError> {
        let disk = &*self.canonical.disk;
        let head = tip.head.header.number;
        let oldest = self.canonical.oldest.load(SeqCst);
        if number < oldest {
            return Err(StoreError::NotKept { block: number, oldest });
        }
        if number > head {
            return Err(StoreError::UnknownBlock(number));
        }
        let expected = self.canonical.state_root(number)?;
        let mut undone = ChangeSet::default();
        let mut places = 0;
        for later in (number.saturating_add(1)..=head).rev() {
            for (address, replaced) in self.canonical.replaced(later)?.accounts {
                places += 1 + replaced.slots.len();
                let place = undone.accounts.entry(address).or_default();
                place.account = replaced.account;
                place.slots.extend(replaced.slots);
            }
            if places > PROOF_CHANGES_MAX {
                return Err(StoreError::TooFarForProof { block: number, limit: PROOF_CHANGES_MAX });
            }
        }
        let update = root_after(disk, &tip.trie, Arc::new(reversed(&undone)))?;
        if update.root() != expected {
            return Err(StoreError::StateRoot { number, got: update.root(), expected });
        }
        Ok(update.trie())
    }
}

fn decode_leaf(address: &Address, mut leaf: &[u8]) -> Result<TrieAccount, StoreError> {
    TrieAccount::decode(&mut leaf).map_err(|cause| StoreError::TrieNode {
        path: keccak256(address).to_string().into(),
        cause: cause.to_string().into(),
    })
}
