//! A disk in memory for unit tests.

use crate::{Batch, Column, Durability, KeyRange, KeyValue, StoreError, Visit};
use alloy_primitives::Bytes;
use std::{collections::BTreeMap, sync::Mutex};

type Records = BTreeMap<(Column, Vec<u8>), Bytes>;

#[derive(Debug, Default)]
pub(crate) struct MemoryDisk {
    records: Mutex<Records>,
}

impl MemoryDisk {
    fn entries(&self, column: Column, range: &KeyRange) -> Vec<(Bytes, Bytes)> {
        let records = self.records.lock().unwrap();
        let from = (column, range.from.clone());
        records
            .range(from..)
            .take_while(|((at, key), _)| *at == column && range.contains(key))
            .map(|((_, key), value)| (key.clone().into(), value.clone()))
            .collect()
    }

    pub(crate) fn count(&self, column: Column) -> usize {
        self.entries(column, &KeyRange::all()).len()
    }

    /// Everything but what History::Last prunes, to compare two disks.
    pub(crate) fn all(&self) -> Records {
        self.records.lock().unwrap().clone()
    }
}

impl KeyValue for MemoryDisk {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self.records.lock().unwrap().get(&(column, key.to_vec())).cloned())
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
        let mut records = self.records.lock().unwrap();
        for (column, key, value) in batch.iter() {
            match value {
                Some(value) => records.insert((column, key.to_vec()), value.to_vec().into()),
                None => records.remove(&(column, key.to_vec())),
            };
        }
        Ok(())
    }
}
