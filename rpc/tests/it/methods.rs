//! Whole answers of the methods, in geth's shapes.

use crate::world::World;
use alloy_primitives::{Address, B256, U256};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_we_are() {
    let world = World::new().await;
    let validator = json!(world.chain.validator);
    let answers = [
        ("web3_clientVersion", json!([]), json!("entente/v0.1.0/test")),
        (
            "web3_sha3",
            json!(["0x68656c6c6f"]),
            json!("0x1c8aff950685c2ed4bc3174f3472287b56d9517b9c948127319a09a7a36deac8"),
        ),
        ("net_version", json!([]), json!("1337")),
        ("net_listening", json!([]), json!(true)),
        ("net_peerCount", json!([]), json!("0x1")),
        ("eth_chainId", json!([]), json!("0x539")),
        ("eth_blockNumber", json!([]), json!("0x4")),
        ("eth_syncing", json!([]), json!(false)),
        ("eth_mining", json!([]), json!(true)),
        ("eth_coinbase", json!([]), validator.clone()),
        ("eth_hashrate", json!([]), json!("0x0")),
        ("eth_accounts", json!([]), json!([])),
        ("eth_gasPrice", json!([]), json!("0x0")),
        ("eth_maxPriorityFeePerGas", json!([]), json!("0x0")),
        ("eth_blobBaseFee", json!([]), json!("0x0")),
        ("eth_getUncleByBlockNumberAndIndex", json!(["0x1", "0x0"]), Value::Null),
        ("eth_getUncleCountByBlockNumber", json!(["0x1"]), json!("0x0")),
        ("eth_getBlockTransactionCountByNumber", json!(["0x3"]), json!("0x2")),
        ("eth_getBlockByNumber", json!(["0x99", false]), Value::Null),
        ("eth_getTransactionByHash", json!([B256::ZERO]), Value::Null),
        ("eth_getTransactionReceipt", json!([B256::ZERO]), Value::Null),
        ("eth_pendingTransactions", json!([]), json!([])),
        ("txpool_status", json!([]), json!({ "pending": "0x0", "queued": "0x0" })),
        ("istanbul_nodeAddress", json!([]), validator.clone()),
        ("istanbul_getValidators", json!([]), json!([validator])),
        ("istanbul_isValidator", json!([]), json!(true)),
        ("istanbul_candidates", json!([]), json!({})),
        (
            "istanbul_status",
            json!([]),
            json!({ "numBlocks": 4, "sealerActivity": { validator.as_str().expect("text"): 4 } }),
        ),
        ("qbft_getValidatorsByBlockNumber", json!(["latest"]), json!([validator])),
        ("qbft_getPendingVotes", json!([]), json!({})),
        ("qbft_getRequestTimeoutSeconds", json!([]), json!(4)),
        (
            "qbft_getSignerMetrics",
            json!([]),
            json!([{
                "address": validator, "proposedBlockCount": "0x4", "lastProposedBlockNumber": "0x4",
            }]),
        ),
    ];
    for (method, params, expected) in answers {
        assert_eq!(world.result(method, params).await, expected, "{method}");
    }
    let modules = world.result("rpc_modules", json!([])).await;
    assert_eq!(modules["eth"], "1.0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_is_read_at_any_block() {
    let world = World::new().await;
    let (rich, contract) = (world.rich.address(), world.contract);
    let answers = [
        ("eth_getBalance", json!([rich, "earliest"]), json!("0xde0b6b3a7640000")),
        ("eth_getBalance", json!([Address::repeat_byte(0xaa), "latest"]), json!("0x7")),
        (
            "eth_getBalance",
            json!([Address::repeat_byte(0xaa), { "blockNumber": "0x0" }]),
            json!("0x0"),
        ),
        ("eth_getTransactionCount", json!([rich, "latest"]), json!("0x5")),
        ("eth_getTransactionCount", json!([rich, "0x1"]), json!("0x2")),
        ("eth_getTransactionCount", json!([rich, "pending"]), json!("0x5")),
        ("eth_getCode", json!([rich, "latest"]), json!("0x")),
        ("eth_getStorageAt", json!([contract, "0x0", "0x1"]), json!(B256::ZERO)),
        ("eth_getStorageAt", json!([contract, "0x0", "latest"]), json!(B256::from(U256::from(42)))),
        ("eth_call", json!([{ "to": contract }, "latest"]), json!(B256::from(U256::from(42)))),
        (
            "eth_call",
            json!([{ "to": contract, "data": "0x", "input": "0x" }]),
            json!(B256::from(U256::from(42))),
        ),
    ];
    for (method, params, expected) in answers {
        assert_eq!(world.result(method, params.clone()).await, expected, "{method} {params}");
    }
    world.result("eth_sendRawTransaction", json!([world.rich.transfer(5).encoded()])).await;
    let count = world.result("eth_getTransactionCount", json!([rich, "pending"])).await;
    assert_eq!(count, "0x6");
    let gas = world.result(
        "eth_estimateGas",
        json!([{ "from": rich, "to": Address::repeat_byte(9), "value": "0x1" }]),
    );
    assert_eq!(gas.await, "0x5208");
    let proof = world.result("eth_getProof", json!([contract, ["0x0"], "latest"])).await;
    assert_eq!(proof["storageProof"][0]["key"], "0x0");
    assert_eq!(proof["storageProof"][0]["value"], "0x2a");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_has_geths_fields() {
    let world = World::new().await;
    let block = world.result("eth_getBlockByNumber", json!(["0x2", true])).await;
    for (field, expected) in [
        ("number", json!("0x2")),
        ("difficulty", json!("0x1")),
        ("totalDifficulty", json!("0x3")),
        ("baseFeePerGas", json!("0x0")),
        ("nonce", json!("0x0000000000000000")),
        ("miner", json!(world.chain.validator)),
        ("uncles", json!([])),
        ("timestamp", json!("0x2")),
    ] {
        assert_eq!(block[field], expected, "{field}");
    }
    let transaction = &block["transactions"][0];
    let alone = world.result("eth_getTransactionByHash", json!([transaction["hash"]])).await;
    assert_eq!(&alone, transaction);
    for (field, expected) in [
        ("type", json!("0x2")),
        ("from", json!(world.rich.address())),
        ("to", json!(world.contract)),
        ("nonce", json!("0x2")),
        ("gas", json!("0x186a0")),
        ("gasPrice", json!("0x0")),
        ("maxFeePerGas", json!("0x0")),
        ("input", json!("0x")),
        ("blockHash", block["hash"].clone()),
        ("blockNumber", json!("0x2")),
        ("transactionIndex", json!("0x0")),
        ("chainId", json!("0x539")),
    ] {
        assert_eq!(transaction[field], expected, "{field}");
    }
    assert_eq!(transaction["v"], transaction["yParity"]);
    let same = world.result("eth_getBlockByHash", json!([block["hash"], true])).await;
    assert_eq!(same, block);
    let hashes = world.result("eth_getBlockByHash", json!([block["hash"], false])).await;
    assert_eq!(hashes["transactions"], json!([transaction["hash"]]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receipts_count_gas_and_logs_over_the_block() {
    let world = World::new().await;
    let receipts = world.result("eth_getBlockReceipts", json!(["0x3"])).await;
    let (reverted, logged) = (&receipts[0], &receipts[1]);
    assert_eq!(reverted["status"], "0x0");
    assert_eq!(logged["status"], "0x1");
    assert_eq!(logged["type"], "0x2");
    assert_eq!(logged["effectiveGasPrice"], "0x0");
    assert_eq!(logged["contractAddress"], Value::Null);
    let number = |value: &Value| {
        let digits = value.as_str().and_then(|text| text.strip_prefix("0x")).expect("hex");
        u64::from_str_radix(digits, 16).expect("hex")
    };
    let sum = number(&reverted["gasUsed"]) + number(&logged["gasUsed"]);
    assert_eq!(number(&logged["cumulativeGasUsed"]), sum);
    assert_eq!(logged["logs"][0]["logIndex"], "0x0");
    assert_eq!(logged["logs"][0]["transactionIndex"], "0x1");
    let alone = world.result("eth_getTransactionReceipt", json!([logged["transactionHash"]])).await;
    assert_eq!(&alone, logged);
    let created = world.result("eth_getBlockReceipts", json!(["0x1"])).await;
    assert_eq!(created[1]["contractAddress"], json!(world.contract));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fee_history_has_rows_of_the_asked_length() {
    let world = World::new().await;
    let history = world.result("eth_feeHistory", json!([10, "pending", [10, 50]])).await;
    assert_eq!(history["oldestBlock"], "0x0");
    assert_eq!(history["baseFeePerGas"], json!(["0x0", "0x0", "0x0", "0x0", "0x0", "0x0"]));
    assert_eq!(
        history["reward"],
        json!([["0x0", "0x0"], ["0x0", "0x0"], ["0x0", "0x0"], ["0x0", "0x0"], ["0x0", "0x0"]])
    );
    assert_eq!(history["gasUsedRatio"].as_array().map(Vec::len), Some(5));
    let clamped = world.result("eth_feeHistory", json!(["0xffffffffffffffff", "latest"])).await;
    assert_eq!(clamped["oldestBlock"], "0x0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_transactions_are_shown_by_sender_and_nonce() {
    let world = World::new().await;
    let transaction = world.rich.transfer(5);
    world.result("eth_sendRawTransaction", json!([transaction.encoded()])).await;
    let sender = world.rich.address().to_string();
    let content = world.result("txpool_content", json!([])).await;
    assert_eq!(content["pending"][&sender]["5"]["hash"], json!(transaction.hash()));
    assert_eq!(content["pending"][&sender]["5"]["blockHash"], Value::Null);
    let own = world.result("txpool_contentFrom", json!([world.rich.address()])).await;
    assert_eq!(own["pending"]["5"]["nonce"], "0x5");
    let lines = world.result("txpool_inspect", json!([])).await;
    let to = Address::repeat_byte(0xaa);
    assert_eq!(lines["pending"][&sender]["5"], format!("{to}: 7 wei + 21000 gas × 0 wei"));
    let waiting = world.result("eth_getTransactionByHash", json!([transaction.hash()])).await;
    assert_eq!(waiting["blockNumber"], Value::Null);
}
