//! Private transactions: a few seeds, the same seed twice, and bugs that must be found.

use crate::{
    Engine, Profile,
    private_world::{self, PrivateScenario, Sabotage},
    run,
};

#[test]
fn a_few_seeds_of_private_transactions_hold() {
    for seed in 0..12 {
        let outcome = run(Engine::Private, Profile::Full, seed);
        assert!(outcome.failure.is_none(), "{seed}: {:?}", outcome.failure);
    }
}

#[test]
fn a_seed_of_private_transactions_runs_the_same_way_twice() {
    for seed in [3, 7] {
        let (first, second) =
            (run(Engine::Private, Profile::Full, seed), run(Engine::Private, Profile::Fast, seed));
        assert_eq!(first.event_hash, second.event_hash, "{seed}");
        assert_eq!(first.coverage, second.coverage);
    }
    let (one, other) =
        (run(Engine::Private, Profile::Full, 3), run(Engine::Private, Profile::Full, 4));
    assert_ne!(one.event_hash, other.event_hash);
}

/// How many seeds it takes to find a bug; the checker that found it.
fn found(sabotage: Sabotage, within: u64) -> (u64, &'static str) {
    for seed in 0..within {
        let mut scenario = PrivateScenario::draw(seed);
        scenario.sabotage = Some(sabotage);
        if let Some(failure) = private_world::run(&scenario).failure {
            return (seed + 1, failure.checker);
        }
    }
    panic!("{sabotage:?} is not found within {within} seeds");
}

/// quorum#1574.
#[test]
fn a_missing_payload_that_is_taken_for_somebody_elses_is_found() {
    assert_eq!(found(Sabotage::NonParty, 40).1, "P3");
}

#[test]
fn acknowledgements_of_what_is_not_durable_are_found() {
    assert_eq!(found(Sabotage::EarlyAcknowledgement, 5).1, "acknowledged");
}

#[test]
fn a_node_that_takes_payloads_whose_terms_are_not_kept_is_found() {
    let (_, checker) = found(Sabotage::NoArrivalCheck, 60);
    assert!(["P5", "P6", "P7"].contains(&checker), "{checker}");
}

#[test]
fn a_wiped_node_that_does_not_ask_for_its_payloads_is_found() {
    assert_eq!(found(Sabotage::NoRecovery, 40).1, "P3");
}

#[test]
fn payloads_that_go_to_everybody_are_found() {
    assert_eq!(found(Sabotage::Broadcast, 5).1, "P2");
}

#[test]
fn private_columns_that_are_not_sealed_are_found() {
    assert_eq!(found(Sabotage::PlainDisk, 5).1, "P2");
}

#[test]
fn a_node_that_reads_another_word_is_found() {
    assert_eq!(found(Sabotage::OtherBytes, 5).1, "P1");
}
