//! Four real validators in a temporary folder.

use crate::http::{call, head, wait_for};
use serde_json::{Value, json};
use std::{
    fs::File,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

/// The program under test.
pub(crate) const ENTENTE: &str = env!("CARGO_BIN_EXE_entente");

/// A network that stops with its test.
pub(crate) struct Network {
    folder: tempfile::TempDir,
    up: Child,
    /// Nodes that the test started again by itself.
    restarted: Vec<Option<Child>>,
    _alone: MutexGuard<'static, ()>,
    pub(crate) base_port: u16,
    pub(crate) validators: u16,
}

/// One network at a time: two cores carry four validators, not sixteen.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Fifty free ports in a row, each answer a new range. Below the ports that the operating system
/// gives to outgoing connections.
pub(crate) fn free_ports() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let seed = u16::try_from(std::process::id() % 200).unwrap_or(0);
    let base = || 12_000 + (seed + NEXT.fetch_add(1, Ordering::Relaxed)) % 330 * 60;
    std::iter::repeat_with(base)
        .take(330)
        .find(|base| (*base..*base + 50).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()))
        .expect("fifty free ports in a row")
}

impl Network {
    /// Starts an IBFT network and waits until it is ready.
    pub(crate) fn start(validators: u16, block_period: &str) -> Self {
        Self::of("ibft", validators, block_period)
    }

    /// Starts a network of an engine and waits until it is ready.
    pub(crate) fn of(engine: &str, validators: u16, block_period: &str) -> Self {
        Self::with_genesis(engine, validators, block_period, |_| {})
    }

    /// As [`of`](Self::of), with a genesis that was changed before the first start.
    pub(crate) fn with_genesis(
        engine: &str,
        validators: u16,
        block_period: &str,
        change: impl FnOnce(&mut Value),
    ) -> Self {
        Self::prepared((engine, block_period), &[], validators, |net| {
            let path = net.join("genesis.json");
            let text = std::fs::read_to_string(&path).expect("genesis.json");
            let mut genesis = serde_json::from_str(&text).expect("JSON");
            change(&mut genesis);
            std::fs::write(&path, genesis.to_string()).expect("genesis.json");
        })
    }

    /// Four nodes with private transactions; their folder is changed before the first start.
    pub(crate) fn private(change: impl FnOnce(&Path)) -> Self {
        Self::prepared(("ibft", "250ms"), &["--private"], 4, change)
    }

    /// `others`: what else the network is made with.
    fn prepared(
        (engine, block_period): (&str, &str),
        others: &[&str],
        validators: u16,
        change: impl FnOnce(&Path),
    ) -> Self {
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = tempfile::tempdir().expect("folder");
        let base_port = free_ports();
        let net = folder.path().join("net");
        let (count, port) = (validators.to_string(), base_port.to_string());
        let command = |verb: &str| {
            let mut command = Command::new(ENTENTE);
            command.args(["testnet", verb, "--dir"]).arg(&net);
            command.args(["--validators", &count, "--base-port", &port, "--engine", engine]);
            command.args(["--block-period", block_period]).args(others).stdin(Stdio::null());
            command
        };
        assert!(command("init").output().expect("entente runs").status.success());
        change(&net);
        let log = File::create(folder.path().join("up.log")).expect("log file");
        let up = command("up")
            .stdout(log.try_clone().expect("log file"))
            .stderr(log)
            .spawn()
            .expect("entente starts");
        let restarted = (0..validators).map(|_| None).collect();
        let mut network = Self { folder, up, restarted, _alone: alone, base_port, validators };
        wait_for("READY", Duration::from_secs(130), || {
            let ended = network.up.try_wait().expect("a child");
            assert!(ended.is_none(), "testnet up ended: {ended:?}");
            network.log().lines().any(|line| line.starts_with("READY")).then_some(())
        });
        network
    }

    /// Everything that was logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("up.log")).unwrap_or_default()
    }

    /// RPC port of a node.
    pub(crate) fn port(&self, node: u16) -> u16 {
        self.base_port + node
    }

    /// Ports of all nodes.
    pub(crate) fn ports(&self) -> impl Iterator<Item = u16> + use<> {
        self.base_port..self.base_port + self.validators
    }

    /// Runs the program with some arguments and waits for its end.
    pub(crate) fn entente(&self, arguments: &[&str], last: &str) -> Output {
        Command::new(ENTENTE).args(arguments).arg(last).output().expect("entente runs")
    }

    /// Process of a node.
    pub(crate) fn pid(&self, node: u16) -> u64 {
        self.manifest()["nodes"][usize::from(node)]["pid"].as_u64().expect("pid")
    }

    /// Folder of a node.
    pub(crate) fn folder_of(&self, node: u16) -> PathBuf {
        self.folder.path().join("net").join(format!("node-{node}"))
    }

    /// What the network's program wrote about it.
    pub(crate) fn manifest_path(&self) -> PathBuf {
        self.folder.path().join("net/testnet.json")
    }

    /// The same, read.
    pub(crate) fn manifest(&self) -> Value {
        let text = std::fs::read_to_string(self.manifest_path()).expect("testnet.json");
        serde_json::from_str(&text).expect("testnet.json is JSON")
    }

    /// Validator address of a node.
    pub(crate) fn validator(&self, node: u16) -> String {
        self.manifest()["nodes"][usize::from(node)]["validator"].as_str().expect("address").into()
    }

    /// kill -9.
    pub(crate) fn kill(&mut self, node: u16) {
        let slot = &mut self.restarted[usize::from(node)];
        if let Some(mut child) = slot.take() {
            child.kill().expect("killed");
            child.wait().expect("gone");
            return;
        }
        let pid = self.pid(node);
        let killed = Command::new("kill").args(["-9", &pid.to_string()]).status().expect("kill");
        assert!(killed.success());
        let port = self.port(node);
        wait_for("the port of a killed node to be free", Duration::from_secs(10), || {
            TcpListener::bind(("127.0.0.1", port)).ok().map(drop)
        });
    }

    /// Starts a killed node again from its folder.
    pub(crate) fn restart(&mut self, node: u16) {
        let folder = self.folder_of(node);
        let log = File::options()
            .create(true)
            .append(true)
            .open(folder.join("restarted.log"))
            .expect("log file");
        let child = Command::new(ENTENTE)
            .args(["run", "--config"])
            .arg(folder.join("node.toml"))
            .stdout(log.try_clone().expect("log file"))
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .expect("entente starts");
        self.restarted[usize::from(node)] = Some(child);
        let port = self.port(node);
        wait_for("a restarted node to answer", Duration::from_secs(60), || head(port).ok());
    }

    /// Waits until every node is at or beyond a height, and all agree on the block there.
    pub(crate) fn agree_at(&self, height: u64, within: Duration) -> Value {
        let blocks: Vec<Value> = self
            .ports()
            .map(|port| {
                wait_for(&format!("block {height} on port {port}"), within, || {
                    let block =
                        call(port, "eth_getBlockByNumber", json!([format!("{height:#x}"), false]));
                    block.ok().filter(|block| !block.is_null())
                })
            })
            .collect();
        let first = blocks.first().expect("a node").clone();
        for block in &blocks {
            assert_eq!(block["hash"], first["hash"], "nodes disagree at height {height}");
            assert_eq!(block["stateRoot"], first["stateRoot"]);
        }
        first
    }

    /// The highest head of all nodes that answer.
    pub(crate) fn highest(&self) -> u64 {
        self.ports().filter_map(|port| head(port).ok()).max().unwrap_or(0)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for child in self.restarted.iter_mut().flatten() {
            drop(child.kill());
            drop(child.wait());
        }
        drop(Command::new("kill").arg(self.up.id().to_string()).status());
        drop(self.up.wait());
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<_> = log.lines().rev().take(120).collect();
            for line in tail.into_iter().rev() {
                eprintln!("{line}");
            }
            for node in 0..self.validators {
                let path = self.folder_of(node).join("restarted.log");
                let text = std::fs::read_to_string(path).unwrap_or_default();
                let tail: Vec<_> = text.lines().rev().take(30).collect();
                for line in tail.into_iter().rev() {
                    eprintln!("restarted node-{node} | {line}");
                }
            }
        }
    }
}
