//! Sends keep the order in which a client wrote them.

use crate::{
    client::{Socket, post, request},
    world::World,
};
use alloy_consensus::Transaction as _;
use serde_json::{Value, json};

fn nonces(world: &World) -> Vec<u64> {
    world.backend.told().submitted.iter().map(|transaction| transaction.nonce()).collect()
}

fn sends(world: &World, count: u64) -> Vec<Value> {
    (0..count)
        .map(|nonce| {
            let encoded = world.rich.transfer(nonce).encoded().clone();
            let mut call = request("eth_sendRawTransaction", &json!([encoded]));
            call["id"] = json!(nonce);
            call
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn pipelined_sends_of_one_socket_arrive_in_order() {
    let world = World::new().await;
    for round in 0..5 {
        let mut socket = Socket::open(world.address, None).await.expect("upgrade");
        socket.send_all(&sends(&world, 50)).await;
        for _ in 0..50 {
            let answer = socket.next().await.expect("an answer");
            assert!(answer["result"].is_string(), "{answer}");
        }
        let expected: Vec<u64> = (0..50).collect();
        assert_eq!(nonces(&world)[round * 50..], expected);
    }
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sends_of_one_batch_arrive_in_order() {
    let world = World::new().await;
    let answers = post(world.address, &Value::Array(sends(&world, 100))).await;
    let ids: Vec<u64> =
        answers.as_array().expect("batch").iter().filter_map(|a| a["id"].as_u64()).collect();
    let expected: Vec<u64> = (0..100).collect();
    assert_eq!(nonces(&world), expected);
    assert_eq!(ids, expected);
}
