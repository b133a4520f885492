//! `entente_evidence`.

use crate::world::World;
use alloy_primitives::{Address, B256};
use entente_rpc::EvidenceRecord;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn breaches_are_listed_newest_first() {
    let world = World::new().await;
    assert_eq!(world.result("entente_evidence", json!([])).await, json!([]));
    let validator = Address::repeat_byte(1);
    let digests = (B256::repeat_byte(2), B256::repeat_byte(3));
    for height in 1..=150 {
        world.backend.told().evidence.push(EvidenceRecord {
            seen_ms: 1_700_000_000_000 + height,
            validator,
            height,
            round: 4,
            what: "sealed two blocks".into(),
            digests,
        });
    }
    let newest = world.result("entente_evidence", json!([1])).await;
    assert_eq!(
        newest,
        json!([{
            "seenMs": 1_700_000_000_150_u64, "validator": validator, "height": 150, "round": 4,
            "what": "sealed two blocks", "first": digests.0, "second": digests.1,
        }])
    );
    let count = async |params| {
        let list = world.result("entente_evidence", params).await;
        list.as_array().map(Vec::len)
    };
    assert_eq!(count(json!([])).await, Some(100));
    assert_eq!(count(json!([null])).await, Some(100));
    assert_eq!(count(json!(["0x78"])).await, Some(120));
    assert_eq!(count(json!([5000])).await, Some(150));
    let error = world.error("entente_evidence", json!([-1])).await;
    assert_eq!(error.0, -32602);
}
