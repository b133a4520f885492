//! HTTP and WebSocket by hand: tests must be able to send what no client library would.

use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// One HTTP exchange on a connection of its own: status and body.
pub(crate) async fn exchange(address: SocketAddr, request: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.expect("connect");
    // The server may answer and close before it has read everything.
    drop(stream.write_all(request).await);
    let mut response = Vec::new();
    drop(stream.read_to_end(&mut response).await);
    let response = String::from_utf8_lossy(&response).into_owned();
    let status = response.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_default();
    let body = response.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status, body.to_owned())
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    exchange(address, request.as_bytes()).await
}

pub(crate) async fn post_text(address: SocketAddr, body: &str) -> (u16, String) {
    let request = format!(
        "POST / HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    exchange(address, request.as_bytes()).await
}

pub(crate) async fn post(address: SocketAddr, body: &Value) -> Value {
    let (_, answer) = post_text(address, &body.to_string()).await;
    serde_json::from_str(&answer).unwrap_or_else(|cause| panic!("{cause}: {answer}"))
}

pub(crate) fn request(method: &str, params: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params })
}

/// A WebSocket. Its mask is zero, so payloads travel as they are.
pub(crate) struct Socket {
    stream: TcpStream,
}

impl Socket {
    pub(crate) async fn open(address: SocketAddr, origin: Option<&str>) -> Result<Self, String> {
        let mut stream = TcpStream::connect(address).await.expect("connect");
        let origin = origin.map(|origin| format!("Origin: {origin}\r\n")).unwrap_or_default();
        let handshake = format!(
            "GET / HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\
             {origin}\r\n"
        );
        stream.write_all(handshake.as_bytes()).await.expect("write");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.map_err(|cause| cause.to_string())?);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        if head.starts_with("HTTP/1.1 101") { Ok(Self { stream }) } else { Err(head) }
    }

    fn frame(text: &str) -> Vec<u8> {
        let length = text.len();
        let mut frame = vec![0x81];
        match u16::try_from(length) {
            Ok(short @ 0..126) => frame.push(0x80 | short.to_be_bytes()[1]),
            Ok(middle) => {
                frame.push(0x80 | 126);
                frame.extend(middle.to_be_bytes());
            }
            Err(_) => {
                frame.push(0x80 | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(text.as_bytes());
        frame
    }

    /// Sends messages in one write.
    pub(crate) async fn send_all(&mut self, messages: &[Value]) {
        let bytes: Vec<u8> =
            messages.iter().flat_map(|message| Self::frame(&message.to_string())).collect();
        self.stream.write_all(&bytes).await.expect("write");
    }

    /// Sends bytes as they are.
    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) {
        // The server may have closed the socket half-way.
        drop(self.stream.write_all(bytes).await);
    }

    /// The next text message; pings are skipped.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            let kind = self.stream.read_u8().await.ok()? & 0x0f;
            let length = match self.stream.read_u8().await.ok()? & 0x7f {
                126 => usize::from(self.stream.read_u16().await.ok()?),
                127 => usize::try_from(self.stream.read_u64().await.ok()?).ok()?,
                short => usize::from(short),
            };
            let mut payload = vec![0; length];
            self.stream.read_exact(&mut payload).await.ok()?;
            match kind {
                1 => return serde_json::from_slice(&payload).ok(),
                8 => return None,
                _ => {}
            }
        }
    }

    pub(crate) async fn call(&mut self, method: &str, params: Value) -> Value {
        self.send_all(&[request(method, &params)]).await;
        self.next().await.expect("an answer")
    }
}
