//! `eth_sendTransactionAsync`: the answer comes at once, the result by a call to a URL.

use super::{PATIENCE, Parties, init_code, random_word};
use crate::http::wait_for;
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    path::Path,
};

const NOTHING: &str = "0x0000000000000000000000000000000000000000000000000000000000000000";

/// The body of the next POST to a server; one that never comes fails the test by its time limit.
fn next_post(server: &TcpListener) -> (String, Value) {
    let stream = wait_for("a callback", PATIENCE, || server.accept().ok()).0;
    stream.set_nonblocking(false).expect("set");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    let mut reader = BufReader::new(&stream);
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first).expect("a request");
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a header");
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("a body");
    (&stream).write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").expect("answered");
    (first.trim().to_owned(), serde_json::from_slice(&body).expect("JSON"))
}

#[test]
fn a_send_without_an_answer_tells_its_result_to_the_url_that_it_names() {
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    server.set_nonblocking(true).expect("set");
    let url = format!("http://{}", server.local_addr().expect("an address"));
    let parties = Parties::start(|net: &Path| {
        let path = net.join("node-0").join("node.toml");
        let text = fs::read_to_string(&path).expect("node.toml");
        let with = text.replace("[rpc]\n", &format!("[rpc]\ncallbacks = [\"{url}\"]\n"));
        assert_ne!(text, with, "{text}");
        fs::write(&path, with).expect("written");
    });
    let word = random_word();
    let transaction = |callback: &str| {
        json!({
            "from": parties.accounts[0], "data": init_code(&word), "gas": "0x100000",
            "privateFor": [parties.key(2)], "callbackUrl": callback,
        })
    };
    let send = |node, transaction: Value| {
        parties.ask(node, "eth_sendTransactionAsync", json!([transaction]))
    };
    assert_eq!(send(0, transaction(&format!("{url}/sent?by=us"))), Ok(json!(NOTHING)));
    let (request, told) = next_post(&server);
    assert_eq!(request, "POST /sent?by=us HTTP/1.1");
    assert_eq!(told["id"], "1", "{told}");
    let contract = parties.receipt(2, &told["txHash"])["contractAddress"].clone();
    assert_eq!(parties.stored(2, &contract), json!(word));

    // What goes wrong is told too.
    let mut wrong = transaction(&url);
    wrong["from"] = json!("0x00000000000000000000000000000000000000aa");
    assert_eq!(send(0, wrong), Ok(json!(NOTHING)));
    assert_eq!(next_post(&server).1, json!({ "id": "1", "error": "unknown account" }));

    // A server that is not listed is never called, and nothing is sent.
    let nonce =
        || parties.ask(1, "eth_getTransactionCount", json!([parties.accounts[1], "pending"]));
    let before = nonce();
    let mut elsewhere = transaction(&url);
    elsewhere["from"] = json!(parties.accounts[1]);
    let refused = send(1, elsewhere.clone()).expect_err("refused");
    assert!(refused.contains("is not in rpc.callbacks"), "{refused}");
    assert_eq!(nonce(), before);

    // Without a URL the caller looks for itself.
    elsewhere.as_object_mut().expect("an object").remove("callbackUrl");
    assert_eq!(send(1, elsewhere), Ok(json!(NOTHING)));
    wait_for("the send", PATIENCE, || (nonce() != before).then_some(()));
}
