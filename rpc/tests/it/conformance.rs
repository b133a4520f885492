//! What a GoQuorum node answered about its own chain, asked of us after importing that chain.

use crate::{
    chain::{TestChain, Wallet},
    world::World,
};
use alloy_primitives::Address;
use alloy_rlp::Decodable as _;
use entente_chain::Block;
use serde_json::Value;
use std::path::PathBuf;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata/goquorum/qbft-4")
}

/// Everything that is in the recorded answer must be in ours, with the same value.
fn differences(path: &str, recorded: &Value, ours: &Value, found: &mut Vec<String>) {
    match (recorded, ours) {
        (Value::Object(fields), Value::Object(own)) => {
            for (name, value) in fields {
                let own = own.get(name).unwrap_or(&Value::Null);
                differences(&format!("{path}.{name}"), value, own, found);
            }
        }
        (Value::Array(list), Value::Array(own)) if list.len() == own.len() => {
            for (index, (value, own)) in list.iter().zip(own).enumerate() {
                differences(&format!("{path}[{index}]"), value, own, found);
            }
        }
        _ if recorded == ours => {}
        _ => found.push(format!("{path}: recorded {recorded}, ours {ours}")),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_those_of_goquorum() {
    let folder = folder();
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
    let world = World::over(chain, Wallet::new(7), Address::ZERO, |_| {}).await;
    let answers = String::from_utf8(read("answers.jsonl")).expect("text");
    let mut found = Vec::new();
    for line in answers.lines() {
        let recorded: Value = serde_json::from_str(line).expect("JSON");
        let method = recorded["method"].as_str().expect("a method");
        let answer = world.ask(method, recorded["params"].clone()).await;
        let path = format!("{method}{}", recorded["params"]);
        differences(&path, &recorded["result"], &answer["result"], &mut found);
    }
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
}
