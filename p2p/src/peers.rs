//! One connected peer: what is known of it and the ways to reach it.

use crate::{
    codec::status::HeadClaim,
    counters::{CounterCells, Traffic, TrafficCells},
    limits::{queue_bytes, queue_frames},
    request::Calls,
    wire::Lane,
};
use alloy_primitives::{Address, Bytes};
use entente_chain::NodeId;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};

/// Who opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The peer dialled us.
    Inbound,
    /// We dialled the peer.
    Outbound,
}

/// A connected peer at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerInfo {
    /// Its identity, proven by the connection.
    pub node: NodeId,
    /// The other end of the socket.
    pub address: SocketAddr,
    /// Who dialled.
    pub direction: Direction,
    /// The validator whose proof the peer showed.
    pub validator: Option<Address>,
    /// The head that it last claimed.
    pub head: HeadClaim,
    /// Printable, at most 64 characters.
    pub client_version: String,
    /// Unix milliseconds.
    pub connected_since_ms: u64,
    /// Its clock minus ours in milliseconds, as estimated in the handshake.
    pub clock_offset_ms: i64,
    /// Frames and bytes of this session.
    pub traffic: Traffic,
}

/// Told to a peer before closing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Farewell {
    /// The node stops.
    #[error("shutting down")]
    ShuttingDown,
    /// A newer session with the same node took over.
    #[error("replaced by a newer session")]
    Replaced,
    /// Misbehaviour or an operator's order.
    #[error("banned")]
    Banned,
    /// An operator took the peer out.
    #[error("removed")]
    Removed,
    /// No longer on the allow-list.
    #[error("not on the allow-list")]
    NotAllowed,
    /// No sign of life.
    #[error("silent for too long")]
    Silent,
    /// Sent, but did not take what we sent.
    #[error("does not read")]
    NotReading,
    /// A frame over the limit of its lane.
    #[error("frame too large")]
    FrameTooLarge,
    /// A frame that does not decode.
    #[error("malformed frame")]
    Malformed,
    /// A reason that this version does not know.
    #[error("unknown reason")]
    Unknown,
}

const FAREWELLS: [Farewell; 9] = [
    Farewell::ShuttingDown,
    Farewell::Replaced,
    Farewell::Banned,
    Farewell::Removed,
    Farewell::NotAllowed,
    Farewell::Silent,
    Farewell::NotReading,
    Farewell::FrameTooLarge,
    Farewell::Malformed,
];

impl Farewell {
    pub(crate) fn code(self) -> u8 {
        let place = FAREWELLS.iter().position(|known| *known == self);
        place.and_then(|index| u8::try_from(index).ok()).unwrap_or(u8::MAX)
    }

    pub(crate) fn from_code(code: u8) -> Self {
        FAREWELLS.get(usize::from(code)).copied().unwrap_or(Self::Unknown)
    }
}

/// Why a session ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DisconnectReason {
    /// We closed it.
    #[error("closed by us: {0}")]
    ByUs(Farewell),
    /// The peer closed it and said why.
    #[error("closed by the peer: {0}")]
    ByPeer(Farewell),
    /// The connection broke.
    #[error("connection lost: {0}")]
    Lost(String),
}

/// A frame on its way out. The permit, if any, is given back once the frame is written.
pub(crate) struct Outgoing {
    pub(crate) bytes: Bytes,
    pub(crate) _served: Option<OwnedSemaphorePermit>,
}

/// The waiting line of one lane to one peer, bounded in frames and in bytes.
pub(crate) struct Outbox {
    queue: mpsc::Sender<Outgoing>,
    waiting: Arc<AtomicUsize>,
    bytes_max: usize,
}

/// The writer's end of an [`Outbox`].
pub(crate) struct OutboxReader {
    queue: mpsc::Receiver<Outgoing>,
    waiting: Arc<AtomicUsize>,
}

/// The line is full: the frame was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Outbox {
    pub(crate) fn new(lane: Lane) -> (Self, OutboxReader) {
        let (queue, reader) = mpsc::channel(queue_frames(lane));
        let waiting = Arc::new(AtomicUsize::new(0));
        let reader = OutboxReader { queue: reader, waiting: Arc::clone(&waiting) };
        (Self { queue, waiting, bytes_max: queue_bytes(lane) }, reader)
    }

    /// Never waits.
    pub(crate) fn push(
        &self,
        bytes: Bytes,
        served: Option<OwnedSemaphorePermit>,
    ) -> Result<(), Full> {
        let length = bytes.len();
        let before = self.waiting.fetch_add(length, Ordering::Relaxed);
        let fits = before.saturating_add(length) <= self.bytes_max;
        if fits && self.queue.try_send(Outgoing { bytes, _served: served }).is_ok() {
            return Ok(());
        }
        self.waiting.fetch_sub(length, Ordering::Relaxed);
        Err(Full)
    }
}

impl OutboxReader {
    pub(crate) async fn next(&mut self) -> Option<Outgoing> {
        let frame = self.queue.recv().await?;
        Some(self.taken(frame))
    }

    pub(crate) fn next_if_ready(&mut self) -> Option<Outgoing> {
        let frame = self.queue.try_recv().ok()?;
        Some(self.taken(frame))
    }

    fn taken(&self, frame: Outgoing) -> Outgoing {
        self.waiting.fetch_sub(frame.bytes.len(), Ordering::Relaxed);
        frame
    }
}

/// What the handshake found out.
#[derive(Clone, Debug)]
pub(crate) struct Introduction {
    pub(crate) node: NodeId,
    pub(crate) address: SocketAddr,
    pub(crate) direction: Direction,
    pub(crate) validator: Option<Address>,
    pub(crate) client_version: String,
    pub(crate) connected_since_ms: u64,
    pub(crate) clock_offset_ms: i64,
}

/// A session as seen from outside: shared by its tasks, the service and every handle.
pub(crate) struct Link {
    pub(crate) peer: Introduction,
    pub(crate) consensus: Outbox,
    pub(crate) transactions: Outbox,
    pub(crate) blocks: Outbox,
    pub(crate) payloads: Outbox,
    pub(crate) calls: Calls,
    pub(crate) head: watch::Sender<HeadClaim>,
    pub(crate) neighbours: watch::Sender<Arc<BTreeSet<NodeId>>>,
    pub(crate) traffic: TrafficCells,
    close: mpsc::Sender<Farewell>,
}

/// The readers' ends of a [`Link`].
pub(crate) struct LinkEnds {
    pub(crate) consensus: OutboxReader,
    pub(crate) transactions: OutboxReader,
    pub(crate) blocks: OutboxReader,
    pub(crate) payloads: OutboxReader,
    pub(crate) close: mpsc::Receiver<Farewell>,
}

/// All sessions by node.
pub(crate) type Links = Arc<BTreeMap<NodeId, Arc<Link>>>;

impl Link {
    pub(crate) fn new(
        peer: Introduction,
        head: HeadClaim,
        neighbours: BTreeSet<NodeId>,
    ) -> (Arc<Self>, LinkEnds) {
        let (consensus, consensus_end) = Outbox::new(Lane::Consensus);
        let (transactions, transactions_end) = Outbox::new(Lane::Transactions);
        let (blocks, blocks_end) = Outbox::new(Lane::Blocks);
        let (payloads, payloads_end) = Outbox::new(Lane::Payloads);
        let (close, close_end) = mpsc::channel(1);
        let link = Self {
            peer,
            consensus,
            transactions,
            blocks,
            payloads,
            calls: Calls::default(),
            head: watch::Sender::new(head),
            neighbours: watch::Sender::new(Arc::new(neighbours)),
            traffic: TrafficCells::default(),
            close,
        };
        let ends = LinkEnds {
            consensus: consensus_end,
            transactions: transactions_end,
            blocks: blocks_end,
            payloads: payloads_end,
            close: close_end,
        };
        (Arc::new(link), ends)
    }

    /// Asks the session to say goodbye and end; the first reason counts.
    pub(crate) fn close(&self, farewell: Farewell) {
        // Full means that a reason is on its way already, closed that the session is over.
        let _first_reason_counts = self.close.try_send(farewell);
    }

    /// Queues a frame or counts it as dropped.
    pub(crate) fn push(&self, lane: Lane, bytes: Bytes, counters: &CounterCells) {
        let (outbox, reason) = match lane {
            Lane::Consensus => (&self.consensus, "consensus queue full"),
            Lane::Transactions => (&self.transactions, "transactions queue full"),
            Lane::Payloads => (&self.payloads, "payloads queue full"),
            Lane::Status | Lane::Blocks => (&self.blocks, "blocks queue full"),
        };
        if outbox.push(bytes, None).is_err() {
            counters.dropped(reason);
        }
    }

    pub(crate) fn info(&self) -> PeerInfo {
        PeerInfo {
            node: self.peer.node,
            address: self.peer.address,
            direction: self.peer.direction,
            validator: self.peer.validator,
            head: *self.head.borrow(),
            client_version: self.peer.client_version.clone(),
            connected_since_ms: self.peer.connected_since_ms,
            clock_offset_ms: self.peer.clock_offset_ms,
            traffic: self.traffic.read(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outbox_is_bounded_in_bytes_before_frames() {
        let (outbox, mut reader) = Outbox::new(Lane::Transactions);
        let frame = Bytes::from(vec![0; 2 * 1024 * 1024]);
        for _ in 0..4 {
            assert_eq!(outbox.push(frame.clone(), None), Ok(()));
        }
        assert_eq!(outbox.push(frame.clone(), None), Err(Full));
        assert!(reader.next_if_ready().is_some());
        assert_eq!(outbox.push(frame, None), Ok(()));
    }

    #[test]
    fn a_farewell_comes_back() {
        for farewell in FAREWELLS {
            assert_eq!(Farewell::from_code(farewell.code()), farewell);
        }
        assert_eq!(Farewell::from_code(99), Farewell::Unknown);
    }
}
