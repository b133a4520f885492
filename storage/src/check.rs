//! `entente db check`: reads a closed database and reports what does not fit together. Writes
//! nothing. Needs memory for the hashes of all accounts (about 200 bytes each) and for the slots
//! of one account at a time.

use crate::{
    Column, KeyRange, KeyValue, StoreError,
    chain_records::{self, HeaderRecord},
    columns::{AccountRow, decode_location, decode_slot_value, number_value, slot_of},
    schema,
    trie::NodeReader,
};
use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, HashBuilder, Nibbles};
use entente_chain::BlockNumber;
use std::ops::ControlFlow;

/// Problems listed; more are only counted.
const PROBLEMS_LISTED: usize = 100;

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Number and hash of the head; `None`: the database has no genesis.
    pub head: Option<(BlockNumber, B256)>,
    /// Blocks read.
    pub blocks: u64,
    /// Transactions read.
    pub transactions: u64,
    /// Accounts at the head.
    pub accounts: u64,
    /// Slots at the head.
    pub slots: u64,
    /// What does not fit together, the first hundred.
    pub problems: Vec<String>,
    /// How many problems there are.
    pub problem_count: u64,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.problem_count == 0
    }

    fn problem(&mut self, text: String) {
        self.problem_count += 1;
        if self.problems.len() < PROBLEMS_LISTED {
            self.problems.push(text);
        }
    }

    /// Notes an error that is about the data; others end the check.
    fn noted<T>(&mut self, result: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(cause @ (StoreError::Record { .. } | StoreError::TrieNode { .. })) => {
                self.problem(cause.to_string());
                Ok(None)
            }
            Err(cause) => Err(cause),
        }
    }
}

/// Checks the database in a directory.
///
/// # Errors
/// When it cannot be read at all: locked, files damaged, a newer schema.
#[cfg(feature = "rocks")]
pub fn check(path: &std::path::Path) -> Result<Report, StoreError> {
    let disk = crate::rocks::Rocks::open(path, crate::CACHE_BYTES_DEFAULT, true)?;
    check_disk(&disk)
}

/// Checks a database on a disk of the caller's.
///
/// # Errors
/// When it cannot be read at all, or has a newer schema.
pub fn check_disk(disk: &dyn KeyValue) -> Result<Report, StoreError> {
    let mut report = Report::default();
    schema::check_version(disk)?;
    let Some(head) = schema::head_number(disk)? else { return Ok(report) };
    let genesis = schema::genesis_hash(disk)?;
    let mut parent: Option<HeaderRecord> = None;
    for number in 0..=head {
        let header = report.noted(chain_records::header(disk, number))?.flatten();
        let Some(record) = header else {
            report.problem(format!("block {number}: no header"));
            parent = None;
            continue;
        };
        if number == 0 && genesis != Some(record.header.hash()) {
            report.problem(format!(
                "block 0: hash {}, expected genesis {genesis:?}",
                record.header.hash()
            ));
        }
        if let Some(parent) = &parent {
            check_link(&mut report, parent, &record);
        }
        check_block(disk, &mut report, &record)?;
        report.blocks += 1;
        parent = Some(record);
    }
    if let Some(record) = parent {
        report.head = Some((head, record.header.hash()));
        check_state(disk, &mut report, record.header.state_root)?;
    }
    check_nothing_beyond(disk, &mut report, head)?;
    Ok(report)
}

fn check_link(report: &mut Report, parent: &HeaderRecord, record: &HeaderRecord) {
    let number = record.header.number;
    let (got, expected) = (record.header.parent_hash, parent.header.hash());
    if got != expected {
        report.problem(format!("block {number}: parent {got}, expected {expected}"));
    }
    let expected = parent.total_difficulty.saturating_add(record.header.difficulty);
    if record.total_difficulty != expected {
        let got = record.total_difficulty;
        report.problem(format!("block {number}: total difficulty {got}, expected {expected}"));
    }
}

fn check_block(
    disk: &dyn KeyValue,
    report: &mut Report,
    record: &HeaderRecord,
) -> Result<(), StoreError> {
    let number = record.header.number;
    let hash = record.header.hash();
    let found = disk.get(Column::Numbers, hash.as_slice())?;
    let found = found.map(|value| number_value(Column::Numbers, hash.as_slice(), &value));
    let found = report.noted(found.transpose())?.flatten();
    if found != Some(number) {
        report.problem(format!("block {number}: index of hashes says {found:?} for {hash}"));
    }
    let Some(body) = report.noted(chain_records::body(disk, number))?.flatten() else {
        report.problem(format!("block {number}: no body"));
        return Ok(());
    };
    let receipts = report.noted(chain_records::receipts(disk, number))?.flatten();
    let receipts = receipts.map(|receipts| receipts.len());
    if receipts != Some(body.transactions.len()) {
        report.problem(format!(
            "block {number}: {receipts:?} receipts, expected {}",
            body.transactions.len()
        ));
    }
    for (transaction, index) in body.transactions.iter().zip(0..) {
        report.transactions += 1;
        let key = transaction.hash();
        let found = disk.get(Column::Transactions, key.as_slice())?;
        let found = found.map(|value| decode_location(key.as_slice(), &value)).transpose();
        let found = report.noted(found)?.flatten();
        if found != Some((number, index)) {
            report.problem(format!("transaction {key} of block {number}: index says {found:?}"));
        }
    }
    Ok(())
}

/// Works the state root out from accounts and slots, and compares it with the header and with the
/// root of the stored trie.
fn check_state(
    disk: &dyn KeyValue,
    report: &mut Report,
    state_root: B256,
) -> Result<(), StoreError> {
    if state_root != EMPTY_ROOT_HASH {
        let root = NodeReader::accounts(disk).load(&Nibbles::new(), state_root);
        report.noted(root)?;
    }
    let mut leaves: Vec<(B256, Vec<u8>)> = Vec::new();
    disk.scan(Column::Accounts, &KeyRange::all(), &mut |key, value| {
        report.accounts += 1;
        if let Some(row) = report.noted(AccountRow::decode_value(key, value))? {
            let got = check_storage(disk, report, key)?;
            if got != row.storage_root {
                let address = Address::try_from(key).unwrap_or_default();
                let expected = row.storage_root;
                report.problem(format!(
                    "account {address}: slots have root {got}, expected {expected}"
                ));
            }
            leaves.push((keccak256(key), alloy_rlp::encode(row.leaf())));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let got = root_of(leaves);
    if got != state_root {
        report.problem(format!("accounts have root {got}, the head's header says {state_root}"));
    }
    Ok(())
}

fn check_storage(
    disk: &dyn KeyValue,
    report: &mut Report,
    address: &[u8],
) -> Result<B256, StoreError> {
    let mut leaves = Vec::new();
    disk.scan(Column::Slots, &KeyRange::prefix(address), &mut |key, value| {
        report.slots += 1;
        let slot: Option<U256> = slot_of(key);
        if let (Some(slot), Some(value)) = (slot, report.noted(decode_slot_value(key, value))?) {
            leaves.push((keccak256(slot.to_be_bytes::<32>()), alloy_rlp::encode(value)));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(root_of(leaves))
}

fn root_of(mut leaves: Vec<(B256, Vec<u8>)>) -> B256 {
    leaves.sort_unstable_by_key(|(key, _)| *key);
    leaves.dedup_by_key(|(key, _)| *key);
    let mut builder = HashBuilder::default();
    for (key, value) in leaves {
        builder.add_leaf(Nibbles::unpack(key), &value);
    }
    builder.root()
}

/// A block above the head would be the half of a batch.
fn check_nothing_beyond(
    disk: &dyn KeyValue,
    report: &mut Report,
    head: BlockNumber,
) -> Result<(), StoreError> {
    let columns = [Column::Headers, Column::Bodies, Column::Receipts, Column::ChangeSets];
    for column in columns {
        let beyond = KeyRange::numbers(&[], head.saturating_add(1), u64::MAX);
        if let Some((key, _)) = disk.last(column, &beyond)? {
            report.problem(format!("column {column} has {key} above the head {head}"));
        }
    }
    Ok(())
}
