//! A deterministic simulator: one process, one seed, virtual time. Engines, block sync, consensus log,
//! ledger and storage are those of the node; disk, network, clocks, power and people are simulated.
//!
//! A seed first goes through bad weather (safety is checked after every event), then everything
//! heals and the chain must go on within bounds that `world/healing.rs` states (liveness). Read on at
//! [`run`], then `scenario.rs` (what a seed draws), `world.rs` (what happens), `checker.rs` (what must
//! hold), `adversary.rs` (who lies, and how). Private transactions have a world of their own:
//! `private_world.rs`.

mod adversary;
mod checker;
mod coverage;
mod disk;
mod execution;
mod private_world;
mod random;
mod scenario;
#[cfg(test)]
mod tests;
mod timeline;
mod workload;
mod world;

pub use coverage::Coverage;
pub use scenario::{Engine, Profile};

use private_world::PrivateScenario;
use scenario::Scenario;
use world::World;

/// What a seed came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// A hash over everything that happened, in order.
    pub event_hash: u64,
    /// Virtual time that passed, in milliseconds.
    pub simulated_ms: u64,
    /// What occurred how often.
    pub coverage: Coverage,
    /// Why the seed failed.
    pub failure: Option<Failure>,
}

/// A checker that found something.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Name of the property (reliability list: S, R, C, L).
    pub checker: &'static str,
    /// What was seen.
    pub what: String,
    /// Which event of the run.
    pub step: u64,
    /// The last events.
    pub events: Vec<String>,
    /// What the seed drew.
    pub scenario: String,
}

/// Runs one seed. Private transactions are always real: there `profile` says nothing.
#[must_use]
pub fn run(engine: Engine, profile: Profile, seed: u64) -> Outcome {
    match engine {
        Engine::Private => private_world::run(&PrivateScenario::draw(seed)),
        _ => simulate(Scenario::draw(engine, profile, seed)),
    }
}

fn simulate(scenario: Scenario) -> Outcome {
    let seed = scenario.seed;
    #[cfg(feature = "sabotage")]
    entente_consensus::sabotage::switch(match scenario.sabotage {
        Some(scenario::Sabotage::Engine(bug)) => Some(bug),
        _ => None,
    });
    let mut world = World::new(scenario);
    world.live();
    Outcome {
        seed,
        event_hash: world.event_hash(),
        simulated_ms: world.now(),
        coverage: world.coverage().clone(),
        failure: world.take_failure(),
    }
}
