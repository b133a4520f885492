//! Turns a state update into writes: the accounts and slots at the head, the nodes of the tries,
//! and what they replaced.

use crate::{
    Batch, Column, KeyRange, KeyValue, StoreError,
    change_set::{ChangeSet, Replaced},
    columns::{
        account_history_key, decode_slot_value, slot_history_key, slot_key, slot_of, slot_value,
    },
    state_trie::StateUpdate,
    trie::NodeReader,
};
use alloy_primitives::{Address, B256, U256};
use entente_chain::BlockNumber;
use std::{collections::BTreeMap, ops::ControlFlow};

/// Puts the state after an update; returns what it replaces. Reads nothing but the storage of
/// accounts that lose all of it.
pub(crate) fn put_state(
    batch: &mut Batch,
    disk: &dyn KeyValue,
    update: &StateUpdate,
) -> Result<ChangeSet, StoreError> {
    let mut replaced = ChangeSet::default();
    for (hash, code) in &update.changes().code {
        batch.put(Column::Code, hash.as_slice(), code);
    }
    for (path, rlp) in &update.accounts {
        put_or_delete(batch, NodeReader::accounts(disk).key(path), rlp.as_deref());
    }
    for (address, touched) in &update.touched {
        let Some(change) = update.changes().accounts.get(address) else { continue };
        let mut slots = BTreeMap::new();
        if touched.wiped {
            slots = wipe(batch, disk, *address, touched.hashed)?;
        }
        for (slot, (before, after)) in &change.storage {
            slots.entry(*slot).or_insert(*before);
            let value = (!after.is_zero() && touched.row.is_some()).then(|| slot_value(*after));
            let key = slot_key(*address, *slot);
            put_or_delete(batch, (Column::Slots, key.to_vec()), value.as_deref());
        }
        let nodes = NodeReader::storage(disk, touched.hashed);
        for (path, rlp) in &touched.storage {
            put_or_delete(batch, nodes.key(path), rlp.as_deref());
        }
        let row = touched.row.map(|row| {
            let mut value = Vec::new();
            row.encode(&mut value);
            value
        });
        put_or_delete(batch, (Column::Accounts, address.to_vec()), row.as_deref());
        replaced.accounts.insert(*address, Replaced { account: change.before, slots });
    }
    Ok(replaced)
}

/// Deletes all storage of an account; returns it.
fn wipe(
    batch: &mut Batch,
    disk: &dyn KeyValue,
    address: Address,
    hashed: B256,
) -> Result<BTreeMap<U256, U256>, StoreError> {
    let mut slots = BTreeMap::new();
    disk.scan(Column::Slots, &KeyRange::prefix(address.as_slice()), &mut |key, value| {
        let slot = slot_of(key)
            .ok_or_else(|| StoreError::record(Column::Slots, key, "not the key of a slot"))?;
        slots.insert(slot, decode_slot_value(key, value)?);
        batch.delete(Column::Slots, key);
        Ok(ControlFlow::Continue(()))
    })?;
    disk.scan(Column::StorageTrie, &KeyRange::prefix(hashed.as_slice()), &mut |key, _| {
        batch.delete(Column::StorageTrie, key);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(slots)
}

fn put_or_delete(batch: &mut Batch, (column, key): (Column, Vec<u8>), value: Option<&[u8]>) {
    match value {
        Some(value) => batch.put(column, &key, value),
        None => batch.delete(column, &key),
    }
}

/// Puts what a block replaced, and the indices over it.
pub(crate) fn put_change_set(batch: &mut Batch, number: BlockNumber, replaced: &ChangeSet) {
    batch.put(Column::ChangeSets, &number.to_be_bytes(), &replaced.encode());
    for (column, key) in history_keys(number, replaced) {
        batch.put(column, &key, &[]);
    }
}

/// Deletes what a block replaced, and the indices over it.
pub(crate) fn delete_change_set(batch: &mut Batch, number: BlockNumber, replaced: &ChangeSet) {
    batch.delete(Column::ChangeSets, &number.to_be_bytes());
    for (column, key) in history_keys(number, replaced) {
        batch.delete(column, &key);
    }
}

fn history_keys(
    number: BlockNumber,
    replaced: &ChangeSet,
) -> impl Iterator<Item = (Column, Vec<u8>)> {
    replaced.accounts.iter().flat_map(move |(address, replaced)| {
        let account = (Column::AccountHistory, account_history_key(*address, number));
        let slots = replaced
            .slots
            .keys()
            .map(move |slot| (Column::SlotHistory, slot_history_key(*address, *slot, number)));
        std::iter::once(account).chain(slots)
    })
}

/// What a block replaced.
pub(crate) fn change_set(
    disk: &dyn KeyValue,
    number: BlockNumber,
) -> Result<ChangeSet, StoreError> {
    let key = number.to_be_bytes();
    let value = disk.get(Column::ChangeSets, &key)?;
    let value = value.ok_or_else(|| StoreError::record(Column::ChangeSets, &key, "missing"))?;
    ChangeSet::decode(number, &value)
}
