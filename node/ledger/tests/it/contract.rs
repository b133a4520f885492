//! Validators by contract: from genesis on, changed by transactions, switched by transitions.

use crate::{
    registry::{REGISTRY, decide_from_genesis, deploy, slots, storing},
    seals::some,
    world::{NOW, World, genesis_file, transaction},
};
use alloy_primitives::U256;
use entente_chain::{extra_data::qbft::QbftExtra, fork::Fork, genesis::GenesisBuilder};
use entente_ledger::LedgerError;
use serde_json::json;
use std::sync::atomic::Ordering::SeqCst;
use tempfile::tempdir;

/// The contract decides from genesis on, whose header lists nobody.
fn decided_by(validators: &[usize], fork: Fork) -> String {
    let builder = GenesisBuilder { fork, ..GenesisBuilder::new(1337, Vec::new()) };
    genesis_file(builder, |file| {
        deploy(file, &some(validators));
        decide_from_genesis(file);
    })
}

impl World {
    /// A block that stores slots of the contract.
    fn store(&mut self, nonce: u64, pairs: &[(U256, U256)]) {
        let sender = self.keys[8].clone();
        self.extend(0, vec![transaction(&sender, nonce, REGISTRY, storing(pairs))]);
    }
}

#[test]
fn a_genesis_that_lists_nobody_asks_the_contract_who_makes_the_first_block() {
    for fork in [Fork::Berlin, Fork::London, Fork::Shanghai, Fork::Osaka] {
        let folder = tempdir().unwrap();
        let mut world = World::open(folder.path(), &decided_by(&[0, 2, 5], fork));
        assert_eq!(world.validators(), some(&[0, 2, 5]), "{fork:?}");
        assert_eq!(world.stored(0).validators().addresses(), some(&[0, 2, 5]), "{fork:?}");
        world.grow(2);
        let header = QbftExtra::decode(&world.head().extra_data).unwrap();
        assert!(header.validators.is_empty() && header.committed_seals.len() == 3);
    }
}

#[test]
fn a_transaction_changes_who_seals_the_next_block() {
    let folder = tempdir().unwrap();
    let genesis = decided_by(&[0, 1, 2], Fork::Osaka);
    let mut world = World::open(folder.path(), &genesis);
    world.grow(1);
    world.store(0, &slots(&some(&[4, 3])));
    assert_eq!(world.validators(), some(&[3, 4]), "in the order of the addresses");
    assert_eq!(world.stored(1).validators().addresses(), some(&[0, 1, 2]));
    world.grow(1);
    // Whoever only follows sees the same from the blocks.
    let other = tempdir().unwrap();
    let mut follower = World::open(other.path(), &genesis);
    follower.import_all(world.blocks_above(0)).unwrap();
    assert_eq!(follower.ledger.position(), world.ledger.position());
    for number in 0..=3 {
        assert_eq!(follower.stored(number), world.stored(number), "block {number}");
    }
}

#[test]
fn those_whom_the_contract_named_before_cannot_seal_any_more() {
    let folder = tempdir().unwrap();
    let mut world = World::open(folder.path(), &decided_by(&[0, 1], Fork::Osaka));
    world.store(0, &slots(&some(&[5])));
    let author = world.author(0);
    let attributes = world.attributes(author);
    let block = world.build(author, &attributes, Vec::new());
    let old: Vec<_> = world.keys[..2].to_vec();
    let forged = crate::seals::seal(&world.spec, &block, &old[0], &old);
    let error = world.ledger.import(forged, NOW).unwrap_err();
    assert!(error.is_invalid_block(), "{error}");
    world.ledger.import(block, NOW).unwrap();
}

/// quorum#1728: a bad answer must not halt the chain. After a restart the set is the same, although
/// the contract no longer says so, and although no block had changed it.
#[test]
fn a_bad_answer_leaves_the_validators_what_they_were() {
    let stranger = U256::MAX;
    let twice = [some(&[3]), some(&[3])].concat();
    let many = (slots(&[]).into_iter().next().unwrap().0, U256::from(257));
    let bad: [(&str, Vec<(U256, U256)>); 5] = [
        ("empty", slots(&[])),
        ("duplicates", slots(&twice)),
        ("too long", vec![many]),
        ("no addresses", vec![(U256::from(1), stranger)]),
        ("out of gas", vec![(U256::ZERO, U256::MAX)]),
    ];
    for (what, pairs) in bad {
        let folder = tempdir().unwrap();
        let genesis = decided_by(&[0, 1, 2], Fork::Osaka);
        let mut world = World::open(folder.path(), &genesis);
        world.store(0, &pairs);
        assert_eq!(world.validators(), some(&[0, 1, 2]), "{what}");
        drop(world);
        let mut world = World::open(folder.path(), &genesis);
        assert_eq!(world.validators(), some(&[0, 1, 2]), "{what}, after a restart");
        world.grow(1);
        // And it recovers.
        let good: Vec<_> = slots(&some(&[1, 6]));
        world.store(1, &good);
        assert_eq!(world.validators(), some(&[1, 6]), "{what}");
        world.grow(1);
    }
}

/// A contract that reverts, one without code, one that answers with garbage.
#[test]
fn what_is_no_registry_at_all_leaves_the_validators_what_they_were() {
    // PUSH1 0 DUP1 REVERT; nothing; a stop, which returns no bytes; 32 bytes of zero.
    for code in ["0x600080fd", "0x", "0x00", "0x60206000f3"] {
        let folder = tempdir().unwrap();
        let builder = GenesisBuilder::new(1337, some(&[0, 1]));
        let genesis = genesis_file(builder, |file| {
            file["alloc"][REGISTRY.to_string()] = json!({ "balance": "0x0", "code": code });
            decide_from_genesis(file);
        });
        let mut world = World::open(folder.path(), &genesis);
        assert_eq!(world.validators(), some(&[0, 1]), "{code}");
        world.grow(2);
    }
}

#[test]
fn a_node_that_cannot_read_its_state_commits_nothing() {
    let folder = tempdir().unwrap();
    let mut world = World::open(folder.path(), &decided_by(&[0], Fork::Osaka));
    let author = world.author(0);
    let attributes = world.attributes(author);
    let block = world.build(author, &attributes, Vec::new());
    world.counted.unreadable.store(true, SeqCst);
    let error = world.ledger.import(block.clone(), NOW).unwrap_err();
    assert!(matches!(error, LedgerError::Contract(_)) && !error.is_invalid_block(), "{error}");
    assert_eq!(world.head().number, 0);
    world.counted.unreadable.store(false, SeqCst);
    world.ledger.import(block, NOW).unwrap();
}

/// Header votes, then the contract, then headers again with a list, then the contract once more.
#[test]
fn header_and_contract_take_turns_at_transitions() {
    let folder = tempdir().unwrap();
    let builder = GenesisBuilder::new(1337, some(&[0, 1, 2]));
    let genesis = genesis_file(builder, |file| {
        deploy(file, &some(&[3, 4]));
        file["config"]["transitions"] = json!({ "qbft": [
            { "block": 3, "validatorselectionmode": "contract",
              "validatorcontractaddress": REGISTRY },
            { "block": 5, "validatorselectionmode": "blockheader", "validators": some(&[6, 7]) },
            { "block": 7, "validatorselectionmode": "contract",
              "validatorcontractaddress": REGISTRY },
            { "block": 9, "validatorselectionmode": "blockheader" },
        ] });
    });
    let mut world = World::open(folder.path(), &genesis);
    let expected: [&[usize]; 10] = [
        &[0, 1, 2],
        &[0, 1, 2],
        &[3, 4],
        &[3, 4],
        &[6, 7],
        &[6, 7],
        &[3, 4],
        &[3, 4],
        // Without a list the last ones go on.
        &[3, 4],
        &[3, 4],
    ];
    for (number, indices) in (1..).zip(expected) {
        assert_eq!(world.validators(), some(indices), "block {number}");
        world.grow(1);
        let listed = QbftExtra::decode(&world.head().extra_data).unwrap().validators;
        let by_contract = (3..5).contains(&number) || (7..9).contains(&number);
        assert_eq!(listed, if by_contract { Vec::new() } else { some(indices) }, "block {number}");
        if number % 3 == 0 {
            let position = world.ledger.position();
            drop(world);
            world = World::open(folder.path(), &genesis);
            assert_eq!(world.ledger.position(), position, "block {number}, after a restart");
        }
    }
    let other = tempdir().unwrap();
    let mut follower = World::open(other.path(), &genesis);
    follower.import_all(world.blocks_above(0)).unwrap();
    assert_eq!(follower.ledger.position(), world.ledger.position());
}

/// besu#2817: whoever votes while a contract decides changes nothing, now or later.
#[test]
fn header_votes_count_for_nothing_while_a_contract_decides() {
    let folder = tempdir().unwrap();
    let mut world = World::open(folder.path(), &decided_by(&[0], Fork::Osaka));
    let author = world.author(0);
    let mut attributes = world.attributes(author);
    let vote = entente_chain::extra_data::qbft::Vote { recipient: some(&[5])[0], add: true };
    attributes.extra_data = QbftExtra { vote: Some(vote), ..QbftExtra::default() }.encode();
    let block = world.build(author, &attributes, Vec::new());
    world.ledger.adopt(block, NOW).unwrap();
    assert_eq!(world.validators(), some(&[0]));
    assert!(world.ledger.position().tally.votes().is_empty());
}
