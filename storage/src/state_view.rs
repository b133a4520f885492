//! Reads the state at one block, while later blocks are committed.
//!
//! The columns of accounts and slots hold the state at the head. A read takes the value there,
//! then looks whether the batch of a later block had begun; if so, the first later block that
//! changed the place tells what it replaced. No snapshot of the disk is held, so a view costs
//! nothing and may be kept.

use crate::{
    Column, KeyRange, StoreError,
    canonical::Canonical,
    chain_records,
    change_set::Encoded,
    columns::{AccountRow, decode_slot_value, number_at_end, slot_key},
};
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256};
use entente_chain::{Account, BlockNumber, StateChanges, StateError, StateReader};
use std::{
    ops::ControlFlow,
    sync::{Arc, atomic::Ordering::SeqCst},
};

/// The state after one block of the canonical chain. Cheap to clone.
#[derive(Clone, Debug)]
pub struct StateView {
    canonical: Arc<Canonical>,
    number: BlockNumber,
    hash: B256,
    reverts: u64,
}

impl StateView {
    pub(crate) fn open(canonical: Arc<Canonical>, number: BlockNumber) -> Result<Self, StoreError> {
        let (hash, reverts) = canonical.steadily(|reverts| {
            if canonical.tip().head.header.number < number {
                return Err(StoreError::UnknownBlock(number));
            }
            check_kept(&canonical, number)?;
            let record = chain_records::header(&*canonical.disk, number)?;
            let record = record.ok_or(StoreError::UnknownBlock(number))?;
            Ok((record.header.hash(), reverts))
        })?;
        Ok(Self { canonical, number, hash, reverts })
    }

    /// The block after which this is the state.
    #[must_use]
    pub const fn number(&self) -> BlockNumber {
        self.number
    }

    /// Hash of that block: the chain may hold another at its number by now.
    #[must_use]
    pub const fn hash(&self) -> B256 {
        self.hash
    }

    /// Reads a place as it was after block `number`.
    fn read<T>(
        &self,
        at_head: impl Fn() -> Result<T, StoreError>,
        replaced_later: impl Fn() -> Result<Option<T>, StoreError>,
    ) -> Result<T, StateError> {
        let read = |reverts| {
            if reverts != self.reverts {
                self.check_canonical()?;
            }
            // The order matters: a later block's batch that could have changed the value read
            // here had set the mark before.
            let value = at_head()?;
            if self.canonical.begun.load(SeqCst) <= self.number {
                return Ok(value);
            }
            let replaced = replaced_later();
            check_kept(&self.canonical, self.number)?;
            Ok(replaced?.unwrap_or(value))
        };
        self.canonical.steadily(read).map_err(|cause: StoreError| cause.reading_state(self.number))
    }

    fn check_canonical(&self) -> Result<(), StoreError> {
        match chain_records::header(&*self.canonical.disk, self.number)? {
            Some(record) if record.header.hash() == self.hash => Ok(()),
            _ => Err(StoreError::UnknownBlock(self.number)),
        }
    }

    /// Asks the first change set after this block that names the place with this history key.
    fn replaced<T>(
        &self,
        column: Column,
        place: &[u8],
        find: impl Fn(&Encoded<'_>) -> Result<Option<T>, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let disk = &*self.canonical.disk;
        let mut first = None;
        let range = KeyRange::numbers(place, self.number.saturating_add(1), u64::MAX);
        disk.scan(column, &range, &mut |key, _| {
            first = Some(number_at_end(column, key)?);
            Ok(ControlFlow::Break(()))
        })?;
        let Some(number) = first else { return Ok(None) };
        let key = number.to_be_bytes();
        let missing = |cause| StoreError::record(Column::ChangeSets, &key, cause);
        let bytes = disk.get(Column::ChangeSets, &key)?.ok_or_else(|| missing("missing"))?;
        find(&Encoded::new(number, &bytes)?)?
            .map(Some)
            .ok_or_else(|| missing("does not name what the index says"))
    }
}

fn check_kept(canonical: &Canonical, number: BlockNumber) -> Result<(), StoreError> {
    let oldest = canonical.oldest.load(SeqCst);
    if number < oldest { Err(StoreError::NotKept { block: number, oldest }) } else { Ok(()) }
}

impl StateReader for StateView {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        let key = address.as_slice();
        self.read(
            || {
                let value = self.canonical.disk.get(Column::Accounts, key)?;
                let row = value.map(|value| AccountRow::decode_value(key, &value)).transpose()?;
                Ok(row.map(|row| row.account))
            },
            || self.replaced(Column::AccountHistory, key, |set| set.account(address)),
        )
    }

    fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        let key = slot_key(address, slot);
        self.read(
            || {
                let value = self.canonical.disk.get(Column::Slots, &key)?;
                value.map_or(Ok(U256::ZERO), |value| decode_slot_value(&key, &value))
            },
            || self.replaced(Column::SlotHistory, &key, |set| set.slot(address, slot)),
        )
    }

    fn code(&self, hash: B256) -> Result<Bytes, StateError> {
        if hash == KECCAK256_EMPTY {
            return Ok(Bytes::new());
        }
        self.canonical
            .disk
            .get(Column::Code, hash.as_slice())
            .map_err(|cause| cause.reading_state(self.number))?
            .ok_or(StateError::CodeMissing(hash))
    }

    fn block_hash(&self, number: BlockNumber) -> Result<B256, StateError> {
        if number > self.number {
            return Ok(B256::ZERO);
        }
        let read = |reverts| {
            if reverts != self.reverts {
                self.check_canonical()?;
            }
            let record = chain_records::header(&*self.canonical.disk, number)?;
            Ok(record.map_or(B256::ZERO, |record| record.header.hash()))
        };
        self.canonical.steadily(read).map_err(|cause: StoreError| cause.reading_state(self.number))
    }
}

/// The state after a block that is executed but not committed, over its parent's state.
#[derive(Clone)]
pub struct StateOverlay {
    base: Arc<dyn StateReader>,
    changes: Arc<StateChanges>,
    block: Option<(BlockNumber, B256)>,
}

impl StateOverlay {
    /// The state `base` with `changes` applied.
    #[must_use]
    pub const fn new(base: Arc<dyn StateReader>, changes: Arc<StateChanges>) -> Self {
        Self { base, changes, block: None }
    }

    /// Names the block whose changes these are, for reads of its hash.
    #[must_use]
    pub fn with_block(self, number: BlockNumber, hash: B256) -> Self {
        Self { block: Some((number, hash)), ..self }
    }
}

impl StateReader for StateOverlay {
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        match self.changes.accounts.get(&address) {
            Some(change) => Ok(change.after),
            None => self.base.account(address),
        }
    }

    fn slot(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        let Some(change) = self.changes.accounts.get(&address) else {
            return self.base.slot(address, slot);
        };
        match change.storage.get(&slot) {
            _ if change.after.is_none() => Ok(U256::ZERO),
            Some((_, after)) => Ok(*after),
            None if change.storage_wiped => Ok(U256::ZERO),
            None => self.base.slot(address, slot),
        }
    }

    fn code(&self, hash: B256) -> Result<Bytes, StateError> {
        self.changes.code.get(&hash).map_or_else(|| self.base.code(hash), |code| Ok(code.clone()))
    }

    fn block_hash(&self, number: BlockNumber) -> Result<B256, StateError> {
        match self.block {
            Some((at, hash)) if at == number => Ok(hash),
            _ => self.base.block_hash(number),
        }
    }
}
