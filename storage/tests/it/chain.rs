//! Blocks in, blocks out.

use crate::world::{World, address, options, receipt, transaction};
use alloy_primitives::{B256, Bytes, U256};
use entente_chain::{RecoveredBlock, StateReader as _};
use entente_storage::{Database, LogIndexQuery, StoreError};
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::tempdir;

#[test]
fn committed_blocks_are_read_back_after_opening_again() {
    let folder = tempdir().unwrap();
    let mut world = World::open(folder.path(), &options());
    let mut committed = Vec::new();
    for _ in 0..50 {
        let (commit, model) = world.next();
        committed.push((commit.block.clone(), commit.receipts.clone()));
        world.writer.commit(commit).unwrap();
        world.models.push(model);
    }
    drop(world);
    let reader = Database::open(folder.path(), &options()).unwrap().reader();
    assert_eq!(reader.head().total_difficulty, U256::from(51));
    for (block, receipts) in committed {
        let number = block.header.number;
        let read = reader.block(number).unwrap().unwrap();
        assert_eq!(*read, block);
        assert_eq!(*reader.receipts(number).unwrap().unwrap(), receipts);
        assert_eq!(reader.block_by_hash(block.hash()).unwrap(), Some(read));
        assert_eq!(reader.header(number).unwrap(), Some(block.header.clone()));
        assert_eq!(reader.header_by_hash(block.hash()).unwrap(), Some(block.header.clone()));
        assert_eq!(reader.hash(number).unwrap(), Some(block.hash()));
        let raw = reader.raw_block(number).unwrap().unwrap();
        assert_eq!(raw, Bytes::from(alloy_rlp::encode(&block)));
        for (transaction, index) in block.transactions().iter().zip(0..) {
            let location = reader.transaction_location(transaction.hash()).unwrap();
            assert_eq!(location, Some((number, index)));
        }
    }
    assert_eq!(reader.block(51).unwrap(), None);
}

#[test]
fn newest_tally_at_or_below_a_block_is_found() {
    let folder = tempdir().unwrap();
    let mut world = World::open(folder.path(), &options());
    world.commit(9);
    let tally = |number| world.reader.tally(number).unwrap();
    // The vote count of genesis lists its validator.
    assert_eq!(tally(3), world.reader.tally(0).unwrap());
    assert!(tally(3).is_some());
    assert_eq!(tally(4), Some(4_u64.to_be_bytes().into()));
    assert_eq!(tally(7), Some(4_u64.to_be_bytes().into()));
    assert_eq!(tally(100), Some(8_u64.to_be_bytes().into()));
}

#[test]
fn logs_lead_to_their_blocks() {
    let folder = tempdir().unwrap();
    let mut world = World::open(folder.path(), &options());
    world.commit(9);
    let of_second = LogIndexQuery { addresses: vec![address(1)], topics: Vec::new() };
    let found = |query: &LogIndexQuery| world.reader.blocks_with_logs(query, 0, 100).unwrap();
    assert_eq!(found(&of_second), [2, 5, 8]);
    let fifth = vec![Vec::new(), vec![B256::from(U256::from(5))]];
    assert_eq!(found(&LogIndexQuery { topics: fifth, ..of_second }), [5]);
}

/// Twins: one chain that was taken back and continued, one that never knew.
#[test]
fn reverted_blocks_leave_no_trace() {
    let folders = [tempdir().unwrap(), tempdir().unwrap()];
    let [mut twice, mut once] =
        [0, 1].map(|index: usize| World::open(folders[index].path(), &options()));
    twice.commit(12);
    let reverted = twice.revert_to(5);
    let numbers: Vec<_> = reverted.iter().map(|block| block.header.number).collect();
    assert_eq!(numbers, [12, 11, 10, 9, 8, 7, 6]);
    once.commit(5);
    assert_eq!(twice.reader.head(), once.reader.head());
    assert_eq!(twice.reader.block(6).unwrap(), None);
    assert_eq!(twice.reader.receipts(6).unwrap(), None);
    assert_eq!(twice.reader.number(reverted[6].hash()).unwrap(), None);
    let gone = transaction(7, 0).hash();
    assert_eq!(twice.reader.transaction_location(gone).unwrap(), None);
    assert_eq!(twice.reader.tally(100).unwrap(), once.reader.tally(100).unwrap());
    twice.seed = 1;
    once.seed = 1;
    twice.commit(8);
    once.commit(8);
    assert_eq!(twice.reader.head(), once.reader.head());
    drop((twice, once));
    let [twice, once] = folders.map(|folder| entente_storage::check::check(folder.path()).unwrap());
    assert_eq!(twice.problems, Vec::<String>::new());
    assert_eq!(twice, once);
}

/// While branches replace each other, nobody gets the block of one with the receipts of the other.
#[test]
fn readers_amid_changes_of_branches_see_one_of_them() {
    const CHANGES: u64 = 150;
    let folder = tempdir().unwrap();
    let mut world = World::open(folder.path(), &options());
    world.commit(5);
    let (reader, states) = (world.reader.clone(), world.states.clone());
    let stop = AtomicBool::new(false);
    let seed_of = |block: &RecoveredBlock| {
        u64::from_be_bytes(block.header.extra_data.as_ref().try_into().unwrap())
    };
    let look = || {
        let mut seen = 0_u64;
        while !stop.load(Ordering::Relaxed) {
            for number in 6..=9 {
                let Some((block, receipts)) = reader.block_with_receipts(number).unwrap() else {
                    continue;
                };
                seen += 1;
                for receipt in receipts.iter() {
                    assert_eq!(receipt.cumulative_gas_used, seed_of(&block), "block {number}");
                }
                let found = reader.block_of_transaction(transaction(number, 0).hash()).unwrap();
                if let Some((block, index)) = found {
                    let index = usize::try_from(index).unwrap();
                    assert_eq!(block.transactions()[index].hash(), transaction(number, 0).hash());
                }
                if let Some(total) = reader.total_difficulty(&block.header).unwrap() {
                    assert_eq!(total, U256::from(number + 1));
                }
                // A view is of one branch, or says that it is gone.
                if let Ok(view) = states.at(number) {
                    let hashes = [view.block_hash(number), view.block_hash(number)];
                    if let [Ok(first), Ok(second)] = hashes {
                        assert_eq!(first, second);
                    }
                }
            }
        }
        seen
    };
    std::thread::scope(|scope| {
        let looking = [scope.spawn(look), scope.spawn(look)];
        for change in 0..CHANGES {
            world.revert_to(5);
            world.seed = change % 2;
            for _ in 6..=9 {
                let (mut commit, model) = world.next();
                for receipt in &mut commit.receipts {
                    receipt.cumulative_gas_used = world.seed;
                }
                world.writer.commit(commit).unwrap();
                world.models.push(model);
            }
        }
        stop.store(true, Ordering::Relaxed);
        for looking in looking {
            assert!(looking.join().unwrap() > 0);
        }
    });
}

#[test]
fn block_that_does_not_follow_the_head_is_refused_and_changes_nothing() {
    let folder = tempdir().unwrap();
    let mut world = World::open(folder.path(), &options());
    world.commit(2);
    let (stale, _) = world.next();
    world.commit(1);
    let head = world.reader.head();
    let error = world.writer.commit(stale).unwrap_err();
    assert!(matches!(error, StoreError::NotChildOfHead { number: 3, .. }), "{error}");
    assert_eq!(world.reader.head(), head);
    world.commit(1);
}

#[test]
fn state_that_is_not_the_one_of_the_header_is_refused() {
    let folder = tempdir().unwrap();
    let mut world = World::open(folder.path(), &options());
    let (mut commit, _) = world.next();
    let mut header = commit.block.header.header().clone();
    header.state_root = B256::repeat_byte(1);
    commit.block = commit.block.with_header(entente_chain::SealedHeader::new(header, B256::ZERO));
    let error = world.writer.commit(commit).unwrap_err();
    assert!(matches!(error, StoreError::StateRoot { number: 1, .. }), "{error}");
}

/// Golden bytes of a receipt: as on the wire, without type prefix and bloom.
#[test]
fn stored_receipts_keep_their_form() {
    let encoded = alloy_primitives::hex::encode(alloy_rlp::encode(receipt(1, 0)));
    // Type 0, success, 21,000 gas, one log: address, two topics, one byte of data.
    let expected = [
        "f8638001825208f85cf85a94".into(),
        alloy_primitives::hex::encode(address(0)),
        format!("f842a0{}a0{}01", "07".repeat(32), "00".repeat(31)),
        "00".into(),
    ];
    assert_eq!(encoded, expected.concat());
}
