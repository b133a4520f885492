//! Which blocks a loss of power takes.

use crate::world::{NOW, World, genesis_of, transaction};
use alloy_primitives::{Address, Bytes};
use entente_chain::{RecoveredBlock, spec::EngineKind};
use entente_storage::{
    Batch, Column, Database, Durability, KeyRange, KeyValue, StorageOptions, StoreError, Visit,
};
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
};

type Records = BTreeMap<(Column, Vec<u8>), Bytes>;

/// What is read, and what is left of it without power.
#[derive(Debug, Default)]
struct Disk(Mutex<(Records, Records)>);

impl Disk {
    fn lose_power(&self) {
        let mut state = self.0.lock().unwrap();
        state.0 = state.1.clone();
    }

    fn range(&self, column: Column, range: &KeyRange) -> Vec<(Bytes, Bytes)> {
        let state = self.0.lock().unwrap();
        let from = state.0.range((column, range.from.clone())..);
        from.take_while(|((at, key), _)| *at == column && range.contains(key))
            .map(|((_, key), value)| (key.clone().into(), value.clone()))
            .collect()
    }
}

impl KeyValue for Disk {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self.0.lock().unwrap().0.get(&(column, key.to_vec())).cloned())
    }

    fn scan(
        &self,
        column: Column,
        range: &KeyRange,
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        for (key, value) in self.range(column, range) {
            if visit(&key, &value)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn last(&self, column: Column, range: &KeyRange) -> Result<Option<(Bytes, Bytes)>, StoreError> {
        Ok(self.range(column, range).pop())
    }

    fn write(&self, batch: &Batch, durability: Durability) -> Result<(), StoreError> {
        let mut state = self.0.lock().unwrap();
        for (column, key, value) in batch.iter() {
            let key = (column, key.to_vec());
            match value {
                Some(value) => drop(state.0.insert(key, Bytes::copy_from_slice(value))),
                None => drop(state.0.remove(&key)),
            }
        }
        if durability == Durability::Synced {
            state.1 = state.0.clone();
        }
        Ok(())
    }
}

fn open(disk: &Arc<Disk>) -> World {
    let disk = Arc::clone(disk) as Arc<dyn KeyValue>;
    let database = Database::over(disk, Path::new("power"), &StorageOptions::default()).unwrap();
    World::over(database, &genesis_of(EngineKind::Raft, 1))
}

fn next(world: &mut World) -> RecoveredBlock {
    let author = world.author(0);
    let attributes = world.attributes(author);
    let sender = world.keys[8].clone();
    let nonce = world.head().number;
    world.build(author, &attributes, vec![transaction(&sender, nonce, Address::ZERO, Bytes::new())])
}

/// It is the newest one, and lies in the consensus log: the next record there takes it along.
#[test]
fn a_logged_block_is_durable_with_the_next_record_or_when_it_is_synced() {
    let disk = Arc::new(Disk::default());
    let mut world = open(&disk);
    let first = next(&mut world);
    world.ledger.adopt(first, NOW).unwrap();
    let second = next(&mut world);
    world.ledger.adopt_logged(second.clone(), NOW).unwrap();
    assert_eq!(world.head().number, 2);
    drop(world);

    disk.lose_power();
    let mut world = open(&disk);
    assert_eq!(world.head().number, 1, "a synced block stays, a logged one may go");
    world.ledger.adopt_logged(second, NOW).unwrap();
    let mut log = world.database.consensus_log().unwrap();
    log.append(std::iter::once(b"record".to_vec())).unwrap();
    drop((world, log));

    disk.lose_power();
    let mut world = open(&disk);
    assert_eq!(world.head().number, 2, "with the record");
    let third = next(&mut world);
    world.ledger.adopt_logged(third, NOW).unwrap();
    world.ledger.sync().unwrap();
    drop(world);

    disk.lose_power();
    assert_eq!(open(&disk).head().number, 3, "on request");
}
