//! A program that answers like a node, and a writer that can be read.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

/// Answers the methods that `testnet` asks for; the port is the first `:PORT` behind `listen` in
/// the section `[rpc]` of node.toml.
const PROGRAM: &str = r#"#!/usr/bin/env python3
import http.server, json, re, sys
mode, config = "MODE", open(sys.argv[3]).read()
if mode == "fail":
    print("cannot go on", file=sys.stderr)
    sys.exit(3)
port = int(re.search(r'\[rpc\][^\[]*?listen[^\n]*?:(\d+)', config).group(1))
answers = {
    "eth_blockNumber": "0x7",
    "net_peerCount": "0x1",
    "entente_consensusStatus": {
        "height": 8, "round": 0, "phase": "waiting for transactions",
        "validators": [{"address": "0xbb", "reachable": False}],
    },
}
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps({"id": 1, "result": answers[asked["method"]]}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
print("listening", flush=True)
server.serve_forever()
"#;

/// Writes the program into a folder.
pub(crate) fn stand_in(dir: &Path, mode: &str) -> PathBuf {
    let path = dir.join("stand-in");
    fs::write(&path, PROGRAM.replace("MODE", mode)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// Collects what is written.
#[derive(Clone, Default)]
pub(crate) struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    /// Everything so far.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }

    /// Everything, once a line begins with `start`.
    pub(crate) async fn line(&self, start: &str) -> String {
        let mut look = tokio::time::interval(Duration::from_millis(20));
        loop {
            look.tick().await;
            let text = self.text();
            if text.lines().any(|line| line.starts_with(start)) {
                return text;
            }
        }
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
