//! What can happen, and to whom.

use super::World;
use alloy_primitives::Bytes;
use entente_chain::{BlockNumber, RecoveredTransaction};
use entente_consensus::{FetchId, Input};
use std::sync::Arc;

/// Something that happens at a time.
pub(super) enum Event {
    /// A process starts.
    Start { node: usize },
    /// An engine's deadline.
    Wake { node: usize, life: u64 },
    /// An answer, or news, for an engine.
    Input { node: usize, life: u64, input: Box<Input> },
    /// A consensus frame arrives.
    Frame { node: usize, from: usize, frame: Bytes },
    /// A connection comes or goes, as one end notices.
    Connection { node: usize, peer: usize, up: bool },
    /// A peer is asked for blocks.
    Serve { node: usize, asker: usize, life: u64, request: FetchId, start: BlockNumber, count: u64 },
    /// A client sends a transaction.
    Client,
    /// A transaction arrives in a pool.
    Transaction { node: usize, transaction: Arc<RecoveredTransaction> },
    /// Pools tell each other what waits.
    Gossip,
    /// A disk has room again.
    Room { node: usize },
    /// A slow write is done.
    Written { node: usize, life: u64 },
}

impl Event {
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Start { node } => format!("node {node} starts"),
            Self::Wake { node, .. } => format!("node {node} wakes"),
            Self::Input { node, input, .. } => {
                let text = format!("{input:?}");
                let end = text.char_indices().nth(110).map_or(text.len(), |(at, _)| at);
                format!("node {node} hears {}", text.get(..end).unwrap_or_default())
            }
            Self::Frame { node, from, frame } => {
                let head: Vec<u8> = frame.iter().take(1).copied().collect();
                let sum = frame
                    .iter()
                    .fold(0_u32, |sum, byte| sum.rotate_left(5).wrapping_add(u32::from(*byte)));
                format!("node {node} receives {head:?} {} bytes {sum:08x} from {from}", frame.len())
            }
            Self::Connection { node, peer, up } => {
                format!("node {node} {} {peer}", if *up { "meets" } else { "loses" })
            }
            Self::Serve { node, asker, start, count, .. } => {
                format!("node {node} serves {count} blocks from {start} to {asker}")
            }
            Self::Client => "a client sends".to_owned(),
            Self::Transaction { node, transaction } => {
                format!("node {node} pools {}", transaction.slot().1)
            }
            Self::Gossip => "pools gossip".to_owned(),
            Self::Written { node, .. } => format!("node {node} has written"),
            Self::Room { node } => format!("node {node} has room on its disk"),
        }
    }
}

impl World {
    pub(super) fn happen(&mut self, event: Event) {
        match event {
            Event::Start { node } => self.start(node),
            Event::Wake { node, life } => {
                if self.lives(node, life) {
                    self.nodes[node].wake.take_if(|wake| *wake <= self.time);
                    self.input(node, Input::Wake);
                }
            }
            Event::Input { node, life, input } => {
                if self.lives(node, life) {
                    self.input(node, *input);
                }
            }
            Event::Frame { node, from, frame } => self.receive(node, from, &frame),
            Event::Connection { node, peer, up } => self.on_connection(node, peer, up),
            Event::Serve { node, asker, life, request, start, count } => {
                self.serve(node, (asker, life), request, start, count);
            }
            Event::Client => self.client_sends(),
            Event::Transaction { node, transaction } => self.pool(node, transaction),
            Event::Gossip => self.gossip(),
            Event::Written { node, life } => {
                if self.lives(node, life) {
                    self.written(node);
                }
            }
            Event::Room { node } => {
                self.nodes[node].disk.set_full(false);
            }
        }
    }

    pub(super) fn lives(&self, node: usize, life: u64) -> bool {
        let node = &self.nodes[node];
        node.process.is_some() && node.life == life
    }

    /// A new transaction reaches some pools at once, and the others by gossip.
    fn client_sends(&mut self) {
        self.at(400 + self.scenario.seed % 400, Event::Client);
        self.send_again();
        let transaction = self.clients.transaction(&self.funded);
        for node in 0..self.nodes.len() {
            if self.healed || self.random.percent(60) {
                let delay = 1 + self.random.below(50);
                let transaction = Arc::clone(&transaction);
                self.at(delay, Event::Transaction { node, transaction });
            }
        }
    }

    /// The transaction that all others wait for may have reached nobody: its client sends it again.
    fn send_again(&mut self) {
        let next = self.nodes.iter().map(|node| node.waiting.next).max().unwrap_or(0);
        let next = usize::try_from(next).unwrap_or(usize::MAX);
        if let Some(transaction) = self.clients.sent.get(next).cloned() {
            let node = self.random.index(self.nodes.len());
            self.at(2_000, Event::Transaction { node, transaction });
        }
    }

    fn pool(&mut self, node: usize, transaction: Arc<RecoveredTransaction>) {
        let node_state = &mut self.nodes[node];
        node_state.waiting.insert(transaction);
        if node_state.process.is_some() {
            let waiting = node_state.waiting.is_executable();
            self.input(node, Input::TransactionsWaiting(waiting));
        }
    }

    /// What one pool has, linked ones get.
    fn gossip(&mut self) {
        self.at(1_000, Event::Gossip);
        for node in 0..self.nodes.len() {
            let peers: Vec<usize> = self.nodes[node].connected.iter().copied().collect();
            let missing = self.nodes[node].waiting.executable();
            for peer in peers {
                for transaction in &missing {
                    self.nodes[peer].waiting.insert(Arc::clone(transaction));
                }
            }
        }
        for node in 0..self.nodes.len() {
            if self.nodes[node].process.is_some() {
                let waiting = self.nodes[node].waiting.is_executable();
                self.input(node, Input::TransactionsWaiting(waiting));
            }
        }
    }
}
