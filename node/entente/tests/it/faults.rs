//! Nodes die; the chain must not lose or fork anything, and must say why when it stands still.

use crate::{
    http::{call, get, head, pause, wait_for},
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

/// One of four may die: blocks go on. Two: the chain stands still and says who is missing. Both
/// back: blocks go on within two periods and everybody has the same state.
#[test]
fn one_dead_validator_is_nothing_two_stop_the_chain_and_their_return_heals_it() {
    let mut network = Network::start(4, "1s");
    let start = network.highest();
    network.kill(3);
    wait_for("blocks with one validator dead", Duration::from_secs(30), || {
        (head(network.port(0)).ok()? >= start + 5).then_some(())
    });

    network.kill(2);
    let reason = wait_for("readiness to name who is missing", Duration::from_secs(30), || {
        let (status, body) = get(network.port(0), "/readyz").ok()?;
        (status == 503 && body.contains("quorum lost")).then_some(body)
    });
    for node in [2, 3] {
        let address = network.validator(node);
        assert!(reason.to_lowercase().contains(&address.to_lowercase()), "{reason}");
    }
    let url = format!("http://127.0.0.1:{}", network.port(0));
    let doctor = network.entente(&["doctor", "--rpc"], &url);
    let findings = String::from_utf8_lossy(&doctor.stdout).to_lowercase();
    assert!(!doctor.status.success(), "the doctor found nothing:\n{findings}");
    for node in [2, 3] {
        let missing = format!("validator {} is missing", network.validator(node).to_lowercase());
        assert!(findings.contains(&missing), "{findings}");
    }
    let stopped = head(network.port(0)).expect("answers while it stands still");

    // Node 3 is blocks behind and must hear so although nobody has a new block to announce.
    network.restart(3);
    let back = std::time::Instant::now();
    wait_for("blocks after the one that is behind is back", Duration::from_secs(20), || {
        (head(network.port(0)).ok()? > stopped).then_some(())
    });
    println!("first block {} ms after the return", back.elapsed().as_millis());
    network.restart(2);
    let height = network.highest();
    network.agree_at(height, Duration::from_secs(20));
    wait_for("readiness after the return", Duration::from_secs(20), || {
        let (status, _) = get(network.port(0), "/readyz").ok()?;
        (status == 200).then_some(())
    });
    wait_for("the doctor to find the chain healthy", Duration::from_secs(20), || {
        network.entente(&["doctor", "--rpc"], &url).status.success().then_some(())
    });
}

/// Row 55: a second process in the same folder is refused, and told who holds it.
#[test]
fn a_folder_in_use_is_refused_with_the_holder() {
    let network = Network::start(1, "1s");
    let folder = network.folder_of(0);
    let (config, data) = (folder.join("node.toml"), folder.join("data"));
    let pid = network.pid(0).to_string();
    let (run, check): (&[&str], &[&str]) = (&["run", "--config"], &["db", "check", "--data"]);
    for (arguments, path) in [(run, config), (check, data)] {
        let output = network.entente(arguments, path.to_str().expect("path"));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(5), "{stderr}");
        assert!(stderr.contains(&pid), "process {pid} is not named: {stderr}");
    }
}

/// What a client saw: transaction hash to the block that a receipt named.
type Acknowledged = Arc<Mutex<BTreeMap<String, (String, u64)>>>;

/// kill -9 of a random node, again and again, under load: every receipt that a client saw stays
/// true on every node (S4), and every node reopens.
#[test]
fn kill_9_twenty_times_under_load_loses_nothing_that_was_acknowledged() {
    let mut network = Network::start(4, "250ms");
    let stop = Arc::new(AtomicBool::new(false));
    let acknowledged = Acknowledged::default();
    let client = {
        let (stop, acknowledged) = (Arc::clone(&stop), Arc::clone(&acknowledged));
        let ports: Vec<u16> = network.ports().collect();
        std::thread::spawn(move || load(&ports, &stop, &acknowledged))
    };
    let mut random = 0x9e37_79b9_u64;
    for _ in 0..20 {
        // xorshift: the drawn nodes are the same in every run.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let node = u16::try_from(random % 4).unwrap_or(0);
        let before = network.highest();
        wait_for("a block between two kills", Duration::from_secs(30), || {
            (network.highest() > before).then_some(())
        });
        network.kill(node);
        network.restart(node);
    }
    stop.store(true, Ordering::Relaxed);
    let sent = client.join().expect("the client");
    let height = network.highest() + 2;
    network.agree_at(height, Duration::from_secs(60));
    let acknowledged = acknowledged.lock().expect("no panic in the client").clone();
    println!("{sent} transactions sent, {} acknowledged", acknowledged.len());
    assert!(acknowledged.len() > 50, "the load was too small to show anything");
    for port in network.ports() {
        for (hash, (block, number)) in &acknowledged {
            let receipt = call(port, "eth_getTransactionReceipt", json!([hash])).expect("answers");
            assert_eq!(receipt["blockHash"].as_str(), Some(block.as_str()), "{hash} at {number}");
        }
    }
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
                    let block = receipt["blockHash"].as_str().unwrap_or_default().to_owned();
                    let number = sent as u64;
                    let mut seen = acknowledged.lock().expect("no panic elsewhere");
                    seen.insert(hash.clone(), (block, number));
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
