//! A disk in memory.

use alloy_primitives::Bytes;
use entente_chain::{EnvironmentId, NodeId, private::RecipientKey};
use entente_privacy::{
    DatabaseCipher, DatabaseKey, PartyKey, Privacy, PrivacySettings, Randomness,
};
use entente_storage::{
    Batch, Column, Database, Durability, KeyRange, KeyValue, PrivateRecords, StorageOptions,
    StoreError, Visit,
};
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
};
use zeroize::Zeroizing;

#[derive(Debug, Default)]
pub(crate) struct MemoryDisk(Mutex<BTreeMap<(Column, Vec<u8>), Bytes>>);

impl MemoryDisk {
    fn entries(&self, column: Column, range: &KeyRange) -> Vec<(Bytes, Bytes)> {
        let records = self.0.lock().unwrap();
        let inside =
            |((at, key), _): &(&(Column, Vec<u8>), &Bytes)| *at == column && range.contains(key);
        let own = records.iter().filter(inside);
        own.map(|((_, key), value)| (key.clone().into(), value.clone())).collect()
    }

    /// Everything in the column of payloads, as a thief sees it.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let all = self.entries(Column::Payloads, &KeyRange::all());
        all.into_iter().flat_map(|(key, value)| [key, value].concat()).collect()
    }
}

impl KeyValue for MemoryDisk {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self.0.lock().unwrap().get(&(column, key.to_vec())).cloned())
    }

    fn scan(
        &self,
        column: Column,
        range: &KeyRange,
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        for (key, value) in self.entries(column, range) {
            if visit(&key, &value)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn last(&self, column: Column, range: &KeyRange) -> Result<Option<(Bytes, Bytes)>, StoreError> {
        Ok(self.entries(column, range).pop())
    }

    fn write(&self, batch: &Batch, _: Durability) -> Result<(), StoreError> {
        let mut records = self.0.lock().unwrap();
        for (column, key, value) in batch.iter() {
            match value {
                Some(value) => records.insert((column, key.to_vec()), value.to_vec().into()),
                None => records.remove(&(column, key.to_vec())),
            };
        }
        Ok(())
    }
}

pub(crate) fn environment() -> EnvironmentId {
    EnvironmentId(alloy_primitives::B256::repeat_byte(0xee))
}

pub(crate) fn key(number: u8) -> PartyKey {
    PartyKey::new(Zeroizing::new([number; 32]))
}

pub(crate) fn public(number: u8) -> RecipientKey {
    key(number).public()
}

pub(crate) fn records(disk: &Arc<MemoryDisk>, secret: u8) -> Result<PrivateRecords, StoreError> {
    let database = DatabaseKey::new(Zeroizing::new([secret; 32]));
    let randomness = Arc::new(Randomness::from_seed(u64::from(secret)));
    let cipher = DatabaseCipher::new(database, "payloads", randomness);
    let options = StorageOptions::default();
    let disk: Arc<dyn KeyValue> = disk.clone();
    Database::over(disk, Path::new("memory"), &options)?.private_records(Arc::new(cipher))
}

/// A node's private transactions with the given keys; its id is the first of them. The seed is the disk's for a life.
pub(crate) fn privacy(disk: &Arc<MemoryDisk>, keys: &[u8], seed: u64) -> Privacy {
    Privacy::open(
        records(disk, 7).unwrap(),
        keys.iter().copied().map(key).collect(),
        (environment(), NodeId([keys.first().copied().unwrap_or(0); 32])),
        Arc::new(Randomness::from_seed(seed)),
        &PrivacySettings::default(),
    )
    .unwrap()
}
