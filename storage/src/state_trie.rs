//! The state of one block as tries, and how changes lead to the next: accounts, and the storage
//! of each contract that was touched lately, kept in memory across blocks within bounds.

use crate::{
    KeyValue, StoreError,
    columns::AccountRow,
    trie::{
        Child, Leaves, NodeReader, NodeWrite, Update, resident_nodes, root_hash, without_depth,
    },
};
use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_rlp::Decodable;
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles, TrieAccount};
use entente_chain::{AccountChange, StateChanges};
use rayon::prelude::*;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, OnceLock},
};

/// Nodes in memory beyond which the deeper ones are let go after a commit.
const RESIDENT_NODES_MAX: usize = 200_000;
/// Storage tries kept in memory.
const STORAGE_TRIES_MAX: usize = 1024;
/// From this many changed slots of one account on, their keys are hashed in parallel.
const PARALLEL_SLOTS: usize = 256;

/// The tries of one state. Immutable and cheap to clone.
#[derive(Clone, Debug)]
pub struct StateTrie {
    pub(crate) accounts: Child,
    storage: Arc<HashMap<B256, StorageTrie>>,
    /// Upper bound of the nodes in memory.
    resident: usize,
    /// Updates since the trie was read from disk: the age of what is kept.
    updates: u64,
}

#[derive(Clone, Debug)]
struct StorageTrie {
    root: Child,
    used: u64,
}

impl StateTrie {
    pub(crate) fn empty() -> Self {
        Self::stored(EMPTY_ROOT_HASH)
    }

    /// A state that is on disk.
    pub(crate) fn stored(root: B256) -> Self {
        Self { accounts: stored(root), storage: Arc::default(), resident: 0, updates: 0 }
    }

    /// The state root.
    #[must_use]
    pub fn root(&self) -> B256 {
        root_hash(&self.accounts)
    }

    /// The storage trie of an account, given its root.
    pub(crate) fn storage(&self, owner: B256, root: B256) -> Child {
        match self.storage.get(&owner) {
            Some(trie) if root_hash(&trie.root) == root => trie.root.clone(),
            _ => stored(root),
        }
    }

    /// The same state within the bounds of memory. All of it must be on disk.
    pub(crate) fn settled(&self) -> Self {
        if self.storage.len() <= STORAGE_TRIES_MAX && self.resident <= RESIDENT_NODES_MAX {
            return self.clone();
        }
        let mut storage: Vec<_> = self.storage.iter().collect();
        storage.sort_unstable_by_key(|(_, trie)| std::cmp::Reverse(trie.used));
        storage.truncate(STORAGE_TRIES_MAX / 2);
        let mut settled = self.clone();
        settled.storage =
            Arc::new(storage.into_iter().map(|(owner, trie)| (*owner, trie.clone())).collect());
        settled.resident = settled.count();
        for depth in (1..6).rev() {
            if settled.resident <= RESIDENT_NODES_MAX / 2 {
                break;
            }
            settled.let_go(depth);
        }
        settled
    }

    fn count(&self) -> usize {
        let storage = self.storage.values().map(|trie| resident_nodes(&trie.root));
        resident_nodes(&self.accounts) + storage.sum::<usize>()
    }

    fn let_go(&mut self, depth: usize) {
        self.accounts = without_depth(&self.accounts, depth);
        let shallow = |trie: &StorageTrie| StorageTrie {
            root: without_depth(&trie.root, depth),
            used: trie.used,
        };
        self.storage =
            Arc::new(self.storage.iter().map(|(owner, trie)| (*owner, shallow(trie))).collect());
        self.resident = self.count();
    }
}

fn stored(root: B256) -> Child {
    if root == EMPTY_ROOT_HASH { Child::Empty } else { Child::Stored(root) }
}

/// A state root worked out from a parent state and changes; nothing of it is on disk yet.
#[derive(Debug)]
pub struct StateUpdate {
    trie: StateTrie,
    changes: Arc<StateChanges>,
    pub(crate) parent_root: B256,
    pub(crate) accounts: Vec<NodeWrite>,
    pub(crate) touched: BTreeMap<Address, Touched>,
}

/// What becomes of one account on disk.
#[derive(Debug)]
pub(crate) struct Touched {
    pub(crate) hashed: B256,
    /// `None`: deleted, or never there.
    pub(crate) row: Option<AccountRow>,
    /// All of its storage before goes.
    pub(crate) wiped: bool,
    pub(crate) storage: Vec<NodeWrite>,
    root: Option<Child>,
}

impl StateUpdate {
    /// The state root after the changes.
    #[must_use]
    pub fn root(&self) -> B256 {
        self.trie.root()
    }

    /// The state after the changes, to work out what follows before this is committed.
    #[must_use]
    pub fn trie(&self) -> StateTrie {
        self.trie.clone()
    }

    /// The changes.
    #[must_use]
    pub const fn changes(&self) -> &Arc<StateChanges> {
        &self.changes
    }
}

/// Works out the state after `changes`; writes nothing.
pub(crate) fn root_after(
    disk: &dyn KeyValue,
    parent: &StateTrie,
    changes: Arc<StateChanges>,
) -> Result<StateUpdate, StoreError> {
    let mut changed: Vec<Changed<'_>> = changes
        .accounts
        .par_iter()
        .map(|(address, change)| Changed { hashed: keccak256(address), address: *address, change })
        .collect();
    changed.par_sort_unstable_by_key(|changed| changed.hashed);
    let keys: Vec<Nibbles> =
        changed.iter().map(|changed| Nibbles::unpack(changed.hashed)).collect();
    let touched = (0..changed.len()).map(|_| OnceLock::new()).collect();
    let mut leaves = AccountLeaves { disk, parent, changed: &changed, touched };
    let update = Update::new(NodeReader::accounts(disk), &keys, &leaves);
    let (root, accounts) = update.apply(&parent.accounts)?;
    let touched: BTreeMap<Address, Touched> = changed
        .iter()
        .zip(&mut leaves.touched)
        .filter_map(|(changed, touched)| Some((changed.address, touched.take()?)))
        .collect();
    let trie = advanced(parent, root, accounts.len(), &touched);
    Ok(StateUpdate { trie, changes, parent_root: parent.root(), accounts, touched })
}

fn advanced(
    parent: &StateTrie,
    accounts: Child,
    written: usize,
    touched: &BTreeMap<Address, Touched>,
) -> StateTrie {
    let updates = parent.updates + 1;
    let mut storage = Arc::clone(&parent.storage);
    let mut resident = parent.resident + written;
    for touched in touched.values() {
        resident += touched.storage.len();
        match &touched.root {
            Some(Child::Empty) => {
                Arc::make_mut(&mut storage).remove(&touched.hashed);
            }
            Some(root) => {
                let trie = StorageTrie { root: root.clone(), used: updates };
                Arc::make_mut(&mut storage).insert(touched.hashed, trie);
            }
            None => {}
        }
    }
    StateTrie { accounts, storage, resident, updates }
}

struct Changed<'a> {
    hashed: B256,
    address: Address,
    change: &'a AccountChange,
}

struct AccountLeaves<'a> {
    disk: &'a dyn KeyValue,
    parent: &'a StateTrie,
    changed: &'a [Changed<'a>],
    touched: Vec<OnceLock<Touched>>,
}

impl Leaves for AccountLeaves<'_> {
    fn after(&self, index: usize, before: Option<&[u8]>) -> Result<Option<Vec<u8>>, StoreError> {
        let (Some(changed), Some(place)) = (self.changed.get(index), self.touched.get(index))
        else {
            return Ok(None);
        };
        let old_root = before.map_or(Ok(EMPTY_ROOT_HASH), |leaf| storage_root(changed, leaf))?;
        let touched = self.touch(changed, old_root)?;
        let leaf = touched.row.map(|row| alloy_rlp::encode(row.leaf()));
        drop(place.set(touched));
        Ok(leaf)
    }
}

impl AccountLeaves<'_> {
    fn touch(&self, changed: &Changed<'_>, old_root: B256) -> Result<Touched, StoreError> {
        let Changed { hashed, change, .. } = *changed;
        let wiped = (change.storage_wiped || change.after.is_none()) && old_root != EMPTY_ROOT_HASH;
        let start = if wiped { Child::Empty } else { self.parent.storage(hashed, old_root) };
        let (Some(account), false) = (change.after, change.storage.is_empty()) else {
            let root = if wiped { EMPTY_ROOT_HASH } else { old_root };
            return Ok(Touched {
                hashed,
                row: change.after.map(|account| AccountRow::new(account, root)),
                wiped,
                storage: Vec::new(),
                root: wiped.then_some(Child::Empty),
            });
        };
        let slots = SlotLeaves::new(change);
        let nodes = NodeReader::storage(self.disk, hashed);
        let (root, storage) = Update::new(nodes, &slots.keys, &slots).apply(&start)?;
        let row = Some(AccountRow::new(account, root_hash(&root)));
        Ok(Touched { hashed, row, wiped, storage, root: Some(root) })
    }
}

fn storage_root(changed: &Changed<'_>, mut leaf: &[u8]) -> Result<B256, StoreError> {
    TrieAccount::decode(&mut leaf).map(|account| account.storage_root).map_err(|cause| {
        StoreError::TrieNode {
            path: changed.hashed.to_string().into(),
            cause: format!("leaf is not an account: {cause}").into(),
        }
    })
}

struct SlotLeaves {
    keys: Vec<Nibbles>,
    values: Vec<U256>,
}

impl SlotLeaves {
    fn new(change: &AccountChange) -> Self {
        let hashed = |(slot, (_, after)): (&U256, &(U256, U256))| {
            (keccak256(slot.to_be_bytes::<32>()), *after)
        };
        let mut slots: Vec<(B256, U256)> = if change.storage.len() >= PARALLEL_SLOTS {
            change.storage.par_iter().map(hashed).collect()
        } else {
            change.storage.iter().map(hashed).collect()
        };
        slots.sort_unstable_by_key(|(key, _)| *key);
        Self {
            keys: slots.iter().map(|(key, _)| Nibbles::unpack(key)).collect(),
            values: slots.into_iter().map(|(_, value)| value).collect(),
        }
    }
}

impl Leaves for SlotLeaves {
    fn after(&self, index: usize, _: Option<&[u8]>) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.values.get(index).copied().unwrap_or_default();
        Ok((!value.is_zero()).then(|| alloy_rlp::encode(value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Batch, Durability, memory::MemoryDisk, state_write::put_state};
    use entente_chain::Account;

    fn changes(accounts: u8, value: u64) -> Arc<StateChanges> {
        let mut changes = StateChanges::default();
        for number in 0..accounts {
            let storage = (0..20).map(|slot| (U256::from(slot), (U256::ZERO, U256::from(value))));
            let change = AccountChange {
                after: Some(Account { nonce: value, ..Account::default() }),
                storage: storage.collect(),
                ..AccountChange::default()
            };
            changes.accounts.insert(Address::repeat_byte(number), change);
        }
        Arc::new(changes)
    }

    fn step(disk: &MemoryDisk, parent: &StateTrie, changes: Arc<StateChanges>) -> StateTrie {
        let update = root_after(disk, parent, changes).unwrap();
        let mut batch = Batch::default();
        put_state(&mut batch, disk, &update).unwrap();
        disk.write(&batch, Durability::Synced).unwrap();
        update.trie()
    }

    #[test]
    fn nodes_let_go_are_read_again() {
        let disk = MemoryDisk::default();
        let whole = step(&disk, &StateTrie::empty(), changes(60, 1));
        let mut shallow = whole.clone();
        shallow.let_go(1);
        assert!(shallow.count() < whole.count() / 4);
        assert_eq!(shallow.root(), whole.root());
        let next = |trie: &StateTrie| root_after(&disk, trie, changes(30, 2)).unwrap().root();
        assert_eq!(next(&shallow), next(&whole));
        assert_eq!(next(&StateTrie::stored(whole.root())), next(&whole));
    }

    /// Nothing of an update is written before it is committed: two may compete.
    #[test]
    fn updates_over_one_parent_do_not_see_each_other() {
        let disk = MemoryDisk::default();
        let parent = step(&disk, &StateTrie::empty(), changes(10, 1));
        let before = disk.all();
        let one = root_after(&disk, &parent, changes(10, 2)).unwrap();
        let other = root_after(&disk, &parent, changes(10, 3)).unwrap();
        assert_ne!(one.root(), other.root());
        assert_eq!(disk.all(), before);
        assert_eq!(root_after(&disk, &parent, changes(10, 2)).unwrap().root(), one.root());
    }

    #[test]
    fn trie_that_is_in_bounds_is_left_as_it_is() {
        let disk = MemoryDisk::default();
        let trie = step(&disk, &StateTrie::empty(), changes(10, 1));
        assert_eq!(trie.settled().count(), trie.count());
    }
}
