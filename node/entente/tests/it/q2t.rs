//! `entente privacy` as GoQuorum uses Tessera: real managers on loopback, asked over HTTP and a unix
//! socket.

mod managers;

use crate::{
    http::{request, wait_for},
    network::ENTENTE,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use managers::{Managers, STARTED, head, path_of};
use serde_json::json;
use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::{fs::PermissionsExt as _, net::UnixStream},
    process::Command,
};

#[test]
fn a_payload_is_read_by_its_parties_and_by_nobody_else() {
    let managers = Managers::start(&[1, 2, 1], "");
    let [a, b, c] = [0, 1, 2].map(|at| managers.keys[at][0].as_str());
    let path = managers.send(0, b"init code", &[b]);
    for (at, managed) in [(0, a), (1, b)] {
        let read = managers.get(at, &format!("{path}?isRaw=false"));
        assert_eq!(read.status, 200, "{}", read.body);
        let expected = json!({
            "payload": STANDARD.encode("init code"), "affectedContractTransactions": [],
            "execHash": "", "privacyFlag": 0, "managedParties": [managed], "senderKey": a,
        });
        assert_eq!(read.json(), expected);
        assert_eq!(managers.get(at, &format!("{path}/isSender")).body, (at == 0).to_string());
    }
    for sub in ["", "/isSender", "/participants", "/mandatory"] {
        assert_eq!(managers.get(2, &format!("{path}{sub}")).status, 404, "C is no party: {sub}");
    }
    let mut both = [a, b];
    both.sort_by_key(|key| STANDARD.decode(key).expect("base64"));
    assert_eq!(managers.get(0, &format!("{path}/participants")).body, both.join(","));
    assert_eq!(managers.get(0, &format!("{path}/mandatory")).status, 400, "flag 0");
    let for_key = |key: &str| managers.get(1, &format!("{path}?to={}", key.replace('+', "%2B")));
    assert_eq!((for_key(b).status, for_key(c).status), (200, 404));
    // Mandatory recipients, and media types of GoQuorum's client.
    let body = json!({
        "payload": "AQ==", "from": a, "to": [b, c], "privacyFlag": 2, "mandatoryRecipients": [c],
    });
    let kind = "application/vnd.tessera-4.0+json";
    let body = body.to_string();
    let sent = managers.ask_with(0, "POST", "/send", kind, body.as_bytes()).expect("asked");
    assert_eq!(sent.status, 201, "{}", sent.body);
    assert_eq!(sent.json()["senderKey"], a);
    let mandatory = managers.get(2, &format!("{}/mandatory", path_of(&sent.json())));
    assert_eq!((mandatory.status, mandatory.body.as_str()), (200, c));
}

#[test]
fn a_stored_payload_is_sent_once_its_transaction_is_signed() {
    let managers = Managers::start(&[1, 1], "");
    let [a, b] = [0, 1].map(|at| managers.keys[at][0].as_str());
    for legacy in [false, true] {
        let payload = STANDARD.encode(format!("signed outside {legacy}"));
        let stored = managers.post(0, "/storeraw", &json!({ "payload": payload, "from": a }));
        assert_eq!(stored.status, 200, "{}", stored.body);
        let (path, key) = (path_of(&stored.json()), stored.json()["key"].clone());
        let raw = managers.get(0, &format!("{path}?isRaw=true"));
        assert_eq!((raw.status, &raw.json()["payload"]), (200, &json!(payload)));
        assert_eq!(managers.get(0, &path).status, 404, "not sent yet");
        let hash = key.as_str().expect("key");
        let sent = match legacy {
            false => {
                let body = json!({ "hash": hash, "to": [b], "privacyFlag": 0 });
                let sent = managers.post(0, "/sendsignedtx", &body);
                assert_eq!(sent.json()["key"], key);
                assert_eq!(sent.json()["senderKey"], a);
                assert_eq!(sent.json()["managedParties"], json!([a]));
                sent
            }
            true => {
                let bytes = STANDARD.decode(hash).expect("base64");
                let kind = format!("application/octet-stream\r\nc11n-to: {b}");
                let sent = managers.ask_with(0, "POST", "/sendsignedtx", &kind, &bytes);
                let sent = sent.expect("asked");
                assert_eq!(sent.body, hash);
                sent
            }
        };
        assert_eq!(sent.status, if legacy { 200 } else { 201 }, "{}", sent.body);
        assert_eq!(managers.get(1, &path).json()["payload"], json!(payload));
    }
    let unknown = STANDARD.encode([1; 64]);
    let body = json!({ "hash": unknown, "to": [b], "privacyFlag": 0 });
    assert_eq!(managers.post(0, "/sendsignedtx", &body).status, 404);
}

#[test]
fn a_party_that_is_down_is_named_and_nothing_is_kept() {
    let mut managers = Managers::start(&[1, 1], "");
    let b = managers.keys[1][0].clone();
    let before = managers.send(0, b"while both are up", &[&b]);
    managers.kill(1);
    // Stored first, so that the hash under which it would be kept is known.
    let stored = managers.post(0, "/storeraw", &json!({ "payload": "AQ==" }));
    let path = path_of(&stored.json());
    let body = json!({ "hash": stored.json()["key"], "to": [b], "privacyFlag": 0 });
    let refused = managers.post(0, "/sendsignedtx", &body);
    assert_eq!(refused.status, 503, "{}", refused.body);
    let named = format!("of recipient {b} did not acknowledge");
    assert!(
        refused.body.starts_with("to[0]: ") && refused.body.contains(&named),
        "{}",
        refused.body
    );
    let held = |managers: &Managers| [0, 1].map(|at| managers.get(at, &path).status);
    assert_eq!(managers.get(0, &path).status, 404, "the sender keeps nothing of it");
    assert_eq!(managers.get(0, &format!("{path}?isRaw=true")).status, 200, "it may be sent again");
    managers.run(1);
    managers.know_each_other();
    assert_eq!(managers.get(1, &before).status, 200, "it was durable before it was acknowledged");
    assert_eq!(held(&managers), [404; 2], "nor is it sent later");
    managers.kill(0);
    managers.run(0);
    managers.know_each_other();
    assert_eq!(held(&managers), [404; 2], "after a restart too");
    wait_for("the session", STARTED, || {
        (managers.post(0, "/sendsignedtx", &body).status == 201).then_some(())
    });
    assert_eq!(held(&managers), [200; 2]);
}

#[test]
fn a_deleted_payload_stays_away() {
    let mut managers = Managers::start(&[1, 1], "");
    let [a, b] = [0, 1].map(|at| managers.keys[at][0].clone());
    let stored = managers.post(0, "/storeraw", &json!({ "payload": "AQID", "from": a }));
    let (path, key) = (path_of(&stored.json()), stored.json()["key"].clone());
    let resend = json!({ "hash": key, "to": [b], "privacyFlag": 0 });
    assert_eq!(managers.post(0, "/sendsignedtx", &resend).status, 201);
    let delete = |at| managers.try_ask(at, "DELETE", &path, "").expect("asked").status;
    assert_eq!((delete(1), delete(1)), (204, 404), "the second time there is nothing");
    let paths = ["", "/isSender", "/participants", "?isRaw=true"];
    let read = |managers: &Managers, at: usize| {
        paths.map(|sub| managers.get(at, &format!("{path}{sub}")).status)
    };
    assert_eq!(read(&managers, 1), [404; 4]);
    // Its sender still has it and offers it again.
    let refused = managers.post(0, "/sendsignedtx", &resend);
    assert_eq!(refused.status, 403, "{}", refused.body);
    assert!(refused.body.contains("erased") && refused.body.contains(&b), "{}", refused.body);
    assert_eq!(read(&managers, 1), [404; 4], "a resend does not bring it back");
    managers.kill(1);
    managers.run(1);
    assert_eq!(read(&managers, 1), [404; 4], "nor does a restart");
    assert_eq!(managers.get(0, &path).status, 200, "what others hold is theirs");
}

#[test]
fn a_payload_travels_in_the_hands_of_its_client() {
    let managers = Managers::start(&[1, 1, 1], "");
    let [a, b] = [0, 1].map(|at| managers.keys[at][0].as_str());
    let body = json!({ "payload": "AQID", "from": a, "to": [b], "privacyFlag": 1 });
    let created = managers.post(0, "/encodedpayload/create", &body);
    assert_eq!(created.status, 200, "{}", created.body);
    let mut encoded = created.json();
    let opened = managers.post(1, "/encodedpayload/decrypt", &encoded);
    assert_eq!(opened.status, 200, "{}", opened.body);
    assert_eq!(
        (&opened.json()["payload"], &opened.json()["privacyFlag"]),
        (&json!("AQID"), &json!(1))
    );
    assert_eq!(managers.post(2, "/encodedpayload/decrypt", &encoded).status, 400, "no party");
    let mut bytes = STANDARD.decode(encoded["cipherText"].as_str().expect("text")).expect("base64");
    for place in [0, bytes.len() / 2, bytes.len() - 1] {
        bytes[place] ^= 1;
        encoded["cipherText"] = json!(STANDARD.encode(&bytes));
        let refused = managers.post(1, "/encodedpayload/decrypt", &encoded);
        assert_eq!(refused.status, 400, "a bit of byte {place} was flipped");
        bytes[place] ^= 1;
    }
}

#[test]
fn the_node_finds_what_tessera_offers() {
    let managers = Managers::start(&[2], "");
    let [first, second] = [0, 1].map(|at| managers.keys[0][at].as_str());
    let up = managers.get(0, "/upcheck");
    assert_eq!((up.status, up.body.as_str()), (200, "I'm up!"));
    assert!(managers.get(0, "/version").body.split('.').count() >= 3);
    let versions = managers.get(0, "/version/api").json();
    assert_eq!(versions, json!(["1.0", "2.0", "2.1", "3.0", "4.0"]));
    let groups = managers.get(0, "/groups/resident").json();
    assert_eq!(groups[0]["privacyGroupId"], STANDARD.encode("private"));
    let members = groups[0]["members"].as_array().expect("members");
    assert!(members.contains(&json!(first)) && members.contains(&json!(second)));
    assert_eq!(managers.get(0, "/groups/legacy").json(), json!([]));
    // The same over the socket, which only its owner may open.
    let socket = managers.place(0).join("tm.ipc");
    let mode = fs::metadata(&socket).expect("socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut stream = UnixStream::connect(&socket).expect("connected");
    let asked = head("GET", "/upcheck", "application/json", 0).replace("localhost", "c");
    stream.write_all(asked.as_bytes()).expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("read");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("I'm up!"), "{answer}");
    // Third parties see keys and store, no more.
    let third = |method: &str, path: &str, body: &str| {
        let asked = head(method, path, "application/json", body.len());
        request(managers.base_port + 20, format!("{asked}{body}").as_bytes()).expect("asked")
    };
    let (status, keys) = third("GET", "/keys", "");
    assert!(status == 200 && keys.contains(first) && keys.contains(second), "{keys}");
    assert_eq!(third("POST", "/storeraw", "{\"payload\":\"AQ==\"}").0, 200);
    assert_eq!(third("POST", "/send", "{\"payload\":\"AQ==\",\"to\":[]}").0, 404);
}

/// Rows 61 to 63 of the list of hostile inputs: nothing is stored or sent, and the process lives.
#[test]
fn hostile_requests_are_refused_with_their_field() {
    let managers = Managers::start(&[1], "");
    let ours = managers.keys[0][0].as_str();
    let strange = STANDARD.encode([9; 32]);
    let (low, short) = (STANDARD.encode([0; 32]), STANDARD.encode([1; 31]));
    let unknown = STANDARD.encode([1; 64]);
    for (change, status, text) in [
        (json!({ "payload": "" }), 400, "payload: a private payload has 1 to"),
        (json!({ "payload": "?" }), 400, "payload: not base64"),
        (json!({ "to": [""] }), 400, "to[0]: "),
        (json!({ "to": [short] }), 400, "to[0]: "),
        (json!({ "to": ["not base64"] }), 400, "to[0]: "),
        (json!({ "to": [strange] }), 404, "to[0]: no node is known for recipient CQkJ"),
        (json!({ "to": [ours, strange] }), 404, "to[1]: no node is known for recipient CQkJ"),
        (json!({ "to": [ours, low] }), 400, "to[1]: AAAA"),
        (json!({ "to": [ours, ours] }), 400, "to[1]: "),
        (json!({ "to": vec![ours; 10_000] }), 400, "to: 10000 given"),
        (json!({ "from": strange }), 404, "from: "),
        (json!({ "privacyFlag": 7 }), 400, "privacyFlag: 7"),
        (json!({ "privacyFlag": 2 }), 400, "privacyFlag 2 needs mandatoryRecipients"),
        (json!({ "privacyFlag": 3 }), 400, "execHash: "),
        (json!({ "mandatoryRecipients": [ours] }), 400, "mandatoryRecipients needs privacyFlag 2"),
        (
            json!({ "privacyFlag": 2, "mandatoryRecipients": [strange] }),
            400,
            "mandatoryRecipients[0]: CQkJ",
        ),
        (
            json!({ "privacyFlag": 1, "affectedContractTransactions": [unknown] }),
            403,
            "affectedContractTransactions: affected contract 0: its creation",
        ),
    ] {
        let mut body = json!({ "payload": "AQ==", "to": [], "privacyFlag": 0 });
        let fields = change.as_object().expect("object").clone();
        body.as_object_mut().expect("object").extend(fields);
        let refused = managers.post(0, "/send", &body);
        assert_eq!(refused.status, status, "{change}: {}", refused.body);
        assert!(refused.body.starts_with(text), "{change}: {}", refused.body);
    }
    let large = json!({ "payload": STANDARD.encode(vec![1; 1024 * 1024 + 1]), "to": [] });
    assert_eq!(managers.post(0, "/send", &large).status, 413);
    let declared = head("POST", "/send", "application/json", 50 * 1024 * 1024);
    let (status, _) = request(managers.base_port, declared.as_bytes()).expect("asked");
    assert_eq!(status, 413, "before a byte of the body was sent");
    for (method, path, kind, body, status) in [
        ("POST", "/send", "application/json", "{", 400),
        ("POST", "/send", "text/html", "{}", 415),
        ("POST", "/sendsignedtx", "application/octet-stream", "short", 400),
        ("PUT", "/send", "application/json", "{}", 405),
        ("GET", "/transaction/AAAA", "application/json", "", 400),
        ("GET", "/transaction/%2e%2e%2f", "application/json", "", 400),
        ("GET", "/transaction/../upcheck", "application/json", "", 404),
        ("POST", "/partyinfo", "application/octet-stream", "keys of others", 404),
        ("POST", "/resend", "application/json", "{}", 404),
        ("POST", "/push", "application/octet-stream", "", 404),
    ] {
        let answer = managers.ask_with(0, method, path, kind, body.as_bytes()).expect("asked");
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
    }
    let rebound = head("GET", "/keys", "application/json", 0).replace("localhost", "evil.example");
    assert_eq!(request(managers.base_port, rebound.as_bytes()).expect("asked").0, 403);
    assert_eq!(managers.get(0, "/upcheck").status, 200, "it lives");
}

#[test]
fn a_configuration_that_does_not_fit_is_refused_at_the_start() {
    let managers = Managers::start(&[1], "states = []");
    let place = managers.place(0);
    let text = fs::read_to_string(place.join("config.toml")).expect("config");
    let other = STANDARD.encode([9; 32]);
    for (from, to, code, told) in [
        ("environment = 'tests'", "environment = 'other'", 1, "holds payloads of \"tests\""),
        ("environment = 'tests'", "envirnment = 'tests'", 3, "did you mean environment?"),
        ("states = []", &format!("states = ['PS1={other}']"), 1, "is not in"),
        ("states = []", &format!("default_key = '{other}'"), 1, "privacy.default_key"),
    ] {
        drop(fs::remove_dir_all(place.join("other")));
        let changed = match from.starts_with("env") {
            true => text.replace(from, to),
            // A folder of its own: the database is open elsewhere.
            false => text.replace(from, to).replace("/data'", "/other'"),
        };
        fs::write(place.join("wrong.toml"), changed).expect("written");
        let mut command = Command::new(ENTENTE);
        command.args(["privacy", "--config"]).arg(place.join("wrong.toml"));
        let ended = command.output().expect("entente runs");
        let error = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(code), "{error}");
        assert!(error.contains(told), "{error}");
    }
}
