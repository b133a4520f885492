//! What was executed is found again after sealing has changed the hash.

use crate::{
    seals::some,
    seals::{addresses, keys, seal},
    world::{NOW, World, genesis_of, transaction},
};
use alloy_primitives::{Address, Bytes};
use entente_chain::{
    RecoveredBlock, extra_data::clique::CliqueExtra, extra_data::qbft::QbftExtra, header_hash,
    spec::EngineKind,
};
use entente_consensus::Verdict;
use tempfile::tempdir;

const ENGINES: [EngineKind; 4] =
    [EngineKind::Qbft, EngineKind::Istanbul, EngineKind::Clique, EngineKind::Raft];

fn with_extra(block: &RecoveredBlock, engine: EngineKind, extra_data: Bytes) -> RecoveredBlock {
    let mut header = block.header.header().clone();
    header.extra_data = extra_data;
    block.with_header(header_hash::seal(engine, header).unwrap())
}

#[test]
fn a_block_is_executed_once_by_who_builds_it_and_once_by_who_checks_it() {
    for engine in ENGINES {
        let (builds, checks) = (tempdir().unwrap(), tempdir().unwrap());
        let genesis = genesis_of(engine, 4);
        let mut builder = World::open(builds.path(), &genesis);
        let mut checker = World::open(checks.path(), &genesis);
        for number in 1..=3 {
            let sender = builder.keys[8].clone();
            let transactions = vec![transaction(&sender, number - 1, Address::ZERO, Bytes::new())];
            let author = builder.author(0);
            let attributes = builder.attributes(author);
            let block = builder.build(author, &attributes, transactions);
            for _ in 0..2 {
                assert_eq!(checker.ledger.check(&block, NOW), Verdict::Valid, "{engine}");
            }
            builder.ledger.adopt(block.clone(), NOW).unwrap();
            let committed = checker.ledger.adopt(block, NOW).unwrap();
            assert_eq!(committed.receipts.len(), 1);
        }
        assert_eq!(builder.counted.runs(), (3, 0), "{engine}");
        assert_eq!(checker.counted.runs(), (0, 3), "{engine}");
        assert_eq!(builder.ledger.position(), checker.ledger.position());
    }
}

/// A QBFT proposal and the sealed block have one hash; a validator that checked the first adopts the
/// second, and import of it executes nothing either.
#[test]
fn what_sync_brings_is_not_executed_again_when_it_was_checked_before() {
    let (builds, checks) = (tempdir().unwrap(), tempdir().unwrap());
    let genesis = genesis_of(EngineKind::Qbft, 4);
    let mut builder = World::open(builds.path(), &genesis);
    let mut checker = World::open(checks.path(), &genesis);
    let author = builder.author(1);
    let attributes = builder.attributes(author);
    let block = builder.build(author, &attributes, Vec::new());
    let extra = QbftExtra::decode(&block.header.extra_data).unwrap();
    let proposal = with_extra(&block, EngineKind::Qbft, extra.without_seals().encode());
    assert_eq!(checker.ledger.check(&proposal, NOW), Verdict::Valid);
    checker.ledger.import(block, NOW).unwrap();
    assert_eq!(checker.counted.runs(), (0, 1));
}

/// COINBASE is who sealed: the same header by two proposers of IBFT 1 executes twice.
#[test]
fn the_same_header_by_two_authors_is_executed_for_each() {
    let (builds, checks) = (tempdir().unwrap(), tempdir().unwrap());
    let genesis = genesis_of(EngineKind::Istanbul, 4);
    let mut builder = World::open(builds.path(), &genesis);
    let mut checker = World::open(checks.path(), &genesis);
    let author = builder.author(0);
    let attributes = builder.attributes(author);
    let block = builder.build(author, &attributes, Vec::new());
    let by_other = seal(&builder.spec, &block, &keys(4)[2], &keys(4));
    assert_ne!(by_other.hash(), block.hash());
    assert_eq!(checker.ledger.check(&block, NOW), Verdict::Valid);
    assert_eq!(checker.ledger.check(&by_other, NOW), Verdict::Valid);
    assert_eq!(checker.counted.runs(), (0, 2));
}

/// The key leaves extraData out, so extraData must be judged again: a checkpoint with other signers,
/// sealed by who built the good one, is no block although its execution is known.
#[test]
fn a_known_execution_excuses_no_bad_header() {
    let folder = tempdir().unwrap();
    let builder = entente_chain::genesis::GenesisBuilder {
        engine: EngineKind::Clique,
        ..entente_chain::genesis::GenesisBuilder::new(1337, addresses(&keys(3)))
    };
    let genesis = crate::world::genesis_file(builder, |file| {
        file["config"]["clique"]["epoch"] = serde_json::json!(2);
    });
    let mut world = World::open(folder.path(), &genesis);
    world.grow(1);
    let author = world.author(0);
    let attributes = world.attributes(author);
    let good = world.build(author, &attributes, Vec::new());
    let mut extra = CliqueExtra::decode(&good.header.extra_data).unwrap();
    extra.signers = some(&[0, 1, 7]);
    let bad = world.sealed(&with_extra(&good, EngineKind::Clique, extra.encode()), author);
    assert!(matches!(world.ledger.check(&bad, NOW), Verdict::Invalid(_)));
    assert!(world.ledger.adopt(bad.clone(), NOW).unwrap_err().is_invalid_block());
    assert!(world.ledger.import(bad, NOW).unwrap_err().is_invalid_block());
    assert_eq!(world.head().number, 1);
    world.ledger.adopt(good, NOW).unwrap();
    assert_eq!(world.counted.runs(), (2, 0));
}

/// A single signer of Clique must not stop the chain by a time far ahead; a quorum may vouch for it.
#[test]
fn only_a_quorum_vouches_for_time() {
    for (engine, taken) in [(EngineKind::Qbft, true), (EngineKind::Clique, false)] {
        let folder = tempdir().unwrap();
        let mut world = World::open(folder.path(), &genesis_of(engine, 1));
        let author = world.author(0);
        let mut attributes = world.attributes(author);
        attributes.timestamp = NOW + 3600;
        let block = world.build(author, &attributes, Vec::new());
        let imported = world.ledger.import(block, NOW);
        assert_eq!(imported.is_ok(), taken, "{engine}");
        // Nobody is accused: our clock may be the wrong one.
        assert!(imported.err().is_none_or(|error| !error.is_invalid_block()), "{engine}");
    }
}
