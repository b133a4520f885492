//! The validators of a rehearsal and what is under way between them, in virtual time.

use super::{Rehearsed, node::Node};
use crate::clock::Clock;
use alloy_primitives::{B256, Bytes};
use anyhow::{Context, bail};
use entente_chain::{
    BlockNumber, ChainSpec, EnvironmentId, NodeId, RecoveredBlock, RecoveredTransaction,
    signer::SealSigner,
};
use entente_consensus::{
    Action, FetchId, ImportId, Input, Now, Recipients, Verdict,
    message::{Gate, admit},
};
use entente_ledger::{CommittedBlock, LedgerError};
use entente_storage::Database;
use std::{collections::BTreeMap, sync::Arc};

/// How long a frame travels, in milliseconds.
const TRAVEL_MS: u64 = 2;
/// How long the chain takes for a block.
const WORK_MS: u64 = 1;
/// Events without an end are a fault.
const EVENTS_MAX: u64 = 2_000_000;
/// Periods that a block may take, and milliseconds for elections and rounds.
const PERIODS_MAX: u64 = 20;
const PATIENCE_MS: u64 = 120_000;

enum Event {
    Input(Box<Input>),
    Frame { from: usize, frame: Bytes },
    Serve { asker: usize, request: FetchId, start: BlockNumber, count: u64 },
    Wake,
}

pub(super) struct World {
    spec: Arc<ChainSpec>,
    environment: EnvironmentId,
    nodes: Vec<Node>,
    queue: BTreeMap<(u64, u64), (usize, Event)>,
    time: u64,
    began: u64,
    sequence: u64,
    /// When the first node committed each height.
    committed_at: BTreeMap<BlockNumber, u64>,
}

fn node_id(index: usize) -> NodeId {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&(index as u64).to_be_bytes());
    NodeId(bytes)
}

fn index_of(node: NodeId) -> Option<usize> {
    let bytes = node.0.first_chunk::<8>()?;
    usize::try_from(u64::from_be_bytes(*bytes)).ok()
}

fn verdict(error: &LedgerError) -> Verdict {
    match error.is_invalid_block() {
        true => Verdict::Invalid(error.to_string()),
        false => Verdict::Unavailable(error.to_string()),
    }
}

impl World {
    pub(super) fn new(spec: Arc<ChainSpec>, genesis_hash: B256) -> Self {
        Self {
            spec,
            environment: EnvironmentId(genesis_hash),
            nodes: Vec::new(),
            queue: BTreeMap::new(),
            time: 0,
            began: Clock::start().now().unix,
            sequence: 0,
            committed_at: BTreeMap::new(),
        }
    }

    pub(super) fn join(&mut self, database: &Database, key: SealSigner) -> anyhow::Result<()> {
        let seed = self.nodes.len() as u64;
        self.nodes.push(Node::open(database, &self.spec, self.environment, key, seed)?);
        Ok(())
    }

    /// Runs until every node has a height, and tells of all blocks on the way.
    pub(super) fn run_to(&mut self, last: BlockNumber) -> anyhow::Result<Vec<Rehearsed>> {
        self.start()?;
        let head = self.nodes.iter().map(Node::head).min().unwrap_or(0);
        // Branches of Clique are one again some blocks later.
        let settled = last.saturating_add(self.depth_at(last));
        let period = (head..=last).map(|block| self.spec.rules_at(block).block_period_ms).max();
        let slow = period.unwrap_or(0).saturating_mul(PERIODS_MAX);
        let patience = slow.saturating_add(PATIENCE_MS);
        let (mut seen, mut moved, mut events) = (head, self.time, 0u64);
        while self.nodes.iter().any(|node| node.head() < settled) {
            let lowest = self.nodes.iter().map(Node::head).min().unwrap_or(0);
            if lowest > seen {
                (seen, moved) = (lowest, self.time);
            }
            events = events.saturating_add(1);
            let over = self.time.saturating_sub(moved) > patience || events > EVENTS_MAX;
            let Some((key, (node, event))) = self.queue.pop_first().filter(|_| !over) else {
                bail!("the rehearsal stands still at block {lowest}: {}", self.phases());
            };
            self.time = key.0;
            self.happen(node, event)?;
        }
        self.judge(head, last)
    }

    fn start(&mut self) -> anyhow::Result<()> {
        for node in 0..self.nodes.len() {
            let input = self.node(node)?.recovered()?;
            self.input(node, input)?;
        }
        for node in 0..self.nodes.len() {
            for peer in 0..self.nodes.len() {
                if peer == node {
                    continue;
                }
                let other = self.node(peer)?;
                let (validator, head) = (Some(other.address), other.position.head.clone());
                let connected = Input::Peer { node: node_id(peer), validator, connected: true };
                self.input(node, connected)?;
                let (number, hash) = (head.number, head.hash());
                self.input(node, Input::PeerHead { node: node_id(peer), number, hash })?;
            }
            self.input(node, Input::TransactionsWaiting(true))?;
        }
        Ok(())
    }

    /// How deep a block must lie until nobody leaves it.
    fn depth_at(&self, number: BlockNumber) -> u64 {
        match self.spec.engine_at(number) {
            entente_chain::spec::EngineKind::Clique => {
                (self.nodes.len() as u64 / 2).saturating_add(2)
            }
            _ => 0,
        }
    }

    fn node(&mut self, index: usize) -> anyhow::Result<&mut Node> {
        self.nodes.get_mut(index).context("no such node")
    }

    fn now(&self) -> Now {
        Now { elapsed: self.time, unix: self.began.saturating_add(self.time) }
    }

    fn at(&mut self, delay: u64, node: usize, event: Event) {
        self.sequence = self.sequence.saturating_add(1);
        self.queue.insert((self.time.saturating_add(delay), self.sequence), (node, event));
    }

    fn answer(&mut self, node: usize, input: Input) {
        self.at(WORK_MS, node, Event::Input(Box::new(input)));
    }

    fn happen(&mut self, index: usize, event: Event) -> anyhow::Result<()> {
        match event {
            Event::Input(input) => self.input(index, *input),
            Event::Wake => {
                self.node(index)?.wake = None;
                self.input(index, Input::Wake)
            }
            Event::Frame { from, frame } => {
                let (environment, signing) = (self.environment, self.spec.signing());
                let node = self.node(index)?;
                let validators = &node.position.next;
                let gate = Gate { environment, head: node.position.head.number, validators };
                let recover = |envelopes: Vec<_>| {
                    let each = envelopes.into_iter().map(|envelope| {
                        let recovered =
                            RecoveredTransaction::recover(envelope, signing).map(Arc::new);
                        recovered.map_err(|error| error.to_string())
                    });
                    each.collect()
                };
                // A height that this node has passed is no fault.
                let Ok(message) = admit(&frame, &gate, &recover) else { return Ok(()) };
                self.input(index, Input::Message { from: node_id(from), message })
            }
            Event::Serve { asker, request, start, count } => {
                let node = self.node(index)?;
                let mut blocks = Vec::new();
                for number in start..start.saturating_add(count) {
                    let Some(block) = node.block(number)? else { break };
                    blocks.push(block);
                }
                self.answer(asker, Input::Fetched { request, blocks: Ok(blocks) });
                Ok(())
            }
        }
    }

    fn input(&mut self, index: usize, input: Input) -> anyhow::Result<()> {
        let now = self.now();
        let actions = self.node(index)?.input(now, input);
        for action in actions {
            self.act(index, action)?;
        }
        let time = self.time;
        let node = self.node(index)?;
        let next = node.next_deadline().map(|next| next.max(time.saturating_add(1)));
        if let Some(next) = next.filter(|next| node.wake.is_none_or(|wake| *next < wake)) {
            node.wake = Some(next);
            self.at(next.saturating_sub(time), index, Event::Wake);
        }
        Ok(())
    }

    fn act(&mut self, index: usize, action: Action) -> anyhow::Result<()> {
        let now = self.now();
        match action {
            Action::Send { to, message } => {
                let frame = message.encode();
                match to {
                    Recipients::Everyone => self.broadcast(index, None, &frame),
                    Recipients::Node(peer) => {
                        if let Some(peer) = index_of(peer) {
                            self.at(TRAVEL_MS, peer, Event::Frame { from: index, frame });
                        }
                    }
                }
            }
            // Everybody is everybody's neighbour: nobody needs a second copy.
            Action::Relay { .. } => {}
            Action::Build { request, attributes } => {
                let block = self.node(index)?.build(&attributes);
                self.answer(index, Input::Built { request, block });
            }
            Action::Execute(block) => {
                let verdict = self.node(index)?.check(&block, now);
                if let Verdict::Invalid(reason) = &verdict {
                    bail!("block {} is called invalid: {reason}", block.header.number);
                }
                self.answer(index, Input::Executed { block: block.hash(), verdict });
            }
            Action::Adopt(block) | Action::AdoptLogged(block) => self.adopt(index, block)?,
            Action::Import { request, blocks } => self.import(index, request, blocks)?,
            Action::Reorganize { request, ancestor, blocks } => {
                self.reorganize(index, request, ancestor, blocks)?;
            }
            Action::Fetch { request, from, start, count } => {
                if let Some(peer) = index_of(from) {
                    let event = Event::Serve { asker: index, request, start, count };
                    self.at(TRAVEL_MS, peer, event);
                }
            }
            Action::Penalize { node, reason } => {
                let who = index_of(node).unwrap_or_default();
                bail!("validator {index} holds against the honest validator {who}: {reason}");
            }
            Action::Report(evidence) => {
                bail!("evidence against the honest {}: {}", evidence.validator, evidence.what);
            }
        }
        Ok(())
    }

    fn broadcast(&mut self, from: usize, except: Option<usize>, frame: &Bytes) {
        for to in (0..self.nodes.len()).filter(|to| *to != from && Some(*to) != except) {
            self.at(TRAVEL_MS, to, Event::Frame { from, frame: frame.clone() });
        }
    }

    fn adopt(&mut self, index: usize, block: RecoveredBlock) -> anyhow::Result<()> {
        let now = self.now();
        let number = block.header.number;
        let node = self.node(index)?;
        match node.ledger.adopt(block, now.unix_seconds()) {
            Ok(committed) => self.committed(index, &committed, true),
            // Sync may have committed it a moment before.
            Err(_) if node.ledger.head().header.number >= number => Ok(()),
            // Only a chain that forks can have left the parent in the meantime.
            Err(LedgerError::ParentMissing { .. }) => Ok(()),
            Err(error) => bail!("block {number} is decided but cannot be committed: {error}"),
        }
    }

    fn import(
        &mut self,
        index: usize,
        request: ImportId,
        blocks: Vec<RecoveredBlock>,
    ) -> anyhow::Result<()> {
        let seconds = self.now().unix_seconds();
        let mut result = Ok(());
        for block in blocks {
            let number = block.header.number;
            let node = self.node(index)?;
            if number <= node.ledger.head().header.number {
                continue;
            }
            match node.ledger.import(block, seconds) {
                Ok(committed) => self.committed(index, &committed, true)?,
                Err(error) => {
                    result = Err((number, verdict(&error)));
                    break;
                }
            }
        }
        self.answer(index, Input::Imported { request, result });
        Ok(())
    }

    fn reorganize(
        &mut self,
        index: usize,
        request: ImportId,
        ancestor: BlockNumber,
        blocks: Vec<RecoveredBlock>,
    ) -> anyhow::Result<()> {
        let seconds = self.now().unix_seconds();
        let result = match self.node(index)?.ledger.reorganize(ancestor, blocks, seconds) {
            Ok(outcome) => {
                let last = outcome.committed.len().saturating_sub(1);
                for (place, committed) in outcome.committed.iter().enumerate() {
                    self.committed(index, committed, place == last)?;
                }
                match outcome.refused {
                    None => Ok(()),
                    Some((number, error)) => Err((number, verdict(&error))),
                }
            }
            Err(error @ LedgerError::Branch { .. }) => Err((ancestor, verdict(&error))),
            Err(error) => return Err(error.into()),
        };
        self.answer(index, Input::Imported { request, result });
        Ok(())
    }

    /// `told`: the engine hears of it, which it does of the last block of a change of branches.
    fn committed(
        &mut self,
        index: usize,
        committed: &CommittedBlock,
        told: bool,
    ) -> anyhow::Result<()> {
        let time = self.time;
        let head = committed.position.head.clone();
        self.committed_at.entry(head.number).or_insert(time);
        self.node(index)?.committed(committed);
        if told {
            self.answer(index, Input::Committed(committed.position.clone()));
            self.answer(index, Input::TransactionsWaiting(true));
        }
        let (number, hash) = (head.number, head.hash());
        for peer in (0..self.nodes.len()).filter(|peer| *peer != index) {
            let input = Input::PeerHead { node: node_id(index), number, hash };
            self.at(TRAVEL_MS, peer, Event::Input(Box::new(input)));
        }
        Ok(())
    }

    fn phases(&self) -> String {
        let now = self.now();
        let phases = self.nodes.iter().enumerate();
        let phases =
            phases.map(|(index, node)| format!("validator {index} is {}", node.phase(now)));
        phases.collect::<Vec<_>>().join("; ")
    }

    /// Every node has the same blocks.
    fn judge(&mut self, head: BlockNumber, last: BlockNumber) -> anyhow::Result<Vec<Rehearsed>> {
        let mut blocks = Vec::new();
        let mut before = 0;
        for number in head.saturating_add(1)..=last {
            let first = self.node(0)?.block(number)?.context("a block is missing")?;
            for index in 1..self.nodes.len() {
                let other = self.node(index)?.block(number)?.context("a block is missing")?;
                if other.hash() != first.hash() {
                    bail!("validators 0 and {index} have different blocks {number}");
                }
            }
            let at = self.committed_at.get(&number).copied().unwrap_or(before);
            blocks.push(Rehearsed {
                engine: self.spec.engine_at(number).name(),
                after_ms: at.saturating_sub(before),
                header: first.header,
            });
            before = at;
        }
        Ok(blocks)
    }
}
