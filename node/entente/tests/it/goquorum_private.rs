//! Chains with private transactions that a real GoQuorum network made, taken in as each of its
//! parties with what the party's Tessera held: the migration path of a member.

use crate::{
    goquorum::{Running, differences, entente, recorded, text},
    http::{self, call, wait_for},
    network::{ENTENTE, free_ports},
};
use alloy_primitives::hex;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::read::GzDecoder;
use serde_json::{Value, json};
use std::{
    fs,
    io::Read,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

/// GoQuorum gives an account to a contract that it is no party to, without code and storage; here
/// there is none. It then names the root of an empty trie where we say that there is nothing.
const EMPTY_ROOT: &str = "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421";

#[test]
fn a_private_chain_of_goquorum_is_taken_over_by_each_party() {
    for (party, empty_accounts) in [(0, 4), (1, 2), (2, 8)] {
        taken_over("private-3", party, empty_accounts);
    }
}

#[test]
fn a_chain_with_privacy_markers_is_taken_over_by_each_party() {
    for party in 0..3 {
        taken_over("private-3-marker", party, 0);
    }
}

fn taken_over(name: &str, party: usize, empty_accounts: usize) {
    let source = recorded(name);
    let folder = tempfile::tempdir().expect("folder");
    let (data, password) = (folder.path().join("data"), folder.path().join("password"));
    fs::write(&password, "a password for tests").expect("password");
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).expect("mode");
    let (genesis, payloads) = (source.join("genesis.json"), source.join("payloads.json"));
    let parties = fs::read(&payloads).expect("payloads");
    let parties: Value = serde_json::from_slice(&parties).expect("JSON");
    let key = parties["parties"][party].as_str().expect("a key");
    let output = entente(&[
        "import",
        "--genesis",
        text(&genesis),
        "--data",
        text(&data),
        "--payloads",
        text(&payloads),
        "--party",
        key,
        "--password-file",
        text(&password),
        text(&source.join("chain.rlp")),
    ]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let port = free_ports();
    let _node = start(&data, &genesis, &password, folder.path(), port);
    wait_for("the node to answer", Duration::from_secs(20), || http::head(port).ok());
    let (asked, wrong, empty) = compare(&source, party, port);
    println!("{asked} recorded answers of party {party} of {name} compared");
    assert!(asked > 400);
    assert!(
        wrong.is_empty(),
        "party {party} of {name}: {} differences:\n{}",
        wrong.len(),
        wrong.iter().take(20).cloned().collect::<Vec<_>>().join("\n")
    );
    assert_eq!(empty, empty_accounts, "party {party} of {name}");
}

/// Length of the RLP item that begins here.
fn item(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    let header = alloy_rlp::Header::decode(&mut rest).expect("RLP");
    bytes.len() - rest.len() + header.payload_length
}

/// A payload of party 0 that comes late in a chain, and the blocks before it and from it on.
fn cut_before_a_late_payload(chain: &[u8], payloads: &Value) -> (String, usize) {
    let sent_by_0 = |entry: &Value| {
        let parties = entry["parties"].as_array().expect("parties");
        parties.contains(&payloads["parties"][0]) && entry["flag"] == 0
    };
    let places = payloads["payloads"].as_object().expect("payloads").iter();
    let places = places.filter(|(_, entry)| sent_by_0(entry)).map(|(text, _)| {
        let hash = STANDARD.decode(text).expect("base64");
        (chain.windows(hash.len()).position(|window| window == hash), text.clone())
    });
    let (place, hash) = places.max().expect("a payload");
    let (place, mut cut) = (place.expect("on the chain"), 0);
    while cut + item(&chain[cut..]) <= place {
        cut += item(&chain[cut..]);
    }
    (hash, cut)
}

/// The right to erasure: a database that was kept executes the transaction as no party would.
#[test]
fn a_transaction_whose_payload_was_erased_is_executed_as_by_a_stranger() {
    let source = recorded("private-3");
    let folder = tempfile::tempdir().expect("folder");
    let path = |name: &str| folder.path().join(name);
    let (data, password, genesis) = (path("data"), path("password"), source.join("genesis.json"));
    fs::write(&password, "a password for tests").expect("password");
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).expect("mode");
    let file = fs::read(source.join("payloads.json")).expect("payloads");
    let mut payloads: Value = serde_json::from_slice(&file).expect("JSON");
    let chain = fs::read(source.join("chain.rlp")).expect("a chain");
    let (erased, cut) = cut_before_a_late_payload(&chain, &payloads);
    let key = payloads["parties"][0].as_str().expect("a key").to_owned();
    let import = |payloads: &Value, blocks: &[u8]| {
        let (list, part) = (path("payloads"), path("blocks"));
        fs::write(&list, payloads.to_string()).expect("written");
        fs::write(&part, blocks).expect("written");
        let (genesis, data, part) = (text(&genesis), text(&data), text(&part));
        let mut arguments = vec!["import", "--genesis", genesis, "--data", data];
        arguments.extend(["--payloads", text(&list), "--party", &key]);
        arguments.extend(["--password-file", text(&password), part]);
        let output = entente(&arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    import(&payloads, &chain[..cut]);
    let hash = hex::encode_prefixed(STANDARD.decode(&erased).expect("base64"));
    let run = |port| {
        let node = start(&data, &genesis, &password, folder.path(), port);
        wait_for("the node to answer", Duration::from_secs(20), || http::head(port).ok());
        node
    };
    let port = free_ports();
    let node = run(port);
    let payload = || call(port, "eth_getQuorumPayload", json!([hash])).expect("an answer");
    let erase = || call(port, "privacy_erasePayload", json!([hash]));
    assert_ne!(payload(), json!("0x"));
    assert_eq!((erase(), payload(), erase()), (Ok(json!(true)), json!("0x"), Ok(json!(false))));
    let head = http::head(port).expect("a head");
    drop(node);

    payloads["payloads"].as_object_mut().expect("payloads").remove(&erased);
    import(&payloads, &chain[cut..]);
    let port = free_ports();
    let _node = run(port);
    let block = json!([format!("{:#x}", head + 1), true]);
    let block = call(port, "eth_getBlockByNumber", block).expect("a block");
    let mut sent = block["transactions"].as_array().expect("transactions").iter();
    let sent = sent.find(|sent| sent["input"] == json!(hash)).expect("the transaction");
    let receipt = call(port, "eth_getTransactionReceipt", json!([sent["hash"]])).expect("one");
    assert_eq!((&receipt["status"], &receipt["logs"]), (&json!("0x1"), &json!([])));
    let inside = call(port, "eth_getPrivateTransactionReceipt", json!([sent["hash"]]));
    assert!(inside.expect_err("no party").contains("not found for this participant"));
    let root = |number| {
        call(port, "eth_storageRoot", json!([sent["to"], format!("{number:#x}")])).expect("a root")
    };
    assert_eq!(root(head), root(head + 1), "the private state is as before");
}

fn start(data: &Path, genesis: &Path, password: &Path, folder: &Path, port: u16) -> Running {
    let log = fs::File::create(folder.join("log")).expect("log");
    let keys = data.join("privacy-keys");
    Running(
        Command::new(ENTENTE)
            .args(["run", "--set", &format!("data_dir={}", text(data))])
            .args(["--set", &format!("genesis={}", text(genesis))])
            .args(["--set", &format!("rpc.listen=127.0.0.1:{port}")])
            .args(["--set", "rpc.namespaces=eth,net,web3,entente,privacy"])
            .args(["--set", &format!("p2p.listen=127.0.0.1:{}", port + 1)])
            .args(["--set", &format!("privacy.key_folder={}", text(&keys))])
            .args(["--set", &format!("privacy.password_file={}", text(password))])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("entente starts"),
    )
}

/// How many answers were compared, what differs, and how often GoQuorum has an empty account.
fn compare(source: &Path, party: usize, port: u16) -> (usize, Vec<String>, usize) {
    let file = fs::File::open(source.join(format!("answers-{party}.jsonl.gz"))).expect("answers");
    let mut answers = String::new();
    GzDecoder::new(file).read_to_string(&mut answers).expect("answers");
    let (mut asked, mut wrong, mut empty) = (0, Vec::new(), 0);
    for line in answers.lines() {
        let question: Value = serde_json::from_str(line).expect("JSON");
        let method = question["method"].as_str().expect("method");
        let (params, expected) = (&question["params"], &question["result"]);
        asked += 1;
        // A recorded error is compared by its text.
        let got = match call(port, method, params.clone()) {
            Ok(got) => got,
            Err(error) => json!({ "error": { "message": error } }),
        };
        let text = |value: &Value| value["error"]["message"].as_str().unwrap_or("").to_owned();
        if text(expected).starts_with("invalid character") {
            // GoQuorum takes every private payload for a transaction inside a marker and fails on
            // all others. Here a private transaction has its receipt, and no other one inside.
            let inside = method == "eth_getPrivateTransactionByHash";
            assert_eq!(got.is_null(), inside, "{method} {params}: {got}");
            continue;
        }
        if expected.get("error").is_some() && got.get("error").is_some() {
            let both = (text(expected), text(&got));
            let empty_account = both.0.contains("no account extra data found")
                && both.1.contains("the provided address is not a private contract");
            if !both.1.contains(&both.0) && !empty_account {
                wrong.push(format!("{method} {params}: {} {}", text(expected), text(&got)));
            }
            continue;
        }
        if method == "eth_storageRoot" && *expected == EMPTY_ROOT && got.get("error").is_some() {
            empty += 1;
            continue;
        }
        differences(method, "", expected, &got, &mut |path, expected, got| {
            // Each node keeps the commit seals that came first; the blocks are those of party 0.
            if party > 0 && path == ".extraData" {
                return;
            }
            wrong.push(format!("{method} {params} {path}: expected {expected}, got {got}"));
        });
    }
    (asked, wrong, empty)
}
