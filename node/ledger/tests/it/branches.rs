//! Changes of branches under Clique.

use crate::{
    seals::{addresses, keys},
    world::{NOW, World, genesis_file, genesis_of, transaction},
};
use alloy_primitives::{Address, B64, B256, Bytes, U256};
use entente_chain::{
    RecoveredBlock, RecoveredTransaction, genesis::GenesisBuilder,
    limits::REORGANISATION_BLOCKS_MAX, spec::EngineKind,
};
use entente_ledger::{LedgerError, Reorganization};
use entente_storage::{History, StorageOptions, check::check};
use std::sync::Arc;
use tempfile::{TempDir, tempdir};

/// Two ledgers of one Clique chain, and the folders they lie in.
struct Fork {
    ours: World,
    theirs: World,
    folders: [TempDir; 2],
    genesis: String,
}

impl Fork {
    /// Both at the same block.
    fn at(number: usize) -> Self {
        let folders = [tempdir().unwrap(), tempdir().unwrap()];
        let genesis = genesis_of(EngineKind::Clique, 4);
        let [mut ours, mut theirs] =
            [0, 1].map(|index: usize| World::open(folders[index].path(), &genesis));
        ours.grow(number);
        theirs.import_all(ours.blocks_above(0)).unwrap();
        Self { ours, theirs, folders, genesis }
    }

    /// Ours changes to the branch of theirs.
    fn change(&mut self, ancestor: u64) -> Result<Reorganization, LedgerError> {
        let branch = self.theirs.blocks_above(ancestor);
        self.ours.ledger.reorganize(ancestor, branch, NOW)
    }

    /// Both are sound, and the same.
    fn assert_equal(self) {
        assert_eq!(self.ours.ledger.position(), self.theirs.ledger.position());
        assert_eq!(self.ours.ledger.ancestors().unwrap(), self.theirs.ledger.ancestors().unwrap());
        let position = self.ours.ledger.position();
        drop((self.ours, self.theirs));
        let again = World::open(self.folders[0].path(), &self.genesis);
        assert_eq!(again.ledger.position(), position, "after a restart");
        drop(again);
        let [ours, theirs] = self.folders.map(|folder| check(folder.path()).unwrap());
        assert_eq!(ours.problems, Vec::<String>::new());
        assert_eq!(ours, theirs);
    }
}

fn send(world: &World, nonce: u64, to: u8) -> Arc<RecoveredTransaction> {
    transaction(&world.keys[8], nonce, Address::repeat_byte(to), Bytes::new())
}

#[test]
fn the_better_branch_replaces_ours() {
    let mut fork = Fork::at(2);
    for turn in [1, 0, 0] {
        let transactions = vec![send(&fork.ours, fork.ours.head().number - 2, 1)];
        fork.ours.extend(turn, transactions);
    }
    let left: Vec<_> = fork.ours.blocks_above(2);
    let shared = send(&fork.theirs, 0, 1);
    fork.theirs.extend(0, vec![shared]);
    for nonce in 1..4 {
        let transactions = vec![send(&fork.theirs, nonce, 2)];
        fork.theirs.extend(0, transactions);
    }
    let outcome = fork.change(2).unwrap();
    assert!(outcome.refused.is_none());
    let reverted: Vec<_> = outcome.reverted.iter().map(|left| left.block.hash()).collect();
    let expected: Vec<_> = left.iter().rev().map(RecoveredBlock::hash).collect();
    assert_eq!(reverted, expected, "newest first");
    assert!(outcome.reverted.iter().all(|left| left.receipts.len() == 1));
    let numbers: Vec<_> = outcome.committed.iter().map(|new| new.block.header.number).collect();
    assert_eq!(numbers, [3, 4, 5, 6]);
    assert_eq!(outcome.committed.last().unwrap().position, fork.ours.ledger.position());
    // The transaction of both branches is where the new one has it; the other is nowhere.
    let place = |transaction: &RecoveredTransaction| {
        fork.ours.reader.block_of_transaction(transaction.hash()).unwrap()
    };
    let found = place(&send(&fork.ours, 0, 1)).map(|(block, _)| block.hash());
    assert_eq!(found, fork.theirs.reader.hash(3).unwrap());
    assert_eq!(place(&send(&fork.ours, 1, 1)), None);
    fork.assert_equal();
}

#[test]
fn votes_of_the_branch_that_was_left_are_forgotten() {
    let mut fork = Fork::at(1);
    // A vote of each signer of our branch; three of four add the fifth key.
    for _ in 0..4 {
        let author = fork.ours.author(1);
        let mut attributes = fork.ours.attributes(author);
        attributes.beneficiary = fork
            .ours
            .keys
            .iter()
            .map(|key| key.address())
            .find(|address| !fork.theirs.validators().contains(address))
            .unwrap();
        attributes.nonce = u64::MAX;
        let block = fork.ours.build(author, &attributes, Vec::new());
        assert_eq!(block.header.nonce, B64::repeat_byte(0xff));
        fork.ours.ledger.adopt(block, NOW).unwrap();
    }
    assert_eq!(fork.ours.validators().len(), 5);
    fork.theirs.grow(5);
    fork.change(1).unwrap();
    assert_eq!(fork.ours.validators().len(), 4);
    assert!(fork.ours.ledger.position().tally.votes().is_empty());
    fork.assert_equal();
}

/// The last block of the branch is sealed well and executes to another state: the old branch is
/// back, and every other block of the new one is gone.
#[test]
fn a_block_that_does_not_execute_brings_the_old_branch_back() {
    let mut fork = Fork::at(2);
    fork.ours.extend(1, vec![send(&fork.ours, 0, 1)]);
    fork.ours.grow(1);
    let before = (fork.ours.ledger.position(), fork.ours.ledger.ancestors().unwrap());
    fork.theirs.grow(2);
    let mut branch = fork.theirs.blocks_above(2);
    let author = fork.theirs.author(0);
    let attributes = fork.theirs.attributes(author);
    let good = fork.theirs.build(author, &attributes, Vec::new());
    let mut header = good.header.header().clone();
    header.state_root = B256::repeat_byte(1);
    let bad = good.with_header(entente_chain::SealedHeader::new(header, B256::ZERO));
    branch.push(fork.theirs.sealed(&bad, author));
    let outcome = fork.ours.ledger.reorganize(2, branch, NOW).unwrap();
    let (number, error) = outcome.refused.unwrap();
    assert_eq!(number, 5);
    assert!(matches!(error, LedgerError::StateRoot { .. }) && error.is_invalid_block(), "{error}");
    let after = (fork.ours.ledger.position(), fork.ours.ledger.ancestors().unwrap());
    assert_eq!(after, before);
    let gone = fork.theirs.reader.hash(3).unwrap().unwrap();
    assert_eq!(fork.ours.reader.number(gone).unwrap(), None);
    // And goes on: theirs takes our branch.
    fork.ours.grow(1);
    let branch = fork.ours.blocks_above(2);
    fork.theirs.ledger.reorganize(2, branch, NOW).unwrap();
    fork.assert_equal();
}

#[test]
fn a_branch_with_a_bad_header_costs_no_work() {
    let mut fork = Fork::at(1);
    fork.ours.grow(2);
    fork.theirs.extend(1, Vec::new());
    fork.theirs.grow(2);
    let runs = fork.ours.counted.runs();
    let before = fork.ours.ledger.position();
    let mut branch = fork.theirs.blocks_above(1);
    let forged = branch.pop().unwrap();
    // Sealed by somebody who is no signer.
    let stranger = fork.theirs.keys.iter().find(|key| !before.next.contains(key.address()));
    branch.push(crate::seals::seal(&fork.theirs.spec, &forged, stranger.unwrap(), &[]));
    let outcome = fork.ours.ledger.reorganize(1, branch, NOW).unwrap();
    assert!(outcome.reverted.is_empty() && outcome.committed.is_empty());
    let (number, error) = outcome.refused.unwrap();
    assert!(number == 4 && error.is_invalid_block(), "{number}: {error}");
    assert_eq!((fork.ours.ledger.position(), fork.ours.counted.runs()), (before, runs));
}

#[test]
fn a_branch_that_does_not_fit_changes_nothing() {
    let mut fork = Fork::at(2);
    fork.ours.grow(3);
    fork.theirs.extend(1, Vec::new());
    let before = fork.ours.ledger.position();
    let branch = fork.theirs.blocks_above(2);
    for (ancestor, branch) in [(1, branch.clone()), (3, branch.clone()), (9, branch), (2, vec![])] {
        let error = fork.ours.ledger.reorganize(ancestor, branch, NOW).unwrap_err();
        assert!(matches!(error, LedgerError::Branch { .. }), "{ancestor}: {error}");
    }
    assert_eq!(fork.ours.ledger.position(), before);
}

#[test]
fn a_branch_from_too_deep_is_refused() {
    let deepest = usize::try_from(REORGANISATION_BLOCKS_MAX).unwrap();
    let mut fork = Fork::at(1);
    fork.theirs.extend(1, Vec::new());
    fork.ours.grow(deepest);
    assert_eq!(fork.ours.ledger.ancestors().unwrap().len(), deepest);
    assert!(fork.change(1).is_ok(), "just deep enough");
    let mut fork = Fork::at(1);
    fork.theirs.extend(1, Vec::new());
    fork.ours.grow(deepest + 1);
    assert!(matches!(fork.change(1), Err(LedgerError::Branch { .. })));
}

#[test]
fn where_states_were_deleted_nothing_is_taken_back() {
    let folder = tempdir().unwrap();
    let history = History::Last(2);
    let options = StorageOptions { history, sync: false, ..StorageOptions::default() };
    let mut fork = Fork::at(1);
    let mut pruned = World::open_with(folder.path(), &fork.genesis, &options);
    pruned.import_all(fork.ours.blocks_above(0)).unwrap();
    pruned.grow(6);
    fork.theirs.extend(1, Vec::new());
    let refused = pruned.ledger.reorganize(1, fork.theirs.blocks_above(1), NOW);
    assert!(matches!(refused, Err(LedgerError::Branch { .. })));
    pruned.grow(1);
}

/// Finality is per engine: what a quorum decided is never taken back, and a chain that came from
/// Clique has ancestors down to the last block that may go.
#[test]
fn blocks_of_engines_with_finality_stay() {
    let folders = [tempdir().unwrap(), tempdir().unwrap()];
    let builder = GenesisBuilder {
        engine: EngineKind::Clique,
        ..GenesisBuilder::new(1337, addresses(&keys(3)))
    };
    let genesis = genesis_file(builder, |file| {
        file["config"]["transitions"] = serde_json::json!([{ "block": 4, "algorithm": "qbft" }]);
    });
    let [mut ours, mut theirs] =
        [0, 1].map(|index: usize| World::open(folders[index].path(), &genesis));
    ours.grow(3);
    assert_eq!(ours.ledger.ancestors().unwrap().len(), 3);
    ours.grow(2);
    assert_eq!(ours.ledger.ancestors().unwrap(), []);
    theirs.extend(1, Vec::new());
    let refused = ours.ledger.reorganize(0, theirs.blocks_above(0), NOW);
    assert!(matches!(refused, Err(LedgerError::Branch { .. })));
}

#[test]
fn ancestors_are_the_positions_that_were() {
    let folder = tempdir().unwrap();
    let genesis = genesis_of(EngineKind::Clique, 3);
    let mut world = World::open(folder.path(), &genesis);
    let mut positions = Vec::new();
    for turn in 0..6 {
        positions.push(world.ledger.position());
        world.extend(turn % 2, Vec::new());
    }
    assert_eq!(world.ledger.ancestors().unwrap(), positions);
    let difficulty = positions.last().unwrap().total_difficulty;
    assert!(difficulty > U256::from(6), "some were in turn");
    drop(world);
    let world = World::open(folder.path(), &genesis);
    assert_eq!(world.ledger.ancestors().unwrap(), positions);
}

/// Two nodes that take turns in being ahead by drawn numbers of blocks end up with equal databases.
#[test]
fn drawn_changes_leave_no_trace() {
    for seed in 0..6_u64 {
        let mut fork = Fork::at(1);
        let mut state = seed;
        let mut draw = |bound: u64| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            ((mixed ^ (mixed >> 27)) >> 11) % bound
        };
        for _ in 0..8 {
            let ancestor = fork.ours.head().number;
            for world in [&mut fork.ours, &mut fork.theirs] {
                for _ in 0..1 + draw(4) {
                    let sender = world.keys[usize::try_from(4 + draw(5)).unwrap()].clone();
                    let states = world.database.states().at(world.head().number).unwrap();
                    let account = entente_chain::StateReader::account(&states, sender.address());
                    let nonce = account.unwrap().map_or(0, |account| account.nonce);
                    let to = Address::with_last_byte(u8::try_from(draw(200)).unwrap());
                    let transactions = vec![transaction(&sender, nonce, to, Bytes::new())];
                    world.extend(usize::try_from(draw(2)).unwrap(), transactions);
                }
            }
            let (from, to) = match draw(2) {
                0 => (&fork.ours, &mut fork.theirs),
                _ => (&fork.theirs, &mut fork.ours),
            };
            let outcome = to.ledger.reorganize(ancestor, from.blocks_above(ancestor), NOW);
            assert!(outcome.unwrap().refused.is_none(), "seed {seed}");
        }
        fork.assert_equal();
    }
}
