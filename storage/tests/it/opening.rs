//! Opening databases: new, locked, of another chain, newer, damaged.

use crate::world::{World, genesis, options};
use alloy_primitives::U256;
use entente_chain::genesis::{Genesis, GenesisBuilder};
use entente_storage::{Database, StorageOptions, StoreError, check::check};
use std::{fs, path::Path};
use tempfile::tempdir;

fn read_only() -> StorageOptions {
    StorageOptions { read_only: true, ..options() }
}

fn files(path: &Path, end: &str) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.to_string_lossy().ends_with(end)).collect()
}

#[test]
fn second_opening_is_refused_and_names_the_directory() {
    let folder = tempdir().unwrap();
    let _world = World::open(folder.path(), &options());
    let error = Database::open(folder.path(), &options()).unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    assert!(error.to_string().contains(&*folder.path().to_string_lossy()), "{error}");
}

#[test]
fn genesis_is_stored_once_and_another_is_refused_with_both_hashes() {
    let folder = tempdir().unwrap();
    let (genesis, json) = genesis();
    let database = Database::open(folder.path(), &options()).unwrap();
    assert_eq!(database.genesis_hash().unwrap(), None);
    assert!(matches!(database.writer(), Err(StoreError::Uninitialised)));
    database.initialise(&genesis, json.as_bytes()).unwrap();
    database.initialise(&genesis, json.as_bytes()).unwrap();
    assert_eq!(database.genesis_json().unwrap().unwrap(), json.into_bytes());
    let other = GenesisBuilder {
        accounts: vec![(alloy_primitives::Address::ZERO, U256::from(1))],
        ..GenesisBuilder::new(7, vec![alloy_primitives::Address::repeat_byte(1)])
    };
    let other = Genesis::parse(other.to_json().as_bytes()).unwrap();
    let text = database.initialise(&other, b"{}").unwrap_err().to_string();
    for part in [genesis.header.hash(), other.header.hash()] {
        assert!(text.contains(&part.to_string()), "{text}");
    }
    assert_eq!(database.genesis_hash().unwrap(), Some(genesis.header.hash()));
}

#[test]
fn writer_and_log_are_handed_out_once() {
    let folder = tempdir().unwrap();
    let world = World::open(folder.path(), &options());
    assert!(matches!(world.database.writer(), Err(StoreError::Taken(_))));
    let mut log = world.database.consensus_log().unwrap();
    assert!(matches!(world.database.consensus_log(), Err(StoreError::Taken(_))));
    log.append([b"record".to_vec()].into_iter()).unwrap();
    drop((log, world));
    let database = Database::open(folder.path(), &options()).unwrap();
    assert_eq!(database.consensus_log().unwrap().recover().unwrap(), [b"record".to_vec()]);
}

#[test]
fn reading_only_gives_no_writer() {
    let folder = tempdir().unwrap();
    World::open(folder.path(), &options()).commit(3);
    let database = Database::open(folder.path(), &read_only()).unwrap();
    assert_eq!(database.reader().head().header.number, 3);
    assert!(matches!(database.writer(), Err(StoreError::ReadOnly)));
}

#[test]
fn missing_pointer_to_the_manifest_is_damage_not_a_new_database() {
    let folder = tempdir().unwrap();
    World::open(folder.path(), &options()).commit(3);
    fs::remove_file(folder.path().join("CURRENT")).unwrap();
    let error = Database::open(folder.path(), &options()).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("entente db check"), "{error}");
}

/// The log of the last process is damaged before its end: refused, not rewound.
#[test]
fn damaged_log_is_refused() {
    let folder = tempdir().unwrap();
    World::open(folder.path(), &options()).commit(30);
    let log = files(folder.path(), ".log").pop().unwrap();
    let mut bytes = fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(&log, bytes).unwrap();
    let error = Database::open(folder.path(), &options()).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}

/// The last batch is torn: the database opens at the block before.
#[test]
fn torn_last_batch_is_dropped() {
    let folder = tempdir().unwrap();
    World::open(folder.path(), &options()).commit(30);
    let log = files(folder.path(), ".log").pop().unwrap();
    let bytes = fs::read(&log).unwrap();
    fs::write(&log, &bytes[..bytes.len() - 10]).unwrap();
    let database = Database::open(folder.path(), &options()).unwrap();
    assert_eq!(database.reader().head().header.number, 29);
    drop(database);
    assert_eq!(check(folder.path()).unwrap().problems, Vec::<String>::new());
}

#[test]
fn check_of_a_sound_database_counts_what_is_there() {
    let folder = tempdir().unwrap();
    let mut world = World::open(folder.path(), &options());
    world.commit(20);
    let model = world.models[20].clone();
    drop(world);
    let report = check(folder.path()).unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!(report.blocks, 21);
    assert_eq!(report.accounts, model.len() as u64);
    let slots: usize = model.values().map(|entry| entry.slots.len()).sum();
    assert_eq!(report.slots, slots as u64);
}
