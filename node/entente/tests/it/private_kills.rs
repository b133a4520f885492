//! Random private transactions between random parties, with kill -9 of parties in between: in the
//! end the parties of each contract have the same state of it, and nobody else has any.

use crate::{
    http::{call, pause, wait_for},
    network::Network,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

const NODES: usize = 4;
/// This node's own transactions go out inside privacy markers.
const MARKS: usize = 3;
/// Transactions that one node's client sends before it waits for them.
const ROUND: usize = 8;
/// After this a transaction counts as lost with the pool that had it: nothing was promised.
const RECEIPT_WITHIN: Duration = Duration::from_secs(15);
const PATIENCE: Duration = Duration::from_secs(900);

const SET: &str = "60fe47b1";
const INCREMENT: &str = "d09de08a";
const RAISE: &str = "004f4803";

/// A private contract as its creator asked for it.
#[derive(Clone)]
struct Contract {
    address: String,
    parties: BTreeSet<usize>,
    flag: u8,
    mandatory: Option<usize>,
}

/// A transaction whose receipt a client saw.
struct Acknowledged {
    hash: String,
    block: String,
    parties: BTreeSet<usize>,
    is_marker: bool,
}

/// What all clients know.
#[derive(Default)]
struct Seen {
    contracts: Vec<Contract>,
    acknowledged: Vec<Acknowledged>,
    refused: Vec<String>,
    lost: usize,
}

/// xorshift: the same draws in every run.
struct Draws(u64);

impl Draws {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap_or(0)
    }
}

#[derive(Clone)]
struct Member {
    port: u16,
    key: String,
    account: String,
}

fn members(network: &Network) -> Vec<Member> {
    let manifest = network.manifest();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let nodes = manifest["nodes"].as_array().expect("nodes").iter().zip(network.ports());
    nodes
        .map(|(node, port)| Member {
            port,
            key: text(&node["privacy_key"]),
            account: text(&node["account"]),
        })
        .collect()
}

/// One node's client.
struct Client {
    own: usize,
    members: Vec<Member>,
    creation: String,
    draws: Draws,
    seen: Arc<Mutex<Seen>>,
}

impl Client {
    fn work(&mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            let mut sent = Vec::new();
            for _ in 0..ROUND {
                let contract = self.contract();
                match self.send(&contract) {
                    Ok(hash) => sent.push((hash, contract)),
                    Err(error) => {
                        self.seen.lock().expect("no panic elsewhere").refused.push(error);
                        pause();
                    }
                }
            }
            self.wait(sent);
        }
    }

    /// One that this node is a party to, or with an empty address one to be made.
    fn contract(&mut self) -> Contract {
        let known: Vec<Contract> = {
            let seen = self.seen.lock().expect("no panic elsewhere");
            let own = seen.contracts.iter().filter(|known| known.parties.contains(&self.own));
            own.cloned().collect()
        };
        if !known.is_empty() && self.draws.below(4) > 0 {
            return known[self.draws.below(known.len())].clone();
        }
        let own = self.own;
        let draws = &mut self.draws;
        let mut parties: BTreeSet<usize> = (0..NODES).filter(|_| draws.below(2) == 0).collect();
        parties.insert(own);
        let flag = u8::try_from(draws.below(4)).unwrap_or(0);
        let mandatory = draws.below(parties.len());
        let mandatory = parties.iter().nth(mandatory).copied().filter(|_| flag == 2);
        Contract { address: String::new(), parties, flag, mandatory }
    }

    fn send(&mut self, contract: &Contract) -> Result<String, String> {
        let others = contract.parties.iter().filter(|party| **party != self.own);
        let others: Vec<&str> = others.map(|party| self.members[*party].key.as_str()).collect();
        let word = format!("{:064x}", self.draws.below(1000));
        let filling = "5a".repeat(self.draws.below(2000));
        let data = match (contract.address.is_empty(), self.draws.below(5)) {
            (true, _) => format!("{}{word}", self.creation),
            (_, 0) => format!("0x{RAISE}{word}{filling}"),
            (_, 1 | 2) => format!("0x{INCREMENT}{filling}"),
            _ => format!("0x{SET}{word}{filling}"),
        };
        let mut request = json!({
            "from": self.members[self.own].account,
            "data": data,
            "gas": "0x7a120",
            "gasPrice": "0x0",
            "privateFor": others,
            "privacyFlag": contract.flag,
        });
        if !contract.address.is_empty() {
            request["to"] = json!(contract.address);
        }
        if let Some(party) = contract.mandatory {
            request["mandatoryFor"] = json!([self.members[party].key]);
        }
        let hash = call(self.members[self.own].port, "eth_sendTransaction", json!([request]))?;
        Ok(hash.as_str().expect("a hash").to_owned())
    }

    fn wait(&self, mut sent: Vec<(String, Contract)>) {
        let deadline = Instant::now() + RECEIPT_WITHIN;
        let port = self.members[self.own].port;
        while !sent.is_empty() && Instant::now() < deadline {
            sent.retain(|(hash, contract)| {
                let Ok(receipt) = call(port, "eth_getTransactionReceipt", json!([hash])) else {
                    return true;
                };
                if !receipt.is_object() {
                    return true;
                }
                self.acknowledge(hash, contract, &receipt);
                false
            });
            pause();
        }
        self.seen.lock().expect("no panic elsewhere").lost += sent.len();
    }

    fn acknowledge(&self, hash: &str, contract: &Contract, receipt: &Value) {
        let is_marker = receipt["isPrivacyMarkerTransaction"] == true;
        let inner = match is_marker {
            true => {
                let port = self.members[self.own].port;
                call(port, "eth_getPrivateTransactionReceipt", json!([hash])).ok()
            }
            false => Some(receipt.clone()),
        };
        let mut seen = self.seen.lock().expect("no panic elsewhere");
        let made = inner.filter(|inner| inner["status"] == "0x1" && contract.address.is_empty());
        if let Some(address) = made.as_ref().and_then(|made| made["contractAddress"].as_str()) {
            seen.contracts.push(Contract { address: address.to_owned(), ..contract.clone() });
        }
        seen.acknowledged.push(Acknowledged {
            hash: hash.to_owned(),
            block: receipt["blockHash"].as_str().expect("a block").to_owned(),
            parties: contract.parties.clone(),
            is_marker,
        });
    }
}

/// A number of the environment: a longer run by hand.
#[expect(clippy::disallowed_methods, reason = "a longer run by hand")]
fn asked(name: &str, otherwise: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// `PRIVATE_TRANSACTIONS=1000 KILLS=12` asks for more than a quick run has time for.
#[test]
fn kill_9_of_parties_leaves_their_private_states_equal() {
    let (transactions, kills) = (asked("PRIVATE_TRANSACTIONS", 100), asked("KILLS", 2));
    let mut network = Network::private(marks);
    let members = members(&network);
    // A node without payloads takes itself for one that lost them, and asks the others, until it
    // knows that there were none.
    for member in &members {
        wait_for("a node that misses no payloads", Duration::from_secs(60), || {
            let status = call(member.port, "privacy_status", json!([])).ok()?;
            (status["recovering"] == false).then_some(())
        });
    }
    let seen = Arc::new(Mutex::new(Seen::default()));
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..NODES).map(|own| client(own, &members, &seen, &stop)).collect();
    let acknowledged = || seen.lock().expect("no panic in a client").acknowledged.len();
    let mut draws = Draws(0x9e37_79b9);
    for kill in 1..=kills {
        wait_for("transactions between two kills", PATIENCE, || {
            (acknowledged() >= transactions * kill / (kills + 1)).then_some(())
        });
        let node = u16::try_from(draws.below(NODES)).unwrap_or(0);
        network.kill(node);
        // Some of it without the node: its clients are refused, and so are those who name it.
        let height = network.highest();
        wait_for("blocks without it", PATIENCE, || {
            (network.highest() > height + draws.below(8) as u64).then_some(())
        });
        network.restart(node);
    }
    wait_for("all transactions", PATIENCE, || (acknowledged() >= transactions).then_some(()));
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().expect("a client");
    }
    // What a client gave up may still be mined: all look at one height.
    let height = network.highest();
    network.agree_at(height, Duration::from_secs(60));
    let seen = seen.lock().expect("no panic in a client");
    println!(
        "{} acknowledged ({} markers), {} contracts, {} refused, {} lost, at block {height}",
        seen.acknowledged.len(),
        seen.acknowledged.iter().filter(|one| one.is_marker).count(),
        seen.contracts.len(),
        seen.refused.len(),
        seen.lost,
    );
    let kinds: BTreeSet<String> =
        seen.refused.iter().map(|error| error.chars().take(120).collect()).collect();
    println!("refusals: {kinds:#?}");
    assert!(seen.acknowledged.iter().any(|one| one.is_marker));
    for contract in &seen.contracts {
        same_among_parties(&members, contract, height);
    }
    for one in &seen.acknowledged {
        known_to_parties(&members, one);
    }
    for member in &members {
        calm(member);
    }
}

/// One of the nodes sends privacy markers.
fn marks(net: &Path) {
    let path = net.join(format!("node-{MARKS}/node.toml"));
    let text = std::fs::read_to_string(&path).expect("node.toml");
    assert!(text.contains("[privacy]\n"));
    let text = text.replace("[privacy]\n", "[privacy]\nmarkers = true\n");
    std::fs::write(&path, text).expect("node.toml");
}

fn client(
    own: usize,
    members: &[Member],
    seen: &Arc<Mutex<Seen>>,
    stop: &Arc<AtomicBool>,
) -> std::thread::JoinHandle<()> {
    let counter: Value =
        serde_json::from_str(include_str!("../../../../testdata/contracts/Counter.json"))
            .expect("JSON");
    let creation = counter["bytecode"].as_str().expect("bytecode").to_owned();
    let draws = Draws(0x5851_f42d_4c95_7f2d + own as u64);
    let seen = Arc::clone(seen);
    let mut client = Client { own, members: members.to_vec(), creation, draws, seen };
    let stop = Arc::clone(stop);
    std::thread::spawn(move || client.work(&stop))
}

/// Storage, code and logs of a contract at its parties; nothing of it at others.
fn same_among_parties(members: &[Member], contract: &Contract, height: u64) {
    let Contract { address, parties, flag, .. } = contract;
    let at = format!("{height:#x}");
    let views: Vec<_> = members
        .iter()
        .map(|member| {
            let root = call(member.port, "eth_storageRoot", json!([address, at]));
            let code = call(member.port, "eth_getCode", json!([address, at])).expect("code");
            let filter = json!([{ "address": address, "fromBlock": "0x0", "toBlock": at }]);
            let logs = call(member.port, "eth_getLogs", filter).expect("logs");
            (root, code, without_place(logs))
        })
        .collect();
    let first = parties.first().expect("the creator");
    for (node, (root, code, logs)) in views.iter().enumerate() {
        if parties.contains(&node) {
            assert!(root.is_ok(), "{address} (flag {flag}) is unknown at node {node}: {root:?}");
            assert_ne!(*code, "0x");
            assert_eq!(
                (root, code, logs),
                (&views[*first].0, &views[*first].1, &views[*first].2),
                "{address} (flag {flag}) at nodes {node} and {first}"
            );
        } else {
            assert!(root.is_err(), "node {node} is no party of {address}, and has it");
            assert_eq!((code, logs), (&json!("0x"), &json!([])), "{address} at node {node}");
        }
    }
}

/// Logs are counted over those that a node sees in a block.
fn without_place(mut logs: Value) -> Value {
    for log in logs.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        log.remove("logIndex");
    }
    logs
}

/// A receipt that was seen is on every node, and says the same to each party.
fn known_to_parties(members: &[Member], one: &Acknowledged) {
    let Acknowledged { hash, block, parties, is_marker } = one;
    let mut said = BTreeSet::new();
    for (node, member) in members.iter().enumerate() {
        let receipt =
            call(member.port, "eth_getTransactionReceipt", json!([hash])).expect("answer");
        assert_eq!(receipt["blockHash"].as_str(), Some(block.as_str()), "{hash} on node {node}");
        let method = "eth_getPrivateTransactionReceipt";
        let private = match is_marker {
            true => call(member.port, method, json!([hash])),
            false => Ok(receipt),
        };
        if parties.contains(&node) {
            let mine = private.expect("a party has the receipt");
            let logs = without_place(mine["logs"].clone());
            said.insert(json!([mine["status"], logs, mine["contractAddress"]]).to_string());
        } else {
            assert!(private.is_err() || private.is_ok_and(|seen| seen["logs"] == json!([])));
        }
    }
    assert_eq!(said.len(), 1, "parties of {hash} see different outcomes: {said:#?}");
}

/// No alarm, nothing that is waited for.
fn calm(member: &Member) {
    let status = call(member.port, "privacy_status", json!([])).expect("a status");
    assert_eq!(status["alarms"], json!([]), "{status:#}");
    assert_eq!(status["waitingFor"], Value::Null, "{status:#}");
    assert_eq!(status["recovering"], false, "{status:#}");
    for contract in status["contracts"].as_array().expect("contracts") {
        assert_eq!(contract["differ"], json!([]), "{contract:#}");
    }
}
