//! Sessions over time.

use crate::net::{Node, config, pair, told_or_lost};
use entente_p2p::{Farewell, NetworkConfig, NodeKey};
use std::path::Path;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_restarts_is_found_again() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("node.key");
    let key = |path: &Path| NodeKey::load_or_create(path).expect("key");
    let mut one = Node::start(NetworkConfig { key: key(&path), ..config(&[]) });
    let mut two = Node::start(config(&[&one]));
    one.connected().await;
    two.connected().await;
    let (id, listen) = (one.id(), one.socket());
    one.handle.shutdown().await;
    let (node, reason) = two.disconnected().await;
    assert_eq!(node, id);
    assert!(told_or_lost(&reason, Farewell::ShuttingDown), "{reason:?}");
    drop(one);
    let mut one = Node::start(NetworkConfig { key: key(&path), listen, ..config(&[]) });
    assert_eq!(two.connected().await.node, id);
    assert_eq!(one.connected().await.node, two.id());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_is_removed_is_closed_and_not_dialled_again() {
    let (mut one, two) = pair().await;
    two.handle.remove_peer(one.id());
    let (node, reason) = one.disconnected().await;
    assert_eq!(node, two.id());
    assert!(told_or_lost(&reason, Farewell::Removed), "{reason:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_is_described() {
    let (one, two) = pair().await;
    let peers = one.handle.peers();
    let peer = peers.first().expect("a peer");
    assert_eq!((peer.node, peer.client_version.as_str()), (two.id(), "test/1"));
    assert!(peer.clock_offset_ms.abs() < 10_000, "same clock: {}", peer.clock_offset_ms);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_network_ends_with_its_last_handle() {
    let (one, mut two) = pair().await;
    let id = one.id();
    drop(one.handle);
    assert_eq!(two.disconnected().await.0, id);
}
