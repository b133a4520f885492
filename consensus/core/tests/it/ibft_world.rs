//! A simulated network of engines: virtual time, one seed, lossy links, partitions, crashes that
//! keep only what was persisted, and checkers after every event.

mod host;

use crate::ibft_chain::{
    ENVIRONMENT, Timing, build, check_sealed, genesis, position_at, set_of, signers, spec,
};
use alloy_primitives::{Address, B256, Bytes};
use entente_chain::{
    BlockNumber, ChainSpec, NodeId, RecoveredBlock, RecoveredTransaction, ValidatorSet,
    signer::SealSigner, transaction::Signing,
};
use entente_consensus::{
    Action, ChainPosition, Engine, Input, Message, Now, Recipients, Record, Step, Verdict,
    ibft::{self, Ibft, IbftSettings, Kind},
    message::{Admitted, Gate, admit},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    sync::Arc,
};

/// Wall clock at the beginning, in milliseconds since 1970.
pub(crate) const START_UNIX: u64 = 1_700_000_000_000;

/// SplitMix64: small, seeded, the same everywhere.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub(crate) fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }
}

/// What links and nodes do wrong, in percent and milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) loss: u64,
    pub(crate) duplication: u64,
    pub(crate) delay_max: u64,
    /// Chance that a step is cut off between its records and its actions.
    pub(crate) cut_off: u64,
    pub(crate) unavailable: u64,
}

enum Event {
    Wake { node: usize, life: u64 },
    Frame { node: usize, from: usize, frame: Bytes },
    Input { node: usize, life: u64, input: Box<Input> },
    Link { node: usize, peer: usize, connected: bool },
    Sync { node: usize },
    Restart { node: usize },
}

struct Node {
    signer: SealSigner,
    engine: Option<Ibft>,
    /// Counts restarts, so that answers to an earlier life are lost.
    life: u64,
    booted: u64,
    skew: i64,
    log: Vec<Vec<u8>>,
    chain: Vec<ChainPosition>,
    blocks: Vec<RecoveredBlock>,
    wake: Option<u64>,
}

pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) faults: Faults,
    pub(crate) random: Random,
    /// Executable transactions wait everywhere.
    pub(crate) waiting: bool,
    pub(crate) reports: Vec<&'static str>,
    pub(crate) penalties: Vec<&'static str>,
    /// Highest round anybody asked for.
    pub(crate) round_max: u64,
    spec: Arc<ChainSpec>,
    nodes: Vec<Node>,
    set: ValidatorSet,
    events: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    cut: BTreeSet<(usize, usize)>,
    admitted: BTreeMap<Bytes, Admitted>,
    decided: BTreeMap<BlockNumber, B256>,
    said: BTreeMap<(Address, Kind, u64, u64), B256>,
    twins: BTreeSet<Address>,
    /// Events at the same time so far.
    busy: u64,
}

impl World {
    /// `twin`: an extra node that has the key of validator 0 and knows nothing of it.
    pub(crate) fn new(count: usize, timing: Timing, seed: u64, twin: bool) -> Self {
        let keys = signers(count);
        let set = set_of(&keys);
        let head = genesis(timing.format, &set, START_UNIX / 1000);
        let position = position_at(head, &set);
        let twins = twin.then(|| keys[0].clone());
        let node = |signer: SealSigner| Node {
            signer,
            engine: None,
            life: 0,
            booted: 0,
            skew: 0,
            log: Vec::new(),
            chain: vec![position.clone()],
            blocks: Vec::new(),
            wake: None,
        };
        let mut world = Self {
            now: 0,
            faults: Faults { delay_max: 20, ..Faults::default() },
            random: Random(seed),
            waiting: false,
            reports: Vec::new(),
            penalties: Vec::new(),
            round_max: 0,
            spec: spec(timing),
            twins: twins.iter().map(SealSigner::address).collect(),
            nodes: keys.into_iter().chain(twins).map(node).collect(),
            set,
            events: BTreeMap::new(),
            sequence: 0,
            cut: BTreeSet::new(),
            admitted: BTreeMap::new(),
            decided: BTreeMap::new(),
            said: BTreeMap::new(),
            busy: 0,
        };
        for node in 0..world.nodes.len() {
            world.start(node);
            world.at(200 + 37 * node as u64, Event::Sync { node });
        }
        world
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn height(&self, node: usize) -> BlockNumber {
        self.nodes[node].chain.len() as u64 - 1
    }

    pub(crate) fn heights(&self) -> Vec<BlockNumber> {
        (0..self.len()).map(|node| self.height(node)).collect()
    }

    pub(crate) fn block(&self, node: usize, number: BlockNumber) -> &RecoveredBlock {
        let index = usize::try_from(number - 1).expect("small");
        &self.nodes[node].blocks[index]
    }

    pub(crate) fn status(&self, node: usize) -> entente_consensus::EngineStatus {
        let engine = self.nodes[node].engine.as_ref().expect("the node runs");
        engine.status(self.clock(node))
    }

    pub(crate) fn is_up(&self, node: usize) -> bool {
        self.nodes[node].engine.is_some()
    }

    pub(crate) fn set_skew(&mut self, node: usize, skew: i64) {
        self.nodes[node].skew = skew;
    }

    pub(crate) fn set_waiting(&mut self, waiting: bool) {
        self.waiting = waiting;
        for node in 0..self.len() {
            self.input(node, Input::TransactionsWaiting(waiting));
        }
    }

    /// Stops a node at once. Its log and chain stay.
    pub(crate) fn crash(&mut self, node: usize) {
        self.nodes[node].engine = None;
        self.nodes[node].life += 1;
        for peer in 0..self.len() {
            self.at(5, Event::Link { node: peer, peer: node, connected: false });
        }
    }

    pub(crate) fn restart_in(&mut self, node: usize, delay: u64) {
        self.at(delay, Event::Restart { node });
    }

    /// Loses the log of a stopped node.
    pub(crate) fn forget_log(&mut self, node: usize) {
        self.nodes[node].log.clear();
    }

    /// Starts a node with what its disk kept.
    pub(crate) fn start(&mut self, node: usize) {
        if self.is_up(node) {
            return;
        }
        let settings = IbftSettings { environment: ENVIRONMENT, vanity: B256::ZERO };
        let state = &mut self.nodes[node];
        state.booted = self.now;
        state.wake = None;
        let signer = Some(state.signer.clone());
        state.engine = Some(Ibft::new(Arc::clone(&self.spec), signer, settings));
        let decode = |bytes: &Vec<u8>| {
            Record::decode(bytes, ENVIRONMENT, Signing::Ethereum).expect("our own record")
        };
        let records = state.log.iter().map(decode).collect();
        let position = state.chain.last().expect("genesis at least").clone();
        self.input(node, Input::Recovered { position, ancestors: Vec::new(), records });
        self.input(node, Input::TransactionsWaiting(self.waiting));
        for peer in 0..self.len() {
            if self.linked(node, peer) && self.is_up(peer) {
                self.at(10, Event::Link { node, peer, connected: true });
                self.at(10, Event::Link { node: peer, peer: node, connected: true });
            }
        }
    }

    /// Cuts every link between nodes of different groups; nodes left out are alone.
    pub(crate) fn partition(&mut self, groups: &[&[usize]]) {
        for a in 0..self.len() {
            for b in 0..a {
                let together = groups.iter().any(|group| group.contains(&a) && group.contains(&b));
                let was = self.linked(a, b);
                if together {
                    self.cut.remove(&(a, b));
                } else {
                    self.cut.insert((a, b));
                }
                if was != together && self.is_up(a) && self.is_up(b) {
                    self.at(10, Event::Link { node: a, peer: b, connected: together });
                    self.at(10, Event::Link { node: b, peer: a, connected: together });
                }
            }
        }
    }

    /// Ends all faults but stopped nodes.
    pub(crate) fn heal(&mut self) {
        let all: Vec<usize> = (0..self.len()).collect();
        self.partition(&[&all]);
        self.faults = Faults { delay_max: 20, ..Faults::default() };
    }

    pub(crate) fn run(&mut self, duration: u64) {
        let end = self.now + duration;
        while let Some((&(at, _), _)) = self.events.first_key_value() {
            if at > end {
                break;
            }
            let Some(((at, _), event)) = self.events.pop_first() else { break };
            self.busy = if at == self.now { self.busy + 1 } else { 0 };
            assert!(self.busy < 20_000, "time stands still at {at} ms");
            self.now = at;
            self.happen(event);
        }
        self.now = end;
    }

    /// Runs until `done`, for at most `limit`; returns how long it took.
    pub(crate) fn run_until(&mut self, limit: u64, done: impl Fn(&Self) -> bool) -> u64 {
        let start = self.now;
        while !done(self) {
            let waited = self.now - start;
            assert!(waited <= limit, "not done after {limit} ms: heights {:?}", self.heights());
            self.run(10);
        }
        self.now - start
    }

    fn at(&mut self, delay: u64, event: Event) {
        self.sequence += 1;
        self.events.insert((self.now + delay, self.sequence), event);
    }

    fn linked(&self, a: usize, b: usize) -> bool {
        a != b && !self.cut.contains(&(a.max(b), a.min(b)))
    }

    fn clock(&self, node: usize) -> Now {
        let state = &self.nodes[node];
        let unix = (START_UNIX + self.now).saturating_add_signed(state.skew);
        Now { elapsed: self.now - state.booted, unix }
    }
}

pub(crate) fn id(node: usize) -> NodeId {
    NodeId([u8::try_from(node).expect("few nodes"); 32])
}

pub(crate) fn recovered(
    envelopes: Vec<entente_chain::TransactionEnvelope>,
) -> Vec<Arc<RecoveredTransaction>> {
    let sender = Address::repeat_byte(7);
    let with_sender = |envelope| Arc::new(RecoveredTransaction::with_sender(envelope, sender));
    envelopes.into_iter().map(with_sender).collect()
}
