//! Who gets in and who does not.

use crate::net::{Node, config, pair, told_or_lost, until};
use alloy_primitives::B256;
use entente_chain::{EnvironmentId, NodeId, signer::SealSigner};
use entente_p2p::{Farewell, NetworkConfig, NetworkError, NodeKey, ValidatorProof, start};
use std::time::Duration;
use zeroize::Zeroizing;

async fn both_refuse(one: &Node, two: &Node) {
    two.counted(|now| now.handshakes_failed.contains_key("refused by us")).await;
    one.counted(|now| now.handshakes_failed.contains_key("refused by us")).await;
    assert_eq!((one.handle.peer_count(), two.handle.peer_count()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_another_environment_is_refused_by_both() {
    let one = Node::start(config(&[]));
    let environment = EnvironmentId(B256::repeat_byte(2));
    let two = Node::start(NetworkConfig { environment, ..config(&[&one]) });
    both_refuse(&one, &two).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_another_chain_is_refused_by_both() {
    let one = Node::start(config(&[]));
    let two = Node::start(NetworkConfig { chain_id: 1, ..config(&[&one]) });
    both_refuse(&one, &two).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_not_on_the_allow_list_is_refused_and_told_so() {
    let key = NodeKey::generate();
    let one = Node::start(NetworkConfig { allowed: Some([key.node_id()].into()), ..config(&[]) });
    let stranger = Node::start(config(&[&one]));
    let mut member = Node::start(NetworkConfig { key, ..config(&[&one]) });
    member.connected().await;
    stranger.counted(|now| now.handshakes_failed.contains_key("refused by the peer")).await;
    assert_eq!(stranger.handle.peer_count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_taken_off_the_allow_list_loses_its_session() {
    let (one, mut two) = pair().await;
    one.handle.set_allowed(Some([NodeId([1; 32])].into()));
    let (node, reason) = two.disconnected().await;
    assert_eq!(node, one.id());
    assert!(told_or_lost(&reason, Farewell::NotAllowed), "{reason:?}");
    until(|| one.handle.peer_count() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_pre_shared_key_keeps_a_node_out() {
    let one = Node::start(NetworkConfig { pre_shared_key: Some([1; 32]), ..config(&[]) });
    let other = Node::start(NetworkConfig { pre_shared_key: Some([2; 32]), ..config(&[&one]) });
    let none = Node::start(config(&[&one]));
    let mut same = Node::start(NetworkConfig { pre_shared_key: Some([1; 32]), ..config(&[&one]) });
    same.connected().await;
    other.counted(|now| !now.handshakes_failed.is_empty()).await;
    one.counted(|now| !now.handshakes_failed.is_empty()).await;
    assert_eq!((other.handle.peer_count(), none.handle.peer_count()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_validator_is_known_by_its_proof_and_a_borrowed_proof_is_refused() {
    let signer = SealSigner::new(&Zeroizing::new([7; 32])).expect("key");
    let key = NodeKey::generate();
    let environment = EnvironmentId(B256::repeat_byte(1));
    let proof = ValidatorProof::sign(&signer, environment, key.node_id());
    let mut one = Node::start(config(&[]));
    let validator = NetworkConfig { key, identity: Some(proof), ..config(&[&one]) };
    let _validator = Node::start(validator);
    assert_eq!(one.connected().await.validator, Some(signer.address()));
    let thief = Node::start(NetworkConfig { identity: Some(proof), ..config(&[&one]) });
    thief.counted(|now| now.handshakes_failed.contains_key("refused by the peer")).await;
    assert_eq!(one.handle.peer_count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_node_at_the_address_is_not_taken_for_the_peer() {
    let one = Node::start(config(&[]));
    let mut wrong = one.address();
    wrong.node = NodeId([9; 32]);
    let two = Node::start(NetworkConfig { peers: vec![wrong], ..config(&[]) });
    two.counted(|now| now.handshakes_failed.contains_key("wrong node")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_node_refuses_one_more() {
    let mut one = Node::start(NetworkConfig { max_peers: 1, ..config(&[]) });
    let _two = Node::start(config(&[&one]));
    one.connected().await;
    let three = Node::start(config(&[&one]));
    three.counted(|now| now.handshakes_failed.contains_key("refused by the peer")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_banned_node_is_closed_and_stays_out() {
    let (one, mut two) = pair().await;
    one.handle.ban(two.id(), Duration::from_secs(600), "test");
    let (_, reason) = two.disconnected().await;
    assert!(told_or_lost(&reason, Farewell::Banned), "{reason:?}");
    two.counted(|now| now.handshakes_failed.contains_key("refused by the peer")).await;
    assert_eq!(one.handle.counters().bans, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_an_error_with_the_address() {
    let one = Node::start(config(&[]));
    let listen = one.socket();
    let error = start(NetworkConfig { listen, ..config(&[]) }).map(|_| ()).expect_err("taken");
    assert!(matches!(error, NetworkError::Listen { address, .. } if address == listen));
    assert!(error.to_string().starts_with(&format!("p2p cannot listen on {listen}: ")), "{error}");
}
