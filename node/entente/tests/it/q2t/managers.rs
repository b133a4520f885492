//! Managers that are each other's peers, and how they are asked.

use crate::{
    http::{request, wait_for},
    network::{ENTENTE, free_ports},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use entente_privacy::{KdfCost, KeyStore, PartyKey, Randomness};
use serde_json::{Value, json};
use std::{
    fs::{self, File, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};
use zeroize::Zeroizing;

const PASSWORD: &str = "password of the managers";
pub(super) const STARTED: Duration = Duration::from_secs(60);
/// Cheap on purpose: these keys guard nothing.
const COST: KdfCost = KdfCost { memory_kib: 64, iterations: 1, parallelism: 1 };

/// Managers that are each other's peers; they stop with their test.
pub(super) struct Managers {
    folder: tempfile::TempDir,
    pub(super) base_port: u16,
    running: Vec<Option<Child>>,
    pub(super) keys: Vec<Vec<String>>,
}

/// An answer over HTTP.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect(&self.body)
    }
}

impl Managers {
    /// Starts managers with so many keys each, and waits until each knows all keys.
    pub(super) fn start(keys: &[usize], more: &str) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let base_port = free_ports();
        let secrets: Vec<_> =
            (0..keys.len()).map(|at| [u8::try_from(at).expect("few") + 1; 32]).collect();
        let nodes: Vec<_> = secrets
            .iter()
            .map(|secret| {
                let path = folder.path().join(hex::encode(secret));
                fs::write(&path, hex::encode(secret)).expect("written");
                fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("mode");
                entente_p2p::NodeKey::load(&path).expect("node key").node_id()
            })
            .collect();
        let mut own = Vec::new();
        for (at, count) in keys.iter().enumerate() {
            let place = folder.path().join(at.to_string());
            fs::create_dir(&place).expect("folder");
            own.push(make_keys(&place, *count));
            let peer = |other: usize| {
                let port = base_port + 10 + u16::try_from(other).expect("few");
                format!("'{}@127.0.0.1:{port}'", nodes[other])
            };
            let others: Vec<_> = (0..keys.len()).filter(|other| *other != at).map(peer).collect();
            let port = base_port + u16::try_from(at).expect("few");
            let more = if at == 0 { more } else { "" };
            let folder = place.display();
            let config = format!(
                "data_dir = '{folder}/data'\nenvironment = 'tests'\n[q2t]\n\
                 listen = '127.0.0.1:{port}'\nsocket = '{folder}/tm.ipc'\n[p2p]\n\
                 listen = '127.0.0.1:{}'\npeers = [{}]\nnode_key_file = '{}'\n[third_party]\n\
                 listen = '127.0.0.1:{}'\n[privacy]\nkey_folder = '{folder}/keys'\n\
                 password_file = '{folder}/password'\n{more}",
                port + 10,
                others.join(", "),
                place.join("../").join(hex::encode(secrets[at])).display(),
                port + 20,
            );
            fs::write(place.join("config.toml"), config).expect("written");
        }
        let running = keys.iter().map(|_| None).collect();
        let mut managers = Self { folder, base_port, running, keys: own };
        (0..keys.len()).for_each(|at| managers.run(at));
        managers.know_each_other();
        managers
    }

    pub(super) fn run(&mut self, at: usize) {
        let place = self.place(at);
        let log = File::options().create(true).append(true).open(place.join("log")).expect("log");
        let mut command = Command::new(ENTENTE);
        command.args(["privacy", "--config"]).arg(place.join("config.toml"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.running[at] = Some(command.spawn().expect("entente starts"));
        wait_for("the manager", STARTED, || {
            let answer = self.try_ask(at, "GET", "/upcheck", "").ok()?;
            (answer.status == 200).then_some(())
        });
    }

    pub(super) fn place(&self, at: usize) -> PathBuf {
        self.folder.path().join(at.to_string())
    }

    pub(super) fn know_each_other(&self) {
        let all: usize = self.keys.iter().map(Vec::len).sum();
        for at in 0..self.keys.len() {
            wait_for("all keys", STARTED, || {
                let answer = self.try_ask(at, "GET", "/partyinfo/keys", "").ok()?;
                (answer.json()["keys"].as_array()?.len() == all).then_some(())
            });
        }
    }

    pub(super) fn kill(&mut self, at: usize) {
        let mut child = self.running[at].take().expect("running");
        child.kill().expect("killed");
        child.wait().expect("ended");
    }

    pub(super) fn try_ask(
        &self,
        at: usize,
        method: &str,
        path: &str,
        body: &str,
    ) -> std::io::Result<Answer> {
        self.ask_with(at, method, path, "application/json", body.as_bytes())
    }

    pub(super) fn ask_with(
        &self,
        at: usize,
        method: &str,
        path: &str,
        kind: &str,
        body: &[u8],
    ) -> std::io::Result<Answer> {
        let port = self.base_port + u16::try_from(at).expect("few");
        let head = head(method, path, kind, body.len());
        let (status, body) = request(port, &[head.as_bytes(), body].concat())?;
        Ok(Answer { status, body })
    }

    pub(super) fn get(&self, at: usize, path: &str) -> Answer {
        self.try_ask(at, "GET", path, "").expect("asked")
    }

    pub(super) fn post(&self, at: usize, path: &str, body: &Value) -> Answer {
        self.try_ask(at, "POST", path, &body.to_string()).expect("asked")
    }

    /// Sends a payload to keys; its hash as a path.
    pub(super) fn send(&self, at: usize, payload: &[u8], to: &[&str]) -> String {
        let body = json!({ "payload": STANDARD.encode(payload), "to": to, "privacyFlag": 0 });
        let answer = self.post(at, "/send", &body);
        assert_eq!(answer.status, 201, "{}", answer.body);
        path_of(&answer.json())
    }
}

impl Drop for Managers {
    fn drop(&mut self) {
        for child in self.running.iter_mut().flatten() {
            drop(child.kill());
            drop(child.wait());
        }
        if std::thread::panicking() {
            for at in 0..self.keys.len() {
                let log = fs::read_to_string(self.place(at).join("log")).unwrap_or_default();
                eprintln!("manager {at}:\n{log}");
            }
        }
    }
}

fn make_keys(place: &Path, count: usize) -> Vec<String> {
    let randomness = Randomness::from_os().expect("randomness");
    let store = KeyStore::new(place.join("keys"), COST);
    let password = Zeroizing::new(PASSWORD.to_owned());
    let make = |_| store.create(&password, &randomness).expect("key");
    let keys = (0..count).map(make).map(|key: PartyKey| key.public().to_string()).collect();
    fs::write(place.join("password"), PASSWORD).expect("written");
    fs::set_permissions(place.join("password"), Permissions::from_mode(0o600)).expect("mode");
    keys
}

pub(super) fn head(method: &str, path: &str, kind: &str, length: usize) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n"
    )
}

pub(super) fn path_of(answer: &Value) -> String {
    format!("/transaction/{}", answer["key"].as_str().expect("key").replace('/', "%2F"))
}
