//! What the node's threads say to the network: frames by kind, block requests, scores.

use crate::{consensus_thread::ConsensusInputs, decode, pool_handle::Shared};
use alloy_primitives::Bytes;
use entente_chain::{
    ChainSpec, NodeId, RecoveredBlock, block::encode_transactions,
    limits::TRANSACTIONS_FRAME_BYTES_MAX,
};
use entente_consensus::{FetchId, Input};
use entente_evm::Senders;
use entente_p2p::{Channel, NetworkHandle, Request, Response};
use std::sync::Arc;
use tokio::runtime::Handle;

/// What a breach that an engine saw costs a peer; it is banned at 100.
const PENALTY_POINTS: u32 = 20;

/// The way to the network for threads that are not async.
#[derive(Clone)]
pub(crate) struct NetworkPorts {
    network: NetworkHandle,
    runtime: Handle,
    senders: Arc<Senders>,
    spec: Arc<ChainSpec>,
    inputs: ConsensusInputs,
}

impl NetworkPorts {
    /// Joins the parts; `inputs` hears the answers to block requests.
    #[must_use]
    pub(crate) fn new(
        network: NetworkHandle,
        runtime: Handle,
        senders: Arc<Senders>,
        spec: Arc<ChainSpec>,
        inputs: ConsensusInputs,
    ) -> Self {
        Self { network, runtime, senders, spec, inputs }
    }

    /// A consensus message for every peer.
    pub(crate) fn broadcast_consensus(&self, frame: &Bytes) {
        self.network.broadcast(Channel::Consensus, frame);
    }

    /// A consensus message for one peer.
    pub(crate) fn send_consensus(&self, node: NodeId, frame: Bytes) {
        self.network.send(node, Channel::Consensus, frame);
    }

    /// Passes a consensus frame on to peers that may not have it.
    pub(crate) fn relay_consensus(&self, from: NodeId, frame: &Bytes) {
        self.network.relay(from, Channel::Consensus, frame);
    }

    /// New transactions for every peer.
    pub(crate) fn broadcast_transactions(&self, transactions: &[Shared]) {
        for frame in frames(transactions) {
            self.network.broadcast(Channel::Transactions, &frame);
        }
    }

    /// A peer's transactions for peers that may not have them.
    pub(crate) fn relay_transactions(&self, from: NodeId, transactions: &[Shared]) {
        for frame in frames(transactions) {
            self.network.relay(from, Channel::Transactions, &frame);
        }
    }

    /// Lowers a peer's score.
    pub(crate) fn penalize(&self, node: NodeId, reason: &'static str) {
        self.network.penalize(node, PENALTY_POINTS, reason);
    }

    /// Asks a peer for blocks; the answer, senders recovered, is an input of the engine.
    pub(crate) fn fetch(&self, request: FetchId, from: NodeId, start: u64, count: u64) {
        let this = self.clone();
        self.runtime.spawn(async move {
            let answer = this.network.request(from, Request::Blocks { start, count }).await;
            // Decoding takes time, and the queue of the engine may be full: not on a runtime thread.
            tokio::task::spawn_blocking(move || {
                let blocks = match answer {
                    Ok(Response::Blocks(blocks)) => this.decode(&blocks),
                    Err(error) => Err(error.to_string()),
                };
                this.inputs.send(Input::Fetched { request, blocks });
            });
        });
    }

    fn decode(&self, blocks: &[Bytes]) -> Result<Vec<RecoveredBlock>, String> {
        blocks.iter().map(|bytes| decode::block(&self.senders, &self.spec, bytes)).collect()
    }
}

/// Gossip frames of bounded size: RLP lists as in a block body.
fn frames(transactions: &[Shared]) -> Vec<Bytes> {
    let mut frames = Vec::new();
    let mut rest = transactions;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fitting = rest
            .iter()
            .take_while(|transaction| {
                bytes += transaction.encoded().len() + 8;
                bytes < TRANSACTIONS_FRAME_BYTES_MAX / 2
            })
            .count()
            .max(1);
        let (frame, later) = rest.split_at(fitting);
        let mut out = Vec::with_capacity(bytes + 8);
        encode_transactions(frame, &mut out);
        frames.push(out.into());
        rest = later;
    }
    frames
}
