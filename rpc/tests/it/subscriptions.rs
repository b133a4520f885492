//! `eth_subscribe` over WebSocket.

use crate::{client::Socket, world::World};
use serde_json::json;
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_heads_and_logs_come_in_geths_shape() {
    let mut world = World::new().await;
    let mut socket = Socket::open(world.address, None).await.expect("upgrade");
    let heads = socket.call("eth_subscribe", json!(["newHeads"])).await["result"].take();
    let wanted = json!(["logs", { "address": world.contract }]);
    let logs = socket.call("eth_subscribe", wanted).await["result"].take();
    let nothing = json!(["logs", { "address": world.rich.address() }]);
    socket.call("eth_subscribe", nothing).await;
    world.commit(vec![world.rich.call(5, world.contract, &[])]);
    let mut messages = [socket.next().await.expect("one"), socket.next().await.expect("two")];
    messages.sort_by_key(|message| message["params"]["subscription"] != heads);
    assert_eq!(messages[0]["method"], "eth_subscription");
    assert_eq!(messages[0]["params"]["result"]["number"], "0x5");
    assert_eq!(messages[1]["params"]["subscription"], logs);
    assert_eq!(messages[1]["params"]["result"]["blockNumber"], "0x5");
    assert_eq!(messages[1]["params"]["result"]["removed"], false);
    let removed = socket.call("eth_unsubscribe", json!([heads])).await;
    assert_eq!(removed["result"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pending_transactions_come_as_hashes_or_whole() {
    let world = World::new().await;
    let mut socket = Socket::open(world.address, None).await.expect("upgrade");
    socket.call("eth_subscribe", json!(["newPendingTransactions"])).await;
    let transaction = world.rich.transfer(5);
    world.events.pending.send(Arc::clone(&transaction)).expect("a listener");
    let message = socket.next().await.expect("a message");
    assert_eq!(message["params"]["result"], json!(transaction.hash()));
    socket.call("eth_subscribe", json!(["newPendingTransactions", true])).await;
    world.events.pending.send(transaction).expect("a listener");
    let both = [socket.next().await.expect("one"), socket.next().await.expect("two")];
    let whole = both.iter().find(|message| message["params"]["result"].is_object());
    assert_eq!(whole.expect("whole")["params"]["result"]["nonce"], "0x5");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_or_too_many_subscriptions_are_refused() {
    let world = World::with(|config| config.limits.subscriptions = 2).await;
    let mut socket = Socket::open(world.address, None).await.expect("upgrade");
    let answer = socket.call("eth_subscribe", json!(["weather"])).await;
    assert_eq!(answer["error"]["code"], -32602);
    let topics = json!(["logs", { "topics": [null, null, null, null, null] }]);
    let answer = socket.call("eth_subscribe", topics).await;
    assert_eq!(answer["error"]["message"], "topics: 5 given, 4 allowed");
    for _ in 0..2 {
        socket.call("eth_subscribe", json!(["newHeads"])).await;
    }
    let answer = socket.call("eth_subscribe", json!(["newHeads"])).await;
    assert_eq!(answer["error"]["code"], -32005, "{answer}");
    let (code, text) = world.error("eth_subscribe", json!(["newHeads"])).await;
    assert_eq!((code, text.as_str()), (-32601, "notifications not supported"));
}

/// A client that does not read falls out of the ring of events, and is told so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_loses_its_subscription() {
    let world = World::with(|config| config.limits.message_buffer = 1).await;
    let mut socket = Socket::open(world.address, None).await.expect("upgrade");
    socket.call("eth_subscribe", json!(["newPendingTransactions", true])).await;
    let transaction = world.rich.transfer(5);
    // Far more than socket buffers and ring hold, written while nobody reads.
    for _ in 0..200_000 {
        drop(world.events.pending.send(Arc::clone(&transaction)));
    }
    let error = loop {
        let message = socket.next().await.expect("a notice before the end");
        if !message["params"]["error"].is_null() {
            break message["params"]["error"].clone();
        }
    };
    assert!(error.to_string().contains("too slowly"), "{error}");
}
