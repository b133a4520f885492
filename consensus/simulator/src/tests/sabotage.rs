//! Known bug classes, switched on: a simulator that finds nothing proves nothing.

use crate::{
    Engine, Profile,
    adversary::Behaviour,
    scenario::{Sabotage, Scenario},
    simulate,
};

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
