//! Frames of peers on their way in: votes and proposals to the engine, transactions to the pool,
//! block requests to the database. Each kind has its own bounded queue, so that a flood of one
//! cannot delay another.

use crate::{
    consensus_thread::ConsensusInputs,
    pool_handle::{PoolCommand, PoolHandle},
    private_node::{PrivateInput, PrivateInputs},
    stop::{self, Stop},
};
use alloy_primitives::Bytes;
use alloy_rlp::Decodable;
use entente_chain::{
    EnvironmentId, NodeId, TransactionEnvelope,
    limits::{BLOCK_RANGE_MAX, BLOCKS_FRAME_BYTES_MAX},
};
use entente_consensus::{
    ChainPosition, Input,
    message::{self, AdmissionError, Gate},
};
use entente_evm::Senders;
use entente_p2p::{Asked, Frame, NetworkEvent, NetworkHandle, Request, Response};
use entente_storage::ChainReader;
use std::{sync::Arc, thread::JoinHandle};
use tokio::sync::{Semaphore, mpsc, watch};

/// What a malformed frame costs a peer; it is banned at 100.
const PENALTY_POINTS: u32 = 20;
/// Block requests served at the same time.
const REQUESTS_SERVED: usize = 4;

/// What the event tasks need.
#[derive(Clone)]
pub(crate) struct EventPorts {
    /// The environment that messages must name.
    pub(crate) environment: EnvironmentId,
    /// Head and validators of the next block.
    pub(crate) position: watch::Receiver<ChainPosition>,
    /// The network, to penalise.
    pub(crate) network: NetworkHandle,
    /// The engine.
    pub(crate) consensus: ConsensusInputs,
    /// The pool.
    pub(crate) pool: PoolHandle,
    /// Recovered senders.
    pub(crate) senders: Arc<Senders>,
    /// Blocks to serve.
    pub(crate) reader: ChainReader,
    /// The private side, if this node has one.
    pub(crate) private: Option<PrivateInputs>,
}

/// What this module takes of the network's events; payloads have threads of their own.
pub(crate) struct Frames {
    pub(crate) urgent: mpsc::Receiver<NetworkEvent>,
    pub(crate) transactions: mpsc::Receiver<Frame>,
    pub(crate) requests: mpsc::Receiver<Asked>,
}

/// Starts the threads that decode frames and the task that serves blocks. They end when the
/// network does.
///
/// # Errors
/// When the operating system gives no thread.
pub(crate) fn start(
    events: Frames,
    ports: EventPorts,
    stop: &Stop,
) -> std::io::Result<Vec<JoinHandle<()>>> {
    let Frames { mut urgent, mut transactions, requests } = events;
    let admission = ports.clone();
    let admission = stop::spawn("admission", stop.handle(), move || {
        while let Some(event) = urgent.blocking_recv() {
            take_urgent(&admission, event);
        }
        Ok(())
    })?;
    let ingestion = ports.clone();
    let ingestion = stop::spawn("ingest", stop.handle(), move || {
        while let Some(frame) = transactions.blocking_recv() {
            ingest(&ingestion, frame.from, &frame.bytes);
        }
        Ok(())
    })?;
    tokio::spawn(serve(requests, ports.reader));
    Ok(vec![admission, ingestion])
}

/// Blocks for peers, a few requests at a time.
async fn serve(mut requests: mpsc::Receiver<Asked>, reader: ChainReader) {
    let permits = Arc::new(Semaphore::new(REQUESTS_SERVED));
    while let Some(asked) = requests.recv().await {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        let reader = reader.clone();
        tokio::task::spawn_blocking(move || {
            let Request::Blocks { start, count } = asked.request;
            asked.reply.send(Response::Blocks(raw_blocks(&reader, start, count)));
            drop(permit);
        });
    }
}

fn take_urgent(ports: &EventPorts, event: NetworkEvent) {
    match event {
        NetworkEvent::Frame(frame) => admit(ports, frame.from, &frame.bytes),
        NetworkEvent::Connected(peer) => {
            let node = peer.node;
            if let Some(private) = &ports.private {
                private.tell(PrivateInput::Connected(node));
            }
            ports.consensus.send(Input::Peer { node, validator: peer.validator, connected: true });
            // While a chain stands still no head changes: this may be all that we hear of it.
            let (number, hash) = (peer.head.number, peer.head.hash);
            ports.consensus.send(Input::PeerHead { node, number, hash });
        }
        NetworkEvent::Disconnected { node, .. } => {
            if let Some(private) = &ports.private {
                private.tell(PrivateInput::Disconnected(node));
            }
            ports.consensus.send(Input::Peer { node, validator: None, connected: false });
        }
        NetworkEvent::PeerHead { node, number, hash } => {
            ports.consensus.send(Input::PeerHead { node, number, hash });
        }
    }
}

/// A consensus frame: size, decoding, plausible height and signatures before the engine sees it.
fn admit(ports: &EventPorts, from: NodeId, frame: &Bytes) {
    let recover = |envelopes| ports.senders.recover(envelopes).map_err(|error| error.to_string());
    let position = ports.position.borrow().clone();
    let gate = Gate {
        environment: ports.environment,
        head: position.head.number,
        validators: &position.next,
    };
    match message::admit(frame, &gate, &recover) {
        Ok(message) => {
            // Votes are sent again.
            let _dropped_when_full = ports.consensus.offer(Input::Message { from, message });
        }
        Err(AdmissionError::Height { .. } | AdmissionError::NotValidator(_)) => {
            metrics::counter!("entente_consensus_messages_stale_total").increment(1);
        }
        Err(error) => {
            tracing::debug!(peer = %from, %error, "consensus message refused");
            metrics::counter!("entente_consensus_messages_refused_total").increment(1);
            ports.network.penalize(from, PENALTY_POINTS, "malformed consensus message");
        }
    }
}

/// A frame of transactions: decoded and recovered here, validated by the pool.
fn ingest(ports: &EventPorts, from: NodeId, frame: &Bytes) {
    let mut rest = frame.as_ref();
    let decoded = Vec::<TransactionEnvelope>::decode(&mut rest);
    let recovered = match decoded {
        Ok(envelopes) if rest.is_empty() => ports.senders.recover(envelopes),
        _ => {
            ports.network.penalize(from, PENALTY_POINTS, "malformed transactions");
            return;
        }
    };
    match recovered {
        // An overloaded pool drops gossip: the sender's node offers it again.
        Ok(transactions) => drop(ports.pool.offer(PoolCommand::Received { from, transactions })),
        Err(error) => {
            tracing::debug!(peer = %from, %error, "transactions refused");
            ports.network.penalize(from, PENALTY_POINTS, "transaction without a valid signature");
        }
    }
}

/// Blocks as far as we have them, below the frame limit.
fn raw_blocks(reader: &ChainReader, start: u64, count: u64) -> Vec<Bytes> {
    let mut blocks = Vec::new();
    let mut bytes = 0;
    for number in start..start.saturating_add(count.min(BLOCK_RANGE_MAX)) {
        let Ok(Some(block)) = reader.raw_block(number) else { break };
        bytes += block.len() + 8;
        if bytes > BLOCKS_FRAME_BYTES_MAX / 2 && !blocks.is_empty() {
            break;
        }
        blocks.push(block);
    }
    blocks
}
