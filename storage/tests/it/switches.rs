//! Readers while the chain changes from branch to branch: whatever they get is of one branch.

use crate::world::{Model, World, addresses, options};
use alloy_primitives::B256;
use entente_chain::StateReader;
use entente_storage::{ChainReader, StateStore};
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering::SeqCst},
};
use tempfile::tempdir;

const COMMON: u64 = 3;
const LENGTH: u64 = 3;
const SEEDS: [u64; 2] = [1, 2];
const SWITCHES: usize = 80;

/// States by block hash.
type Models = BTreeMap<B256, Model>;

/// Changes to the branch of a seed; its receipts tell which one it is.
fn switch(world: &mut World, seed: u64) -> Vec<B256> {
    if world.head() > COMMON {
        world.revert_to(COMMON);
    }
    world.seed = seed;
    let mut hashes = Vec::new();
    for _ in 0..LENGTH {
        let (mut commit, model) = world.next();
        for receipt in &mut commit.receipts {
            receipt.cumulative_gas_used = seed;
        }
        hashes.push(commit.block.hash());
        world.writer.commit(commit).unwrap();
        world.models.push(model);
    }
    hashes
}

fn seed_of(extra_data: &[u8]) -> u64 {
    u64::from_be_bytes(extra_data.try_into().unwrap())
}

fn read_blocks(reader: &ChainReader) {
    for number in COMMON + 1..=COMMON + LENGTH {
        if let Some((block, receipts)) = reader.block_with_receipts(number).unwrap() {
            let seed = seed_of(&block.header.extra_data);
            assert_eq!(receipts.len(), block.transactions().len());
            assert!(receipts.iter().all(|receipt| receipt.cumulative_gas_used == seed));
            for (index, transaction) in block.transactions().iter().enumerate() {
                let found = reader.block_of_transaction(transaction.hash()).unwrap();
                if let Some((block, place)) = found {
                    assert_eq!(place as usize, index);
                    assert_eq!(block.transactions()[index].hash(), transaction.hash());
                }
            }
            if let Some(again) = reader.block_by_hash(block.hash()).unwrap() {
                assert_eq!(again.header, block.header);
            }
        }
    }
}

/// A view is of one branch, or says that its block is gone.
fn read_states(states: &StateStore, models: &Models) {
    for number in COMMON..=COMMON + LENGTH {
        let Ok(view) = states.at(number) else { continue };
        let model = &models[&view.hash()];
        for address in addresses() {
            let Ok(account) = view.account(address) else { break };
            assert_eq!(account, model.get(&address).map(|entry| entry.account));
        }
    }
}

#[test]
fn readers_never_see_a_mixture_of_two_branches() {
    let folder = tempdir().unwrap();
    let mut world = World::open(folder.path(), &options());
    world.commit(COMMON);
    let common = world.reader.head().header.hash();
    let mut models = Models::from([(common, world.models[COMMON as usize].clone())]);
    for seed in SEEDS {
        let hashes = switch(&mut world, seed);
        models.extend(hashes.into_iter().zip(world.models[COMMON as usize + 1..].to_vec()));
    }
    let (reader, states) = (world.reader.clone(), world.states.clone());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let until_done = |read: &dyn Fn()| {
            while !done.load(SeqCst) {
                read();
            }
        };
        scope.spawn(move || until_done(&|| read_blocks(&reader)));
        let models = &models;
        scope.spawn(move || until_done(&|| read_states(&states, models)));
        for turn in 0..SWITCHES {
            switch(&mut world, SEEDS[turn % 2]);
        }
        done.store(true, SeqCst);
    });
    read_blocks(&world.reader);
    read_states(&world.states, &models);
}
