//! A drawn chain over a database, with a model of every state to compare with. The same numbers
//! always give the same blocks.

use alloy_consensus::{SignableTransaction, TxLegacy, TxType};
use alloy_primitives::{
    Address, B256, Bytes, KECCAK256_EMPTY, Log, LogData, Signature, U256, keccak256,
};
use alloy_trie::{
    TrieAccount,
    root::{state_root_unhashed, storage_root_unhashed},
};
use entente_chain::{
    Account, AccountChange, BlockBody, Header, Receipt, RecoveredBlock, RecoveredTransaction,
    SealedHeader, StateChanges,
    genesis::{Genesis, GenesisBuilder},
};
use entente_storage::{
    BlockCommit, ChainReader, ChainWriter, Database, History, StateStore, StorageOptions,
    StoreError,
};
use std::{collections::BTreeMap, path::Path, sync::Arc};

/// An account with its storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) account: Account,
    pub(crate) slots: BTreeMap<U256, U256>,
}

/// A whole state.
pub(crate) type Model = BTreeMap<Address, Entry>;

pub(crate) struct World {
    pub(crate) reader: ChainReader,
    pub(crate) states: StateStore,
    pub(crate) writer: ChainWriter,
    pub(crate) database: Database,
    /// States by number.
    pub(crate) models: Vec<Model>,
    pub(crate) seed: u64,
}

pub(crate) fn genesis() -> (Genesis, String) {
    let builder = GenesisBuilder {
        accounts: vec![(address(1), U256::from(1_000_000))],
        ..GenesisBuilder::new(1337, vec![Address::repeat_byte(0x77)])
    };
    let json = builder.to_json();
    (Genesis::parse(json.as_bytes()).unwrap(), json)
}

pub(crate) fn options() -> StorageOptions {
    StorageOptions { sync: false, ..StorageOptions::default() }
}

pub(crate) fn last(kept: u64) -> StorageOptions {
    StorageOptions { history: History::Last(kept), ..options() }
}

pub(crate) fn address(number: u8) -> Address {
    Address::from_word(keccak256([number]))
}

/// Sixteen addresses, so that accounts are changed again and again.
pub(crate) fn addresses() -> impl Iterator<Item = Address> {
    (0..16).map(address)
}

/// Eight slots, for the same reason.
pub(crate) fn slots() -> impl Iterator<Item = U256> {
    (0_u64..8).map(U256::from)
}

fn genesis_model(genesis: &Genesis) -> Model {
    let entry = |account: &entente_chain::genesis::GenesisAccount| Entry {
        account: Account {
            nonce: account.nonce,
            balance: account.balance,
            code_hash: keccak256(&account.code),
        },
        slots: account.storage.clone(),
    };
    genesis.alloc.iter().map(|(address, account)| (*address, entry(account))).collect()
}

pub(crate) fn model_root(model: &Model) -> B256 {
    state_root_unhashed(model.iter().map(|(address, entry)| {
        let slots = entry.slots.iter().map(|(slot, value)| (B256::from(*slot), *value));
        let Account { nonce, balance, code_hash } = entry.account;
        let storage_root = storage_root_unhashed(slots);
        (*address, TrieAccount { nonce, balance, storage_root, code_hash })
    }))
}

impl World {
    pub(crate) fn open(path: &Path, options: &StorageOptions) -> Self {
        Self::with_seed(path, options, 0)
    }

    pub(crate) fn with_seed(path: &Path, options: &StorageOptions, seed: u64) -> Self {
        let (genesis, json) = genesis();
        let database = Database::open(path, options).unwrap();
        database.initialise(&genesis, json.as_bytes()).unwrap();
        let writer = database.writer().unwrap();
        Self::over(database, writer, seed)
    }

    /// Over a database with a genesis.
    pub(crate) fn over(database: Database, writer: ChainWriter, seed: u64) -> Self {
        let (genesis, _) = genesis();
        let mut world = Self {
            reader: database.reader(),
            states: database.states(),
            writer,
            database,
            models: vec![genesis_model(&genesis)],
            seed,
        };
        for number in 1..=world.head() {
            let (_, model) = drawn_changes(&world.models[number as usize - 1], seed, number);
            world.models.push(model);
        }
        world
    }

    pub(crate) fn head(&self) -> u64 {
        self.reader.head().header.number
    }

    /// The next block, ready to be committed.
    pub(crate) fn next(&self) -> (BlockCommit, Model) {
        let parent = self.reader.head();
        let number = parent.header.number + 1;
        let (changes, model) =
            drawn_changes(&self.models[parent.header.number as usize], self.seed, number);
        let trie = self.states.trie_at_head().unwrap();
        let state = self.states.root_after(&trie, Arc::new(changes)).unwrap();
        let header = Header {
            number,
            parent_hash: parent.header.hash(),
            difficulty: U256::from(1),
            state_root: state.root(),
            timestamp: number,
            extra_data: self.seed.to_be_bytes().to_vec().into(),
            ..Header::default()
        };
        let hash = header.hash_slow();
        let transactions = (0..number % 3).map(|index| transaction(number, index)).collect();
        let receipts = (0..number % 3).map(|index| receipt(number, index)).collect();
        let body = BlockBody { transactions, ommers: Vec::new(), withdrawals: None };
        let block =
            RecoveredBlock { header: SealedHeader::new(header, hash), body: Arc::new(body) };
        let tally = number.is_multiple_of(4).then(|| Bytes::from(number.to_be_bytes()));
        (BlockCommit { block, receipts, state, tally, private: Vec::new() }, model)
    }

    pub(crate) fn try_commit(&mut self) -> Result<(), StoreError> {
        let (commit, model) = self.next();
        self.writer.commit(commit)?;
        self.models.push(model);
        Ok(())
    }

    pub(crate) fn commit(&mut self, blocks: u64) {
        for _ in 0..blocks {
            self.try_commit().unwrap();
        }
    }

    pub(crate) fn revert_to(&mut self, number: u64) -> Vec<Arc<RecoveredBlock>> {
        self.models.truncate(number as usize + 1);
        self.writer.revert_to(number).unwrap()
    }
}

pub(crate) fn transaction(number: u64, index: u64) -> Arc<RecoveredTransaction> {
    let nonce = number * 100 + index;
    let transaction = TxLegacy { nonce, gas_limit: 21_000, ..TxLegacy::default() };
    let signed = transaction.into_signed(Signature::test_signature());
    Arc::new(RecoveredTransaction::with_sender(signed.into(), address(index as u8)))
}

pub(crate) fn receipt(number: u64, index: u64) -> Receipt {
    let topics = vec![B256::repeat_byte(7), B256::from(U256::from(number))];
    let data = LogData::new_unchecked(topics, vec![index as u8].into());
    let log = Log { address: address(index as u8), data };
    Receipt {
        tx_type: TxType::Legacy,
        success: true,
        cumulative_gas_used: 21_000 * (index + 1),
        logs: vec![log],
    }
}

/// A stream of drawn numbers.
struct Draw(B256);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = keccak256(self.0);
        u64::from_be_bytes(*self.0.first_chunk().unwrap()) % bound
    }
}

/// The changes of a block, and the state after it.
pub(crate) fn drawn_changes(before: &Model, seed: u64, number: u64) -> (StateChanges, Model) {
    let mut draw = Draw(keccak256([seed.to_be_bytes(), number.to_be_bytes()].concat()));
    let mut changes = StateChanges::default();
    let mut model = before.clone();
    for address in addresses() {
        let old = before.get(&address);
        let change = match draw.below(6) {
            0 | 1 => continue,
            2 if old.is_some() => deleted(old),
            3 if old.is_some_and(|entry| !entry.slots.is_empty()) => rewritten(&mut draw, old),
            _ => updated(&mut draw, old, number, &mut changes.code),
        };
        match change.after {
            None => drop(model.remove(&address)),
            Some(account) => {
                let slots = BTreeMap::new();
                let entry = model.entry(address).or_insert(Entry { account, slots });
                entry.account = account;
                if change.storage_wiped {
                    entry.slots.clear();
                }
                for (slot, (_, after)) in &change.storage {
                    entry.slots.insert(*slot, *after);
                }
                entry.slots.retain(|_, value| !value.is_zero());
            }
        }
        changes.accounts.insert(address, change);
    }
    (changes, model)
}

fn deleted(old: Option<&Entry>) -> AccountChange {
    AccountChange {
        before: old.map(|entry| entry.account),
        after: None,
        storage_wiped: true,
        storage: BTreeMap::new(),
    }
}

/// Destroyed and made again in one block.
fn rewritten(draw: &mut Draw, old: Option<&Entry>) -> AccountChange {
    let value = U256::from(draw.below(3) + 1);
    AccountChange {
        before: old.map(|entry| entry.account),
        after: Some(Account { balance: value, ..Account::default() }),
        storage_wiped: true,
        storage: BTreeMap::from([(U256::from(draw.below(8)), (U256::ZERO, value))]),
    }
}

fn updated(
    draw: &mut Draw,
    old: Option<&Entry>,
    number: u64,
    code: &mut BTreeMap<B256, Bytes>,
) -> AccountChange {
    let before = old.map(|entry| entry.account);
    let mut after = before.unwrap_or_default();
    after.nonce += 1;
    after.balance = U256::from(number);
    let mut storage = BTreeMap::new();
    if draw.below(2) == 0 {
        if after.code_hash == KECCAK256_EMPTY {
            let bytes = Bytes::from(number.to_be_bytes());
            after.code_hash = keccak256(&bytes);
            code.insert(after.code_hash, bytes);
        }
        for slot in slots() {
            let value = old.and_then(|entry| entry.slots.get(&slot)).copied().unwrap_or_default();
            let next = U256::from(draw.below(4));
            if draw.below(2) == 0 && value != next {
                storage.insert(slot, (value, next));
            }
        }
    }
    AccountChange { before, after: Some(after), storage_wiped: false, storage }
}
