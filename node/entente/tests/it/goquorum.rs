//! A chain that a real GoQuorum network made: taken in, answered for, and written out again.

use crate::{
    http::{self, call, wait_for},
    network::{ENTENTE, free_ports},
};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

pub(crate) fn recorded(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/goquorum").join(name)
}

pub(crate) fn entente(arguments: &[&str]) -> Output {
    Command::new(ENTENTE).args(arguments).output().expect("entente runs")
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("a readable path")
}

pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Fields that Entente answers differently on purpose, with the reason.
const DIFFERENCES: &[(&str, &str, &str)] = &[(
    "eth_getTransactionByHash",
    "isPrivate",
    "its v of 37 or 38 says it, and only that is signed",
)];

#[test]
fn a_qbft_chain_of_goquorum_is_imported_answered_for_and_exported_again() {
    taken_in_answered_for_and_written_out("qbft-4", 36, 200);
}

#[test]
fn an_ibft_chain_of_goquorum_is_imported_answered_for_and_exported_again() {
    taken_in_answered_for_and_written_out("ibft-4", 36, 200);
}

#[test]
fn a_chain_that_became_qbft_is_imported_answered_for_and_exported_again() {
    taken_in_answered_for_and_written_out("ibft-to-qbft-4", 35, 200);
}

#[test]
fn a_raft_chain_of_goquorum_is_imported_answered_for_and_exported_again() {
    taken_in_answered_for_and_written_out("raft-4", 28, 200);
}

#[test]
fn a_clique_chain_of_goquorum_is_imported_answered_for_and_exported_again() {
    taken_in_answered_for_and_written_out("clique-4", 40, 200);
}

/// The contract is asked on the state of the parent: a transaction in block N changes who seals N + 1.
/// Which rules hold is asked with the parent's number, so a transition at T shows in T + 1.
#[test]
fn a_chain_of_goquorum_with_a_validator_contract_is_imported_and_exported_again() {
    taken_in_answered_for_and_written_out("qbft-contract-4", 38, 38);
}

/// Methods that come with execution tracing.
const LATER: [&str; 1] = ["debug_traceTransaction"];

fn taken_in_answered_for_and_written_out(name: &str, blocks: u64, answers_least: usize) {
    let source = recorded(name);
    let folder = tempfile::tempdir().expect("folder");
    let data = folder.path().join("data");
    let genesis = source.join("genesis.json");
    let chain = source.join("chain.rlp");
    let output =
        entente(&["import", "--genesis", text(&genesis), "--data", text(&data), text(&chain)]);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success()
            && stdout.contains(&format!("imported {blocks} blocks, head {blocks} 0x")),
        "{stdout}{}",
        String::from_utf8_lossy(&output.stderr)
    );

    let exported = folder.path().join("exported.rlp");
    let output = entente(&["export", "--data", text(&data), text(&exported)]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(
        std::fs::read(&exported).expect("exported"),
        std::fs::read(&chain).expect("recorded"),
        "the exported bytes differ from the recorded ones"
    );

    let output = entente(&["db", "check", "--data", text(&data)]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));

    let port = free_ports();
    let log = std::fs::File::create(folder.path().join("log")).expect("log");
    let _node = Running(
        Command::new(ENTENTE)
            .args(["run", "--set", &format!("data_dir={}", text(&data))])
            .args(["--set", &format!("genesis={}", text(&genesis))])
            .args(["--set", &format!("rpc.listen=127.0.0.1:{port}")])
            .args(["--set", &format!("p2p.listen=127.0.0.1:{}", port + 1)])
            .args(["--set", "rpc.namespaces=eth,net,web3,istanbul,clique,debug"])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("entente starts"),
    );
    wait_for("the node to answer", Duration::from_secs(20), || http::head(port).ok());
    let answers = std::fs::read_to_string(source.join("answers.jsonl")).expect("answers");
    let mut wrong = Vec::new();
    let mut asked = 0;
    for line in answers.lines() {
        let question: Value = serde_json::from_str(line).expect("JSON");
        let method = question["method"].as_str().expect("method");
        if LATER.contains(&method) {
            continue;
        }
        let got = call(port, method, question["params"].clone());
        asked += 1;
        match got {
            Ok(got) => {
                differences(method, "", &question["result"], &got, &mut |path, expected, got| {
                    wrong.push(format!(
                        "{method} {} {path}: expected {expected}, got {got}",
                        question["params"]
                    ));
                });
            }
            Err(error) => wrong.push(format!("{method} {}: {error}", question["params"])),
        }
    }
    println!("{asked} recorded answers compared");
    assert!(asked > answers_least);
    assert!(
        wrong.is_empty(),
        "{} differences:\n{}",
        wrong.len(),
        wrong.iter().take(20).cloned().collect::<Vec<_>>().join("\n")
    );
}

/// Reports every field of the recorded answer that differs; fields that only we give are fine.
pub(crate) fn differences(
    method: &str,
    path: &str,
    expected: &Value,
    got: &Value,
    report: &mut dyn FnMut(&str, &Value, &Value),
) {
    match (expected, got) {
        (Value::Object(expected), Value::Object(got)) => {
            for (key, value) in expected {
                if DIFFERENCES.iter().any(|(on, field, _)| *on == method && field == key) {
                    continue;
                }
                let path = format!("{path}.{key}");
                differences(method, &path, value, got.get(key).unwrap_or(&Value::Null), report);
            }
        }
        (Value::Array(expected), Value::Array(got)) if expected.len() == got.len() => {
            for (index, (expected, got)) in expected.iter().zip(got).enumerate() {
                differences(method, &format!("{path}[{index}]"), expected, got, report);
            }
        }
        (Value::String(expected), Value::String(got)) if expected.eq_ignore_ascii_case(got) => {}
        (expected, got) if expected == got => {}
        (expected, got) => report(path, expected, got),
    }
}
