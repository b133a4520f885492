//! Which engine runs: the one that the chain's rules name for the next block.
//!
//! A switch is the same door as a restart: the engine of the next block begins with
//! [`Input::Recovered`] on the committed head, without records, and hears again of everything that
//! lasts (peers, their heads, whether transactions wait, the operator's votes). Nothing else is
//! handed over, so what an engine promised can bind no other.
//!
//! Clique may go back: a shorter branch can be better than the one whose next block is another
//! engine's already. Then it goes on with its branches, and the other engine keeps its promises.

use crate::{
    clique::{Clique, CliqueSettings},
    engine::{ChainPosition, Engine, EngineStatus, Input, Millis, Now, Operation, Record, Step},
    ibft::{Ibft, IbftSettings},
    raft::{Raft, RaftSettings},
};
use alloy_primitives::{Address, B256};
use entente_chain::{
    BlockNumber, ChainSpec, EnvironmentId, NodeId, limits::PEERS_MAX, signer::SealSigner,
    spec::EngineKind,
};
use std::{collections::BTreeMap, sync::Arc};

/// What every engine must know beside the chain's rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineSettings {
    /// Hash of the genesis block.
    pub environment: EnvironmentId,
    /// First 32 bytes of extraData in our blocks.
    pub vanity: B256,
    /// Where the draws of elections and delays come from; another one for each start of each node.
    pub seed: u64,
}

/// Engines that are one machine; header formats are not told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Machine {
    Ibft,
    Raft,
    Clique,
}

impl Machine {
    /// `None`: plain Ethereum blocks, which nobody makes here.
    const fn of(engine: EngineKind) -> Option<Self> {
        match engine {
            EngineKind::Qbft | EngineKind::Istanbul => Some(Self::Ibft),
            EngineKind::Raft => Some(Self::Raft),
            EngineKind::Clique => Some(Self::Clique),
            EngineKind::Ethereum => None,
        }
    }
}

/// What a new engine must hear of, because it lasts.
#[derive(Default)]
struct Lasting {
    peers: BTreeMap<NodeId, Option<Address>>,
    heads: BTreeMap<NodeId, (BlockNumber, B256)>,
    waiting: bool,
    votes: Vec<Operation>,
}

/// Votes of an operator that are repeated to a new engine.
const VOTES_MAX: usize = 256;

impl Lasting {
    fn note(&mut self, input: &Input) {
        match *input {
            Input::Peer { node, validator, connected: true }
                if self.peers.len() < PEERS_MAX || self.peers.contains_key(&node) =>
            {
                self.peers.insert(node, validator);
            }
            Input::Peer { node, connected: false, .. } => {
                self.peers.remove(&node);
                self.heads.remove(&node);
            }
            Input::PeerHead { node, number, hash } if self.peers.contains_key(&node) => {
                self.heads.insert(node, (number, hash));
            }
            Input::TransactionsWaiting(waiting) => self.waiting = waiting,
            Input::Operator(ref operation) => self.note_vote(operation),
            _ => {}
        }
    }

    fn note_vote(&mut self, operation: &Operation) {
        let (Operation::ProposeValidator { candidate, .. }
        | Operation::DiscardProposal { candidate }) = *operation
        else {
            return;
        };
        self.votes.retain(|vote| {
            !matches!(vote, Operation::ProposeValidator { candidate: voted, .. } if *voted == candidate)
        });
        if matches!(operation, Operation::ProposeValidator { .. }) && self.votes.len() < VOTES_MAX {
            self.votes.push(operation.clone());
        }
    }

    fn inputs(&self) -> impl Iterator<Item = Input> {
        let peers = self.peers.iter().map(|(node, validator)| Input::Peer {
            node: *node,
            validator: *validator,
            connected: true,
        });
        let heads = self.heads.iter().map(|(node, (number, hash))| Input::PeerHead {
            node: *node,
            number: *number,
            hash: *hash,
        });
        let votes = self.votes.iter().cloned().map(Input::Operator);
        let waiting = std::iter::once(Input::TransactionsWaiting(self.waiting));
        peers.chain(heads).chain(votes).chain(waiting)
    }
}

/// An engine that comes back to duty after a few blocks of Clique.
struct Paused {
    machine: Machine,
    engine: Box<dyn Engine>,
    /// Whom it believes to be connected.
    peers: Vec<NodeId>,
}

/// The engine that is on duty, and how to make the next one.
pub struct Schedule {
    spec: Arc<ChainSpec>,
    signer: Option<SealSigner>,
    settings: EngineSettings,
    on_duty: Option<(Machine, Box<dyn Engine>)>,
    /// Clique, while the newest block is its own and the next one is not: nodes may stand on
    /// different branches, and the next engine cannot bring them together.
    settling: Option<Box<dyn Engine>>,
    /// Who was on duty when Clique went back.
    paused: Option<Paused>,
    /// What other engines than Clique wrote down before this process began under Clique.
    records: Vec<Record>,
    lasting: Lasting,
    switches: u64,
    next_number: BlockNumber,
}

impl Schedule {
    /// Waits for [`Input::Recovered`]. Without `signer` every engine follows.
    #[must_use]
    pub fn new(spec: Arc<ChainSpec>, signer: Option<SealSigner>, settings: EngineSettings) -> Self {
        let lasting = Lasting::default();
        Self {
            spec,
            signer,
            settings,
            on_duty: None,
            settling: None,
            paused: None,
            records: Vec::new(),
            lasting,
            switches: 0,
            next_number: 0,
        }
    }

    /// Whether Clique made the head and another engine makes the next block.
    fn is_settling(&self, head: BlockNumber) -> bool {
        head > 0
            && self.spec.engine_at(head) == EngineKind::Clique
            && self.spec.engine_at(head.saturating_add(1)) != EngineKind::Clique
    }

    fn machine_after(&self, head: BlockNumber) -> Option<Machine> {
        Machine::of(self.spec.engine_at(head.saturating_add(1)))
    }

    fn make(&mut self, machine: Machine) -> Box<dyn Engine> {
        let EngineSettings { environment, vanity, seed } = self.settings;
        // Two turns of one engine draw differently.
        let seed = seed.wrapping_add(self.switches);
        self.switches = self.switches.wrapping_add(1);
        let (spec, signer) = (Arc::clone(&self.spec), self.signer.clone());
        match machine {
            Machine::Ibft => {
                Box::new(Ibft::new(spec, signer, IbftSettings { environment, vanity }))
            }
            Machine::Raft => {
                let settings = RaftSettings::new(environment, vanity, seed);
                Box::new(Raft::new(spec, signer, settings))
            }
            Machine::Clique => {
                let settings = CliqueSettings { environment, vanity, seed };
                Box::new(Clique::new(spec, signer, settings))
            }
        }
    }

    /// Puts the engine of the next block on duty if it is another one. Tells whether it did.
    fn hand_over(&mut self, now: Now, position: &ChainPosition, out: &mut Step) -> bool {
        let next = self.machine_after(position.head.number);
        if self.on_duty.as_ref().map(|(machine, _)| *machine) == next {
            return false;
        }
        let (leaving, settling) = (self.on_duty.take(), self.settling.take());
        if let (Some(Machine::Clique), Some(mut clique)) = (next, settling) {
            let peers = self.lasting.peers.keys().copied().collect();
            self.paused = leaving.map(|(machine, engine)| Paused { machine, engine, peers });
            clique.step(now, Input::Committed(position.clone()), out);
            self.on_duty = Some((Machine::Clique, clique));
            return true;
        }
        let clique = leaving.filter(|(machine, _)| *machine == Machine::Clique);
        self.settling =
            clique.filter(|_| self.is_settling(position.head.number)).map(|(_, clique)| clique);
        let paused = self.paused.take().filter(|paused| Some(paused.machine) == next);
        let Some(machine) = next else { return true };
        let engine = match paused {
            Some(paused) => self.resume(paused, now, position, out),
            None => self.begin(machine, now, position, out),
        };
        self.on_duty = Some((machine, engine));
        true
    }

    fn begin(
        &mut self,
        machine: Machine,
        now: Now,
        position: &ChainPosition,
        out: &mut Step,
    ) -> Box<dyn Engine> {
        let mut engine = self.make(machine);
        let (position, ancestors) = (position.clone(), Vec::new());
        let records = std::mem::take(&mut self.records);
        engine.step(now, Input::Recovered { position, ancestors, records }, out);
        self.lasting.inputs().for_each(|input| engine.step(now, input, out));
        engine
    }

    fn resume(
        &self,
        paused: Paused,
        now: Now,
        position: &ChainPosition,
        out: &mut Step,
    ) -> Box<dyn Engine> {
        let Paused { mut engine, peers, .. } = paused;
        engine.step(now, Input::Committed(position.clone()), out);
        let gone = peers.into_iter().filter(|node| !self.lasting.peers.contains_key(node));
        let gone = gone.map(|node| Input::Peer { node, validator: None, connected: false });
        gone.chain(self.lasting.inputs()).for_each(|input| engine.step(now, input, out));
        engine
    }
}

impl Engine for Schedule {
    fn step(&mut self, now: Now, input: Input, out: &mut Step) {
        self.lasting.note(&input);
        match &input {
            Input::Recovered { position, records, .. } => {
                self.next_number = position.head.number.saturating_add(1);
                let machine = self.machine_after(position.head.number);
                self.on_duty = machine.map(|machine| (machine, self.make(machine)));
                let clique_head = self.is_settling(position.head.number);
                self.settling = clique_head.then(|| self.make(Machine::Clique));
                if machine == Some(Machine::Clique) {
                    let other = |record: &&Record| !matches!(record, Record::Clique(_));
                    self.records = records.iter().filter(other).cloned().collect();
                }
            }
            Input::Committed(position) => {
                self.next_number = position.head.number.saturating_add(1);
                let position = position.clone();
                if self.hand_over(now, &position, out) {
                    if let Some(clique) = &mut self.settling {
                        clique.step(now, input, out);
                    }
                    return;
                }
                if !self.is_settling(position.head.number) {
                    self.settling = None;
                }
            }
            _ => {}
        }
        if let Some(clique) = &mut self.settling {
            clique.step(now, input.clone(), out);
        }
        if let Some((_, engine)) = &mut self.on_duty {
            engine.step(now, input, out);
        }
    }

    fn next_deadline(&self) -> Option<Millis> {
        let on_duty = self.on_duty.as_ref().and_then(|(_, engine)| engine.next_deadline());
        let settling = self.settling.as_ref().and_then(|clique| clique.next_deadline());
        [on_duty, settling].into_iter().flatten().min()
    }

    fn status(&self, now: Now) -> EngineStatus {
        match &self.on_duty {
            Some((_, engine)) => engine.status(now),
            None => EngineStatus {
                engine: "none",
                height: self.next_number,
                validator: self.signer.as_ref().map(SealSigner::address),
                phase: "idle: blocks of this kind are imported, not made".to_owned(),
                ..EngineStatus::default()
            },
        }
    }
}
