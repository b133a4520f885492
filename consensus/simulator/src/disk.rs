//! A disk of the simulated world behind storage's own seam: what was not synced may be lost, as a
//! suffix of whole batches (how RocksDB's log comes to that after torn writes: `torn_log.rs` in
//! storage, with tests of its own); a full disk refuses.

#![expect(
    clippy::disallowed_types,
    reason = "the seam to a disk is shared: a lock, and one thread"
)]

use alloy_primitives::Bytes;
use entente_storage::{Batch, Column, Durability, KeyRange, KeyValue, StoreError, Visit};
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

type Records = BTreeMap<(Column, Vec<u8>), Bytes>;

#[derive(Debug, Default)]
struct State {
    /// What reads see.
    visible: Records,
    /// What survives the loss of power.
    durable: Records,
    /// Batches since the last sync, in order.
    unsynced: Vec<Batch>,
    full: bool,
    /// Sabotage: syncs do nothing.
    lies: bool,
    syncs: u64,
}

/// The disk of one node; outlives its processes.
#[derive(Debug, Default)]
pub(crate) struct SimulatedDisk {
    state: Mutex<State>,
}

impl SimulatedDisk {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Power is lost: of the batches that were not synced, the first `kept` survive.
    pub(crate) fn lose_power(&self, kept: usize) {
        let mut state = self.lock();
        let unsynced = std::mem::take(&mut state.unsynced);
        for batch in unsynced.iter().take(kept) {
            apply(&mut state.durable, batch);
        }
        state.visible = state.durable.clone();
    }

    pub(crate) fn unsynced(&self) -> usize {
        self.lock().unsynced.len()
    }

    pub(crate) fn wipe(&self) {
        *self.lock() = State { lies: self.lock_lies(), ..State::default() };
    }

    fn lock_lies(&self) -> bool {
        self.lock().lies
    }

    pub(crate) fn set_full(&self, full: bool) {
        self.lock().full = full;
    }

    pub(crate) fn set_lies(&self, lies: bool) {
        self.lock().lies = lies;
    }

    /// Whether a record survives the loss of power at this moment.
    pub(crate) fn is_durable(&self, column: Column, key: &[u8]) -> bool {
        self.lock().durable.contains_key(&(column, key.to_vec()))
    }

    /// The keys of a column that begin with a byte.
    pub(crate) fn keys(&self, wanted: Column, kind: u8) -> Vec<Vec<u8>> {
        let state = self.lock();
        let of_kind =
            |(column, key): &&(Column, Vec<u8>)| *column == wanted && key.first() == Some(&kind);
        state.visible.keys().filter(of_kind).map(|(_, key)| key.clone()).collect()
    }

    /// How many records a column has.
    pub(crate) fn count(&self, wanted: Column) -> usize {
        self.lock().visible.keys().filter(|(column, _)| *column == wanted).count()
    }

    /// The first column with bytes like these in a key or a value.
    pub(crate) fn find(&self, bytes: &[u8]) -> Option<Column> {
        let state = self.lock();
        let has = |text: &[u8]| text.windows(bytes.len()).any(|window| window == bytes);
        let found = state.visible.iter().find(|((_, key), value)| has(key) || has(value));
        found.map(|((column, _), _)| *column)
    }

    /// Sabotage: forgets the records of a column, but the oldest `kept`.
    pub(crate) fn forget(&self, column: Column, kept: usize) {
        let mut state = self.lock();
        let keys: Vec<_> =
            state.visible.keys().filter(|(at, _)| *at == column).skip(kept).cloned().collect();
        for key in keys {
            state.visible.remove(&key);
            state.durable.remove(&key);
        }
    }
}

fn apply(records: &mut Records, batch: &Batch) {
    for (column, key, value) in batch.iter() {
        let key = (column, key.to_vec());
        match value {
            Some(value) => drop(records.insert(key, Bytes::copy_from_slice(value))),
            None => drop(records.remove(&key)),
        }
    }
}

fn range(records: &Records, column: Column, range: &KeyRange) -> Vec<(Bytes, Bytes)> {
    records
        .range((column, range.from.clone())..)
        .take_while(|((at, key), _)| *at == column && range.contains(key))
        .map(|((_, key), value)| (Bytes::copy_from_slice(key), value.clone()))
        .collect()
}

impl KeyValue for SimulatedDisk {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self.lock().visible.get(&(column, key.to_vec())).cloned())
    }

    fn scan(
        &self,
        column: Column,
        wanted: &KeyRange,
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        let found = range(&self.lock().visible, column, wanted);
        for (key, value) in found {
            if visit(&key, &value)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn last(
        &self,
        column: Column,
        wanted: &KeyRange,
    ) -> Result<Option<(Bytes, Bytes)>, StoreError> {
        let state = self.lock();
        let from = (column, wanted.from.clone());
        let below = |(at, key): &(Column, Vec<u8>)| *at == column && wanted.contains(key);
        let last = match &wanted.until {
            Some(until) => state.visible.range(from..(column, until.clone())).next_back(),
            None => state.visible.range(from..).take_while(|(key, _)| below(key)).last(),
        };
        let found = last.filter(|(key, _)| below(key));
        Ok(found.map(|((_, key), value)| (Bytes::copy_from_slice(key), value.clone())))
    }

    fn write(&self, batch: &Batch, durability: Durability) -> Result<(), StoreError> {
        let mut state = self.lock();
        if state.full {
            return Err(StoreError::Disk {
                path: Path::new("simulated").into(),
                cause: "no space left".into(),
            });
        }
        apply(&mut state.visible, batch);
        match durability {
            Durability::Synced if !state.lies => {
                let earlier = std::mem::take(&mut state.unsynced);
                for batch in &earlier {
                    apply(&mut state.durable, batch);
                }
                apply(&mut state.durable, batch);
                state.syncs += 1;
            }
            Durability::Synced | Durability::Buffered => state.unsynced.push(batch.clone()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(value: u8) -> Batch {
        let mut batch = Batch::default();
        batch.put(Column::ConsensusLog, &[value], &[value]);
        batch
    }

    #[test]
    fn what_was_not_synced_is_lost_as_a_suffix() {
        let disk = SimulatedDisk::default();
        disk.write(&batch(1), Durability::Synced).expect("room");
        for value in 2..5 {
            disk.write(&batch(value), Durability::Buffered).expect("room");
        }
        assert_eq!(disk.unsynced(), 3);
        disk.lose_power(1);
        let there = |value: u8| disk.get(Column::ConsensusLog, &[value]).expect("read").is_some();
        assert_eq!([1, 2, 3, 4].map(there), [true, true, false, false]);
    }

    #[test]
    fn a_synced_write_takes_earlier_ones_along() {
        let disk = SimulatedDisk::default();
        disk.write(&batch(1), Durability::Buffered).expect("room");
        disk.write(&batch(2), Durability::Synced).expect("room");
        disk.lose_power(0);
        assert!(disk.get(Column::ConsensusLog, &[1]).expect("read").is_some());
    }
}
