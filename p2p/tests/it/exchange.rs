//! Frames, heads and blocks between nodes.

use crate::net::{Node, config, pair, until};
use alloy_primitives::{B256, Bytes};
use entente_p2p::{Channel, Request, RequestError, Response};
use std::time::{Duration, Instant};

const NUMBERED: u32 = 500;

#[tokio::test(flavor = "multi_thread")]
async fn frames_arrive_in_order_on_each_channel() {
    let (mut one, mut two) = pair().await;
    for number in 0..NUMBERED {
        let frame = Bytes::from(number.to_be_bytes());
        two.handle.send(one.id(), Channel::Consensus, frame.clone());
        if number < 50 {
            one.handle.broadcast(Channel::Transactions, &frame);
        }
    }
    for number in 0..NUMBERED {
        let frame = Bytes::from(number.to_be_bytes());
        assert_eq!(one.consensus().await, (two.id(), frame.clone()));
        if number < 50 {
            assert_eq!(two.transactions().await, (one.id(), frame));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn four_nodes_find_each_other_and_hear_a_broadcast() {
    let mut nodes: Vec<Node> = Vec::new();
    for _ in 0..4 {
        let known: Vec<&Node> = nodes.iter().collect();
        let node = Node::start(config(&known));
        nodes.push(node);
    }
    // Everybody dials everybody: simultaneous dials must leave one session per pair.
    for dialler in &nodes {
        for peer in &nodes {
            dialler.handle.add_peer(peer.address());
        }
    }
    until(|| nodes.iter().all(|node| node.handle.peer_count() == 3)).await;
    let frame = Bytes::from_static(b"vote");
    let sender = nodes.remove(0);
    sender.handle.broadcast(Channel::Consensus, &frame);
    for node in &mut nodes {
        assert_eq!(node.consensus().await, (sender.id(), frame.clone()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_of_the_largest_size_arrives() {
    let (mut one, two) = pair().await;
    let frame = Bytes::from(vec![7; entente_chain::limits::CONSENSUS_FRAME_BYTES_MAX]);
    two.handle.broadcast(Channel::Consensus, &frame);
    assert!(one.consensus().await.1 == frame);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_transactions_does_not_stop_a_vote() {
    let (mut one, two) = pair().await;
    // Nobody reads the transactions of `one`, so its inbox and every buffer before it fill up.
    let batch = Bytes::from(vec![1; 20_000]);
    for _ in 0..10_000 {
        two.handle.send(one.id(), Channel::Transactions, batch.clone());
    }
    two.handle.send(one.id(), Channel::Consensus, Bytes::from_static(b"vote"));
    assert_eq!(one.consensus().await.1, Bytes::from_static(b"vote"));
    let dropped = two.handle.counters().dropped;
    assert!(dropped.contains_key("transactions queue full"), "{dropped:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_goes_to_one_node_and_past_a_flood_of_transactions() {
    let mut one = Node::start(config(&[]));
    let two = Node::start(config(&[&one]));
    let mut three = Node::start(config(&[&one, &two]));
    until(|| two.handle.peer_count() == 2 && three.handle.peer_count() == 2).await;
    let batch = Bytes::from(vec![1; 20_000]);
    for _ in 0..2_000 {
        two.handle.send(one.id(), Channel::Transactions, batch.clone());
    }
    let payload = Bytes::from(vec![7; entente_chain::limits::PAYLOADS_FRAME_BYTES_MAX]);
    two.handle.send(one.id(), Channel::Payloads, payload.clone());
    assert!(one.payloads().await == (two.id(), payload));
    // What comes to the third is what was sent to it.
    let answer = Bytes::from_static(b"answer");
    two.handle.send(three.id(), Channel::Payloads, answer.clone());
    assert_eq!(three.payloads().await, (two.id(), answer));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_payloads_does_not_stop_a_vote() {
    let (mut one, two) = pair().await;
    let payload = Bytes::from(vec![1; 200_000]);
    for _ in 0..1_000 {
        two.handle.send(one.id(), Channel::Payloads, payload.clone());
    }
    two.handle.send(one.id(), Channel::Consensus, Bytes::from_static(b"vote"));
    assert_eq!(one.consensus().await.1, Bytes::from_static(b"vote"));
    let dropped = two.handle.counters().dropped;
    assert!(dropped.contains_key("payloads queue full"), "{dropped:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relayed_frame_reaches_the_end_of_a_line_and_goes_nowhere_in_a_mesh() {
    let mut b = Node::start(config(&[]));
    let a = Node::start(config(&[&b]));
    let mut c = Node::start(config(&[&b]));
    until(|| b.handle.peer_count() == 2).await;
    until(|| a.handle.peer_count() == 1 && c.handle.peer_count() == 1).await;
    let frame = Bytes::from_static(b"vote");
    a.handle.broadcast(Channel::Consensus, &frame);
    let (from, seen) = b.consensus().await;
    assert_eq!(from, a.id());
    b.handle.relay(from, Channel::Consensus, &seen);
    assert_eq!(c.consensus().await, (b.id(), frame.clone()));

    // Once A and C are neighbours and B has heard of it, B has nobody left to tell.
    a.handle.add_peer(c.address());
    until(|| a.handle.peer_count() == 2 && c.handle.peer_count() == 2).await;
    let relayed = || b.handle.counters().traffic.consensus.frames_out;
    let heard = b.handle.counters().traffic.status.frames_in;
    // Both report their neighbours, which may have come already, and then signs of life.
    b.counted(|now| now.traffic.status.frames_in >= heard + 4).await;
    let before = relayed();
    b.handle.relay(a.id(), Channel::Consensus, &frame);
    b.handle.send(c.id(), Channel::Consensus, Bytes::from_static(b"end"));
    assert_eq!(c.consensus().await.1, Bytes::from_static(b"end"));
    until(|| relayed() == before + 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_is_announced() {
    let (mut one, two) = pair().await;
    let hash = B256::repeat_byte(9);
    two.handle.set_head(12, hash, 1_700_000_000);
    loop {
        // The head before may be told once more as a sign of life.
        if let entente_p2p::NetworkEvent::PeerHead { node, number: 12, hash: told } =
            one.event().await
        {
            assert_eq!((node, told), (two.id(), hash));
            break;
        }
    }
    let peers = one.handle.peers();
    assert_eq!(
        peers.first().map(|peer| (peer.head.number, peer.head.time)),
        Some((12, 1_700_000_000))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_are_asked_for_and_answered() {
    let (one, mut two) = pair().await;
    let asker = one.handle.clone();
    let (node, request) = (two.id(), Request::Blocks { start: 10, count: 256 });
    let answer = tokio::spawn(async move { asker.request(node, request).await });
    let asked = two.events.requests.recv().await.expect("asked");
    assert_eq!((asked.from, asked.request), (one.id(), request));
    let blocks: Vec<Bytes> = (0..=255).map(|n| Bytes::from(vec![n; 3000])).collect();
    asked.reply.send(Response::Blocks(blocks.clone()));
    assert_eq!(answer.await.expect("task"), Ok(Response::Blocks(blocks)));
}

#[tokio::test(flavor = "multi_thread")]
async fn more_requests_than_the_credit_wait_their_turn() {
    let (one, mut two) = pair().await;
    let node = two.id();
    let asks = (0..40).map(|start| {
        let asker = one.handle.clone();
        tokio::spawn(async move { asker.request(node, Request::Blocks { start, count: 1 }).await })
    });
    let asks: Vec<_> = asks.collect();
    for _ in 0..40 {
        let asked = two.events.requests.recv().await.expect("asked");
        asked.reply.send(Response::Blocks(Vec::new()));
    }
    for ask in asks {
        assert_eq!(ask.await.expect("task"), Ok(Response::Blocks(Vec::new())));
    }
    assert_eq!(two.handle.counters().dropped.get("request beyond the credit"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_dropped_is_declined_at_once() {
    let (one, mut two) = pair().await;
    let (asker, node) = (one.handle.clone(), two.id());
    let ask = async move { asker.request(node, Request::Blocks { start: 1, count: 1 }).await };
    let ask = tokio::spawn(ask);
    drop(two.events.requests.recv().await.expect("asked"));
    assert_eq!(ask.await.expect("task"), Err(RequestError::Declined));
}

/// More blocks than asked: no answer, and the peer is shown the door.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_with_more_than_asked_ends_the_session() {
    let (mut one, mut two) = pair().await;
    let (asker, node) = (one.handle.clone(), two.id());
    let ask = async move { asker.request(node, Request::Blocks { start: 1, count: 1 }).await };
    let ask = tokio::spawn(ask);
    let asked = two.events.requests.recv().await.expect("asked");
    asked.reply.send(Response::Blocks(vec![Bytes::from_static(b"x"); 2]));
    assert_eq!(ask.await.expect("task"), Err(RequestError::Declined));
    assert_eq!(one.disconnected().await.0, two.id());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_out_of_bounds_is_not_even_sent() {
    let (one, two) = pair().await;
    for (start, count) in [(0, 0), (0, 257), (u64::MAX, 2)] {
        let answer = one.handle.request(two.id(), Request::Blocks { start, count }).await;
        assert_eq!(answer, Err(RequestError::BadRange));
    }
}

/// Prints figures; asserts nothing about time, as machines differ.
#[tokio::test(flavor = "multi_thread")]
async fn a_vote_goes_there_and_back() {
    let (mut one, mut two) = pair().await;
    let (there, back) = (one.id(), two.id());
    let frame = Bytes::from(vec![1; 200]);
    let mut times = Vec::new();
    for _ in 0..2000 {
        let begun = Instant::now();
        two.handle.send(there, Channel::Consensus, frame.clone());
        let (_, vote) = one.consensus().await;
        one.handle.send(back, Channel::Consensus, vote);
        two.consensus().await;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or(Duration::ZERO);
    eprint_figures(&[at(50), at(90), at(99)]);
}

#[expect(clippy::print_stderr, reason = "figures for whoever runs it with --nocapture")]
fn eprint_figures(times: &[Duration]) {
    eprintln!("round trip of 200 bytes, p50 p90 p99: {times:?}");
}
