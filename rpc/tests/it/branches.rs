//! What clients see when the chain changes to another branch.

use crate::{
    chain::{TestChain, Wallet},
    client::Socket,
    world::World,
};
use alloy_primitives::{Address, B256};
use alloy_rlp::Decodable as _;
use entente_chain::{Block, RecoveredTransaction};
use entente_rpc::NewHead;
use serde_json::{Value, json};
use std::sync::Arc;

type Blocks = Vec<Vec<Arc<RecoveredTransaction>>>;

impl World {
    /// Changes the database to another branch; returns what has to be told.
    fn change(&mut self, ancestor: u64, branch: Blocks) -> Vec<NewHead> {
        let mut events = self.chain.revert_to(ancestor);
        for transactions in branch {
            let (block, receipts) = self.chain.extend(transactions);
            events.push(NewHead {
                block,
                receipts: Arc::new(receipts),
                private: Vec::new(),
                removed: false,
            });
        }
        events
    }

    /// Tells it in the node's way.
    fn tell(&self, events: Vec<NewHead>) {
        for event in events.into_iter().map(Arc::new) {
            // Nobody may be listening.
            if event.removed {
                drop(self.events.reverted.send(Arc::clone(&event)));
            }
            drop(self.events.heads.send(event));
        }
    }

    /// Blocks 5 and 6 with a log each, and the branch that is to replace them: a transfer in 5, one
    /// log in each of 6 and 7.
    fn grow_two(&mut self) -> Blocks {
        self.commit(vec![self.rich.call(5, self.contract, &[])]);
        self.commit(vec![self.rich.call(6, self.contract, &[])]);
        vec![
            vec![self.rich.transfer(5)],
            vec![self.rich.call(6, self.contract, &[])],
            vec![self.rich.call(7, self.contract, &[])],
        ]
    }

    async fn changes(&self, filter: &Value) -> Value {
        self.result("eth_getFilterChanges", json!([filter])).await
    }
}

/// Block and whether it was left, of logs.
fn places(logs: &[Value]) -> Vec<(String, bool)> {
    let place = |log: &Value| {
        let number = log["blockNumber"].as_str().expect("a number").to_owned();
        (number, log["removed"].as_bool().expect("a flag"))
    };
    logs.iter().map(place).collect()
}

fn expected(places: &[(&str, bool)]) -> Vec<(String, bool)> {
    places.iter().map(|(number, removed)| ((*number).to_owned(), *removed)).collect()
}

/// geth's order: what was left, newest block first, then what came.
const LOGS: [(&str, bool); 4] = [("0x6", true), ("0x5", true), ("0x6", false), ("0x7", false)];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_to_logs_hear_first_of_those_that_went() {
    let mut world = World::new().await;
    let branch = world.grow_two();
    let old = world.chain.reader.hash(6).expect("read");
    let mut socket = Socket::open(world.address, None).await.expect("upgrade");
    socket.call("eth_subscribe", json!(["logs", { "address": world.contract }])).await;
    let events = world.change(4, branch);
    world.tell(events);
    let mut logs = Vec::new();
    for _ in LOGS {
        logs.push(socket.next().await.expect("a log")["params"]["result"].take());
    }
    assert_eq!(places(&logs), expected(&LOGS));
    assert_eq!(logs[0]["blockHash"], json!(old), "the block that went");
    assert_eq!(logs[2]["blockHash"], json!(world.chain.reader.hash(6).expect("read")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_to_heads_hear_of_every_block_of_the_new_branch() {
    let mut world = World::new().await;
    let branch = world.grow_two();
    let mut socket = Socket::open(world.address, None).await.expect("upgrade");
    socket.call("eth_subscribe", json!(["newHeads"])).await;
    let events = world.change(4, branch);
    world.tell(events);
    for number in 5..=7 {
        let head = socket.next().await.expect("a head")["params"]["result"].take();
        assert_eq!(head["number"], format!("{number:#x}"));
        assert_eq!(head["hash"], json!(world.chain.reader.hash(number).expect("read")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_answer_what_went_and_what_came() {
    let mut world = World::new().await;
    let wanted = json!([{ "address": world.contract }]);
    let logs = world.result("eth_newFilter", wanted.clone()).await;
    let blocks = world.result("eth_newBlockFilter", json!([])).await;
    let branch = world.grow_two();
    assert_eq!(world.changes(&logs).await.as_array().map(Vec::len), Some(2));
    assert_eq!(world.changes(&blocks).await.as_array().map(Vec::len), Some(2));
    let late = world.result("eth_newFilter", wanted).await;
    let events = world.change(4, branch);
    // The database has the new branch, nobody was told yet: not half of the news.
    assert_eq!(world.changes(&logs).await, json!([]));
    assert_eq!(world.changes(&blocks).await, json!([]));
    world.tell(events);
    let changes = world.changes(&logs).await;
    assert_eq!(places(changes.as_array().expect("logs")), expected(&LOGS));
    let hashes: Vec<_> =
        (5..=7).map(|number| world.chain.reader.hash(number).expect("read")).collect();
    assert_eq!(world.changes(&blocks).await, json!(hashes));
    // A filter that was made above block 6 was never told of it.
    let changes = world.changes(&late).await;
    assert_eq!(places(changes.as_array().expect("logs")), expected(&[("0x7", false)]));
    for filter in [&logs, &blocks, &late] {
        assert_eq!(world.changes(filter).await, json!([]));
    }
    world.commit(vec![world.rich.call(8, world.contract, &[])]);
    let changes = world.changes(&logs).await;
    assert_eq!(places(changes.as_array().expect("logs")), expected(&[("0x8", false)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_branch_that_came_back_is_no_news_to_filters() {
    let mut world = World::new().await;
    let logs = world.result("eth_newFilter", json!([{ "address": world.contract }])).await;
    world.grow_two();
    assert_eq!(world.changes(&logs).await.as_array().map(Vec::len), Some(2));
    // A refused branch: the old blocks are back, and nothing was told.
    let old = vec![
        vec![world.rich.call(5, world.contract, &[])],
        vec![world.rich.call(6, world.contract, &[])],
    ];
    world.change(4, old);
    assert_eq!(world.changes(&logs).await, json!([]));
    world.commit(vec![world.rich.call(7, world.contract, &[])]);
    let changes = world.changes(&logs).await;
    assert_eq!(places(changes.as_array().expect("logs")), expected(&[("0x7", false)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receipts_follow_the_canonical_branch() {
    let mut world = World::new().await;
    let gone = world.rich.call(5, world.contract, &[]).hash();
    let moved = world.rich.call(6, world.contract, &[]).hash();
    let branch = world.grow_two();
    let receipt = async |world: &World, hash: B256| {
        world.result("eth_getTransactionReceipt", json!([hash])).await
    };
    assert_eq!(receipt(&world, gone).await["blockNumber"], "0x5");
    let old = receipt(&world, moved).await["blockHash"].take();
    let events = world.change(4, branch);
    world.tell(events);
    assert_eq!(receipt(&world, gone).await, Value::Null);
    assert_eq!(world.result("eth_getTransactionByHash", json!([gone])).await, Value::Null);
    let moved = receipt(&world, moved).await;
    assert_eq!(moved["blockNumber"], "0x6");
    assert_eq!(moved["blockHash"], json!(world.chain.reader.hash(6).expect("read")));
    assert_ne!(moved["blockHash"], old);
    assert_eq!(world.result("eth_getBlockByHash", json!([old, false])).await, Value::Null);
}

/// GoQuorum's recorded Clique chain ends with four signers: three blocks may still be taken back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_finalized_block_of_clique_is_so_deep_that_half_of_the_signers_built_on_it() {
    let folder = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let folder = folder.join("../testdata/goquorum/clique-4");
    let read = |name: &str| std::fs::read(folder.join(name)).expect("a vector");
    let mut chain = TestChain::from_genesis(&read("genesis.json"), Address::ZERO);
    let export = read("chain.rlp");
    let mut rest = export.as_slice();
    while !rest.is_empty() {
        let block = Block::decode(&mut rest).expect("a block");
        if block.header.number > 0 {
            chain.import(block);
        }
    }
    let head = chain.reader.head().header.number;
    let world = World::over(chain, Wallet::new(7), Address::ZERO, |_| {}).await;
    let signers = world.result("clique_getSigners", json!([])).await;
    assert_eq!(signers.as_array().map(Vec::len), Some(4));
    for tag in ["finalized", "safe"] {
        let block = world.result("eth_getBlockByNumber", json!([tag, false])).await;
        assert_eq!(block["number"], format!("{:#x}", head - 3), "{tag}");
    }
    let latest = world.result("eth_getBlockByNumber", json!(["latest", false])).await;
    assert_eq!(latest["number"], format!("{head:#x}"));
}
