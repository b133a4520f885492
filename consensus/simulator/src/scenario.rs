//! What a seed draws: the network, its timing, its faults, and who is dishonest.

use crate::{adversary::Behaviour, random::Random};
use alloy_primitives::{Address, B256, U256};
use entente_chain::{
    fork::Fork,
    genesis::{Genesis, GenesisBuilder},
    signer::SealSigner,
    spec::EngineKind,
};
use std::fmt;
use zeroize::Zeroizing;

/// Milliseconds since 1970 when the world begins.
pub(crate) const START_UNIX: u64 = 1_800_000_000_000;

/// The engine that a run is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Engine {
    /// IBFT, with either header format.
    Ibft,
    /// Raft.
    Raft,
    /// Clique, with and without EIP-3436.
    Clique,
    /// A chain that changes its engine on the way.
    Switch,
    /// Private transactions, over a chain whose order is given.
    Private,
}

/// How much is real.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Profile {
    /// Execution by hashes; seals by keyed hashes when built with the feature `fast`.
    Fast,
    /// revm and k256.
    Full,
}

/// Weather of the network, in percent and milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    pub(crate) loss: u64,
    pub(crate) duplication: u64,
    pub(crate) delay_most: u64,
    pub(crate) unavailable: u64,
}

impl Weather {
    pub(crate) const CALM: Self = Self { loss: 0, duplication: 0, delay_most: 20, unavailable: 0 };

    pub(crate) fn draw(random: &mut Random) -> Self {
        Self {
            loss: random.below(25),
            duplication: random.below(20),
            delay_most: 10 + random.below(1_500),
            unavailable: random.below(8),
        }
    }
}

/// A bug that is switched on to see whether it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(test), expect(dead_code, reason = "bugs are for tests"))]
pub(crate) enum Sabotage {
    /// The consensus log forgets everything (GoQuorum, Besu: no persistence).
    NoPersistence,
    /// Only the oldest record survives a restart.
    StaleLog,
    /// A block's receipts are lost with the power, the rest of it is not.
    TornBlock,
    /// Syncs do nothing, and power is lost.
    LyingDisk,
    /// Quorums of 2F+1 where N is not 3F+1 (arXiv 1901.07160), among twins.
    SmallQuorum,
    /// A wiped voter votes at once.
    WipedVoterVotes,
    /// A proposed block is adopted as soon as it was executed (quorum#299).
    Speculation,
    /// A Raft leader builds on its own block before anybody else has it (quorum#852).
    SpeculativeMinting,
    /// Blocks stay empty, whatever waits.
    EmptyBlocks,
    /// One node's receipts have no logs.
    LostLogs,
    /// A bug inside an engine.
    #[cfg(feature = "sabotage")]
    Engine(entente_consensus::sabotage::Bug),
}

impl Sabotage {
    /// Whether it makes nobody break a rule that others could report.
    pub(crate) fn is_honest(self) -> bool {
        #[cfg(feature = "sabotage")]
        let honest = self == Self::Engine(entente_consensus::sabotage::Bug::BlameAnybody);
        #[cfg(not(feature = "sabotage"))]
        let honest = false;
        honest
    }
}

/// Everything that a seed decided before the first event.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) engine: Engine,
    pub(crate) profile: Profile,
    pub(crate) kind: EngineKind,
    pub(crate) validators: usize,
    pub(crate) followers: usize,
    pub(crate) period_ms: u64,
    pub(crate) empty_period_ms: Option<u64>,
    pub(crate) eip3436: bool,
    pub(crate) behaviour: Option<Behaviour>,
    pub(crate) dishonest: usize,
    pub(crate) skew_most: u64,
    pub(crate) disturbances: u64,
    pub(crate) weather: Weather,
    pub(crate) switch: Option<(u64, EngineKind)>,
    /// Blocks between epochs.
    pub(crate) epoch: u64,
    /// Too few voters are up for this long before everything heals, in milliseconds.
    pub(crate) outage_ms: u64,
    /// Round timers double without a cap: a setting that operators of Besu have.
    pub(crate) uncapped: bool,
    pub(crate) sabotage: Option<Sabotage>,
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl Scenario {
    pub(crate) fn draw(engine: Engine, profile: Profile, seed: u64) -> Self {
        let mut random = Random::new(seed, 1);
        let kind = match engine {
            Engine::Ibft => random.pick(
                &[EngineKind::Qbft, EngineKind::Qbft, EngineKind::Istanbul],
                EngineKind::Qbft,
            ),
            Engine::Raft => EngineKind::Raft,
            Engine::Clique => EngineKind::Clique,
            Engine::Private => EngineKind::Qbft,
            Engine::Switch => any_engine(&mut random),
        };
        let validators = random.pick(&[4, 3, 4, 5, 4, 7, 1, 2, 6, 10], 4);
        let behaviour = Behaviour::draw(engine, validators, &mut random);
        let most = tolerated(engine, validators);
        let dishonest = match behaviour {
            Some(_) => 1 + random.index(most),
            None => 0,
        };
        let switch =
            (engine == Engine::Switch).then(|| (3 + random.below(8), any_engine(&mut random)));
        let period_ms = match kind {
            EngineKind::Raft => 2,
            EngineKind::Clique => 1000,
            _ => random.pick(&[1000, 0, 1000, 200, 2000], 1000),
        };
        Self {
            seed,
            engine,
            profile,
            kind,
            validators,
            followers: random.index(3),
            period_ms,
            empty_period_ms: (kind != EngineKind::Clique && random.percent(15))
                .then_some(period_ms + 3000),
            eip3436: random.percent(50),
            behaviour,
            dishonest,
            skew_most: random.below(800),
            disturbances: 8 + random.below(8),
            weather: Weather::draw(&mut random),
            switch,
            epoch: random.pick(&[30_000, 30_000, 8, 5], 30_000),
            outage_ms: if random.percent(2) { 180_000 + random.below(420_000) } else { 0 },
            uncapped: false,
            sabotage: None,
        }
    }

    /// The genesis file, as an operator would write it.
    pub(crate) fn genesis(&self, validators: Vec<Address>, funded: Address) -> (Genesis, String) {
        let builder = GenesisBuilder {
            engine: self.kind,
            block_period_ms: self.period_ms,
            empty_block_period_ms: self.empty_period_ms,
            accounts: vec![(funded, U256::from(10).pow(U256::from(24)))],
            // The newest fork's fields need an EVM to be filled in.
            fork: if self.profile == Profile::Full { Fork::Osaka } else { Fork::Berlin },
            timestamp: START_UNIX / 1000,
            ..GenesisBuilder::new(1337, validators)
        };
        let mut json = builder.to_json();
        let mut genesis = Genesis::parse(json.as_bytes());
        if let (Some((block, kind)), Ok(parsed)) = (self.switch, &mut genesis) {
            let change = entente_chain::transition::Transition {
                block,
                engine: Some(kind),
                block_period_ms: Some(if kind == EngineKind::Raft { 2 } else { 1000 }),
                ..Default::default()
            };
            parsed.spec.transitions.push(change);
            json.push(' ');
        }
        #[expect(clippy::panic, reason = "a scenario that is no chain is a bug of this file")]
        let Ok(mut genesis) = genesis else { panic!("genesis of {self}") };
        let rules = &mut genesis.spec.genesis_rules;
        rules.eip3436 = self.eip3436;
        rules.epoch_length = self.epoch;
        if self.sabotage == Some(Sabotage::SmallQuorum) {
            rules.quorum_two_thirds = false;
        }
        if self.uncapped {
            rules.max_request_timeout_ms = u64::MAX / 4;
        }
        (genesis, json)
    }
}

fn any_engine(random: &mut Random) -> EngineKind {
    const ALL: [EngineKind; 4] =
        [EngineKind::Qbft, EngineKind::Istanbul, EngineKind::Raft, EngineKind::Clique];
    random.pick(&ALL, EngineKind::Qbft)
}

/// Dishonest validators that an engine withstands.
pub(crate) const fn tolerated(engine: Engine, validators: usize) -> usize {
    match engine {
        Engine::Ibft => validators.saturating_sub(1) / 3,
        // Crash faults only: whoever has a vote is honest.
        Engine::Raft | Engine::Switch | Engine::Private => 1,
        Engine::Clique => validators.saturating_sub(1) / 2,
    }
}

/// A key for each index, the same in every run.
pub(crate) fn key(index: usize) -> SealSigner {
    let mut secret = [0x11; 32];
    let digits = (index as u64).wrapping_add(1).to_be_bytes();
    for (slot, digit) in secret.iter_mut().zip(digits) {
        *slot ^= digit;
    }
    #[expect(clippy::expect_used, reason = "such secrets are below the group order")]
    SealSigner::new(&Zeroizing::new(secret)).expect("a secret key")
}

/// Hash of a genesis as the environment's name.
pub(crate) const fn environment(genesis: B256) -> entente_chain::EnvironmentId {
    entente_chain::EnvironmentId(genesis)
}
