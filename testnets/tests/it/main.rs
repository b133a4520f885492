//! A network of stand-ins for `entente`: what starts, what is said, what stops.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod stand_in;

use entente_testnet::{
    BlockPeriod, TestnetError, TestnetOptions, down, manifest::Manifest, status, up,
};
use stand_in::{Captured, stand_in};
use std::{fs, path::Path, time::Duration};
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(60);

/// The first of fifty free ports in a row.
fn free_ports() -> u16 {
    (0..900)
        .map(|step| 12_000 + step * 50)
        .find(|base| {
            (*base..*base + 50).all(|port| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok())
        })
        .unwrap()
}

fn options(dir: &Path) -> TestnetOptions {
    TestnetOptions {
        base_port: free_ports(),
        validators: 2,
        block_period: BlockPeriod::OnDemand,
        ..TestnetOptions::new(dir.join("net"))
    }
}

/// One test, because SIGTERM, which `down` sends to the process that runs a network, reaches every
/// network of this process.
#[tokio::test(flavor = "multi_thread")]
async fn network_starts_is_seen_and_stops() {
    runs_until_down().await;
    node_that_ends_at_once_ends_the_network().await;
    commands_on_an_empty_folder_say_so().await;
}

async fn runs_until_down() {
    let dir = tempfile::tempdir().unwrap();
    let binary = stand_in(dir.path(), "serve");
    let options = options(dir.path());
    let captured = Captured::default();
    let mut out = captured.clone();
    let running = {
        let options = options.clone();
        let binary = binary.clone();
        tokio::spawn(async move { up(&options, &binary, &mut out).await })
    };
    let log = timeout(DEADLINE, captured.line("READY ")).await.unwrap();
    for node in ["node-0", "node-1"] {
        assert!(log.contains(&format!("{node} | listening")), "{log}");
    }
    let manifest = Manifest::read(&options.dir).unwrap();
    assert!(manifest.nodes.iter().all(|node| node.pid.is_some()));

    let second = up(&options, &binary, &mut Vec::new()).await;
    let pid = std::process::id().to_string();
    assert!(matches!(second, Err(TestnetError::AlreadyRunning { pid: got, .. }) if got == pid));

    let mut table = Vec::new();
    status(&options.dir, &mut table).await.unwrap();
    let table = String::from_utf8(table).unwrap();
    assert_eq!(table.matches(" up ").count(), 2, "{table}");
    assert!(table.contains("waiting for transactions; missing 0xbb"), "{table}");

    let mut said = Vec::new();
    down(&options.dir, &mut said).await.unwrap();
    assert_eq!(
        String::from_utf8(said).unwrap(),
        format!("stopped the network that process {pid} ran\n")
    );
    timeout(DEADLINE, running).await.unwrap().unwrap().unwrap();
    let manifest = Manifest::read(&options.dir).unwrap();
    assert!(manifest.nodes.iter().all(|node| node.pid.is_none()));

    let mut table = Vec::new();
    status(&options.dir, &mut table).await.unwrap();
    assert_eq!(String::from_utf8(table).unwrap().matches(" down ").count(), 2);
    let mut said = Vec::new();
    down(&options.dir, &mut said).await.unwrap();
    assert_eq!(said, b"nothing runs here\n");
}

async fn node_that_ends_at_once_ends_the_network() {
    let dir = tempfile::tempdir().unwrap();
    let binary = stand_in(dir.path(), "fail");
    let captured = Captured::default();
    let mut out = captured.clone();
    let ended = timeout(DEADLINE, up(&options(dir.path()), &binary, &mut out)).await.unwrap();
    assert!(matches!(ended, Err(TestnetError::ExitedEarly { .. })), "{ended:?}");
    let log = captured.text();
    assert!(log.contains("ended (exit status: 3); its last lines:"), "{log}");
    assert!(log.contains("    cannot go on"), "{log}");
}

async fn commands_on_an_empty_folder_say_so() {
    let dir = tempfile::tempdir().unwrap();
    for outcome in
        [down(dir.path(), &mut Vec::new()).await, status(dir.path(), &mut Vec::new()).await]
    {
        assert!(matches!(outcome, Err(TestnetError::NoNetwork(_))), "{outcome:?}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
