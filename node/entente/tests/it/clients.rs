//! The clients that people use, unchanged, against four validators.

use crate::{
    http::{call, head, wait_for},
    network::Network,
    wallet::Wallet,
};
use serde_json::json;
use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::Duration,
};

/// Installs the clients once; the script prints the folder.
fn installed() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/install-clients.sh");
        let output = Command::new(script).output().expect("the install script runs");
        assert!(
            output.status.success(),
            "clients cannot be installed:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let stdout = String::from_utf8_lossy(&output.stdout);
        PathBuf::from(stdout.lines().last().expect("a folder").trim())
    })
}

fn run(program: &str, script: &str, network: &Network, account: usize) {
    let url = format!("127.0.0.1:{}", network.port(1));
    let key = entente_testnet::dev_accounts()[account].private_key.to_string();
    let (http, ws) = (format!("http://{url}"), format!("ws://{url}"));
    // The README's snippet knows its account; it takes the address of the node at most.
    let arguments = if script.starts_with("readme") { vec![ws] } else { vec![http, ws, key] };
    run_with(program, script, &arguments);
}

/// What a script prints.
fn run_with(program: &str, script: &str, arguments: &[String]) -> String {
    let folder = installed();
    let program = match program {
        "python" => folder.join("venv/bin/python"),
        other => PathBuf::from(other),
    };
    let output = Command::new(program)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(script))
        .args(arguments)
        .output()
        .expect("the client runs");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{script}\n{stdout}");
    assert!(
        output.status.success(),
        "{script} failed:\n{stdout}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    stdout
}

/// The README's example of a private contract.
#[test]
fn ethers_deploys_a_private_contract_that_two_of_four_nodes_read() {
    let network = Network::private(|_| {});
    let manifest = network.folder_of(0).with_file_name("testnet.json");
    let said = run_with("node", "readme_private.mjs", &[manifest.display().to_string()]);
    let expected = ["nothing", "41", "nothing", "41"];
    let expected = (0..).zip(expected).map(|(node, value)| format!("node {node} reads {value}"));
    assert!(said.lines().eq(expected), "{said}");
}

/// ethers 6, viem 2 and web3.py 8 with their default settings: deploy, call, send, events by
/// subscription and by filter, reverts, batches and pipelines.
#[test]
fn ethers_viem_and_web3py_work_unchanged() {
    let network = Network::start(4, "1s");
    run("node", "readme_ethers.mjs", &network, 0);
    run("node", "ethers.mjs", &network, 1);
    run("node", "viem.mjs", &network, 2);
    run("python", "web3py.py", &network, 3);
}

/// A transaction of one node's client is mined whoever proposes, and every node knows it.
#[test]
fn a_transaction_given_to_any_node_is_mined_and_known_everywhere() {
    let network = Network::start(4, "on-demand");
    assert_eq!(network.highest(), 0, "nothing waits, so no block is made");
    let to = Wallet::funded(9).address();
    for node in 0..4 {
        let mut wallet = Wallet::funded(usize::from(node));
        let raw = wallet.transfer(to);
        let hash = call(network.port(node), "eth_sendRawTransaction", json!([raw])).expect("taken");
        for port in network.ports() {
            wait_for("the receipt on every node", Duration::from_secs(20), || {
                let receipt = call(port, "eth_getTransactionReceipt", json!([hash])).ok()?;
                (receipt["status"] == "0x1").then_some(())
            });
        }
    }
    let height = head(network.port(0)).expect("answers");
    assert!((1..=4).contains(&height), "four transactions made {height} blocks");
    network.agree_at(height, Duration::from_secs(10));
}
