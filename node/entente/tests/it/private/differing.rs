//! Two private states that really differ: everybody who can know is told.

use super::{PATIENCE, Parties, random_word};
use crate::http::{get, wait_for};
use serde_json::{Value, json};

/// Creates a contract that stores 1 under the first word of its input.
const MARKS: &str = concat!(
    "0x66",
    "60016000355500", // 1 0 CALLDATALOAD SSTORE STOP
    "600052",         // 0 MSTORE
    "60076019f3",     // 7 25 RETURN
);

fn status(parties: &Parties, node: u16) -> Value {
    parties.ask(node, "privacy_status", json!([])).expect("a status")
}

/// How a node stands with the others after a transaction, once nobody is silent.
fn standing(parties: &Parties, node: u16, hash: &Value) -> (Value, Value) {
    wait_for("the word of all parties", PATIENCE, || {
        let status = status(parties, node);
        let mut contracts = status["contracts"].as_array()?.iter();
        let found = contracts.find(|found| found["transactionHash"] == *hash)?;
        (found["silent"] == json!([])).then(|| (found["agree"].clone(), found["differ"].clone()))
    })
}

#[test]
fn a_private_state_that_differs_raises_an_alarm_in_rpc_log_and_metric() {
    let mut parties = Parties::start(|_| {});
    let send = |parties: &Parties, to: &[u16], contract: &Value, data: &str| {
        let hash = parties.send((0, to), contract, data, json!({})).expect("sent");
        (0..4).for_each(|node| drop(parties.receipt(node, &hash)));
        hash
    };
    let created = send(&parties, &[2, 3], &Value::Null, MARKS);
    let contract = parties.receipt(0, &created)["contractAddress"].clone();
    let both = json!([]);
    assert_eq!(standing(&parties, 3, &created), (json!([parties.key(0)]), both.clone()));
    // A standard contract may be written to without one of its parties, and then goes its own way.
    send(&parties, &[2], &contract, &random_word());
    let hash = send(&parties, &[2, 3], &contract, &random_word());
    assert_eq!(standing(&parties, 0, &hash), (json!([parties.key(2)]), json!([parties.key(3)])));
    assert_eq!(standing(&parties, 2, &hash), (json!([parties.key(0)]), both.clone()));
    assert_eq!(standing(&parties, 3, &hash), (both, json!([parties.key(0)])));
    for (node, other) in [(0, 3), (3, 0)] {
        let alarms = status(&parties, node)["alarms"].clone();
        assert_eq!(alarms.as_array().map(Vec::len), Some(1), "{alarms}");
        let alarm = &alarms[0];
        assert_eq!(alarm["party"], json!(parties.key(other)));
        assert_eq!(alarm["transactionHash"], hash);
        assert_ne!(alarm["ours"], alarm["theirs"]);
        let (_, metrics) = get(parties.network.port(node), "/metrics").expect("metrics");
        assert!(metrics.contains("entente_private_disagreements_total 1"), "{metrics}");
    }
    assert_eq!(status(&parties, 2)["alarms"], json!([]));
    let log = parties.network.log();
    assert!(log.contains("private states differ: this party has another result"));

    // What is known of agreement does not outlive the process.
    parties.network.kill(0);
    parties.network.restart(0);
    parties.wait_for_keys(0);
    let after = status(&parties, 0);
    assert_eq!((&after["contracts"], &after["alarms"]), (&json!([]), &json!([])));
    let hash = send(&parties, &[2, 3], &contract, &random_word());
    assert_eq!(standing(&parties, 0, &hash).1, json!([parties.key(3)]));
}
