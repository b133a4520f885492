//! Private transactions over four real processes: who reads what, what is on the disks, and what
//! happens when a party is away or dies.

mod detached;
mod differing;
mod several;

use crate::{
    capture::Capture,
    http::{call, wait_for},
    network::Network,
    wallet::Wallet,
};
use alloy_consensus::TxLegacy;
use alloy_primitives::{Address, Bytes, TxKind, U256, hex};
use k256::elliptic_curve::rand_core::{OsRng, RngCore};
use serde_json::{Value, json};
use std::{fs, path::Path, time::Duration};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// With input: stores its first word and logs it with topic 1. Without: answers what is stored.
const RUNTIME: &str = concat!(
    "3615601757",       // CALLDATASIZE ISZERO :get JUMPI
    "60003580600055",   // 0 CALLDATALOAD DUP1 0 SSTORE
    "600052",           // 0 MSTORE
    "600160206000a100", // 1 32 0 LOG1 STOP
    "5b600054600052",   // get: 0 SLOAD 0 MSTORE
    "60206000f3",       // 32 0 RETURN
);

/// Creates the contract with a word stored.
fn init_code(word: &str) -> String {
    let word = word.trim_start_matches("0x");
    // PUSH32 word 0 SSTORE; 35 DUP1 47 0 CODECOPY 0 RETURN
    format!("0x7f{word}600055602380602f6000396000f3{RUNTIME}")
}

/// 32 random bytes in hex.
pub(crate) fn random_word() -> String {
    let mut bytes = [0; 32];
    OsRng.fill_bytes(&mut bytes);
    hex::encode_prefixed(bytes)
}

/// Four nodes that know each other's keys.
pub(crate) struct Parties {
    pub(crate) network: Network,
    keys: Vec<String>,
    pub(crate) accounts: Vec<String>,
}

impl Parties {
    pub(crate) fn start(change: impl FnOnce(&Path)) -> Self {
        let network = Network::private(change);
        let manifest = network.manifest();
        let all = |field: &str| -> Vec<String> {
            let nodes = manifest["nodes"].as_array().expect("nodes").iter();
            nodes.map(|node| node[field].as_str().expect("text").to_owned()).collect()
        };
        Self { keys: all("privacy_key"), accounts: all("account"), network }
    }

    /// Until a node knows the keys of the three others.
    pub(crate) fn wait_for_keys(&self, node: u16) {
        // It may know their keys from its disk before it reaches them.
        wait_for("the others and their keys", PATIENCE, || {
            let peers = self.ask(node, "net_peerCount", json!([])).ok()?;
            let status = self.ask(node, "privacy_status", json!([])).ok()?;
            (peers == "0x3" && status["nodes"].as_array()?.len() == 3).then_some(())
        });
    }

    pub(crate) fn ask(&self, node: u16, method: &str, params: Value) -> Result<Value, String> {
        call(self.network.port(node), method, params)
    }

    pub(crate) fn key(&self, node: u16) -> &str {
        &self.keys[usize::from(node)]
    }

    pub(crate) fn keys_of(&self, nodes: &[u16]) -> Vec<&str> {
        nodes.iter().map(|node| self.key(*node)).collect()
    }

    /// A private transaction of a node's account; `to` is null for a creation. The hash of it.
    pub(crate) fn send(
        &self,
        (from, to): (u16, &[u16]),
        contract: &Value,
        data: &str,
        terms: Value,
    ) -> Result<Value, String> {
        let mut transaction = json!({
            "from": self.accounts[usize::from(from)], "to": contract, "data": data,
            "gas": "0x100000", "privateFor": self.keys_of(to),
        });
        let fields = transaction.as_object_mut().expect("an object");
        fields.extend(terms.as_object().cloned().unwrap_or_default());
        self.ask(from, "eth_sendTransaction", json!([transaction]))
    }

    /// The receipt of a transaction as a node sees it.
    pub(crate) fn receipt(&self, node: u16, hash: &Value) -> Value {
        wait_for("a receipt", PATIENCE, || {
            let receipt = self.ask(node, "eth_getTransactionReceipt", json!([hash])).ok()?;
            receipt.is_object().then_some(receipt)
        })
    }

    /// Creates the contract between two nodes and waits until all four have the block.
    pub(crate) fn create(
        &self,
        (from, to): (u16, u16),
        word: &str,
        terms: Value,
    ) -> (Value, Value) {
        let hash = self.send((from, &[to]), &Value::Null, &init_code(word), terms).expect("sent");
        let receipts = (0..4).map(|node| self.receipt(node, &hash));
        let statuses: Vec<_> = receipts.map(|receipt| receipt["status"].clone()).collect();
        assert_eq!(statuses, ["0x1"; 4]);
        let contract = self.receipt(from, &hash)["contractAddress"].clone();
        assert!(contract.is_string(), "{contract}");
        (hash, contract)
    }

    pub(crate) fn stored(&self, node: u16, contract: &Value) -> Value {
        self.ask(node, "eth_call", json!([{ "to": contract }, "latest"])).expect("a call")
    }

    pub(crate) fn storage_root(&self, node: u16, contract: &Value) -> Result<Value, String> {
        self.ask(node, "eth_storageRoot", json!([contract, "latest"]))
    }

    /// What `privacy_status` of a node says of a contract after a transaction, once nobody is silent.
    fn agreement(&self, node: u16, contract: &Value, hash: &Value) -> Value {
        wait_for("the word of the other party", PATIENCE, || {
            let status = self.ask(node, "privacy_status", json!([])).ok()?;
            let contracts = status["contracts"].as_array()?;
            let found = contracts.iter().find(|found| found["address"] == *contract)?;
            let all = found["transactionHash"] == *hash && found["silent"] == json!([]);
            all.then(|| found.clone())
        })
    }
}

fn log_data(log: &Value) -> Value {
    log["data"].clone()
}

/// Files below a folder that contain some bytes.
fn files_with(folder: &Path, bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files_with(&path, bytes));
        // A file may go while we look: RocksDB compacts.
        } else if let Ok(content) = fs::read(&path)
            && content.windows(bytes.len()).any(|window| window == bytes)
        {
            found.push(path.display().to_string());
        }
    }
    found
}

#[test]
fn a_private_contract_is_read_by_its_parties_and_nobody_else() {
    let mut capture = None;
    let parties = Parties::start(|net| capture = Some(Capture::between(net, 4)));
    let secret = random_word();
    let (hash, contract) = parties.create((0, 2), &secret, json!({}));
    assert_eq!(parties.stored(0, &contract), json!(secret));
    assert_eq!(parties.stored(2, &contract), json!(secret));
    assert_eq!(
        (parties.stored(1, &contract), parties.stored(3, &contract)),
        ("0x".into(), "0x".into())
    );
    let root = parties.storage_root(0, &contract).expect("a root");
    assert_eq!(parties.storage_root(2, &contract), Ok(root));
    let none = parties.storage_root(1, &contract).expect_err("no account");
    assert!(none.contains("can't find state object"), "{none}");

    let sent = parties.ask(1, "eth_getTransactionByHash", json!([hash])).expect("on the chain");
    assert!(["0x25", "0x26"].contains(&sent["v"].as_str().expect("v")), "{sent}");
    let payload = |node| parties.ask(node, "eth_getQuorumPayload", json!([sent["input"]]));
    assert_eq!((payload(0), payload(2)), (Ok(json!(init_code(&secret))), payload(0)));
    assert_eq!((payload(1), payload(3)), (Ok(json!("0x")), Ok(json!("0x"))));

    let extra = |node| parties.ask(node, "eth_getQuorumPayloadExtra", json!([sent["input"]]));
    for node in [0, 2] {
        let told = extra(node).expect("a party");
        let meta = json!({
            "ACHashes": {}, "ACMerkleRoot": format!("0x{}", "0".repeat(64)), "PrivacyFlag": 0,
            "ManagedParties": [parties.key(node)], "MandatoryRecipients": [],
            "Sender": parties.key(0),
        });
        let expected = json!({
            "payload": init_code(&secret), "extraMetaData": meta, "isSender": node == 0,
        });
        assert_eq!(told, expected);
    }
    assert_eq!((extra(1), extra(3)), (Ok(Value::Null), Ok(Value::Null)));

    // The other party answers.
    let filters = [0, 1, 2, 3].map(|node| {
        let filter = json!([{ "address": contract }]);
        (node, parties.ask(node, "eth_newFilter", filter).expect("a filter"))
    });
    let word = random_word();
    let hash = parties.send((2, &[0]), &contract, &word, json!({})).expect("sent");
    for node in 0..4 {
        let party = node % 2 == 0;
        let logs = parties.receipt(node, &hash)["logs"].as_array().expect("logs").len();
        assert_eq!(logs, usize::from(party), "node {node}");
        let filter = json!([{ "fromBlock": "0x0", "address": contract }]);
        let logs = parties.ask(node, "eth_getLogs", filter).expect("logs");
        let data: Vec<_> = logs.as_array().expect("a list").iter().map(log_data).collect();
        assert_eq!(data, if party { vec![json!(word)] } else { Vec::new() }, "node {node}");
        assert_eq!(parties.stored(node, &contract), json!(if party { &word } else { "0x" }));
    }
    for (node, filter) in filters {
        let changes = || parties.ask(node, "eth_getFilterChanges", json!([filter])).expect("some");
        let data: Vec<_> = changes().as_array().expect("a list").iter().map(log_data).collect();
        let expected = if node % 2 == 0 { vec![json!(word)] } else { Vec::new() };
        assert_eq!((data, changes()), (expected, json!([])), "node {node}");
    }
    for (node, other) in [(0, 2), (2, 0)] {
        let agreement = parties.agreement(node, &contract, &hash);
        assert_eq!(agreement["agree"], json!([parties.key(other)]), "{agreement}");
    }
    let status = parties.ask(1, "privacy_status", json!([])).expect("a status");
    assert_eq!((&status["contracts"], &status["alarms"]), (&json!([]), &json!([])));
    let secrets = [secret, word];
    nothing_is_on_a_disk(&parties, &secrets);
    nothing_is_on_the_way(&capture.expect("a capture"), &secrets);
}

/// Each pair of nodes has talked through a relay, in both directions, and the search finds what is
/// said in plain words before the encryption begins.
fn nothing_is_on_the_way(capture: &Capture, secrets: &[String]) {
    assert!(capture.streams_with(b"/multistream/1.0.0") >= 12);
    for secret in secrets {
        let digits = secret.trim_start_matches("0x");
        assert_eq!(capture.streams_with(&hex::decode(secret).expect("hex")), 0);
        assert_eq!(capture.streams_with(digits.as_bytes()), 0);
    }
}

/// What was public is found, so that the search is known to work; what was private is not.
fn nothing_is_on_a_disk(parties: &Parties, secrets: &[String]) {
    let public = random_word();
    let input: Bytes = public.parse().expect("hex");
    let raw = Wallet::funded(9).next(|nonce| TxLegacy {
        chain_id: Some(1337),
        nonce,
        gas_price: 0,
        gas_limit: 100_000,
        to: TxKind::Call(Address::repeat_byte(0x77)),
        value: U256::ZERO,
        input,
    });
    let hash = parties.ask(0, "eth_sendRawTransaction", json!([raw])).expect("sent");
    for node in 0..4 {
        parties.receipt(node, &hash);
        let data = parties.network.folder_of(node).join("data");
        let bytes = |word: &String| hex::decode(word).expect("hex");
        assert!(!files_with(&data, &bytes(&public)).is_empty(), "node {node}");
        for secret in secrets {
            assert_eq!(files_with(&data, &bytes(secret)), Vec::<String>::new(), "node {node}");
        }
    }
    for secret in secrets {
        assert!(!parties.network.log().contains(secret.trim_start_matches("0x")));
    }
}

#[test]
fn a_party_that_is_away_fails_the_send_and_one_that_dies_comes_back_to_the_same_state() {
    let mut parties = Parties::start(|_| {});
    let (_, contract) = parties.create((0, 2), &random_word(), json!({}));
    for _ in 0..2 {
        // It has the payload, and dies before it has the block, or while it executes it.
        let word = random_word();
        let hash = parties.send((0, &[2]), &contract, &word, json!({})).expect("sent");
        parties.network.kill(2);
        parties.network.restart(2);
        parties.receipt(0, &hash);
        parties.receipt(2, &hash);
        assert_eq!(parties.stored(2, &contract), json!(word));
        let root = parties.storage_root(0, &contract);
        assert_eq!(parties.storage_root(2, &contract), root);
        parties.wait_for_keys(0);
        parties.wait_for_keys(2);
    }
    let kept = parties.stored(0, &contract);
    parties.network.kill(2);
    let nonce = |parties: &Parties| {
        let account = &parties.accounts[0];
        parties.ask(0, "eth_getTransactionCount", json!([account, "pending"])).expect("a nonce")
    };
    let before = nonce(&parties);
    let word = random_word();
    let refused = parties.send((0, &[2]), &contract, &word, json!({})).expect_err("it is away");
    assert!(refused.contains(parties.key(2)), "{refused}");
    assert_eq!(nonce(&parties), before, "no public transaction");
    assert_eq!(parties.stored(0, &contract), kept);
    parties.network.restart(2);
    parties.wait_for_keys(0);
    let hash =
        wait_for("a send", PATIENCE, || parties.send((0, &[2]), &contract, &word, json!({})).ok());
    parties.receipt(0, &hash);
    parties.receipt(2, &hash);
    assert_eq!(
        (parties.stored(0, &contract), parties.stored(2, &contract)),
        (json!(word), json!(word))
    );
    assert_eq!(parties.storage_root(0, &contract), parties.storage_root(2, &contract));

    // A lost database: the chain and the payloads come from the others.
    parties.network.kill(2);
    fs::remove_dir_all(parties.network.folder_of(2).join("data")).expect("removed");
    parties.network.restart(2);
    parties.receipt(2, &hash);
    assert_eq!(parties.stored(2, &contract), json!(word));
    assert_eq!(parties.storage_root(0, &contract), parties.storage_root(2, &contract));
    wait_for("the end of the recovery", PATIENCE, || {
        let status = parties.ask(2, "privacy_status", json!([])).ok()?;
        (status["recovering"] == json!(false)).then_some(())
    });
}
