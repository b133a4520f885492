//! Inputs that want time or memory: slow bodies, call bombs, large overrides, WebSocket frames.

use crate::{
    client::{Socket, exchange},
    world::World,
};
use serde_json::{Value, json};
use std::time::Duration;

/// Row 2: a body that does not come ends the connection, not the server's patience with others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let world = World::with(|config| {
        config.limits.body_time = Duration::from_millis(100);
        config.limits.header_time = Duration::from_millis(100);
    })
    .await;
    let slow = format!(
        "POST / HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
         Content-Length: 1000\r\n\r\n{{",
        world.address
    );
    // Both return only because the server ends the connection.
    exchange(world.address, slow.as_bytes()).await;
    exchange(world.address, b"POST / HT").await;
    assert_eq!(world.result("eth_chainId", json!([])).await, json!("0x539"));
}

/// Row 14: code that wants all there is, and whether it may end well.
const BOMBS: [(&str, &str, bool); 4] = [
    ("memory at 2^40", "0x60016501000000000052", false),
    ("one GiB of return data", "0x63400000005ff3", false),
    ("calls itself to the greatest depth", "0x5f5f5f5f5f305af100", true),
    ("copies 64 MiB again and again", "0x5b63040000005f5f395f56", false),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn call_bombs_run_out_of_gas_or_time() {
    let world = World::with(|config| config.limits.call_time = Duration::from_millis(500)).await;
    for (name, code, may_end_well) in BOMBS {
        let mut overrides = serde_json::Map::new();
        overrides.insert(world.contract.to_string(), json!({ "code": code }));
        let params = json!([{ "to": world.contract }, "latest", Value::Object(overrides)]);
        let answer = world.ask("eth_call", params).await;
        let error = answer["error"]["code"].as_i64();
        let refused = matches!(error, Some(-32000 | -32002));
        assert!(refused || (may_end_well && answer["result"].is_string()), "{name}: {answer}");
    }
    assert_eq!(world.result("eth_chainId", json!([])).await, json!("0x539"));
}

/// Row 15. Slots are bounded by the size of a request before their own bound counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overrides_are_bounded() {
    let world = World::new().await;
    let accounts: serde_json::Map<_, _> = (0..20_000)
        .map(|index| (format!("{:#042x}", index + 1), json!({ "balance": "0x1" })))
        .collect();
    let code = format!("0x{}", "00".repeat(1024 * 1024 + 1));
    let mut large_code = serde_json::Map::new();
    large_code.insert(world.contract.to_string(), json!({ "code": code }));
    for overrides in [accounts, large_code] {
        let params = json!([{ "to": world.contract }, "latest", Value::Object(overrides)]);
        let (code, text) = world.error("eth_call", params).await;
        assert_eq!(code, -32602, "{text}");
    }
}

/// Row 28: frames that lie, that are too large, or that are no text end their socket only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_frames_end_their_socket_and_no_other() {
    let world = World::new().await;
    let mut good = Socket::open(world.address, None).await.expect("upgrade");
    // A frame that claims 100 MB.
    let huge = [&[0x81, 0xff][..], &100_000_000_u64.to_be_bytes(), &[0; 4], &[b'x'; 1000]].concat();
    let no_text = vec![0x81, 0x82, 0, 0, 0, 0, 0xff, 0xfe];
    let reserved_bits = vec![0xf1, 0x80, 0, 0, 0, 0];
    let not_masked = vec![0x81, 0x02, b'{', b'}'];
    for frame in [huge, no_text, reserved_bits, not_masked] {
        let mut bad = Socket::open(world.address, None).await.expect("upgrade");
        bad.send_raw(&frame).await;
        drop(bad);
        assert_eq!(good.call("eth_chainId", json!([])).await["result"], "0x539");
    }
    let pings = [0x89, 0x80, 0, 0, 0, 0].repeat(10_000);
    let mut flood = Socket::open(world.address, None).await.expect("upgrade");
    flood.send_raw(&pings).await;
    assert_eq!(good.call("eth_chainId", json!([])).await["result"], "0x539");
}
