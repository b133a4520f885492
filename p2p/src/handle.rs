//! The way into the network: starts it, sends, asks, and looks at peers.

use crate::{
    codec::{
        blocks::{Request, Response},
        status::HeadClaim,
    },
    config::{NetworkConfig, NetworkError, PeerAddress},
    connection::Local,
    counters::{CounterCells, Counters},
    events::{NetworkEvents, Outlets},
    handshake::Expectations,
    limits::{COMMANDS, EVENTS_INBOX, PAYLOADS_INBOX, REQUESTS_INBOX, TRANSACTIONS_INBOX},
    peers::{Links, PeerInfo},
    request::{self, RequestError},
    service::{Command, Published, Service},
    transport::Transport,
    wire::Channel,
};
use alloy_primitives::{B256, Bytes};
use entente_chain::{BlockNumber, NodeId, limits::PEERS_MAX};
use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot, watch},
};

struct Shared {
    node: NodeId,
    address: SocketAddr,
    links: watch::Receiver<Links>,
    head: watch::Sender<HeadClaim>,
    commands: mpsc::Sender<Command>,
    counters: Arc<CounterCells>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        if self.commands.try_send(Command::Shutdown(None)).is_err() {
            tracing::debug!("the network has ended before its last handle");
        }
    }
}

/// Sends and asks; cheap to clone. Nothing but [`request`](Self::request) and
/// [`shutdown`](Self::shutdown) ever waits. The network ends with its last handle.
#[derive(Clone)]
pub struct NetworkHandle {
    shared: Arc<Shared>,
}

/// Starts the network of one environment on the current tokio runtime.
///
/// # Errors
/// When the address cannot be listened on or the number of peers is out of range.
///
/// # Panics
/// Outside a tokio runtime.
pub fn start(config: NetworkConfig) -> Result<(NetworkHandle, NetworkEvents), NetworkError> {
    if config.max_peers == 0 || config.max_peers > PEERS_MAX {
        return Err(NetworkError::MaxPeers { got: config.max_peers, limit: PEERS_MAX });
    }
    let (listener, address) = listen(config.listen)
        .map_err(|cause| NetworkError::Listen { address: config.listen, cause })?;
    let node = config.key.node_id();
    let (commands, commands_end) = mpsc::channel(COMMANDS);
    let (urgent, urgent_end) = mpsc::channel(EVENTS_INBOX);
    let (transactions, transactions_end) = mpsc::channel(TRANSACTIONS_INBOX);
    let (payloads, payloads_end) = mpsc::channel(PAYLOADS_INBOX);
    let (requests, requests_end) = mpsc::channel(REQUESTS_INBOX);
    let head = watch::Sender::new(HeadClaim::default());
    let published = Published {
        links: watch::Sender::new(Links::default()),
        neighbours: watch::Sender::new(Arc::default()),
        allowed: watch::Sender::new(config.allowed.map(Arc::new)),
    };
    let counters = Arc::new(CounterCells::default());
    let local = Local {
        expectations: Expectations {
            own: node,
            environment: config.environment,
            chain_id: config.chain_id,
        },
        client_version: config.client_version,
        proof: config.identity,
        transport: Transport::new(&config.key, config.pre_shared_key),
        head: head.subscribe(),
        neighbours: published.neighbours.subscribe(),
        allowed: published.allowed.subscribe(),
        commands: commands.clone(),
        counters: Arc::clone(&counters),
        outlets: Outlets { urgent, transactions, payloads, requests },
    };
    let links = published.links.subscribe();
    let service = Service::new(Arc::new(local), commands_end, published, config.max_peers);
    // Ends with `Command::Shutdown`, which the last handle sends at the latest.
    drop(tokio::spawn(service.run(listener, config.peers)));
    let shared = Shared { node, address, links, head, commands, counters };
    let events = NetworkEvents {
        urgent: urgent_end,
        transactions: transactions_end,
        payloads: payloads_end,
        requests: requests_end,
    };
    Ok((NetworkHandle { shared: Arc::new(shared) }, events))
}

fn listen(address: SocketAddr) -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((TcpListener::from_std(listener)?, address))
}

impl NetworkHandle {
    /// This node.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.shared.node
    }

    /// Where this node listens, with the port that was picked.
    #[must_use]
    pub fn local_address(&self) -> SocketAddr {
        self.shared.address
    }

    /// Announces the head to all peers; of heads set in quick succession, slow peers see the last.
    /// `time` is the block's timestamp in unix seconds.
    pub fn set_head(&self, number: BlockNumber, hash: B256, time: u64) {
        self.shared.head.send_replace(HeadClaim { number, hash, time });
    }

    /// Sends a frame to every peer.
    pub fn broadcast(&self, channel: Channel, frame: &Bytes) {
        for link in self.links().values() {
            link.push(channel.lane(), frame.clone(), &self.shared.counters);
        }
    }

    /// Passes a frame of `from` on to those peers that are not its neighbours, which have it from
    /// `from` itself: in a full mesh nothing is sent, in a sparse one everybody is reached.
    pub fn relay(&self, from: NodeId, channel: Channel, frame: &Bytes) {
        let links = self.links();
        let reached = links.get(&from).map(|link| Arc::clone(&link.neighbours.borrow()));
        for (node, link) in links.iter() {
            let has_it = reached.as_ref().is_some_and(|nodes| nodes.contains(node));
            if *node != from && !has_it {
                link.push(channel.lane(), frame.clone(), &self.shared.counters);
            }
        }
    }

    /// Sends a frame to one peer; without a session it is dropped and counted.
    pub fn send(&self, to: NodeId, channel: Channel, frame: Bytes) {
        match self.links().get(&to) {
            Some(link) => link.push(channel.lane(), frame, &self.shared.counters),
            None => self.shared.counters.dropped("not connected"),
        }
    }

    /// Asks a peer. At most eight requests per peer are in flight, some more wait their turn; the
    /// deadline of ten seconds covers both.
    ///
    /// # Errors
    /// When the peer is not connected, busy, declines or does not answer in time.
    pub async fn request(&self, node: NodeId, request: Request) -> Result<Response, RequestError> {
        let link = self.links().get(&node).map(Arc::clone).ok_or(RequestError::NotConnected)?;
        request::ask(&link, request).await
    }

    /// All connected peers, by node id.
    #[must_use]
    pub fn peers(&self) -> Arc<Vec<PeerInfo>> {
        Arc::new(self.links().values().map(|link| link.info()).collect())
    }

    /// Number of connected peers.
    #[must_use]
    pub fn peer_count(&self) -> usize {
        self.shared.links.borrow().len()
    }

    /// Closes the session with a node and keeps it out for some time.
    pub fn ban(&self, node: NodeId, duration: Duration, reason: &str) {
        self.command(Command::Ban { node, duration, reason: reason.to_owned() });
    }

    /// Adds to a node's score; at 100 points it is banned for a minute. One point a second wears
    /// off.
    pub fn penalize(&self, node: NodeId, points: u32, reason: &str) {
        self.command(Command::Penalize { node, points, reason: reason.to_owned() });
    }

    /// Dials a peer from now on, or at another address than before.
    pub fn add_peer(&self, peer: PeerAddress) {
        self.command(Command::AddPeer(peer));
    }

    /// Stops dialling a peer and closes its session. It may still dial in: see
    /// [`ban`](Self::ban) and [`set_allowed`](Self::set_allowed).
    pub fn remove_peer(&self, node: NodeId) {
        self.command(Command::RemovePeer(node));
    }

    /// Replaces the allow-list and closes the sessions of nodes that are no longer on it.
    pub fn set_allowed(&self, allowed: Option<BTreeSet<NodeId>>) {
        self.command(Command::Allow(allowed));
    }

    /// Everything counted since the start.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.counters.read()
    }

    /// Says goodbye to all peers and waits until the port is free, two seconds at most.
    pub async fn shutdown(&self) {
        let (done, ended) = oneshot::channel();
        let told = self.shared.commands.send(Command::Shutdown(Some(done))).await.is_ok();
        if !told || ended.await.is_err() {
            tracing::debug!("the network had ended before");
        }
    }

    fn links(&self) -> Links {
        Arc::clone(&self.shared.links.borrow())
    }

    fn command(&self, command: Command) {
        if self.shared.commands.try_send(command).is_err() {
            self.shared.counters.dropped("command");
        }
    }
}
