//! The smallest JSON-RPC client that a test needs.

use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

const TIMEOUT: Duration = Duration::from_secs(20);

/// A raw HTTP request on one connection; status and body.
pub(crate) fn request(port: u16, request: &[u8]) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(request)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let text = String::from_utf8_lossy(&answer);
    let status = text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or(("", ""));
    let body = if head.to_lowercase().contains("transfer-encoding: chunked") {
        unchunk(body)
    } else {
        body.to_owned()
    };
    Ok((status, body))
}

fn unchunk(mut body: &str) -> String {
    let mut out = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let Ok(size) = usize::from_str_radix(size.trim(), 16) else { break };
        let Some((chunk, rest)) = rest.split_at_checked(size) else { break };
        out.push_str(chunk);
        body = rest.strip_prefix("\r\n").unwrap_or(rest);
        if size == 0 {
            break;
        }
    }
    out
}

/// GET of a path.
pub(crate) fn get(port: u16, path: &str) -> std::io::Result<(u16, String)> {
    let text = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    request(port, text.as_bytes())
}

/// POST of a JSON text.
pub(crate) fn post(port: u16, body: &str) -> std::io::Result<(u16, String)> {
    post_to(port, "/", "", body)
}

/// POST of a JSON text to a path; `headers` are lines that end in CRLF.
fn post_to(port: u16, path: &str, headers: &str, body: &str) -> std::io::Result<(u16, String)> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n{headers}\r\n",
        body.len()
    );
    request(port, [head.as_bytes(), body.as_bytes()].concat().as_slice())
}

/// A call; `Err` is the error object or the transport's error as text.
pub(crate) fn call(port: u16, method: &str, params: Value) -> Result<Value, String> {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let (_, text) = post(port, &body.to_string()).map_err(|error| error.to_string())?;
    let mut answer: Value =
        serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
    match answer.get("error") {
        Some(error) => Err(error.to_string()),
        None => Ok(answer["result"].take()),
    }
}

/// A call of a private state; `Err` is an error object, or the status and what the server said.
pub(crate) fn call_in(
    port: u16,
    (state, token): (&str, Option<&str>),
    method: &str,
    params: Value,
) -> Result<Value, String> {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let bearer = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
    let path = format!("/?PSI={state}");
    let answered = post_to(port, &path, &bearer.unwrap_or_default(), &body.to_string());
    let (status, text) = answered.map_err(|error| error.to_string())?;
    let Ok(mut answer) = serde_json::from_str::<Value>(&text) else {
        return Err(format!("{status}: {text}"));
    };
    match answer.get("error") {
        Some(error) => Err(error.to_string()),
        None => Ok(answer["result"].take()),
    }
}

/// A call without parameters over a WebSocket, opened with a path and lines of the head that end in
/// CRLF; `Err` is what the server said instead. For short answers.
pub(crate) fn call_over_websocket(
    port: u16,
    (path, headers): (&str, &str),
    method: &str,
) -> Result<Value, String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("connected");
    stream.set_read_timeout(Some(TIMEOUT)).expect("set");
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
    );
    stream.write_all(head.as_bytes()).expect("written");
    let (mut answer, mut byte) = (Vec::new(), [0]);
    while !answer.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).map_err(|error| error.to_string())?;
        answer.extend(byte);
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    if !answer.starts_with("HTTP/1.1 101") {
        return Err(answer);
    }
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method }).to_string();
    let length = u8::try_from(body.len()).expect("short");
    assert!(length < 126);
    // Text, at once; a mask of zeros leaves it as it is.
    let frame = [&[0x81, 0x80 | length, 0, 0, 0, 0], body.as_bytes()].concat();
    stream.write_all(&frame).expect("written");
    let text = loop {
        let mut start = [0; 2];
        stream.read_exact(&mut start).expect("a frame");
        let mut content = vec![0; usize::from(start[1])];
        stream.read_exact(&mut content).expect("a frame");
        assert!(start[1] < 126, "a short frame");
        if start[0] == 0x81 {
            break content;
        }
        assert_eq!(start[0], 0x89, "a ping");
    };
    let mut answer: Value = serde_json::from_slice(&text).expect("JSON");
    Ok(answer["result"].take())
}

/// A call whose result is a quantity.
pub(crate) fn quantity(port: u16, method: &str, params: Value) -> Result<u64, String> {
    let value = call(port, method, params)?;
    let text = value.as_str().unwrap_or_default().trim_start_matches("0x");
    u64::from_str_radix(text, 16).map_err(|error| format!("{value}: {error}"))
}

/// The head's number.
pub(crate) fn head(port: u16) -> Result<u64, String> {
    quantity(port, "eth_blockNumber", json!([]))
}

/// Waits until a condition holds.
pub(crate) fn wait_for<T>(
    what: &str,
    within: Duration,
    mut condition: impl FnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited {within:?} for {what}");
        pause();
    }
}

/// Between two looks at a condition.
#[expect(clippy::disallowed_methods, reason = "polls a condition with a deadline")]
pub(crate) fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}
