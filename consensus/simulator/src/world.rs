//! The world: virtual time, events in order, nodes that live and die, and a network in between.

mod disturbance;
mod events;
mod going_on;
mod healing;
mod host;
mod lies;
mod network;
mod process;
mod step;
mod stores;

use crate::{
    Coverage, Failure,
    adversary::Behaviour,
    checker::{Checker, Finding},
    disk::SimulatedDisk,
    random::Random,
    scenario::{START_UNIX, Sabotage, Scenario, key},
    timeline::{Agenda, Chronicle},
    workload::{Account, Clients, Waiting},
};
use alloy_primitives::{B256, Bytes};
use entente_chain::{NodeId, genesis::Genesis, signer::SealSigner};
use entente_consensus::{Action, Now};
use events::Event;
use network::Network;
use process::Process;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};
pub(crate) use stores::LOGS_OF;

/// Frames that dishonest nodes may say again.
const BAG_MAX: usize = 400;
/// A seed that makes more events than this goes round in circles.
const EVENTS_MAX: u64 = 3_000_000;

/// One machine; its process comes and goes.
pub(crate) struct Node {
    pub(crate) key: SealSigner,
    disk: Arc<SimulatedDisk>,
    process: Option<Process>,
    /// Counts processes, so that what was meant for an earlier one is lost.
    life: u64,
    booted: u64,
    skew: i64,
    waiting: Waiting,
    /// Peers, and which of their processes is at the other end.
    connected: BTreeMap<usize, u64>,
    pub(crate) behaviour: Option<Behaviour>,
    wake: Option<u64>,
    /// The chain thread works until then.
    busy_until: u64,
    /// The head when the process died.
    last_head: (u64, B256),
    wiped: bool,
    /// The machine stays without power until then.
    down_until: u64,
    /// Writes take long until then.
    slow_until: u64,
    /// A write that is under way: what waits for it.
    writing: Option<Writing>,
}

/// What waits for a slow write.
struct Writing {
    until: u64,
    actions: Vec<Action>,
}

/// See the module.
pub(crate) struct World {
    pub(crate) scenario: Scenario,
    genesis: Genesis,
    json: String,
    funded: Account,
    time: u64,
    agenda: Agenda<Event>,
    pub(crate) nodes: Vec<Node>,
    network: Network,
    random: Random,
    clients: Clients,
    checker: Checker,
    coverage: Coverage,
    failure: Option<Failure>,
    chronicle: Chronicle,
    bag: VecDeque<Bytes>,
    /// No more faults.
    healed: bool,
}

pub(crate) const fn node_id(node: usize) -> NodeId {
    let mut id = [0; 32];
    let bytes = (node as u64).to_be_bytes();
    let mut index = 0;
    while index < 8 {
        id[index] = bytes[index];
        index += 1;
    }
    NodeId(id)
}

pub(crate) fn index_of(id: NodeId) -> usize {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&id.0[..8]);
    usize::try_from(u64::from_be_bytes(bytes)).unwrap_or(usize::MAX)
}

impl World {
    pub(crate) fn new(scenario: Scenario) -> Self {
        let funded = Account::new();
        let keys: Vec<_> = (0..scenario.validators + scenario.followers).map(key).collect();
        let validators: Vec<_> =
            keys.iter().take(scenario.validators).map(SealSigner::address).collect();
        let (genesis, json) = scenario.genesis(validators.clone(), funded.address());
        let mut random = Random::new(scenario.seed, 2);
        let twins = scenario.behaviour == Some(Behaviour::Twin);
        let mut nodes = Vec::new();
        let copies = keys.iter().take(if twins { scenario.dishonest } else { 0 });
        for (index, key) in keys.iter().chain(copies).enumerate() {
            let spread = 2 * scenario.skew_most + 1;
            let offset = i64::try_from(random.below(spread)).unwrap_or(0);
            let skew = offset - i64::try_from(scenario.skew_most).unwrap_or(0);
            let dishonest = index < scenario.dishonest || index >= keys.len();
            nodes.push(Node {
                key: key.clone(),
                disk: Arc::default(),
                process: None,
                life: 0,
                booted: 0,
                skew,
                waiting: Waiting::default(),
                connected: BTreeMap::new(),
                behaviour: scenario.behaviour.filter(|_| dishonest),
                wake: None,
                busy_until: 0,
                last_head: Default::default(),
                wiped: false,
                down_until: 0,
                slow_until: 0,
                writing: None,
            });
        }
        let liars = nodes.iter().filter(|node| node.behaviour.is_some());
        let liars = liars.map(|node| node.key.address()).collect();
        if scenario.sabotage == Some(Sabotage::LyingDisk) {
            nodes.iter().for_each(|node| node.disk.set_lies(true));
        }
        Self {
            network: Network::new(scenario.weather, scenario.seed),
            checker: Checker::new(&genesis, &validators, scenario.engine, liars),
            genesis,
            json,
            funded,
            time: 0,
            agenda: Agenda::new(),
            nodes,
            random,
            clients: Clients::default(),
            coverage: Coverage::default(),
            failure: None,
            chronicle: Chronicle::new(scenario.seed),
            bag: VecDeque::new(),
            healed: false,
            scenario,
        }
    }

    /// Bad weather, then healing.
    pub(crate) fn live(&mut self) {
        self.begin();
        for _ in 0..self.scenario.disturbances {
            self.disturb();
            let calm = self.random.below(5_000);
            self.run(calm);
        }
        self.lose_quorum();
        self.heal();
        self.go_on();
        self.check_end();
    }

    fn begin(&mut self) {
        for node in 0..self.nodes.len() {
            let delay = self.random.below(400);
            self.at(delay, Event::Start { node });
        }
        self.at(500, Event::Client);
        self.at(1000, Event::Gossip);
        self.run(3_000);
    }

    pub(crate) const fn now(&self) -> u64 {
        self.time
    }

    pub(crate) const fn event_hash(&self) -> u64 {
        self.chronicle.hash
    }

    pub(crate) const fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    pub(crate) fn take_failure(&mut self) -> Option<Failure> {
        self.failure.take()
    }

    fn clock(&self, node: usize) -> Now {
        let Some(node) = self.nodes.get(node) else { return Now::default() };
        let unix = (START_UNIX + self.time).saturating_add_signed(node.skew);
        Now { elapsed: self.time.saturating_sub(node.booted), unix }
    }

    fn at(&mut self, delay: u64, event: Event) {
        self.agenda.at(self.time + delay, event);
    }

    /// Lets virtual time pass.
    fn run(&mut self, time: u64) {
        let until = self.time + time;
        self.run_until(until, |_| false);
        if self.failure.is_none() {
            self.time = self.time.max(until);
        }
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

    /// Folds an event into the hash, and remembers it for a failure's report.
    fn note(&mut self, event: &Event) {
        self.chronicle.steps += 1;
        self.chronicle.tell(self.time, &event.describe());
    }

    fn fail(&mut self, checker: &'static str, what: String) {
        if self.failure.is_none() {
            self.failure = Some(self.chronicle.failure(checker, what, &self.scenario));
        }
    }

    fn judge(&mut self, finding: Result<(), Finding>) {
        if let Err(Finding { checker, what }) = finding {
            self.fail(checker, what);
        }
    }
}
