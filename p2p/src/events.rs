//! What the network tells its owner.

use crate::{
    peers::{DisconnectReason, PeerInfo},
    request::Asked,
};
use alloy_primitives::{B256, Bytes};
use entente_chain::{BlockNumber, NodeId};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// A frame of a peer. While it is held, its bytes count against what this peer may have waiting:
/// drop it, or take the bytes out, as soon as it is dealt with.
#[derive(Debug)]
pub struct Frame {
    /// Who sent it, proven by the connection.
    pub from: NodeId,
    /// The body.
    pub bytes: Bytes,
    pub(crate) _room: OwnedSemaphorePermit,
}

/// What happened on the urgent side. A peer's events come in order, between its `Connected` and
/// its `Disconnected`.
#[derive(Debug)]
pub enum NetworkEvent {
    /// A session began.
    Connected(Box<PeerInfo>),
    /// A session ended.
    Disconnected {
        /// With whom.
        node: NodeId,
        /// Why.
        reason: DisconnectReason,
    },
    /// A frame on [`crate::Channel::Consensus`].
    Frame(Frame),
    /// Where a peer claims its head is: when it changes, and every few seconds. Nothing but a claim.
    PeerHead {
        /// Who.
        node: NodeId,
        /// Number of the block.
        number: BlockNumber,
        /// Its hash.
        hash: B256,
    },
}

/// The receiving ends. Each is bounded; a slow reader of one delays nothing on the others.
#[derive(Debug)]
pub struct NetworkEvents {
    /// Sessions, heads and consensus frames.
    pub urgent: mpsc::Receiver<NetworkEvent>,
    /// Frames on [`crate::Channel::Transactions`].
    pub transactions: mpsc::Receiver<Frame>,
    /// Frames on [`crate::Channel::Payloads`]; a session ends when nobody holds this end.
    pub payloads: mpsc::Receiver<Frame>,
    /// Requests of peers.
    pub requests: mpsc::Receiver<Asked>,
}

/// The sending ends.
#[derive(Clone)]
pub(crate) struct Outlets {
    pub(crate) urgent: mpsc::Sender<NetworkEvent>,
    pub(crate) transactions: mpsc::Sender<Frame>,
    pub(crate) payloads: mpsc::Sender<Frame>,
    pub(crate) requests: mpsc::Sender<Asked>,
}
