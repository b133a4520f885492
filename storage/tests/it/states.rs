//! States at any block against the model, while the head moves on.

use crate::world::{Model, World, addresses, last, model_root, options, slots};
use alloy_primitives::{Address, U256};
use entente_chain::{StateError, StateReader};
use entente_storage::StateOverlay;
use std::sync::Arc;
use tempfile::tempdir;

/// Compares every place of the model's world.
fn assert_state(view: &dyn StateReader, model: &Model) {
    for address in addresses() {
        let entry = model.get(&address);
        assert_eq!(view.account(address).unwrap(), entry.map(|entry| entry.account));
        for slot in slots() {
            let value = entry.and_then(|entry| entry.slots.get(&slot)).copied();
            assert_eq!(view.slot(address, slot).unwrap(), value.unwrap_or_default());
        }
    }
}

#[test]
fn roots_are_those_of_alloy_over_the_whole_state() {
    let folder = tempdir().unwrap();
    let mut world = World::open(folder.path(), &options());
    for _ in 0..60 {
        world.commit(1);
        let root = world.states.trie_at_head().unwrap().root();
        assert_eq!(root, model_root(world.models.last().unwrap()));
    }
}

#[test]
fn every_past_state_can_be_read_also_after_opening_again() {
    let folder = tempdir().unwrap();
    let mut world = World::open(folder.path(), &options());
    world.commit(40);
    for reopened in [false, true] {
        if reopened {
            drop(world);
            world = World::open(folder.path(), &options());
        }
        for (number, model) in world.models.iter().enumerate() {
            assert_state(&world.states.at(number as u64).unwrap(), model);
        }
    }
}

#[test]
fn view_stays_the_same_while_blocks_are_committed_under_it() {
    let folder = tempdir().unwrap();
    let mut world = World::open(folder.path(), &options());
    world.commit(5);
    let views: Vec<_> = (0..=5).map(|number| world.states.at(number).unwrap()).collect();
    let models = world.models.clone();
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            for _ in 0..20 {
                for (view, model) in views.iter().zip(&models) {
                    assert_state(view, model);
                }
            }
        });
        while !reading.is_finished() {
            world.commit(1);
        }
        reading.join().unwrap();
    });
}

#[test]
fn views_below_a_revert_stay_the_same_and_those_above_fail() {
    let folder = tempdir().unwrap();
    let mut world = World::open(folder.path(), &options());
    world.commit(8);
    let [below, at, above] = [3, 5, 7].map(|number| world.states.at(number).unwrap());
    let models = world.models.clone();
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            for _ in 0..20 {
                assert_state(&below, &models[3]);
                assert_state(&at, &models[5]);
            }
        });
        while !reading.is_finished() {
            world.revert_to(5);
            world.seed += 1;
            world.commit(3);
        }
        reading.join().unwrap();
    });
    world.revert_to(5);
    assert!(above.account(Address::ZERO).is_err());
    assert_state(&at, &models[5]);
}

#[test]
fn old_states_are_dropped_when_only_the_last_are_kept() {
    let folder = tempdir().unwrap();
    let mut world = World::open(folder.path(), &last(10));
    world.commit(5);
    let early = world.states.at(1).unwrap();
    world.commit(25);
    assert_state(&world.states.at(20).unwrap(), &world.models[20]);
    let error = StateError::NotKept { block: 19, oldest: 20 };
    assert_eq!(world.states.at(19).unwrap_err(), error);
    let error = StateError::NotKept { block: 1, oldest: 20 };
    assert_eq!(early.account(Address::ZERO).unwrap_err(), error);
    assert!(world.writer.revert_to(19).is_err());
    assert_eq!(world.reader.oldest_state().unwrap(), 20);
}

#[test]
fn shortened_history_is_caught_up_with_block_by_block() {
    let folder = tempdir().unwrap();
    let mut world = World::open(folder.path(), &options());
    world.commit(30);
    drop(world);
    let mut world = World::open(folder.path(), &last(3));
    world.commit(1);
    assert_eq!(world.reader.oldest_state().unwrap(), 4);
    world.commit(20);
    assert_eq!(world.reader.oldest_state().unwrap(), 48);
    assert_state(&world.states.at(48).unwrap(), &world.models[48]);
}

#[test]
fn unknown_block_has_no_state() {
    let folder = tempdir().unwrap();
    let world = World::open(folder.path(), &options());
    assert!(matches!(world.states.at(1), Err(StateError::Database { block: 1, .. })));
}

#[test]
fn code_is_found_by_its_hash() {
    let folder = tempdir().unwrap();
    let mut world = World::open(folder.path(), &options());
    world.commit(20);
    let view = world.states.at(20).unwrap();
    let with_code = world.models[20].values().filter(|entry| entry.account.has_code());
    for entry in with_code {
        let code = view.code(entry.account.code_hash).unwrap();
        assert_eq!(alloy_primitives::keccak256(code), entry.account.code_hash);
    }
    let missing = alloy_primitives::B256::repeat_byte(1);
    assert_eq!(view.code(missing), Err(StateError::CodeMissing(missing)));
}

#[test]
fn overlay_shows_an_uncommitted_block() {
    let folder = tempdir().unwrap();
    let mut world = World::open(folder.path(), &options());
    world.commit(6);
    let base = Arc::new(world.states.at(6).unwrap());
    let (commit, model) = world.next();
    let changes = Arc::clone(commit.state.changes());
    let hash = commit.block.hash();
    let overlay = StateOverlay::new(base, changes).with_block(7, hash);
    assert_state(&overlay, &model);
    assert_eq!(overlay.block_hash(7), Ok(hash));
    assert_eq!(overlay.block_hash(6).ok(), world.reader.hash(6).unwrap());
    assert_eq!(overlay.slot(Address::ZERO, U256::ZERO), Ok(U256::ZERO));
}

/// Block 2 is worked out before block 1 is committed.
#[test]
fn root_can_be_worked_out_over_an_uncommitted_parent() {
    let folder = tempdir().unwrap();
    let mut world = World::open(folder.path(), &options());
    world.commit(3);
    let (first, model) = world.next();
    let (changes, after) = crate::world::drawn_changes(&model, 0, 5);
    let ahead = world.states.root_after(&first.state.trie(), Arc::new(changes)).unwrap();
    assert_eq!(ahead.root(), model_root(&after));
    world.writer.commit(first).unwrap();
    world.models.push(model);
    let (mut second, _) = world.next();
    second.state = ahead;
    world.writer.commit(second).unwrap();
    drop(world);
    let report = entente_storage::check::check(folder.path()).unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
}
