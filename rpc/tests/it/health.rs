//! Probes on the port of JSON-RPC.

use crate::{client::get, world::World};
use entente_rpc::{Context, Events, Readiness, RpcConfig, RpcServer, RpcStartError};
use serde_json::Value;
use std::sync::Arc;

fn json(body: &str) -> Value {
    serde_json::from_str(body).expect("JSON")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_answer_in_our_and_in_besus_shape() {
    let world = World::new().await;
    assert_eq!(get(world.address, "/livez").await, (200, "{\"ok\":true}".into()));
    assert_eq!(get(world.address, "/liveness").await, (200, "{\"status\":\"UP\"}".into()));
    world.backend.told().readiness = Readiness { peers: 1, blocks_behind: 9, problems: vec![] };
    let (status, body) = get(world.address, "/readyz?peers=1&blocks_behind=10").await;
    assert_eq!((status, &json(&body)["ready"]), (200, &Value::Bool(true)));
    let (status, body) = get(world.address, "/readyz?peers=2").await;
    assert_eq!(status, 503);
    assert_eq!(
        json(&body)["problems"],
        serde_json::json!([
            "1 peers, at least 2 expected",
            "9 blocks behind the best peer, at most 2 expected"
        ])
    );
    let down = (503, "{\"status\":\"DOWN\"}".to_owned());
    assert_eq!(get(world.address, "/readiness?minPeers=1&maxBlocksBehind=8").await, down);
    let (status, body) = get(world.address, "/metrics").await;
    assert_eq!(status, 200);
    assert!(body.contains("entente_head 4"), "{body}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_address_is_named() {
    let world = World::new().await;
    let config = RpcConfig { listen: world.address, ..RpcConfig::default() };
    let context = Context {
        spec: Arc::clone(&world.chain.spec),
        reader: world.chain.reader.clone(),
        states: world.chain.states.clone(),
        executor: world.chain.executor.clone(),
        senders: Arc::clone(&world.chain.senders),
        backend: Arc::clone(&world.backend) as _,
        accounts: Arc::default(),
        private: None,
        events: Events::new(1, 1),
    };
    let error = RpcServer::start(config, context).await.expect_err("taken");
    assert!(matches!(error, RpcStartError::Bind { address, .. } if address == world.address));
    assert!(error.to_string().contains(&world.address.to_string()), "{error}");
}
