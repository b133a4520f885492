//! The other engines over real processes: Raft's members and its leader's death, Clique's honesty
//! about what is final, and a chain that changes its engine while it runs.

use crate::{
    http::{call, head, wait_for},
    network::Network,
    wallet::Wallet,
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// Sends a transfer and waits for its receipt.
fn transfer(port: u16, wallet: &mut Wallet) -> Value {
    let raw = wallet.transfer(Wallet::funded(1).address());
    let hash = wait_for("a node to take a transaction", PATIENCE, || {
        call(port, "eth_sendRawTransaction", json!([raw])).ok()
    });
    wait_for("its receipt", PATIENCE, || {
        let receipt = call(port, "eth_getTransactionReceipt", json!([hash])).ok()?;
        receipt.is_object().then_some(receipt)
    })
}

fn cluster(port: u16) -> Vec<Value> {
    let nodes = call(port, "raft_cluster", json!([])).expect("raft_cluster");
    nodes.as_array().cloned().unwrap_or_default()
}

#[test]
fn raft_goes_on_without_its_leader_and_changes_its_members() {
    let mut network = Network::of("raft", 3, "on-demand");
    let mut wallet = Wallet::funded(0);
    transfer(network.port(0), &mut wallet);
    let leader = wait_for("one leader", PATIENCE, || {
        let leads =
            |node: &u16| call(network.port(*node), "raft_role", json!([])) == Ok(json!("minter"));
        let leaders: Vec<_> = (0..3).filter(leads).collect();
        <[u16; 1]>::try_from(leaders).ok()
    });
    let [leader] = leader;
    network.kill(leader);
    let began = Instant::now();
    let other = network.port((leader + 1) % 3);
    transfer(other, &mut wallet);
    println!("first block {} ms after the leader died", began.elapsed().as_millis());
    network.restart(leader);
    let height = network.highest();
    network.agree_at(height, PATIENCE);

    // Members ask for changes; who was removed does not.
    let asked = (leader + 1) % 3;
    let nodes = cluster(other);
    assert_eq!(nodes.len(), 3, "{nodes:?}");
    let follower =
        (0..3).map(|node| (node, network.validator(node))).find_map(|(node, address)| {
            let member = nodes.iter().find(|member| {
                let named = member["address"].as_str().unwrap_or_default();
                named.eq_ignore_ascii_case(&address)
            })?;
            (node != asked && member["role"] == "verifier").then_some((node, member))
        });
    let (gone, member) = follower.expect("a follower");
    let removed = call(other, "raft_removePeer", json!([member["raftId"]]));
    assert_eq!(removed.expect("removed"), Value::Null);
    assert_eq!(cluster(other).len(), 2);
    wait_for("the removed node to know", PATIENCE, || {
        (cluster(network.port(gone)).len() == 2).then_some(())
    });
    let address = member["address"].clone();
    let refused = call(network.port(gone), "raft_addPeer", json!([address]));
    let refused = refused.expect_err("not by itself");
    assert!(refused.contains("this node is no member"), "{refused}");
    let id = call(other, "raft_addPeer", json!([address])).expect("added");
    assert_eq!(id, json!(4), "a raft id is never used twice");
    transfer(other, &mut wallet);
    let height = network.highest();
    network.agree_at(height, PATIENCE);
}

#[test]
fn clique_calls_final_what_more_than_half_have_built_on() {
    let network = Network::of("clique", 3, "1s");
    let port = network.port(0);
    wait_for("some blocks", PATIENCE, || (head(port).ok()? >= 4).then_some(()));
    let block = |tag: &str| {
        let block = call(port, "eth_getBlockByNumber", json!([tag, false])).expect("a block");
        let number = block["number"].as_str().expect("a number").to_owned();
        u64::from_str_radix(number.trim_start_matches("0x"), 16).expect("hex")
    };
    let (before, finalized, latest) = (block("latest"), block("finalized"), block("latest"));
    assert!(finalized + 2 <= latest, "{finalized} is final of {latest}");
    assert!(finalized + 3 >= before, "{finalized} is final of {before}");
    let signers = call(port, "clique_getSigners", json!([])).expect("signers");
    assert_eq!(signers.as_array().map(Vec::len), Some(3));
    let mut wallet = Wallet::funded(0);
    transfer(port, &mut wallet);
}

/// IBFT 1 headers, then QBFT's, then Raft, then Clique, then QBFT again: one chain, four validators.
#[test]
fn a_running_chain_changes_its_engine_four_times() {
    let transitions = json!([
        { "block": 3, "algorithm": "qbft" },
        { "block": 6, "algorithm": "raft" },
        { "block": 9, "algorithm": "clique" },
        { "block": 13, "algorithm": "qbft" },
    ]);
    let network = Network::with_genesis("istanbul", 4, "1s", |genesis| {
        genesis["config"]["transitions"] = transitions.clone();
    });
    let mut wallet = Wallet::funded(0);
    let last = wait_for("block 16", Duration::from_secs(90), || {
        let receipt = transfer(network.port(0), &mut wallet);
        let number = receipt["blockNumber"].as_str()?.trim_start_matches("0x").to_owned();
        let number = u64::from_str_radix(&number, 16).ok()?;
        (number >= 16).then_some(number)
    });
    for height in [2, 3, 5, 6, 8, 9, 12, 13, last] {
        network.agree_at(height, PATIENCE);
    }
    let status = call(network.port(2), "entente_consensusStatus", json!([])).expect("status");
    assert_eq!(status["engine"], "ibft");
}
