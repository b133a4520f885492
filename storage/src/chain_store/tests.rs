//! Readers between whose reads from the disk the chain changes its branch: they answer of one.

use crate::{
    Batch, BlockCommit, ChainReader, ChainWriter, Column, Database, Durability, KeyRange, KeyValue,
    StateStore, StorageOptions, StoreError, Visit, memory::MemoryDisk,
};
use alloy_consensus::{SignableTransaction as _, TxLegacy, TxType};
use alloy_primitives::{Address, Bytes, Signature, U256};
use entente_chain::{
    Account, AccountChange, BlockBody, Header, Receipt, RecoveredBlock, RecoveredTransaction,
    SealedHeader, StateChanges, StateReader as _,
    genesis::{Genesis, GenesisBuilder},
};
use std::{
    fmt,
    path::Path,
    sync::{Arc, Mutex},
};

type Hook = Box<dyn FnOnce() + Send>;

/// A disk on which something happens right before the next read of a column.
#[derive(Default)]
struct Interrupted {
    disk: MemoryDisk,
    hook: Mutex<Option<(Column, Hook)>>,
}

impl fmt::Debug for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.disk.fmt(f)
    }
}

impl Interrupted {
    fn before_reading(&self, column: Column, hook: impl FnOnce() + Send + 'static) {
        *self.hook.lock().unwrap() = Some((column, Box::new(hook)));
    }

    fn interrupt(&self, column: Column) {
        let mut waiting = self.hook.lock().unwrap();
        let hook = waiting.take_if(|(at, _)| *at == column);
        // The hook reads too.
        drop(waiting);
        if let Some((_, hook)) = hook {
            hook();
        }
    }

    fn happened(&self) -> bool {
        self.hook.lock().unwrap().is_none()
    }
}

impl KeyValue for Interrupted {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.interrupt(column);
        self.disk.get(column, key)
    }

    fn scan(
        &self,
        column: Column,
        range: &KeyRange,
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        self.interrupt(column);
        self.disk.scan(column, range, visit)
    }

    fn last(&self, column: Column, range: &KeyRange) -> Result<Option<(Bytes, Bytes)>, StoreError> {
        self.disk.last(column, range)
    }

    fn write(&self, batch: &Batch, durability: Durability) -> Result<(), StoreError> {
        self.disk.write(batch, durability)
    }
}

/// A chain of genesis and one block of branch 1, on a disk that was just opened.
struct World {
    disk: Arc<Interrupted>,
    reader: ChainReader,
    states: StateStore,
    writer: Option<ChainWriter>,
}

impl World {
    fn new() -> Self {
        let disk = Arc::new(Interrupted::default());
        let open = || {
            let disk = Arc::clone(&disk) as Arc<dyn KeyValue>;
            let database = Database::over(disk, Path::new(""), &StorageOptions::default()).unwrap();
            let json = GenesisBuilder::new(1337, vec![Address::repeat_byte(1)]).to_json();
            let genesis = Genesis::parse(json.as_bytes()).unwrap();
            database.initialise(&genesis, json.as_bytes()).unwrap();
            database
        };
        let database = open();
        let mut writer = database.writer().unwrap();
        extend(&database.reader(), &database.states(), &mut writer, 1);
        // Opened again: nothing is in the caches.
        let database = open();
        let writer = Some(database.writer().unwrap());
        Self { disk, reader: database.reader(), states: database.states(), writer }
    }

    /// Before the next read of a column, the chain leaves block 1 for those of branch 2.
    fn change_branch_before_reading(&mut self, column: Column) {
        let mut writer = self.writer.take().unwrap();
        let (reader, states) = (self.reader.clone(), self.states.clone());
        self.disk.before_reading(column, move || {
            writer.revert_to(0).unwrap();
            for _ in 0..2 {
                extend(&reader, &states, &mut writer, 2);
            }
        });
    }
}

fn account() -> Address {
    Address::repeat_byte(0xaa)
}

/// A child of the head; everything in it names its branch. Branch 2 has another transaction in
/// front of that of branch 1.
fn extend(reader: &ChainReader, states: &StateStore, writer: &mut ChainWriter, branch: u64) {
    let parent = reader.head().header.clone();
    let before = states.at(parent.number).unwrap().account(account()).unwrap();
    let after = Account { balance: U256::from(branch), nonce: parent.number, ..Account::default() };
    let change = AccountChange { before, after: Some(after), ..AccountChange::default() };
    let mut changes = StateChanges::default();
    changes.accounts.insert(account(), change);
    let trie = states.trie_at_head().unwrap();
    let state = states.root_after(&trie, Arc::new(changes)).unwrap();
    let header = Header {
        number: parent.number + 1,
        parent_hash: parent.hash(),
        state_root: state.root(),
        difficulty: U256::from(branch),
        timestamp: branch,
        ..Header::default()
    };
    let hash = header.hash_slow();
    let transactions: Vec<_> =
        (1..=branch).rev().map(|mark| transaction(mark + 10 * parent.number)).collect();
    let receipt = Receipt {
        tx_type: TxType::Legacy,
        success: true,
        cumulative_gas_used: branch,
        logs: Vec::new(),
    };
    let receipts = vec![receipt; transactions.len()];
    let body = BlockBody { transactions, ..BlockBody::default() };
    let block = RecoveredBlock { header: SealedHeader::new(header, hash), body: Arc::new(body) };
    writer
        .commit(BlockCommit { block, receipts, state, tally: None, private: Vec::new() })
        .unwrap();
}

fn transaction(nonce: u64) -> Arc<RecoveredTransaction> {
    let signed = TxLegacy { nonce, ..TxLegacy::default() }.into_signed(Signature::test_signature());
    Arc::new(RecoveredTransaction::with_sender(signed.into(), account()))
}

/// Where a reader of blocks can be interrupted.
const OF_BLOCKS: [Column; 4] = [Column::Headers, Column::Bodies, Column::Senders, Column::Receipts];

#[test]
fn a_block_and_its_receipts_are_of_one_branch() {
    for column in OF_BLOCKS {
        let mut world = World::new();
        world.change_branch_before_reading(column);
        let (block, receipts) = world.reader.block_with_receipts(1).unwrap().unwrap();
        assert!(world.disk.happened(), "{column:?}");
        assert_eq!(block.header.timestamp, 2, "{column:?}");
        assert_eq!(block.transactions().len(), 2, "{column:?}");
        assert_eq!(receipts.len(), 2, "{column:?}");
        assert!(receipts.iter().all(|receipt| receipt.cumulative_gas_used == 2), "{column:?}");
        // What was read of the block that was left is not kept.
        let (again, _) = world.reader.block_with_receipts(1).unwrap().unwrap();
        assert_eq!(again, block, "{column:?}");
    }
}

#[test]
fn a_header_and_its_body_are_of_one_branch() {
    for column in [Column::Headers, Column::Bodies] {
        let mut world = World::new();
        world.change_branch_before_reading(column);
        let block = world.reader.block(1).unwrap().unwrap();
        assert!(world.disk.happened(), "{column:?}");
        assert_eq!((block.header.timestamp, block.transactions().len()), (2, 2), "{column:?}");
        let mut world = World::new();
        world.change_branch_before_reading(column);
        let raw = world.reader.raw_block(1).unwrap().unwrap();
        assert!(world.disk.happened(), "{column:?}");
        assert_eq!(raw, alloy_rlp::encode(&*world.reader.block(1).unwrap().unwrap()), "{column:?}");
    }
}

/// Transaction 1 is the first of block 1 in one branch, the second in the other.
#[test]
fn a_transaction_is_found_where_it_stands() {
    for column in [Column::Transactions, Column::Headers, Column::Bodies] {
        let mut world = World::new();
        let wanted = transaction(1).hash();
        world.change_branch_before_reading(column);
        let (block, index) = world.reader.block_of_transaction(wanted).unwrap().unwrap();
        assert!(world.disk.happened(), "{column:?}");
        assert_eq!(index, 1, "{column:?}");
        assert_eq!(block.transactions()[1].hash(), wanted, "{column:?}");
    }
}

#[test]
fn a_block_by_hash_is_that_block_or_none() {
    for column in [Column::Numbers, Column::Headers, Column::Bodies] {
        let mut world = World::new();
        let hash = world.reader.hash(1).unwrap().unwrap();
        world.change_branch_before_reading(column);
        assert_eq!(world.reader.block_by_hash(hash).unwrap(), None, "{column:?}");
        assert!(world.disk.happened(), "{column:?}");
    }
}

#[test]
fn the_difficulty_up_to_a_block_that_was_left_is_unknown() {
    let mut world = World::new();
    let header = world.reader.header(1).unwrap().unwrap();
    world.change_branch_before_reading(Column::Headers);
    assert_eq!(world.reader.total_difficulty(&header).unwrap(), None);
}

/// A view is of the block that it was opened at: it gives that block's value, or an error.
#[test]
fn a_state_is_that_of_its_block_or_an_error() {
    for column in [Column::Accounts, Column::AccountHistory, Column::Headers] {
        let mut world = World::new();
        let (view, genesis) = (world.states.at(1).unwrap(), world.states.at(0).unwrap());
        assert_eq!(Some(view.hash()), world.reader.hash(1).unwrap());
        world.change_branch_before_reading(column);
        let before = genesis.account(account()).unwrap();
        assert_eq!(before, None, "{column:?}: the common ancestor stays");
        let read = view.account(account());
        let value = read.as_ref().ok().map(|account| account.unwrap().balance);
        let expected = (!world.disk.happened()).then_some(U256::from(1));
        assert_eq!(value, expected, "{column:?}: {read:?}");
    }
    let mut world = World::new();
    let view = world.states.at(1).unwrap();
    world.change_branch_before_reading(Column::Accounts);
    assert!(view.account(account()).is_err(), "the block went while its state was read");
    assert!(world.disk.happened());
}
