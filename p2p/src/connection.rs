//! From a socket to a session: dial or accept, authenticate, shake hands, open the lanes.

use crate::{
    clock::unix_ms,
    codec::{
        hello::{Hello, Proof, Refusal},
        status::HeadClaim,
    },
    config::ValidatorProof,
    counters::CounterCells,
    events::Outlets,
    handshake::{Expectations, HandshakeError, conclude, exchange},
    limits::HANDSHAKE_TIMEOUT,
    muxer::Muxer,
    peers::{Direction, Introduction, Link, LinkEnds},
    service::Command,
    session,
    table::SessionId,
    transport::{Transport, accept, offer},
    wire::Lane,
};
use alloy_primitives::B256;
use entente_chain::NodeId;
use libp2p::core::{Negotiated, muxing::SubstreamBox};
use std::{collections::BTreeSet, io, net::SocketAddr, sync::Arc, vec::IntoIter};
use tokio::{
    net::{TcpStream, lookup_host},
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

/// Nodes that may connect; `None` for all.
pub(crate) type AllowList = Option<Arc<BTreeSet<NodeId>>>;

/// What every connection of this node needs.
pub(crate) struct Local {
    pub(crate) expectations: Expectations,
    pub(crate) client_version: String,
    pub(crate) proof: Option<ValidatorProof>,
    pub(crate) transport: Transport,
    pub(crate) head: watch::Receiver<HeadClaim>,
    pub(crate) neighbours: watch::Receiver<Arc<Vec<NodeId>>>,
    pub(crate) allowed: watch::Receiver<AllowList>,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) counters: Arc<CounterCells>,
    pub(crate) outlets: Outlets,
}

/// Where a connection comes from.
pub(crate) enum Origin {
    Accepted { socket: TcpStream, address: SocketAddr },
    Dialled { node: NodeId, address: String },
}

/// What became of a connection.
pub(crate) enum Outcome {
    Failed(HandshakeError),
    /// It was a session for some time.
    Closed,
}

/// A negotiated substream.
pub(crate) type LaneStream = Negotiated<SubstreamBox>;

/// The substreams of a session.
pub(crate) struct Lanes {
    pub(crate) status: LaneStream,
    pub(crate) consensus: LaneStream,
    pub(crate) transactions: LaneStream,
    pub(crate) blocks: LaneStream,
    pub(crate) payloads: LaneStream,
}

/// A connection ready for use.
pub(crate) struct Established {
    pub(crate) link: Arc<Link>,
    pub(crate) ends: LinkEnds,
    pub(crate) lanes: Lanes,
    pub(crate) muxer: Muxer,
}

/// Runs one connection from its first byte to its last.
pub(crate) async fn run(local: Arc<Local>, origin: Origin, session: SessionId) -> Outcome {
    let established = match timeout(HANDSHAKE_TIMEOUT, establish(&local, origin, session)).await {
        Ok(Ok(established)) => established,
        Ok(Err(error)) => return Outcome::Failed(error),
        Err(_) => return Outcome::Failed(HandshakeError::TimedOut),
    };
    let (ready, active) = oneshot::channel();
    let link = Arc::clone(&established.link);
    let told = local.commands.send(Command::Activate { link, session, ready }).await.is_ok();
    if !told || active.await != Ok(true) {
        return Outcome::Failed(HandshakeError::Refused(Refusal::Duplicate));
    }
    session::run(&local, established).await;
    Outcome::Closed
}

async fn establish(
    local: &Local,
    origin: Origin,
    session: SessionId,
) -> Result<Established, HandshakeError> {
    let (socket, address, expected) = match origin {
        Origin::Accepted { socket, address } => (socket, address, None),
        Origin::Dialled { node, address } => {
            let (socket, address) = dial(&address).await?;
            (socket, address, Some(node))
        }
    };
    let direction = if expected.is_some() { Direction::Outbound } else { Direction::Inbound };
    let (node, connection) = local.transport.upgrade(socket, direction).await?;
    if let Some(expected) = expected.filter(|expected| *expected != node) {
        return Err(HandshakeError::WrongNode { got: node, expected });
    }
    let open = if direction == Direction::Outbound { Lane::ALL.len() } else { 0 };
    let (mut muxer, opened) = Muxer::start(connection, open).await?;
    let mut opened = opened.into_iter();
    let environment = local.expectations.environment;
    let mut status = match opened.next() {
        Some(stream) => offer(stream, Lane::Status, environment).await?,
        None => accept(muxer.accept().await?, &[Lane::Status], environment).await?.1,
    };
    let (link, ends) = introduce(local, &mut status, (node, address, direction), session).await?;
    let lanes = match direction {
        Direction::Outbound => offer_lanes(local, opened, status).await?,
        Direction::Inbound => accept_lanes(local, &mut muxer, status).await?,
    };
    Ok(Established { link, ends, lanes, muxer })
}

async fn dial(address: &str) -> Result<(TcpStream, SocketAddr), HandshakeError> {
    let unresolved = || HandshakeError::Unresolved(address.to_owned());
    let mut failure = None;
    for address in lookup_host(address).await.map_err(|_| unresolved())? {
        match TcpStream::connect(address).await {
            Ok(socket) => return Ok((socket, address)),
            Err(cause) => failure = Some(cause),
        }
    }
    Err(failure.map_or_else(unresolved, HandshakeError::Unreachable))
}

/// The handshake proper, up to both sides' welcome.
async fn introduce(
    local: &Local,
    status: &mut LaneStream,
    (node, address, direction): (NodeId, SocketAddr, Direction),
    session: SessionId,
) -> Result<(Arc<Link>, LinkEnds), HandshakeError> {
    let allowed = local.allowed.borrow().as_ref().is_none_or(|list| list.contains(&node));
    let (told, clock_offset_ms) = exchange(status, &local.hello(allowed)).await?;
    let verdict = if allowed {
        local.expectations.judge(node, &told)
    } else {
        // The reason that an operator can act on comes first.
        local.expectations.judge(node, &told).and(Err(Refusal::NotAllowed))
    };
    let proof = match verdict {
        Ok(proof) => local.admit(node, direction, session).await.map(|()| proof),
        Err(refusal) => Err(refusal),
    };
    conclude(status, proof.map(|_| ())).await?;
    let hello = told.map_err(|_| HandshakeError::Malformed)?;
    let peer = Introduction {
        node,
        address,
        direction,
        validator: proof.ok().flatten().map(|proof| proof.address),
        client_version: hello.client_version,
        connected_since_ms: unix_ms(),
        clock_offset_ms,
    };
    let head =
        HeadClaim { number: hello.head_number, hash: hello.head_hash, time: hello.head_time };
    Ok(Link::new(peer, head, hello.neighbours.into_iter().map(|id| NodeId(id.0)).collect()))
}

impl Local {
    /// Who we are. A node that may not connect is told no more than it needs to see why.
    fn hello(&self, allowed: bool) -> Hello {
        let head = if allowed { *self.head.borrow() } else { HeadClaim::default() };
        let neighbours = if allowed {
            self.neighbours.borrow().iter().map(|node| B256::from(node.0)).collect()
        } else {
            Vec::new()
        };
        let proof = self
            .proof
            .filter(|_| allowed)
            .map(|proof| Proof { address: proof.address, signature: proof.signature });
        Hello {
            environment: self.expectations.environment.0,
            chain_id: self.expectations.chain_id,
            head_number: head.number,
            head_hash: head.hash,
            head_time: head.time,
            clock_ms: unix_ms(),
            client_version: self.client_version.clone(),
            proof: proof.into_iter().collect(),
            neighbours,
        }
    }

    async fn admit(
        &self,
        node: NodeId,
        direction: Direction,
        session: SessionId,
    ) -> Result<(), Refusal> {
        let (answer, admitted) = oneshot::channel();
        let command = Command::Admit { node, direction, session, answer };
        self.commands.send(command).await.map_err(|_| Refusal::ShuttingDown)?;
        admitted.await.unwrap_or(Err(Refusal::ShuttingDown))
    }
}

async fn offer_lanes(
    local: &Local,
    mut opened: IntoIter<SubstreamBox>,
    status: LaneStream,
) -> Result<Lanes, HandshakeError> {
    let environment = local.expectations.environment;
    let mut next =
        || opened.next().ok_or_else(|| HandshakeError::Io(io::ErrorKind::ConnectionReset.into()));
    let (consensus, transactions, blocks, payloads) = tokio::try_join!(
        offer(next()?, Lane::Consensus, environment),
        offer(next()?, Lane::Transactions, environment),
        offer(next()?, Lane::Blocks, environment),
        offer(next()?, Lane::Payloads, environment),
    )?;
    Ok(Lanes { status, consensus, transactions, blocks, payloads })
}

async fn accept_lanes(
    local: &Local,
    muxer: &mut Muxer,
    status: LaneStream,
) -> Result<Lanes, HandshakeError> {
    let environment = local.expectations.environment;
    let wanted = [Lane::Consensus, Lane::Transactions, Lane::Blocks, Lane::Payloads];
    let (mut consensus, mut transactions, mut blocks, mut payloads) = (None, None, None, None);
    for _ in wanted {
        let (lane, stream) = accept(muxer.accept().await?, &wanted, environment).await?;
        let place = match lane {
            Lane::Consensus => &mut consensus,
            Lane::Transactions => &mut transactions,
            Lane::Payloads => &mut payloads,
            Lane::Blocks | Lane::Status => &mut blocks,
        };
        *place = Some(stream);
    }
    match (consensus, transactions, blocks, payloads) {
        (Some(consensus), Some(transactions), Some(blocks), Some(payloads)) => {
            Ok(Lanes { status, consensus, transactions, blocks, payloads })
        }
        // One lane was opened twice.
        _ => Err(HandshakeError::Malformed),
    }
}
