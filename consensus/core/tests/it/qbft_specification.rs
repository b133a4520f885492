//! The oracle for IBFT: the node of the QBFT specification (Consensys/qbft-formal-spec-and-verification,
//! `dafny/spec/L1`), written a second time and without the engine's code, beside the engine. Both
//! get the same random messages, most of them nearly right; whatever the engine says must be allowed
//! by the specification in the state it is in, and whatever the specification demands the engine
//! must do.
//!
//! Where the engine differs on purpose:
//! - A block hash leaves the round number out (QBFT headers); the specification's digest has it in.
//! - `isValidProposal` lets a node skip to a later round's proposal only if it accepted one in its
//!   own round. The paper (arXiv 2002.03613), GoQuorum and Besu do not ask for that, nor do we.
//! - A justification says no more than it must: none in round 0, no prepares without a prepared
//!   block. A round change asks for round 1 or more, and carries the block and the prepares that it
//!   names (the specification looks for them among all messages that ever came).
//! - One vote of each validator counts in a round, its first; of its round changes the highest
//!   (GHSA-23rh); of proposals the first that its proposer named. All else is evidence. So demands
//!   rest on validators that did not contradict themselves.
//! - A block that was found invalid is left at once; no quorum makes this node prepare it.
//! - Commits of rounds that were left decide as well, as `NewBlock` would.
//! - After a timeout a node may follow the others to a round they are in (goal L3).

mod cast;
mod demands;
mod draw;
mod duel;
mod predicates;
mod state;

use duel::{Coverage, duel};
use predicates::Omission;

/// Cases that are compared; each has about fifty events.
const CASES: u64 = 400;

/// What must have occurred, else the comparison saw too little.
const OCCURS: [&str; 16] = [
    "accepted a new block in round 0",
    "accepted a new block in a later round",
    "accepted a prepared block",
    "accepted a proposal of a round ahead",
    "did not accept a proposal",
    "left an invalid block",
    "prepared",
    "committed",
    "decided",
    "proposed a new block in round 0",
    "proposed a new block in a later round",
    "proposed a prepared block",
    "followed round changes",
    "gave up a round",
    "sent a certificate",
    "refused at the door",
];

#[test]
fn the_engine_does_what_the_specification_says() {
    let mut coverage = Coverage::default();
    for seed in 0..CASES {
        if let Err(difference) = duel(seed, None, &mut coverage) {
            panic!("seed {seed}: {difference}");
        }
    }
    for what in OCCURS {
        assert!(coverage.count(what) > 4, "`{what}` hardly ever occurred: {coverage:?}");
    }
}

/// An oracle that lacks a rule is told from the engine, so an engine that lacks it is told from the
/// oracle.
#[test]
fn every_rule_that_is_left_out_is_missed_within_three_hundred_cases() {
    let omissions = [
        Omission::QuorumSize,
        Omission::RoundOfRoundChange,
        Omission::PreparedBefore,
        Omission::HighestPrepared,
        Omission::Certificate,
        Omission::Leader,
        Omission::FaultsAndOne,
        Omission::SealedHash,
        Omission::RoundOfPrepare,
    ];
    for omission in omissions {
        let found = (0..300).find(|seed| {
            let case = duel(*seed, Some(omission), &mut Coverage::default());
            case.is_err()
        });
        assert!(found.is_some(), "{omission:?} is not missed");
    }
}

/// The sizes that everything rests on.
#[test]
fn quorums_faults_and_turns_are_those_of_the_specification() {
    for validators in 1..=100_usize {
        let bytes = |index: usize| u8::try_from(index + 1).expect("small");
        let addresses = (0..validators)
            .map(|index| alloy_primitives::Address::repeat_byte(bytes(index)))
            .collect();
        let set = entente_chain::ValidatorSet::new(addresses).expect("a set");
        let oracle = predicates::Specification { validators, height: 1, omission: None };
        assert_eq!(set.quorum(true), oracle.quorum(), "{validators} validators");
        assert_eq!(set.faults(), oracle.f(), "{validators} validators");
        for round in 0..250 {
            let turn = set.index_of(set.proposer(None, round, false));
            assert_eq!(turn, Some(oracle.proposer(round)), "{validators} validators");
        }
    }
}
