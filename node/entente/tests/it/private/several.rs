//! Terms beyond the standard ones, markers, and a node with several private states.

use super::{PATIENCE, Parties, init_code, random_word};
use crate::{
    http::{call_in, call_over_websocket, wait_for},
    network::ENTENTE,
};
use alloy_primitives::{B256, hex};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use entente_chain::{EnvironmentId, private::PrivacyTerms};
use entente_privacy::{Enclave, Envelope, KdfCost, KeyStore, Randomness, SealRandomness};
use serde_json::{Value, json};
use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};
use zeroize::Zeroizing;

const TOKEN: &str = "a token of the second state";

#[test]
fn contracts_keep_the_terms_they_were_created_with() {
    let parties = Parties::start(|_| {});
    for (flag, missing) in
        [(1, "has flag 1"), (2, "as a mandatory recipient"), (3, "the parties are not those of")]
    {
        let terms = |other: u16| match flag {
            2 => json!({ "privacyFlag": 2, "mandatoryFor": [parties.key(other)] }),
            _ => json!({ "privacyFlag": flag }),
        };
        let (_, contract) = parties.create((0, 2), &random_word(), terms(2));
        let word = random_word();
        let hash = parties.send((2, &[0]), &contract, &word, terms(0)).expect("sent");
        for node in [0, 2] {
            assert_eq!(parties.receipt(node, &hash)["status"], "0x1", "flag {flag}");
            assert_eq!(parties.stored(node, &contract), json!(word), "flag {flag}");
        }
        assert_eq!(parties.stored(1, &contract), json!("0x"));
        let told = parties.ask(2, "eth_getContractPrivacyMetadata", json!([contract]));
        assert_eq!(told.expect("terms")["privacyFlag"], json!(flag));

        // Without its terms, to others than its parties, and from outside.
        let send = |path: (u16, &[u16]), terms| {
            parties.send(path, &contract, &random_word(), terms).expect_err("refused")
        };
        let refused = send((0, &[2]), json!({}));
        assert!(refused.contains(&format!("has flag {flag}")), "{refused}");
        let refused = match flag {
            1 => send((0, &[1]), json!({ "privacyFlag": 0 })),
            _ => send((0, &[1]), terms(1)),
        };
        assert!(refused.contains(missing), "flag {flag}: {refused}");
        let refused = send((1, &[0]), terms(0));
        assert!(refused.contains("contract not found"), "{refused}");
        assert_eq!(parties.stored(0, &contract), json!(word), "flag {flag}");
    }
    let no_list = json!({ "privacyFlag": 2 });
    let refused = parties.send((0, &[2]), &Value::Null, &init_code(&random_word()), no_list);
    assert!(refused.expect_err("refused").contains("mandatoryFor"));
    wrong_fields_are_named(&parties);
    private_transaction_may_have_no_other_party(&parties);
}

/// Nothing is sent, and the text says what is wrong where.
fn wrong_fields_are_named(parties: &Parties) {
    let nonce =
        || parties.ask(0, "eth_getTransactionCount", json!([parties.accounts[0], "pending"]));
    let before = nonce();
    let (strange, low) = (STANDARD.encode([9; 32]), STANDARD.encode([0; 32]));
    let long = format!("0x{}", "00".repeat(1024 * 1024 + 1));
    for (change, text) in [
        (json!({ "privateFor": [parties.key(2), strange] }), "privateFor[1]: no node is known"),
        (json!({ "privateFor": [parties.key(2), low] }), "privateFor[1]: AAAA"),
        (json!({ "data": long }), "data: a private payload has 1 to 1048576 bytes"),
        (json!({ "privateFrom": strange }), "privateFrom: CQkJ"),
    ] {
        let mut transaction = json!({
            "from": parties.accounts[0], "data": init_code(&random_word()), "gas": "0x1000000",
            "privateFor": [parties.key(2)],
        });
        let fields = transaction.as_object_mut().expect("an object");
        fields.extend(change.as_object().cloned().unwrap_or_default());
        let refused = parties.ask(0, "eth_sendTransaction", json!([transaction]));
        let refused = refused.expect_err("refused");
        let refused = refused.get(..300).unwrap_or(&refused);
        assert!(refused.contains(&format!("\"{text}")), "{refused}");
    }
    assert_eq!(nonce(), before);
}

/// `privateFor: []`, and the sender itself.
fn private_transaction_may_have_no_other_party(parties: &Parties) {
    for own in [&[][..], &[0]] {
        let word = random_word();
        let sent = parties.send((0, own), &Value::Null, &init_code(&word), json!({}));
        let hash = sent.expect("sent");
        let contract = parties.receipt(0, &hash)["contractAddress"].clone();
        parties.receipt(2, &hash);
        assert_eq!(parties.stored(0, &contract), json!(word));
        assert_eq!(parties.stored(2, &contract), json!("0x"));
    }
}

/// Node 3 gets two more keys, each with a private state of its own; the second needs a token. Node 0
/// sends markers.
fn prepare(net: &Path) -> [String; 2] {
    let edit = |node: &str, lines: &str| {
        let path = net.join(node).join("node.toml");
        let text = fs::read_to_string(&path).expect("node.toml");
        fs::write(&path, text.replace("[privacy]\n", &format!("[privacy]\n{lines}\n")))
            .expect("written");
    };
    let folder = net.join("node-3");
    let keys = [(); 2].map(|()| {
        let output = Command::new(ENTENTE)
            .args(["key", "privacy", "new", "--dir"])
            .arg(folder.join("privacy-keys"))
            .arg("--password-file")
            .arg(folder.join("private.password"))
            .output()
            .expect("entente runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    });
    let token = folder.join("token");
    fs::write(&token, TOKEN).expect("written");
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).expect("chmod");
    let states = format!("states = [\"PS1={}\", \"PS2={}\"]", keys[0], keys[1]);
    edit("node-3", &format!("{states}\nstate_tokens = [\"PS2={}\"]", token.display()));
    edit("node-0", "markers = true");
    keys
}

#[test]
fn markers_hide_who_sends_what_where_and_a_node_keeps_private_states_apart() {
    let mut keys = None;
    let parties = Parties::start(|net| keys = Some(prepare(net)));
    let [first, second] = keys.expect("keys");
    let port = parties.network.port(3);
    let word = random_word();
    let transaction = json!({
        "from": parties.accounts[0], "data": init_code(&word), "gas": "0x100000",
        "privateFor": [first],
    });
    let hash = wait_for("the keys of node 3", PATIENCE, || {
        parties.ask(0, "eth_sendTransaction", json!([transaction])).ok()
    });

    // Outside there is a marker and nothing else.
    let outside = parties.receipt(1, &hash);
    let marker = parties.ask(1, "eth_getPrivacyPrecompileAddress", json!([])).expect("an address");
    assert_eq!((&outside["to"], &outside["contractAddress"]), (&marker, &Value::Null));
    let none = parties.ask(1, "eth_getPrivateTransactionReceipt", json!([hash]));
    assert!(none.expect_err("no party").contains("not found for this participant"));
    parties.receipt(0, &hash);
    let inside = parties.ask(0, "eth_getPrivateTransactionReceipt", json!([hash])).expect("inside");
    assert_eq!(inside["status"], "0x1", "{inside}");
    let contract = inside["contractAddress"].clone();
    assert_eq!(parties.stored(0, &contract), json!(word));

    let within = |state: &str, token: Option<&str>, method: &str, params: Value| {
        call_in(port, (state, token), method, params)
    };
    wait_for("the receipt in PS1", PATIENCE, || {
        within("PS1", None, "eth_getPrivateTransactionReceipt", json!([hash])).ok()
    });
    let read = |state: &str, token| {
        within(state, token, "eth_call", json!([{ "to": contract }, "latest"]))
    };
    assert_eq!(read("PS1", None), Ok(json!(word)));
    assert_eq!(read("PS2", Some(TOKEN)), Ok(json!("0x")));
    assert_eq!(parties.stored(3, &contract), json!("0x"), "the default state");
    for (state, token, status) in
        [("PS2", None, "401"), ("PS2", Some("another"), "401"), ("PS3", None, "403")]
    {
        let refused = read(state, token).expect_err("refused");
        assert!(refused.starts_with(status), "{state} {token:?}: {refused}");
    }

    // The state that has the contract may answer; the other one has neither key nor contract.
    let answer = random_word();
    let mut transaction = json!({
        "from": parties.accounts[3], "to": contract, "data": answer, "gas": "0x100000",
        "privateFrom": first, "privateFor": [parties.key(0)],
    });
    let send = |state: &str, token, transaction: &Value| {
        within(state, token, "eth_sendTransaction", json!([transaction]))
    };
    let refused = send("PS2", Some(TOKEN), &transaction).expect_err("not its key");
    assert!(refused.contains("does not match the specified private state"), "{refused}");
    let hash = send("PS1", None, &transaction).expect("sent");
    drop([0, 3].map(|node| parties.receipt(node, &hash)));
    assert_eq!(parties.stored(0, &contract), json!(answer));
    let sent = parties.ask(0, "eth_getTransactionByHash", json!([hash])).expect("sent");
    let payload = sent["input"].clone();
    transaction["privateFrom"] = json!(second);
    transaction["data"] = json!(random_word());
    let hash = send("PS2", Some(TOKEN), &transaction).expect("sent");
    drop([0, 3].map(|node| parties.receipt(node, &hash)));
    let status = within("PS2", Some(TOKEN), "privacy_status", json!([])).expect("a status");
    assert_eq!(status["keys"], json!([second]));
    assert_eq!(read("PS1", None), Ok(json!(answer)));

    private_state_is_chosen_for_a_websocket(port);
    every_key_of_a_node_is_heard(&parties, [&first, &second]);
    payload_in_hand_is_opened_by_its_own_state(&parties, &first);
    whole_node_is_left_alone_by_a_named_state(port, &payload);
    payload_is_erased_by_its_own_state(port, &payload, &answer);
    assert_eq!(read("PS1", None), Ok(json!(answer)), "the state stays");
    new_key_is_sent_to(&parties);
}

/// Two private states of a node are two parties to others, and strangers to each other.
fn every_key_of_a_node_is_heard(parties: &Parties, keys: [&str; 2]) {
    let transaction = json!({
        "from": parties.accounts[2], "data": init_code(&random_word()), "gas": "0x100000",
        "privateFor": keys,
    });
    let hash = parties.ask(2, "eth_sendTransaction", json!([transaction])).expect("sent");
    let standing = |status: Value| {
        let mut contracts = status["contracts"].as_array()?.iter();
        let found = contracts.find(|found| found["transactionHash"] == hash)?;
        (found["silent"] == json!([])).then(|| found["agree"].clone())
    };
    let agree = wait_for("the word of both", PATIENCE, || {
        standing(parties.ask(2, "privacy_status", json!([])).ok()?)
    });
    let agree = agree.as_array().expect("keys").clone();
    assert_eq!(agree.len(), 2);
    assert!(keys.iter().all(|key| agree.contains(&json!(key))), "{agree:?}");
    for (state, token) in [("PS1", None), ("PS2", Some(TOKEN))] {
        let agree = wait_for("the word of the sender", PATIENCE, || {
            let port = parties.network.port(3);
            standing(call_in(port, (state, token), "privacy_status", json!([])).ok()?)
        });
        assert_eq!(agree, json!([parties.key(2)]), "{state}");
    }
    let sent = parties.ask(2, "eth_getTransactionByHash", json!([hash])).expect("sent");
    for (place, state, token) in [(0, "PS1", None), (1, "PS2", Some(TOKEN))] {
        let port = parties.network.port(3);
        let extra = "eth_getQuorumPayloadExtra";
        let extra = call_in(port, (state, token), extra, json!([sent["input"]])).expect("a party");
        assert_eq!(extra["extraMetaData"]["ManagedParties"], json!([keys[place]]), "{state}");
        assert_eq!(extra["isSender"], json!(false));
    }
}

/// A WebSocket is of one private state, chosen as over HTTP.
fn private_state_is_chosen_for_a_websocket(port: u16) {
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    for (path, headers, state) in [
        ("/", "", "private"),
        ("/?PSI=PS1", "", "PS1"),
        ("/", "PSI: PS1\r\n", "PS1"),
        ("/?PSI=PS2", bearer.as_str(), "PS2"),
        ("/", bearer.as_str(), "PS2"),
    ] {
        let chosen = call_over_websocket(port, (path, headers), "eth_getPSI");
        assert_eq!(chosen, Ok(json!(state)), "{path} {headers}");
    }
    for (path, status) in [("/?PSI=PS2", "401"), ("/?PSI=PS3", "403")] {
        let refused = call_over_websocket(port, (path, ""), "eth_getPSI").expect_err("refused");
        assert!(refused.contains(status), "{path}: {refused}");
    }
}

/// `eth_decryptQuorumPayload` uses the keys of the caller's private state only.
fn payload_in_hand_is_opened_by_its_own_state(parties: &Parties, first: &str) {
    let folder = parties.network.folder_of(3);
    let password = fs::read_to_string(folder.join("private.password")).expect("a password");
    let store = KeyStore::new(folder.join("privacy-keys"), KdfCost::default());
    let opened = store.open(&Zeroizing::new(password.trim().to_owned())).expect("keys");
    let mut keys = opened.parties.into_iter();
    let key = keys.find(|key| key.public().to_string() == first).expect("the key of PS1");
    let sender = key.public();
    let genesis = parties.ask(3, "eth_getBlockByNumber", json!(["0x0", false])).expect("genesis");
    let genesis: B256 = genesis["hash"].as_str().expect("a hash").parse().expect("a hash");
    let terms = PrivacyTerms::default();
    let envelope = Envelope { recipients: &[], terms: &terms, creations: &[] };
    let randomness = SealRandomness::draw(&Randomness::from_os().expect("randomness"));
    let sealed = Enclave::new(EnvironmentId(genesis), [key])
        .seal(b"in hand", &sender, &envelope, &randomness)
        .expect("sealed");
    let encrypted = json!({ "senderKey": first, "cipherText": STANDARD.encode(sealed.encode()) });
    let encrypted = hex::encode_prefixed(encrypted.to_string());
    let open = |state: &str, token| {
        let port = parties.network.port(3);
        call_in(port, (state, token), "eth_decryptQuorumPayload", json!([encrypted]))
    };
    let plain = open("PS1", None).expect("opened");
    assert_eq!(plain["payload"], hex::encode_prefixed("in hand"));
    assert_eq!(plain["extraMetaData"]["ManagedParties"], json!([first]));
    for (state, token) in [("PS2", Some(TOKEN)), ("private", None)] {
        let refused = open(state, token).expect_err("another's key");
        assert!(refused.contains("authentication failed"), "{state}: {refused}");
    }
}

/// What concerns all private states of a node is refused to a named one.
fn whole_node_is_left_alone_by_a_named_state(port: u16, payload: &Value) {
    let node = "f".repeat(64);
    for (method, parameter) in
        [("privacy_assumeNoParty", payload.clone()), ("privacy_forgetNode", json!(node))]
    {
        let ask = |state: &str| call_in(port, (state, None), method, json!([parameter]));
        let refused = ask("PS1").expect_err("not the operator");
        assert!(refused.contains("all private states of the node"), "{method}: {refused}");
        let answered = ask("private");
        assert!(answered.is_ok(), "{method}: {answered:?}");
    }
}

/// A payload is erased by the private state that has it, and by no other.
fn payload_is_erased_by_its_own_state(port: u16, payload: &Value, answer: &str) {
    let payload_of =
        |state: &str, token, method: &str| call_in(port, (state, token), method, json!([payload]));
    let plain = payload_of("PS1", None, "eth_getQuorumPayload");
    assert_eq!(plain, Ok(json!(answer)));
    assert_eq!(payload_of("PS2", Some(TOKEN), "privacy_erasePayload"), Ok(json!(false)));
    assert_eq!(payload_of("PS1", None, "eth_getQuorumPayload"), plain);
    assert_eq!(payload_of("PS1", None, "privacy_erasePayload"), Ok(json!(true)));
    assert_eq!(payload_of("PS1", None, "eth_getQuorumPayload"), Ok(json!("0x")));
    assert_eq!(payload_of("PS1", None, "privacy_erasePayload"), Ok(json!(false)));
}

/// A key that is made while the node runs gets what is sent to it.
fn new_key_is_sent_to(parties: &Parties) {
    let refused = call_in(parties.network.port(3), ("PS1", None), "privacy_newKey", json!([]))
        .expect_err("not the default");
    assert!(refused.contains("privacy.states"), "{refused}");
    let third = parties.ask(3, "privacy_newKey", json!([])).expect("a key");
    let word = random_word();
    let transaction = json!({
        "from": parties.accounts[1], "data": init_code(&word), "gas": "0x100000",
        "privateFor": [third],
    });
    let hash = wait_for("the new key", PATIENCE, || {
        parties.ask(1, "eth_sendTransaction", json!([transaction])).ok()
    });
    let contract = parties.receipt(3, &hash)["contractAddress"].clone();
    assert_eq!(parties.stored(3, &contract), json!(word));
}
