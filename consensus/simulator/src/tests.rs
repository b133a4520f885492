//! A few seeds of every engine, the same seed twice, and bugs that must be found.

mod sabotage;

use crate::{Engine, Profile, run};

const ENGINES: [Engine; 4] = [Engine::Ibft, Engine::Raft, Engine::Clique, Engine::Switch];

#[test]
fn a_few_seeds_of_every_engine_hold() {
    for engine in ENGINES {
        for seed in 0..12 {
            let outcome = run(engine, Profile::Fast, seed);
            assert!(outcome.failure.is_none(), "{engine:?} {seed}: {:?}", outcome.failure);
        }
    }
}

#[test]
fn real_execution_and_real_signatures_hold() {
    for engine in ENGINES {
        let outcome = run(engine, Profile::Full, 3);
        assert!(outcome.failure.is_none(), "{engine:?}: {:?}", outcome.failure);
    }
}

#[test]
fn a_seed_runs_the_same_way_twice() {
    for engine in ENGINES {
        let first = run(engine, Profile::Fast, 7);
        let second = run(engine, Profile::Fast, 7);
        assert_eq!(first.event_hash, second.event_hash, "{engine:?}");
        assert_eq!(first.coverage, second.coverage);
    }
}
