//! Logs and filters.

use crate::world::World;
use alloy_primitives::B256;
use serde_json::json;

fn topic() -> B256 {
    B256::with_last_byte(7)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_are_found_by_address_topic_and_block() {
    let world = World::new().await;
    let count = async |filter| {
        let found = world.result("eth_getLogs", json!([filter])).await;
        found.as_array().expect("a list").len()
    };
    let all = json!({ "fromBlock": "earliest" });
    assert_eq!(count(all).await, 2);
    let address = json!({ "fromBlock": "0x0", "toBlock": "0xffffffffffffffff",
                          "address": [world.contract], "topics": [topic()] });
    assert_eq!(count(address).await, 2);
    assert_eq!(count(json!({ "fromBlock": "0x0", "topics": [[B256::ZERO]] })).await, 0);
    assert_eq!(count(json!({ "fromBlock": "0x0", "topics": [null, null] })).await, 0);
    assert_eq!(count(json!({})).await, 0);
    let hash = world.result("eth_getBlockByNumber", json!(["0x3", false])).await["hash"].take();
    assert_eq!(count(json!({ "blockHash": hash })).await, 1);
    let error = world.error("eth_getLogs", json!([{ "fromBlock": "0x5", "toBlock": "0x3" }])).await;
    assert_eq!(error, (-32602, "from 5 is after to 3".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_number_of_logs_is_limited_while_reading() {
    let world = World::with(|config| config.limits.logs = 1).await;
    let error = world.error("eth_getLogs", json!([{ "fromBlock": "0x0" }])).await;
    assert_eq!(error, (-32005, "query returns more than 1 logs".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_give_what_is_new_since_the_last_poll() {
    let mut world = World::new().await;
    let blocks = world.result("eth_newBlockFilter", json!([])).await;
    let filter = json!([{ "fromBlock": "0x0", "address": world.contract }]);
    let logs = world.result("eth_newFilter", filter).await;
    let pending = world.result("eth_newPendingTransactionFilter", json!([])).await;
    assert_eq!(world.result("eth_getFilterChanges", json!([logs])).await, json!([]));
    let transaction = world.rich.call(5, world.contract, &[]);
    world.events.pending.send(transaction.clone()).expect("a listener");
    world.commit(vec![transaction.clone()]);
    let head = world.chain.reader.head().header.hash();
    assert_eq!(world.result("eth_getFilterChanges", json!([blocks])).await, json!([head]));
    assert_eq!(world.result("eth_getFilterChanges", json!([blocks])).await, json!([]));
    let changes = world.result("eth_getFilterChanges", json!([logs])).await;
    assert_eq!(changes[0]["transactionHash"], json!(transaction.hash()));
    let everything = world.result("eth_getFilterLogs", json!([logs])).await;
    assert_eq!(everything.as_array().map(Vec::len), Some(3));
    let hashes = world.result("eth_getFilterChanges", json!([pending])).await;
    assert_eq!(hashes, json!([transaction.hash()]));
    assert_eq!(world.result("eth_uninstallFilter", json!([logs])).await, json!(true));
    let gone = world.error("eth_getFilterChanges", json!([logs])).await;
    assert_eq!(gone, (-32000, "filter not found".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_are_counted() {
    let world = World::with(|config| config.limits.filters = 2).await;
    for _ in 0..2 {
        world.result("eth_newBlockFilter", json!([])).await;
    }
    assert_eq!(world.error("eth_newBlockFilter", json!([])).await.0, -32005);
}
