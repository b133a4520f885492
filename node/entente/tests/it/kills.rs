//! kill -9 of a random node, again and again, under load: every receipt that a client saw as final
//! stays true on every node (S4), and every node reopens.

use crate::{
    http::{call, pause, wait_for},
    network::Network,
    wallet::Wallet,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// What a client saw: transaction hash to the block that a receipt named.
type Acknowledged = Arc<Mutex<BTreeMap<String, String>>>;

fn kill_under_load(engine: &str, block_period: &str) {
    let mut network = Network::of(engine, 4, block_period);
    let stop = Arc::new(AtomicBool::new(false));
    let acknowledged = Acknowledged::default();
    let client = {
        let (stop, acknowledged) = (Arc::clone(&stop), Arc::clone(&acknowledged));
        let ports: Vec<u16> = network.ports().collect();
        std::thread::spawn(move || load(&ports, &stop, &acknowledged))
    };
    let mut random = 0x9e37_79b9_u64;
    for _ in 0..kills() {
        // xorshift: the drawn nodes are the same in every run.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let node = u16::try_from(random % 4).unwrap_or(0);
        let before = network.highest();
        wait_for("a block between two kills", Duration::from_secs(60), || {
            (network.highest() > before).then_some(())
        });
        network.kill(node);
        network.restart(node);
    }
    wait_for("enough load to show anything", Duration::from_secs(120), || {
        (acknowledged.lock().expect("no panic in the client").len() > 50).then_some(())
    });
    stop.store(true, Ordering::Relaxed);
    let sent = client.join().expect("the client");
    // Under Clique nodes may still be on different branches at their heads.
    let height = network.highest();
    for port in network.ports() {
        wait_for("the highest block to be final", Duration::from_secs(60), || {
            (finalized(port)? >= height).then_some(())
        });
    }
    network.agree_at(height, Duration::from_secs(60));
    let acknowledged = acknowledged.lock().expect("no panic in the client").clone();
    println!("{engine}: {sent} transactions sent, {} acknowledged", acknowledged.len());
    for port in network.ports() {
        for (hash, block) in &acknowledged {
            let receipt = call(port, "eth_getTransactionReceipt", json!([hash])).expect("answers");
            assert_eq!(receipt["blockHash"].as_str(), Some(block.as_str()), "{hash} on {port}");
        }
    }
}

/// How often a node is killed; `KILLS=60` asks for more than a quick run has time for.
#[expect(clippy::disallowed_methods, reason = "a longer run by hand")]
fn kills() -> usize {
    std::env::var("KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(5)
}

#[test]
fn kill_9_under_load_loses_nothing_that_ibft_acknowledged() {
    kill_under_load("ibft", "250ms");
}

#[test]
fn kill_9_under_load_loses_nothing_that_raft_acknowledged() {
    kill_under_load("raft", "on-demand");
}

#[test]
fn kill_9_under_load_loses_nothing_that_clique_called_final() {
    kill_under_load("clique", "1s");
}

/// Sends transfers to changing nodes, waits for receipts, and remembers them.
fn load(ports: &[u16], stop: &AtomicBool, acknowledged: &Acknowledged) -> usize {
    let mut wallet = Wallet::funded(0);
    let to = Wallet::funded(1).address();
    let mut sent = 0;
    let mut waiting: Vec<(String, String)> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let raw = wallet.transfer(to);
        let mut node = sent % ports.len();
        let hash = wait_for("a node to take a transaction", Duration::from_secs(60), || {
            node = (node + 1) % ports.len();
            match call(ports[node], "eth_sendRawTransaction", json!([raw])) {
                Ok(Value::String(hash)) => Some(hash),
                // It may have been taken by a node that died before it answered.
                Err(error)
                    if error.contains("already known") || error.contains("nonce too low") =>
                {
                    Some(String::new())
                }
                _ => None,
            }
        });
        sent += 1;
        if !hash.is_empty() {
            waiting.push((hash, raw));
        }
        waiting.retain(|(hash, _)| {
            let Some(port) = ports.get(sent % ports.len()) else { return true };
            match call(*port, "eth_getTransactionReceipt", json!([hash])) {
                Ok(receipt) if receipt.is_object() => {
                    if !is_final(*port, &receipt) {
                        return true;
                    }
                    let block = receipt["blockHash"].as_str().unwrap_or_default().to_owned();
                    acknowledged.lock().expect("no panic elsewhere").insert(hash.clone(), block);
                    false
                }
                _ => true,
            }
        });
        // A transaction that died with its node is sent again to the others.
        if waiting.len() > 20 {
            for (_, raw) in &waiting {
                for port in ports {
                    drop(call(*port, "eth_sendRawTransaction", json!([raw])));
                }
            }
            pause();
        }
    }
    sent
}

fn number(value: &Value) -> Option<u64> {
    let text = value.as_str()?.strip_prefix("0x")?;
    u64::from_str_radix(text, 16).ok()
}

/// The newest block that a node stands by for ever. Under Clique some are newer.
fn finalized(port: u16) -> Option<u64> {
    let block = call(port, "eth_getBlockByNumber", json!(["finalized", false])).ok()?;
    number(&block["number"])
}

fn is_final(port: u16, receipt: &Value) -> bool {
    finalized(port).zip(number(&receipt["blockNumber"])).is_some_and(|(last, block)| block <= last)
}
