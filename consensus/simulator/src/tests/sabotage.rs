//! Known bug classes, switched on: a simulator that finds nothing proves nothing.

use crate::{
    Engine, Profile,
    adversary::Behaviour,
    scenario::{Sabotage, Scenario},
    simulate,
};
#[cfg(feature = "sabotage")]
use entente_consensus::sabotage::Bug;

/// How many seeds it takes to find a bug; the checker that found it.
fn found(engine: Engine, within: u64, change: impl Fn(&mut Scenario)) -> (u64, &'static str) {
    for seed in 0..within {
        let mut scenario = Scenario::draw(engine, Profile::Fast, seed);
        change(&mut scenario);
        if let Some(failure) = simulate(scenario).failure {
            return (seed + 1, failure.checker);
        }
    }
    panic!("not found within {within} seeds");
}

fn sabotaged(engine: Engine, sabotage: Sabotage, within: u64) -> (u64, &'static str) {
    let found = found(engine, within, |scenario| scenario.sabotage = Some(sabotage));
    assert!(found.0 <= within, "{sabotage:?} under {engine:?}");
    found
}

#[test]
fn a_consensus_log_that_forgets_is_found() {
    assert_eq!(sabotaged(Engine::Ibft, Sabotage::NoPersistence, 60).1, "S6");
}

#[test]
fn a_stale_raft_log_is_found() {
    sabotaged(Engine::Raft, Sabotage::StaleLog, 100);
}

#[test]
fn a_disk_that_lies_about_syncs_is_found() {
    for engine in [Engine::Ibft, Engine::Raft] {
        sabotaged(engine, Sabotage::LyingDisk, 60);
    }
}

#[test]
fn blocks_of_which_a_part_is_durable_are_found() {
    for engine in [Engine::Ibft, Engine::Raft, Engine::Clique] {
        assert_eq!(sabotaged(engine, Sabotage::TornBlock, 20).1, "S7");
    }
}

/// arXiv 1901.07160: 2F+1 of N is too few where N is not 3F+1.
#[test]
fn too_small_quorums_are_found() {
    let (_, checker) = found(Engine::Ibft, 400, |scenario| {
        scenario.sabotage = Some(Sabotage::SmallQuorum);
        scenario.validators = 6;
        scenario.behaviour = Some(Behaviour::Twin);
        scenario.dishonest = 1;
    });
    assert!(["S1", "B3"].contains(&checker), "{checker}");
}

#[test]
fn a_wiped_voter_that_votes_at_once_is_found() {
    found(Engine::Raft, 600, |scenario| {
        scenario.sabotage = Some(Sabotage::WipedVoterVotes);
        scenario.validators = 3;
        scenario.disturbances = 30;
    });
}

/// quorum#299, #852: blocks made canonical before a majority has them.
#[test]
fn speculation_is_found() {
    for engine in [Engine::Ibft, Engine::Raft] {
        sabotaged(engine, Sabotage::Speculation, 40);
    }
}

/// quorum#852: a leader builds on its own block before anybody else has it.
#[test]
fn speculative_minting_is_found() {
    let (_, checker) = sabotaged(Engine::Raft, Sabotage::SpeculativeMinting, 20);
    assert!(["R5", "R8"].contains(&checker), "{checker}");
}

/// besu#7642, L3: timers that double without a cap, and nobody who follows.
#[cfg(feature = "sabotage")]
#[test]
fn uncapped_timers_are_found() {
    let (_, checker) = in_engine(Engine::Ibft, Bug::LonelyRounds, 40, |scenario| {
        scenario.outage_ms = 1_200_000;
        scenario.uncapped = true;
    });
    assert_eq!(checker, "L3");
}

/// electroneum-sc#64: round changes of another round justify a proposal.
#[cfg(feature = "sabotage")]
#[test]
fn stale_justifications_are_found() {
    let (_, checker) = in_engine(Engine::Ibft, Bug::StaleJustification, 200, |scenario| {
        liars(scenario, Behaviour::BadJustifier);
    });
    assert_eq!(checker, "B4");
}

/// charon#540: any prepared block will do, not the one of the highest round.
#[cfg(feature = "sabotage")]
#[test]
fn a_justification_without_the_highest_prepared_block_is_found() {
    let (_, checker) = in_engine(Engine::Ibft, Bug::AnyPrepared, 200, |scenario| {
        liars(scenario, Behaviour::Forker);
    });
    assert!(["B3", "B4", "S1"].contains(&checker), "{checker}");
}

/// sigp/anchor#549: a certificate with fewer prepares than a quorum.
#[cfg(feature = "sabotage")]
#[test]
fn commits_without_a_certificate_are_found() {
    let (_, checker) = in_engine(Engine::Ibft, Bug::Unprepared, 20, |_| ());
    assert!(["B2", "B4"].contains(&checker), "{checker}");
}

/// A lock that a round change leaves out: another block is decided next to the first one.
#[cfg(feature = "sabotage")]
#[test]
fn forgotten_locks_are_found() {
    let (_, checker) = in_engine(Engine::Ibft, Bug::ForgottenLock, 100, |_| ());
    assert!(["B3", "S1"].contains(&checker), "{checker}");
}

#[cfg(feature = "sabotage")]
#[test]
fn signers_that_never_leave_their_branch_are_found() {
    let (_, checker) = in_engine(Engine::Clique, Bug::OwnBranch, 20, |_| ());
    assert!(["L1", "L2", "C4", "S4"].contains(&checker), "{checker}");
}

/// GHSA-23rh-rrqg-wq82: one validator names a round far away, and everybody goes there.
#[cfg(feature = "sabotage")]
#[test]
fn a_far_round_that_everybody_follows_is_found() {
    let (_, checker) = in_engine(Engine::Ibft, Bug::FollowOne, 60, |scenario| {
        liars(scenario, Behaviour::Flooder);
    });
    assert_eq!(checker, "S8");
}

#[cfg(feature = "sabotage")]
#[test]
fn signers_that_ignore_their_limit_are_found() {
    assert_eq!(in_engine(Engine::Clique, Bug::SigningLimit, 10, |_| ()).1, "C1");
}

#[cfg(feature = "sabotage")]
#[test]
fn votes_that_count_twice_are_found() {
    for engine in [Engine::Ibft, Engine::Clique] {
        assert_eq!(in_engine(engine, Bug::VotesTwice, 40, |_| ()).1, "S9");
    }
}

#[test]
fn blocks_that_stay_empty_are_found() {
    for engine in [Engine::Ibft, Engine::Clique] {
        assert_eq!(sabotaged(engine, Sabotage::EmptyBlocks, 20).1, "L5");
    }
}

#[test]
fn a_node_with_other_receipts_is_found() {
    assert_eq!(sabotaged(Engine::Ibft, Sabotage::LostLogs, 20).1, "S5");
}

#[cfg(feature = "sabotage")]
#[test]
fn too_few_seals_are_found() {
    assert_eq!(in_engine(Engine::Ibft, Bug::FewSeals, 10, |_| ()).1, "B6");
}

#[cfg(feature = "sabotage")]
#[test]
fn hasty_blocks_are_found() {
    assert_eq!(in_engine(Engine::Ibft, Bug::Hasty, 20, |_| ()).1, "S10");
}

#[cfg(feature = "sabotage")]
#[test]
fn blocks_that_claim_a_turn_are_found() {
    assert_eq!(in_engine(Engine::Clique, Bug::AlwaysInTurn, 10, |_| ()).1, "C2");
}

#[cfg(feature = "sabotage")]
#[test]
fn missing_checkpoints_are_found() {
    assert_eq!(in_engine(Engine::Clique, Bug::NoCheckpoints, 40, |_| ()).1, "C3");
}

#[cfg(feature = "sabotage")]
#[test]
fn blame_of_the_honest_is_found() {
    assert_eq!(in_engine(Engine::Clique, Bug::BlameAnybody, 10, |_| ()).1, "C5");
}

#[cfg(feature = "sabotage")]
#[test]
fn nodes_that_never_catch_up_are_found() {
    assert_eq!(in_engine(Engine::Ibft, Bug::NoSync, 20, |_| ()).1, "L2");
}

/// As [`found`], with a bug inside the engines.
#[cfg(feature = "sabotage")]
fn in_engine(
    engine: Engine,
    bug: Bug,
    within: u64,
    change: impl Fn(&mut Scenario),
) -> (u64, &'static str) {
    found(engine, within, |scenario| {
        scenario.sabotage = Some(Sabotage::Engine(bug));
        change(scenario);
    })
}

#[cfg(feature = "sabotage")]
fn liars(scenario: &mut Scenario, behaviour: Behaviour) {
    scenario.validators = scenario.validators.max(4);
    scenario.behaviour = Some(behaviour);
    scenario.dishonest = 1;
}
