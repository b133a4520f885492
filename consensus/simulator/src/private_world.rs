//! The world of private transactions: real payload exchange, private execution, private states and
//! ledger on every node, over a chain whose order is given. Which block comes next is consensus'
//! business and is tried elsewhere: here a node in turn builds on the head, and everybody gets the
//! block, in order, late.
//!
//! Read on at `client.rs` (what is sent), `liar.rs` (what should not be), `disturbance.rs` (what goes
//! wrong), `model.rs` (what private states must be) and `judge.rs` (what must hold: P1 to P8).

mod agreement;
mod chain;
mod client;
mod code;
mod disturbance;
mod ending;
mod exchange;
mod frames;
mod judge;
mod liar;
mod machine;
mod model;
mod network;
mod sabotage;
mod scenario;
mod truth;
mod twin;
mod wishes;

pub(crate) use scenario::{Sabotage, Scenario as PrivateScenario};

use crate::{
    Coverage, Failure, Outcome,
    random::Random,
    timeline::{Agenda, Chronicle},
    workload::Account,
};
use alloy_primitives::Bytes;
use client::Client;
use entente_chain::{
    EnvironmentId, RecoveredBlock, RecoveredTransaction,
    fork::Fork,
    genesis::{Genesis, GenesisBuilder},
    private::RecipientKey,
    signer::SealSigner,
};
use entente_privacy::Randomness;
use judge::Judge;
use machine::{Chain, Machine};
use model::Model;
use network::Links;
use scenario::Scenario;
use std::{collections::BTreeMap, sync::Arc};
use truth::Truths;
use twin::Seen;

/// A seed that makes more events than this goes round in circles.
const EVENTS_MAX: u64 = 1_000_000;
/// Accounts of each node's clients.
const ACCOUNTS: usize = 2;

/// What enough seeds must have seen.
pub(crate) const REQUIRED: &[&str] = &[
    "acknowledged",
    "block waits for a payload",
    "contract called under flag 0",
    "contract called under flag 1",
    "contract called under flag 2",
    "contract called under flag 3",
    "contract created under flag 0",
    "contract created under flag 1",
    "contract created under flag 2",
    "contract created under flag 3",
    "crash between two steps of a send",
    "crash between store and acknowledgement",
    "disk full when a payload came",
    "frame doubled",
    "frame late",
    "frame lost",
    "lie on the chain",
    "partition",
    "party down while it is sent to",
    "payload refused at arrival",
    "private call of a private contract",
    "private call of a public contract failed",
    "private read of a public contract",
    "private receipt came",
    "public call of a private contract found nothing",
    "recovery ended",
    "run twice with other payloads",
    "send failed",
    "send refused: flag",
    "send refused: mandatory recipient",
    "send refused: outsider",
    "send refused: parties",
    "state validation refused: another state",
    "terms refused on the chain",
    "transaction waits for seconds",
    "wiped disk",
];

/// One private state of one node: which node, and which of its residents.
pub(crate) type Unit = (usize, usize);

/// Something that happens at a time.
enum Event {
    /// A process starts.
    Start { node: usize },
    /// Time passes for a process.
    Tick { node: usize, life: u64 },
    /// A frame about payloads arrives.
    Frame { node: usize, from: usize, life: u64, frame: Bytes },
    /// A connection comes or goes, as one end notices.
    Session { node: usize, peer: usize, up: bool },
    /// A block arrives.
    Block { node: usize, number: u64 },
    /// Somebody builds a block.
    Propose,
    /// A client asks for something.
    Client,
    /// A transaction reaches the pools.
    Pool { transaction: Arc<RecoveredTransaction> },
}

impl Event {
    fn describe(&self) -> String {
        match self {
            Self::Start { node } => format!("node {node} starts"),
            Self::Tick { node, .. } => format!("node {node} ticks"),
            Self::Frame { node, from, frame, .. } => {
                let kind = frame.get(1).copied().unwrap_or_default();
                let sum = frame
                    .iter()
                    .fold(0_u32, |sum, byte| sum.rotate_left(5).wrapping_add(u32::from(*byte)));
                let length = frame.len();
                format!("node {node} receives kind {kind}, {length} bytes {sum:08x} from {from}")
            }
            Self::Session { node, peer, up } => {
                format!("node {node} {} {peer}", if *up { "meets" } else { "loses" })
            }
            Self::Block { node, number } => format!("node {node} hears of block {number}"),
            Self::Propose => "a block is due".to_owned(),
            Self::Client => "a client asks".to_owned(),
            Self::Pool { transaction } => format!("transaction {} is pooled", transaction.hash()),
        }
    }
}

/// See the module.
struct World {
    scenario: Scenario,
    chain: Chain,
    time: u64,
    agenda: Agenda<Event>,
    machines: Vec<Machine>,
    units: BTreeMap<RecipientKey, Unit>,
    random: Random,
    words: Random,
    /// Randomness of liars.
    dice: Arc<Randomness>,
    links: Links,
    clients: Vec<Client>,
    asked: u64,
    /// Signed and in no block.
    pool: Vec<Arc<RecoveredTransaction>>,
    /// Block 1 and those after it.
    blocks: Vec<RecoveredBlock>,
    /// Who built each.
    builders: Vec<usize>,
    /// The public state after each block, genesis included.
    public: Vec<Model>,
    truths: Truths,
    judge: Judge,
    seen: Seen,
    coverage: Coverage,
    failure: Option<Failure>,
    chronicle: Chronicle,
    healed: bool,
}

/// Runs a seed, and where it loses no disk its twin, which differs in what is private only.
pub(crate) fn run(scenario: &Scenario) -> Outcome {
    let mut world = World::new(scenario.clone());
    world.live();
    if world.failure.is_none() && !scenario.wipes {
        let mut twin = World::new(scenario.twin());
        twin.live();
        world.compare(twin);
    }
    Outcome {
        seed: scenario.seed,
        event_hash: world.chronicle.hash,
        simulated_ms: world.time,
        coverage: world.coverage,
        failure: world.failure,
    }
}

fn signer(index: usize) -> SealSigner {
    crate::scenario::key(index)
}

fn chain_of(scenario: &Scenario) -> Chain {
    let validators = (0..scenario.nodes.len()).map(|index| signer(index).address()).collect();
    let builder = GenesisBuilder {
        private_transactions: true,
        // From Prague on the state holds hashes of blocks (EIP-2935), which differ between twins.
        fork: if scenario.wipes { Fork::Osaka } else { Fork::Cancun },
        timestamp: crate::scenario::START_UNIX / 1000,
        ..GenesisBuilder::new(1337, validators)
    };
    let json = builder.to_json();
    #[expect(clippy::panic, reason = "a scenario that is no chain is a bug of this file")]
    let Ok(genesis) = Genesis::parse(json.as_bytes()) else { panic!("genesis of {scenario}") };
    let spec = Arc::new(genesis.spec.clone());
    let environment = EnvironmentId(genesis.header.hash());
    Chain { genesis, json, spec, environment }
}

impl World {
    fn new(scenario: Scenario) -> Self {
        let nodes = scenario.nodes.iter().enumerate();
        let machines: Vec<_> = nodes.map(|(index, keys)| Machine::new(index, *keys)).collect();
        let keys = machines.iter().flat_map(Machine::party_keys);
        let units = keys.map(|(key, unit)| (key.public(), unit)).collect();
        let parties = machines.iter().filter(|machine| !machine.models.is_empty());
        let clients = parties
            .flat_map(|machine| (0..ACCOUNTS).map(|number| (machine.index, number)))
            .map(|(node, number)| {
                let number = u8::try_from(node * ACCOUNTS + number + 1).unwrap_or(u8::MAX);
                Client::new(node, Account::numbered(number))
            })
            .collect();
        let (seed, words) = (scenario.seed, scenario.words);
        if scenario.sabotage == Some(Sabotage::EarlyAcknowledgement) {
            machines.iter().for_each(|machine| machine.disk.set_lies(true));
        }
        Self {
            chain: chain_of(&scenario),
            time: 0,
            agenda: Agenda::new(),
            machines,
            units,
            random: Random::new(seed, 12),
            words: Random::new(seed, 13 + words * 1000),
            dice: Arc::new(Randomness::from_seed(seed)),
            links: Links::new(scenario.weather, seed),
            clients,
            asked: 0,
            pool: Vec::new(),
            blocks: Vec::new(),
            builders: Vec::new(),
            public: vec![Model::default()],
            truths: Truths::default(),
            judge: Judge::default(),
            seen: Seen::default(),
            coverage: Coverage::default(),
            failure: None,
            chronicle: Chronicle::new(seed),
            healed: false,
            scenario,
        }
    }

    /// Bad weather, then healing.
    fn live(&mut self) {
        for node in 0..self.machines.len() {
            let delay = self.random.below(400);
            self.at(delay, Event::Start { node });
        }
        self.at(1_000, Event::Propose);
        self.at(3_500, Event::Client);
        self.run_for(4_000);
        while self.asked < self.scenario.requests && self.failure.is_none() {
            self.disturb();
            let calm = self.random.below(4_000);
            self.run_for(calm);
        }
        self.heal();
        self.check_end();
    }

    fn at(&mut self, delay: u64, event: Event) {
        self.agenda.at(self.time + delay, event);
    }

    fn run_for(&mut self, time: u64) {
        let until = self.time + time;
        self.run_until(until, |_| false);
    }

    /// Lets time pass until something is true; whether it became so.
    fn run_until(&mut self, until: u64, done: impl Fn(&Self) -> bool) -> bool {
        while self.failure.is_none() {
            if done(self) {
                return true;
            }
            let Some(event) = self.agenda.next(&mut self.time, until) else { return false };
            self.note(&event);
            self.happen(event);
            if self.chronicle.steps > EVENTS_MAX {
                self.fail("L", format!("{EVENTS_MAX} events and no end"));
            }
        }
        false
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Start { node } => self.start(node),
            Event::Tick { node, life } => {
                if self.lives(node, life) {
                    self.tick(node);
                }
            }
            Event::Frame { node, from, life, frame } => {
                if self.lives(node, life) {
                    self.receive(node, from, &frame);
                }
            }
            Event::Session { node, peer, up } => self.session(node, peer, up),
            Event::Block { node, number } => self.hear_block(node, number),
            Event::Propose => self.propose(),
            Event::Client => self.client(),
            Event::Pool { transaction } => self.pool.push(transaction),
        }
    }

    fn lives(&self, node: usize, life: u64) -> bool {
        let machine = &self.machines[node];
        machine.process.is_some() && machine.life == life
    }

    /// Folds an event into the hash, and remembers it for a failure's report.
    fn note(&mut self, event: &Event) {
        self.chronicle.steps += 1;
        if matches!(event, Event::Tick { .. } | Event::Block { .. }) {
            return;
        }
        self.tell(&event.describe());
    }

    fn tell(&mut self, what: &str) {
        self.chronicle.tell(self.time, what);
    }

    fn fail(&mut self, checker: &'static str, what: String) {
        if self.failure.is_none() {
            self.failure = Some(self.chronicle.failure(checker, what, &self.scenario));
        }
    }
}
