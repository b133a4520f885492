//! One private state as a disk of its own: the columns of a state are namespaces of one column,
//! their values sealed. Everything else is read from the public columns.

use crate::{
    Batch, Column, Durability, KeyRange, KeyValue, StoreError, Visit, value_cipher::ValueCipher,
};
use alloy_primitives::{Bytes, keccak256};
use entente_chain::private::PrivateStateId;
use std::{fmt, ops::ControlFlow, sync::Arc};

/// Bytes of a key that name the private state.
const SPACE_BYTES: usize = 8;
/// The tag of the rows that say what a block did ([`super::block`]).
pub(super) const BLOCKS: u8 = 32;
/// The tag of the terms of contracts.
pub(super) const TERMS: u8 = 33;

pub(crate) struct PrivateDisk {
    disk: Arc<dyn KeyValue>,
    space: [u8; SPACE_BYTES],
    cipher: Arc<dyn ValueCipher>,
}

impl fmt::Debug for PrivateDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateDisk").field("space", &self.space).finish_non_exhaustive()
    }
}

/// Tag of a column that each private state has for itself. A promise to databases on disk.
const fn tag(column: Column) -> Option<u8> {
    match column {
        Column::Accounts => Some(1),
        Column::Slots => Some(2),
        Column::Code => Some(3),
        Column::AccountTrie => Some(4),
        Column::StorageTrie => Some(5),
        Column::ChangeSets => Some(6),
        Column::AccountHistory => Some(7),
        Column::SlotHistory => Some(8),
        Column::LogIndex => Some(9),
        _ => None,
    }
}

impl PrivateDisk {
    pub(super) fn new(
        disk: Arc<dyn KeyValue>,
        id: &PrivateStateId,
        cipher: Arc<dyn ValueCipher>,
    ) -> Self {
        let hash = keccak256(id.as_str());
        let mut space = [0; SPACE_BYTES];
        space.copy_from_slice(hash.get(..SPACE_BYTES).unwrap_or_default());
        Self { disk, space, cipher }
    }

    fn key(&self, tag: u8, key: &[u8]) -> Vec<u8> {
        [&self.space[..], &[tag], key].concat()
    }

    fn range(&self, tag: u8, range: &KeyRange) -> KeyRange {
        let until = match &range.until {
            Some(until) => Some(self.key(tag, until)),
            None => KeyRange::prefix(&self.key(tag, &[])).until,
        };
        KeyRange { from: self.key(tag, &range.from), until }
    }

    /// Empty values say nothing, so they stay as they are.
    fn open(&self, key: &[u8], sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
        if sealed.is_empty() {
            return Ok(Vec::new());
        }
        self.cipher.open(key, sealed).ok_or_else(|| {
            StoreError::record(Column::PrivateState, key, "was not sealed by this node's key")
        })
    }

    pub(super) fn put(&self, batch: &mut Batch, tag: u8, key: &[u8], value: &[u8]) {
        let key = self.key(tag, key);
        let sealed = if value.is_empty() { Vec::new() } else { self.cipher.seal(&key, value) };
        batch.put(Column::PrivateState, &key, &sealed);
    }

    pub(super) fn delete(&self, batch: &mut Batch, tag: u8, key: &[u8]) {
        batch.delete(Column::PrivateState, &self.key(tag, key));
    }

    /// Adds writes to the columns of this private state to a batch of the whole database.
    pub(super) fn append(&self, batch: &mut Batch, own: &Batch) {
        for (column, key, value) in own.iter() {
            match (tag(column), value) {
                (Some(tag), Some(value)) => self.put(batch, tag, key, value),
                (Some(tag), None) => self.delete(batch, tag, key),
                (None, Some(value)) => batch.put(column, key, value),
                (None, None) => batch.delete(column, key),
            }
        }
    }

    pub(super) fn get_tagged(&self, tag: u8, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let key = self.key(tag, key);
        let sealed = self.disk.get(Column::PrivateState, &key)?;
        sealed.map(|sealed| self.open(&key, &sealed)).transpose()
    }

    pub(super) fn last_tagged(
        &self,
        tag: u8,
        range: &KeyRange,
    ) -> Result<Option<(Bytes, Bytes)>, StoreError> {
        let found = self.disk.last(Column::PrivateState, &self.range(tag, range))?;
        found
            .map(|(key, sealed)| {
                let value = self.open(&key, &sealed)?;
                Ok((key.slice(SPACE_BYTES + 1..), value.into()))
            })
            .transpose()
    }
}

impl KeyValue for PrivateDisk {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        match tag(column) {
            Some(tag) => Ok(self.get_tagged(tag, key)?.map(Bytes::from)),
            None => self.disk.get(column, key),
        }
    }

    fn scan(
        &self,
        column: Column,
        range: &KeyRange,
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        let Some(tag) = tag(column) else { return self.disk.scan(column, range, visit) };
        let range = self.range(tag, range);
        self.disk.scan(Column::PrivateState, &range, &mut |key, sealed| {
            let value = self.open(key, sealed)?;
            match key.get(SPACE_BYTES + 1..) {
                Some(key) => visit(key, &value),
                None => Ok(ControlFlow::Continue(())),
            }
        })
    }

    fn last(&self, column: Column, range: &KeyRange) -> Result<Option<(Bytes, Bytes)>, StoreError> {
        match tag(column) {
            Some(tag) => self.last_tagged(tag, range),
            None => self.disk.last(column, range),
        }
    }

    fn write(&self, own: &Batch, durability: Durability) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        self.append(&mut batch, own);
        self.disk.write(&batch, durability)
    }
}
