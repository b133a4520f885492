//! A few seeds of every engine, the same seed twice, and bugs that must be found.

mod private;
mod sabotage;

use crate::{
    Engine, Profile, run,
    scenario::{Scenario, Weather},
    world::World,
};

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

/// S6 holds and the others go on while a disk takes seconds for every write.
#[test]
fn a_stalled_disk_holds_nobody_else_up() {
    for engine in [Engine::Ibft, Engine::Raft, Engine::Clique] {
        let mut scenario = Scenario::draw(engine, Profile::Fast, 11);
        (scenario.validators, scenario.behaviour, scenario.dishonest) = (4, None, 0);
        (scenario.weather, scenario.skew_most, scenario.outage_ms) = (Weather::CALM, 0, 0);
        (scenario.period_ms, scenario.empty_period_ms) = (scenario.period_ms.min(1_000), None);
        let mut world = World::new(scenario);
        let (before, after) = world.live_with_a_stalled_disk(0, 60_000);
        assert!(world.take_failure().is_none(), "{engine:?}");
        assert!(world.coverage().count("disk stalled") > 3, "{engine:?}: {:?}", world.coverage());
        assert!(after > before + 12, "{engine:?}: from {before} to {after} in a minute");
    }
}
