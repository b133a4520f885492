//! `entente migrate plan` on the data folders of real nodes, running and stopped, and its steps
//! carried out.

use crate::{
    http::{call, head, wait_for},
    network::Network,
    private::{Parties, random_word},
    wallet::Wallet,
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, path::Path, process::Output, time::Duration};

const PATIENCE: Duration = Duration::from_secs(60);

fn plan(network: &Network, node: u16, to: &str, at: u64) -> Output {
    let data = network.folder_of(node).join("data");
    let at = at.to_string();
    let mut arguments = vec!["migrate", "plan", "--to", to, "--at", &at, "--json"];
    if to == "clique" {
        arguments.extend(["--eip3436", "on"]);
    }
    arguments.push("--data");
    network.entente(&arguments, data.to_str().expect("a path"))
}

fn report(output: &Output) -> Value {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let parsed = serde_json::from_str(&stdout);
    assert!(parsed.is_ok(), "{parsed:?}: {stdout}{stderr}");
    parsed.expect("JSON")
}

/// A plan that works, checked for what every plan must say.
fn rehearsed(network: &Network, node: u16, to: &str) -> Value {
    let at = head(network.port((node + 1) % network.validators)).expect("a head") + 5_000;
    let output = plan(network, node, to, at);
    let report = report(&output);
    assert!(output.status.success(), "{to}: {report}");
    assert_eq!(report["entry"]["block"], json!(at));
    let blocks = report["rehearsal"]["blocks"].as_array().expect("blocks");
    let switch = report["rehearsal"]["switch"].as_u64().expect("a block");
    for block in blocks {
        let new = block["number"].as_u64() >= Some(switch);
        let expected = if new { &report["to"] } else { &report["from"] };
        assert_eq!(&block["engine"], expected, "{block}");
    }
    assert_eq!(blocks.len(), 7, "three before the change and four after it");
    assert_eq!(report["rehearsal"]["validators"], json!(network.validators));
    report
}

/// Every file below a folder.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let bytes = std::fs::read(&path).expect("a file");
            found.insert(path.display().to_string(), bytes);
        }
    }
    found
}

#[test]
fn a_plan_rehearses_every_engine_on_a_running_and_on_a_stopped_node() {
    let mut network = Network::of("ibft", 4, "1s");
    wait_for("some blocks", PATIENCE, || (head(network.port(0)).ok()? >= 3).then_some(()));
    for to in ["raft", "clique", "istanbul"] {
        let report = rehearsed(&network, 0, to);
        assert_eq!(report["from"], "qbft");
        assert!(report["differences"].as_array().is_some_and(|rows| rows.len() >= 3), "{report}");
    }
    network.kill(3);
    let folder = network.folder_of(3);
    let before = files(&folder);
    rehearsed(&network, 3, "raft");
    assert_eq!(files(&folder), before, "the data folder is as it was");

    // What cannot be done is said, with exit code 1.
    let head = head(network.port(0)).expect("a head");
    for (to, at, expected) in [
        ("raft", 1, "is the lowest that can still change"),
        ("tendermint", head + 100, "engine `tendermint`: expected ibft"),
        ("ibft", head + 100, "is made by qbft already"),
    ] {
        let output = plan(&network, 0, to, at);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{to} {at}: {stderr}");
        assert!(stderr.contains(expected), "{stderr}");
    }
}

#[test]
fn a_plan_rehearses_the_way_from_raft_and_clique() {
    for (from, validators, period) in [("raft", 3, "on-demand"), ("clique", 3, "1s")] {
        let network = Network::of(from, validators, period);
        let mut wallet = Wallet::funded(0);
        let raw = wallet.transfer(Wallet::funded(1).address());
        call(network.port(0), "eth_sendRawTransaction", json!([raw])).expect("taken");
        wait_for("a block", PATIENCE, || (head(network.port(0)).ok()? >= 1).then_some(()));
        let other = if from == "raft" { "clique" } else { "raft" };
        for to in ["ibft", "istanbul", other] {
            rehearsed(&network, 0, to);
        }
    }
}

/// The plan needs no key: private transactions change nothing in public.
#[test]
fn a_plan_rehearses_a_chain_with_private_states() {
    let parties = Parties::start(|_| {});
    let (_, contract) = parties.create((0, 2), &random_word(), json!({}));
    rehearsed(&parties.network, 2, "raft");
    assert!(parties.storage_root(2, &contract).is_ok());
}

/// The steps of the plan: the entry into the file of every node, one restart after the other.
#[test]
fn the_entry_of_a_plan_changes_the_engine_of_a_running_network() {
    // On demand: the change waits until there are transactions.
    let mut network = Network::of("ibft", 4, "on-demand");
    let port = network.port(0);
    let mut wallet = Wallet::funded(0);
    let mut blocks_up_to = |number: u64| {
        wait_for(&format!("block {number}"), PATIENCE, || {
            let raw = wallet.transfer(Wallet::funded(1).address());
            call(port, "eth_sendRawTransaction", json!([raw])).ok()?;
            (head(port).ok()? >= number).then_some(())
        });
    };
    blocks_up_to(2);
    wait_for("the pool to be empty", PATIENCE, || {
        let status = call(port, "txpool_status", json!([])).ok()?;
        (status["pending"] == "0x0").then_some(())
    });
    let at = head(port).expect("a head") + 4;
    let planned = report(&plan(&network, 0, "raft", at));
    assert_eq!(planned["rehearsal"]["validators"], json!(4), "{planned}");
    let path = network.folder_of(0).with_file_name("genesis.json");
    let text = std::fs::read_to_string(&path).expect("genesis.json");
    let mut genesis: Value = serde_json::from_str(&text).expect("JSON");
    genesis["config"]["transitions"] = json!([planned["entry"]]);
    std::fs::write(&path, genesis.to_string()).expect("genesis.json");
    for node in 0..4 {
        network.kill(node);
        network.restart(node);
    }
    assert!(head(port).expect("a head") < at, "too slow for the change at {at}");
    blocks_up_to(at + 2);
    assert_eq!(network.agree_at(at - 1, PATIENCE)["difficulty"], "0x1");
    assert_eq!(network.agree_at(at + 1, PATIENCE)["difficulty"], "0x20000");
}
