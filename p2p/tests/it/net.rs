//! A node for tests, and waiting for what should happen.

use alloy_primitives::{B256, Bytes};
use entente_chain::{EnvironmentId, NodeId};
use entente_p2p::{
    Counters, DisconnectReason, Farewell, NetworkConfig, NetworkEvent, NetworkEvents,
    NetworkHandle, NodeKey, PeerAddress, PeerInfo, start,
};
use std::{net::SocketAddr, time::Duration};
use tokio::time::{sleep, timeout};

/// Nothing on loopback takes so long.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) struct Node {
    pub(crate) handle: NetworkHandle,
    pub(crate) events: NetworkEvents,
}

/// A configuration that tests change.
pub(crate) fn config(peers: &[&Node]) -> NetworkConfig {
    NetworkConfig {
        key: NodeKey::generate(),
        environment: EnvironmentId(B256::repeat_byte(1)),
        chain_id: 1337,
        listen: ([127, 0, 0, 1], 0).into(),
        peers: peers.iter().map(|node| node.address()).collect(),
        allowed: None,
        pre_shared_key: None,
        max_peers: 16,
        client_version: "test/1".to_owned(),
        identity: None,
    }
}

impl Node {
    pub(crate) fn start(config: NetworkConfig) -> Self {
        let (handle, events) = start(config).expect("started");
        Self { handle, events }
    }

    pub(crate) fn id(&self) -> NodeId {
        self.handle.node_id()
    }

    pub(crate) fn socket(&self) -> SocketAddr {
        self.handle.local_address()
    }

    pub(crate) fn address(&self) -> PeerAddress {
        PeerAddress { node: self.id(), address: self.socket().to_string() }
    }

    pub(crate) async fn event(&mut self) -> NetworkEvent {
        timeout(DEADLINE, self.events.urgent.recv()).await.expect("in time").expect("open")
    }

    pub(crate) async fn connected(&mut self) -> PeerInfo {
        loop {
            if let NetworkEvent::Connected(peer) = self.event().await {
                return *peer;
            }
        }
    }

    pub(crate) async fn disconnected(&mut self) -> (NodeId, DisconnectReason) {
        loop {
            if let NetworkEvent::Disconnected { node, reason } = self.event().await {
                return (node, reason);
            }
        }
    }

    pub(crate) async fn consensus(&mut self) -> (NodeId, Bytes) {
        loop {
            if let NetworkEvent::Frame(frame) = self.event().await {
                return (frame.from, frame.bytes);
            }
        }
    }

    pub(crate) async fn transactions(&mut self) -> (NodeId, Bytes) {
        let frame = timeout(DEADLINE, self.events.transactions.recv()).await;
        let frame = frame.expect("in time").expect("open");
        (frame.from, frame.bytes)
    }

    pub(crate) async fn payloads(&mut self) -> (NodeId, Bytes) {
        let frame = timeout(DEADLINE, self.events.payloads.recv()).await;
        let frame = frame.expect("in time").expect("open");
        (frame.from, frame.bytes)
    }

    /// Waits until the counters say so.
    pub(crate) async fn counted(&self, what: impl Fn(&Counters) -> bool) {
        until(|| what(&self.handle.counters())).await;
    }
}

/// Whether a session ended as the peer told, or so fast that its farewell was lost: what lies unread
/// in a socket that is closed resets it, and takes the farewell with it.
pub(crate) fn told_or_lost(reason: &DisconnectReason, told: Farewell) -> bool {
    *reason == DisconnectReason::ByPeer(told) || matches!(reason, DisconnectReason::Lost(_))
}

/// Waits for a condition.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    let waited = timeout(DEADLINE, async {
        while !condition() {
            sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.expect("in time");
}

pub(crate) async fn pair() -> (Node, Node) {
    let mut one = Node::start(config(&[]));
    let mut two = Node::start(config(&[&one]));
    one.connected().await;
    two.connected().await;
    (one, two)
}
