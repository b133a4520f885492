//! A JSON-RPC client in a hundred lines: one request, one connection, no TLS.
//!
//! `testnet` and `doctor` ask for readiness and status with it, nothing else, so it takes no HTTP
//! library into the binary.

use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Longest wait for an answer; a busy machine that just started twenty nodes is slow.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Why a node gave no result.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The address is not `http://HOST:PORT`.
    #[error("address `{0}`: expected http://HOST:PORT")]
    Url(String),
    /// Nobody answers there.
    #[error("{url} does not answer: {cause}")]
    Connection {
        /// The address.
        url: String,
        /// The operating system's reason.
        cause: std::io::Error,
    },
    /// The answer took too long.
    #[error("{url} gave no answer within {} s", ANSWER_WITHIN.as_secs())]
    Late {
        /// The address.
        url: String,
    },
    /// What came back is no JSON-RPC answer.
    #[error("strange answer to {method}: {got}")]
    Answer {
        /// The method that was called.
        method: String,
        /// The beginning of what came back.
        got: String,
    },
    /// The node answered with an error.
    #[error("{method}: {message}")]
    Node {
        /// The method that was called.
        method: String,
        /// The node's text.
        message: String,
    },
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    result: Value,
    error: Option<NodeError>,
}

#[derive(Deserialize)]
struct NodeError {
    message: String,
}

/// Calls a method of the node at `http://HOST:PORT` and gives back its result. Must be called
/// within a tokio runtime.
///
/// # Errors
/// When the node does not answer within five seconds, or answers with an error.
pub async fn call(url: &str, method: &str, params: Value) -> Result<Value, CallError> {
    let authority = url
        .strip_prefix("http://")
        .map(|rest| rest.trim_end_matches('/'))
        .filter(|rest| rest.contains(':') && !rest.contains('/'))
        .ok_or_else(|| CallError::Url(url.to_owned()))?;
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
    let raw = timeout(ANSWER_WITHIN, exchange(authority, &body))
        .await
        .map_err(|_| CallError::Late { url: url.to_owned() })?
        .map_err(|cause| CallError::Connection { url: url.to_owned(), cause })?;
    let answer = body_of(&raw).and_then(|body| serde_json::from_slice::<Answer>(body).ok());
    match answer {
        None => Err(CallError::Answer {
            method: method.to_owned(),
            got: String::from_utf8_lossy(&raw).chars().take(200).collect(),
        }),
        Some(Answer { error: Some(NodeError { message }), .. }) => {
            Err(CallError::Node { method: method.to_owned(), message })
        }
        Some(Answer { result, error: None }) => Ok(result),
    }
}

/// As [`call`] without parameters, for a method that answers with a hexadecimal quantity.
pub(crate) async fn quantity(url: &str, method: &str) -> Result<u64, CallError> {
    let value = call(url, method, json!([])).await?;
    value
        .as_str()
        .and_then(|text| text.strip_prefix("0x"))
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .ok_or_else(|| CallError::Answer { method: method.to_owned(), got: value.to_string() })
}

/// HTTP/1.0: the server sends the body in one piece and closes.
async fn exchange(authority: &str, body: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(authority).await?;
    let request = format!(
        "POST / HTTP/1.0\r\nHost: {authority}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut raw = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut raw).await?;
    Ok(raw)
}

fn body_of(raw: &[u8]) -> Option<&[u8]> {
    let end = raw.windows(4).position(|window| window == b"\r\n\r\n")?;
    raw.get(end + 4..)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use tokio::net::TcpListener;

    /// Serves one connection with fixed bytes.
    async fn server(response: &'static str) -> String {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            assert!(stream.read(&mut request).await.unwrap() > 0);
            stream.write_all(response.as_bytes()).await.unwrap();
        });
        url
    }

    #[tokio::test]
    async fn quantity_is_read_from_the_body() {
        let url = server("HTTP/1.0 200 OK\r\nx: y\r\n\r\n{\"id\":1,\"result\":\"0x1f\"}").await;
        assert_eq!(quantity(&url, "eth_blockNumber").await.unwrap(), 31);
    }

    #[tokio::test]
    async fn error_of_the_node_is_passed_on() {
        let url =
            server("HTTP/1.0 200 OK\r\n\r\n{\"error\":{\"code\":-1,\"message\":\"no\"}}").await;
        assert_eq!(call(&url, "x_y", json!([])).await.unwrap_err().to_string(), "x_y: no");
    }

    #[tokio::test]
    async fn answer_that_is_no_json_is_shown() {
        let url = server("HTTP/1.0 403 Forbidden\r\n\r\ngo away").await;
        let text = call(&url, "x_y", json!([])).await.unwrap_err().to_string();
        assert!(text.contains("403 Forbidden"), "{text}");
    }

    #[tokio::test]
    async fn address_of_another_form_is_refused() {
        for url in ["", "127.0.0.1:1", "https://127.0.0.1:1", "http://127.0.0.1", "http://a:1/b"] {
            let refused = call(url, "x_y", json!([])).await;
            assert!(matches!(refused, Err(CallError::Url(_))), "{url}");
        }
    }
}
