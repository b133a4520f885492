//! Inputs of people who mean no good, as a table: what is sent, and the error that must come back.

use crate::{
    client::{Socket, exchange, get, post, post_text, request},
    world::World,
};
use alloy_consensus::TxLegacy;
use alloy_primitives::{Address, Bytes};
use serde_json::{Value, json};

type Case = (&'static str, Value, i64, &'static str);

#[expect(clippy::too_many_lines, reason = "a table")]
fn cases() -> Vec<Case> {
    let to = Address::repeat_byte(1);
    let other = Address::repeat_byte(2);
    vec![
        (
            "eth_resend",
            json!([{}]),
            -32601,
            "the method eth_resend does not exist/is not available",
        ),
        ("eth_chainId", json!("x"), -32602, "non-array args"),
        ("eth_chainId", json!([1]), -32602, "too many arguments, want at most 0"),
        ("eth_getBalance", json!([]), -32602, "missing value for required argument 0"),
        (
            "eth_getBalance",
            json!(["0x12", "latest"]),
            -32602,
            "invalid argument 0: 1 bytes given, 20 expected",
        ),
        (
            "eth_getBalance",
            json!([to, "0x01"]),
            -32602,
            "invalid argument 1: hex number with leading zero digits",
        ),
        ("eth_getBalance", json!([to, "0x"]), -32602, "invalid argument 1: hex string \"0x\""),
        (
            "eth_getBalance",
            json!([to, -1]),
            -32602,
            "invalid argument 1: a block is a tag, a hex number or an object",
        ),
        ("eth_getBalance", json!([to, "0x99"]), -32000, "header not found"),
        (
            "eth_getBlockByNumber",
            json!(["1", false]),
            -32602,
            "invalid argument 0: hex string without 0x prefix",
        ),
        (
            "eth_getTransactionReceipt",
            json!(["0x123"]),
            -32602,
            "invalid argument 0: hex string of odd length",
        ),
        (
            "eth_call",
            json!([{ "to": to, "data": "0x01", "input": "0x02" }, "latest"]),
            -32602,
            "invalid argument 0: both \"data\" and \"input\" are set and not equal. Please use \"input\" to pass transaction call data",
        ),
        (
            "eth_getLogs",
            json!([{ "fromBlock": "0x5", "toBlock": "0x3" }]),
            -32602,
            "from 5 is after to 3",
        ),
        (
            "eth_newFilter",
            json!([{ "topics": [null, null, null, null, null] }]),
            -32602,
            "topics: 5 given, 4 allowed",
        ),
        (
            "eth_getProof",
            json!([to, vec!["0x1"; 1025], "latest"]),
            -32602,
            "1025 keys given, 1024 keys allowed",
        ),
        (
            "eth_getProof",
            json!([to, [format!("0x{}", "1".repeat(66))], "latest"]),
            -32602,
            "unable to decode storage key: hex string too long, want at most 32 bytes, have 33",
        ),
        (
            "eth_feeHistory",
            json!(["0x1", "latest", [50, 10]]),
            -32602,
            "invalid argument 2: invalid reward percentile: not ascending",
        ),
        (
            "eth_feeHistory",
            json!(["0x1", "latest", [101]]),
            -32602,
            "invalid argument 2: invalid reward percentile: 101.000000",
        ),
        (
            "eth_feeHistory",
            json!(["0x1", "0x99"]),
            -32000,
            "request beyond head block: requested 153, head 4",
        ),
        ("eth_getFilterChanges", json!(["0x1"]), -32000, "filter not found"),
        ("eth_sendRawTransaction", json!(["0x"]), -32000, "rlp: empty input"),
        ("eth_sendRawTransaction", json!(["0x05aa"]), -32000, "transaction type not supported"),
        ("eth_sendRawTransaction", json!(["0x03aa"]), -32000, "transaction type not supported"),
        (
            "eth_sendRawTransaction",
            json!([Bytes::from(vec![0xc0; 204_800])]),
            -32000,
            "oversized data: 204800 > 131072",
        ),
        (
            "istanbul_propose",
            json!([other, false]),
            -32602,
            "invalid argument 0: 0x0202020202020202020202020202020202020202 is not a validator",
        ),
        ("istanbul_getValidators", json!(["0x99"]), -32000, "unknown block"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_parameters_are_named() {
    let world = World::new().await;
    for (method, params, code, text) in cases() {
        let shown: String = params.to_string().chars().take(100).collect();
        let got = world.error(method, params).await;
        assert_eq!(got, (code, text.to_owned()), "{method} {shown}");
    }
    assert!(world.backend.told().submitted.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_of_other_chains_and_without_chain_are_refused() {
    let world = World::new().await;
    let send = async |chain_id| {
        let transaction = world.rich.legacy(TxLegacy { chain_id, ..TxLegacy::default() });
        world.error("eth_sendRawTransaction", json!([transaction.encoded()])).await.1
    };
    assert_eq!(send(Some(5)).await, "invalid chain id: have 5, want 1337");
    let text = "only replay-protected (EIP-155) transactions allowed over RPC";
    assert_eq!(send(None).await, text);
    world.backend.told().reject_with = Some("nonce too low: next nonce 5, tx nonce 3".into());
    let answer = world.error("eth_sendRawTransaction", json!([world.rich.transfer(3).encoded()]));
    assert_eq!(answer.await, (-32000, "nonce too low: next nonce 5, tx nonce 3".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_never_end_or_revert_have_codes_of_their_own() {
    let world = World::with(|config| {
        config.limits.call_gas = u64::MAX / 2;
        config.limits.call_time = std::time::Duration::from_millis(50);
    })
    .await;
    let call = |input: &str| json!([{ "to": world.contract, "input": input }, "latest"]);
    let (code, text) = world.error("eth_call", call("0x02")).await;
    assert_eq!(code, -32002, "{text}");
    for method in ["eth_call", "eth_estimateGas"] {
        let answer = world.ask(method, call("0x01")).await;
        assert_eq!(answer["error"]["code"], 3, "{answer}");
        assert_eq!(answer["error"]["message"], "execution reverted: nope");
        let data = answer["error"]["data"].as_str().expect("revert bytes");
        assert!(data.starts_with("0x08c379a0"), "{data}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_are_bounded_and_judged_entry_by_entry() {
    let world =
        World::with(|config| config.namespaces.retain(|name| name.prefix() != "admin")).await;
    let error =
        |answer: &Value| (answer["error"]["code"].clone(), answer["error"]["message"].clone());
    let many = Value::Array(vec![request("eth_chainId", &json!([])); 1001]);
    let answer = post(world.address, &many).await;
    assert_eq!(error(&answer), (json!(-32600), json!("batch too large (1001 > 1000)")));
    let answer = post(world.address, &json!([])).await;
    assert_eq!(error(&answer), (json!(-32600), json!("empty batch")));
    let mixed =
        json!([request("admin_nodeInfo", &json!([])), request("eth_chainId", &json!([])), 7]);
    let answer = post(world.address, &mixed).await;
    let text = "the method admin_nodeInfo does not exist/is not available";
    assert_eq!(error(&answer[0]), (json!(-32601), json!(text)));
    assert_eq!(answer[1]["result"], "0x539");
    assert_eq!(answer[2]["error"]["code"], -32600);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn responses_are_bounded_alone_and_in_a_batch() {
    let world = World::with(|config| config.limits.response_bytes = 2200).await;
    let block = request("eth_getBlockByNumber", &json!(["0x1", true]));
    let answer = post(world.address, &block).await;
    assert_eq!(answer["error"]["code"], -32005, "{answer}");
    let header = request("eth_getBlockByNumber", &json!(["0x0", false]));
    let answers = post(world.address, &Value::Array(vec![header; 5])).await;
    assert!(answers[0]["result"].is_object(), "{answers}");
    assert_eq!(answers[4]["error"]["code"], -32005);
    assert_eq!(answers[4]["id"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_json_rpc_is_refused() {
    let world = World::with(|config| config.limits.request_bytes = 300_000).await;
    let code = async |body: &str| {
        let (_, answer) = post_text(world.address, body).await;
        serde_json::from_str::<Value>(&answer).expect("JSON")["error"]["code"].as_i64()
    };
    assert_eq!(code("{").await, Some(-32700));
    let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[{nested}]}}"#);
    assert!(matches!(code(&deep).await, Some(-32700 | -32602)));
    assert_eq!(code(r#"{"id":1,"method":7}"#).await, Some(-32600));
    let long = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{}"}}"#, "m".repeat(200_000));
    let (_, answer) = post_text(world.address, &long).await;
    assert!(answer.len() < 300, "{}", answer.len());
    assert_eq!(post_text(world.address, &"x".repeat(300_001)).await.0, 413);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_outside_of_json_rpc_is_refused() {
    let world = World::new().await;
    let host = world.address;
    let raw = async |head: &str| exchange(host, format!("{head}\r\n\r\n").as_bytes()).await.0;
    assert_eq!(get(host, "/").await.0, 405);
    assert_eq!(get(host, "/..%2fetc").await.0, 404);
    assert_eq!(raw(&format!("PUT / HTTP/1.1\r\nHost: {host}\r\nConnection: close")).await, 405);
    let plain = format!(
        "POST / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: text/plain\r\n\
         Content-Length: 0"
    );
    assert_eq!(raw(&plain).await, 415);
    assert_eq!(raw("GET /livez HTTP/1.1\r\nHost: evil.com\r\nConnection: close").await, 403);
    assert_eq!(raw("GET /livez HTTP/1.1\r\nHost: localhost:1\r\nConnection: close").await, 200);
    let long = format!("GET /livez HTTP/1.1\r\nHost: {host}\r\nX: {}", "x".repeat(70_000));
    assert_eq!(raw(&long).await, 431);
    let refused = Socket::open(host, Some("https://evil.com")).await.err().expect("refused");
    assert!(refused.starts_with("HTTP/1.1 403"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_over_the_cap_are_closed() {
    let world = World::with(|config| config.limits.connections = 2).await;
    let first = Socket::open(world.address, None).await.expect("upgrade");
    let _second = Socket::open(world.address, None).await.expect("upgrade");
    Socket::open(world.address, None).await.err().expect("refused");
    drop(first);
}
