//! A simulated cluster: virtual time, one seed, lossy links, partitions, crashes that keep only what
//! was persisted, lost disks, changing members, and checkers after every event.

mod checks;
mod host;

pub(crate) use checks::Seen;

use crate::{
    ibft_chain::ENVIRONMENT,
    ibft_world::{Random, START_UNIX, id, recovered},
    raft_chain::{Setup, build, check_header, position_after, spec},
};
use alloy_primitives::{Address, B256, Bytes};
use checks::Checks;
use entente_chain::{
    BlockNumber, RecoveredBlock, signer::SealSigner, transaction::Signing, transition::Transition,
};
use entente_consensus::{
    Action, ChainPosition, Engine, EngineStatus, Input, Now, Operation, Recipients, Record, Step,
    Verdict,
    message::{Admitted, Gate, admit},
    raft::{Raft, RaftSettings},
    rules::HeaderRules,
};
use std::collections::{BTreeMap, BTreeSet};

/// Records that a host keeps after a commit.
const RECORDS_KEPT: usize = 16;
/// Blocks that block sync fetches at a time.
const SYNC_BLOCKS: u64 = 64;

/// What links and nodes do wrong, in percent and milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) loss: u64,
    pub(crate) duplication: u64,
    pub(crate) delay_max: u64,
    /// Chance that a step is cut off between its records and its actions, or among these.
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
    engine: Option<Raft>,
    /// Counts restarts, so that answers to an earlier life are lost.
    life: u64,
    booted: u64,
    skew: i64,
    log: Vec<Vec<u8>>,
    chain: Vec<ChainPosition>,
    blocks: Vec<RecoveredBlock>,
    wake: Option<u64>,
    /// Its disk was lost, and it has not voted since.
    wiped: bool,
}

pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) faults: Faults,
    pub(crate) random: Random,
    /// Executable transactions wait everywhere.
    pub(crate) waiting: bool,
    pub(crate) reports: Vec<&'static str>,
    pub(crate) penalties: Vec<&'static str>,
    pub(crate) seen: Seen,
    /// Nodes that find every block invalid.
    pub(crate) refusers: BTreeSet<usize>,
    /// Nodes fetch blocks that they lack.
    pub(crate) block_sync: bool,
    rules: HeaderRules,
    genesis: ChainPosition,
    nodes: Vec<Node>,
    events: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    cut: BTreeSet<(usize, usize)>,
    admitted: BTreeMap<Bytes, Admitted>,
    checks: Checks,
    /// Events at the same time so far.
    busy: u64,
}

impl World {
    /// `count` nodes, of which the first `voters` vote.
    pub(crate) fn new(count: usize, voters: usize, period: u64, seed: u64) -> Self {
        Self::with(count, voters, period, seed, Vec::new())
    }

    pub(crate) fn with(
        count: usize,
        voters: usize,
        period: u64,
        seed: u64,
        transitions: Vec<Transition>,
    ) -> Self {
        let Setup { rules, keys, genesis } =
            Setup::new(spec(period, transitions), count, voters, START_UNIX / 1000);
        let node = |signer: SealSigner| Node {
            signer,
            engine: None,
            life: 0,
            booted: 0,
            skew: 0,
            log: Vec::new(),
            chain: vec![genesis.clone()],
            blocks: Vec::new(),
            wake: None,
            wiped: false,
        };
        let nodes: Vec<Node> = keys.into_iter().map(node).collect();
        let mut world = Self {
            now: 0,
            faults: Faults { delay_max: 20, ..Faults::default() },
            random: Random(seed),
            waiting: false,
            reports: Vec::new(),
            penalties: Vec::new(),
            seen: Seen::default(),
            refusers: BTreeSet::new(),
            block_sync: true,
            rules,
            genesis,
            nodes,
            events: BTreeMap::new(),
            sequence: 0,
            cut: BTreeSet::new(),
            admitted: BTreeMap::new(),
            checks: Checks::default(),
            busy: 0,
        };
        for node in 0..world.len() {
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

    pub(crate) fn top(&self) -> BlockNumber {
        self.heights().into_iter().max().expect("nodes")
    }

    pub(crate) fn block(&self, node: usize, number: BlockNumber) -> &RecoveredBlock {
        let index = usize::try_from(number - 1).expect("small");
        &self.nodes[node].blocks[index]
    }

    pub(crate) fn position(&self, node: usize) -> &ChainPosition {
        self.nodes[node].chain.last().expect("genesis at least")
    }

    pub(crate) fn address(&self, node: usize) -> Address {
        self.nodes[node].signer.address()
    }

    pub(crate) fn status(&self, node: usize) -> EngineStatus {
        let engine = self.nodes[node].engine.as_ref().expect("the node runs");
        engine.status(self.clock(node))
    }

    pub(crate) fn is_up(&self, node: usize) -> bool {
        self.nodes[node].engine.is_some()
    }

    /// The node that leads in the highest term.
    pub(crate) fn leader(&self) -> Option<usize> {
        let leads = |node: &usize| self.is_up(*node) && self.status(*node).role == "leader";
        (0..self.len()).filter(leads).max_by_key(|node| self.status(*node).round)
    }

    pub(crate) fn is_partitioned(&self) -> bool {
        !self.cut.is_empty()
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

    pub(crate) fn operate(&mut self, node: usize, operation: Operation) {
        self.input(node, Input::Operator(operation));
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

    /// Loses the log of a stopped node, and its chain too if `all`.
    pub(crate) fn wipe(&mut self, node: usize, all: bool) {
        let genesis = self.genesis.clone();
        let address = self.address(node);
        self.checks.wiped(address);
        let state = &mut self.nodes[node];
        state.log.clear();
        state.wiped = true;
        if all {
            state.chain = vec![genesis];
            state.blocks.clear();
        }
    }

    /// Whether every voter remembers what it promised, so that a disk may be lost.
    pub(crate) fn all_remember(&self) -> bool {
        (0..self.len()).all(|node| {
            let blank = self.is_up(node) && self.status(node).role == "blank";
            !self.nodes[node].wiped && !blank
        })
    }

    /// Starts a node with what its disk kept.
    pub(crate) fn start(&mut self, node: usize) {
        if self.is_up(node) {
            return;
        }
        let seed = self.random.next();
        let settings = RaftSettings::new(ENVIRONMENT, B256::ZERO, seed);
        let spec = self.rules.spec().clone();
        let state = &mut self.nodes[node];
        state.booted = self.now;
        state.wake = None;
        state.engine = Some(Raft::new(spec, Some(state.signer.clone()), settings));
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
                self.link(a, b, together);
            }
        }
    }

    /// Joins or cuts two nodes.
    pub(crate) fn link(&mut self, a: usize, b: usize, together: bool) {
        let pair = (a.max(b), a.min(b));
        let was = self.linked(a, b);
        if together {
            self.cut.remove(&pair);
        } else {
            self.cut.insert(pair);
        }
        if was != together && self.is_up(a) && self.is_up(b) {
            self.at(10, Event::Link { node: a, peer: b, connected: together });
            self.at(10, Event::Link { node: b, peer: a, connected: together });
        }
    }

    pub(crate) fn cut_off(&mut self, node: usize) {
        for peer in (0..self.len()).filter(|peer| *peer != node) {
            self.link(node, peer, false);
        }
    }

    /// Ends all faults but stopped nodes.
    pub(crate) fn heal(&mut self) {
        let all: Vec<usize> = (0..self.len()).collect();
        self.partition(&[&all]);
        self.faults = Faults { delay_max: 20, ..Faults::default() };
        self.refusers.clear();
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
            assert!(waited <= limit, "not done after {limit} ms: {}", self.describe());
            self.run(10);
        }
        self.now - start
    }

    /// Counts what can be told at the end only.
    pub(crate) fn finish(&mut self) {
        self.seen.lost = self.checks.lost();
    }

    /// What every node says of itself.
    pub(crate) fn describe(&self) -> String {
        let node = |node: usize| {
            let height = self.height(node);
            if !self.is_up(node) {
                return format!("\n  {node} at {height}: down");
            }
            let status = self.status(node);
            let (term, role, phase) = (status.round, status.role, status.phase);
            format!("\n  {node} at {height}: term {term}, {role}, {phase}")
        };
        (0..self.len()).map(node).collect()
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
