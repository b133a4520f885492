//! `entente testnet up`: runs a network until it is told to stop.

use crate::{
    accounts::DEV_BALANCE_ETHER,
    error::TestnetError,
    init::init,
    layout::Layout,
    logs::MergedLog,
    manifest::Manifest,
    options::TestnetOptions,
    pid_file::{self, Runner},
    ports,
    process::{Happening, Processes},
    readiness,
};
use std::{io::Write, path::Path, time::Duration};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::timeout,
};

/// How long nodes may take to stop before they are killed.
pub(crate) const STOP_WITHIN: Duration = Duration::from_secs(10);

/// Runs a network until Ctrl-C, SIGTERM, or until every node has ended: makes it first when `dir`
/// holds none, merges the nodes' logs into `out`, prints a table and a line that begins with
/// `READY` when it is ready. Nodes that end are not started again.
///
/// `binary` is the `entente` program. Must be called within a tokio runtime.
///
/// # Errors
/// When the options do not fit the folder, a port is taken, the network already runs, a node ends
/// before the network is ready, it is not ready within two minutes, or all nodes have ended.
pub async fn up(
    options: &TestnetOptions,
    binary: &Path,
    out: &mut (dyn Write + Send),
) -> Result<(), TestnetError> {
    if !options.dir.exists() {
        // Nothing is written for a network that could not run.
        ports::probe(&Layout::new(options)?)?;
    }
    let layout = init(options)?;
    let dir = layout.dir().to_owned();
    let _running = match pid_file::take(&dir)? {
        Runner::Nobody(ours) => ours,
        Runner::Process(pid) => return Err(TestnetError::AlreadyRunning { dir, pid }),
    };
    ports::probe(&layout)?;
    // Taken before the first process runs: a signal from here on stops what there is.
    let mut stops = Stops::new().map_err(TestnetError::file("take signals for", &dir))?;
    let names: Vec<String> = layout.nodes().iter().map(|node| node.name.clone()).collect();
    let mut log = MergedLog::new(out, &names);

    let mut processes = Processes::start(&layout, binary)?;
    let mut manifest = Manifest::read(&dir)?;
    for (entry, pid) in manifest.nodes.iter_mut().zip(processes.pids()) {
        entry.pid = *pid;
    }
    manifest.write()?;

    let outcome = run(&layout, &manifest, &mut processes, &mut stops, &mut log).await;
    stop_all(&mut processes, &names, &mut log).await;
    for entry in &mut manifest.nodes {
        entry.pid = None;
    }
    manifest.write()?;
    outcome
}

/// Until something ends it. `Ok`: we were told to stop.
async fn run(
    layout: &Layout,
    manifest: &Manifest,
    processes: &mut Processes,
    stops: &mut Stops,
    log: &mut MergedLog<'_>,
) -> Result<(), TestnetError> {
    let mut ready = Box::pin(readiness::wait(layout, &manifest.options));
    let mut is_ready = false;
    loop {
        tokio::select! {
            outcome = &mut ready, if !is_ready => {
                let seconds = readiness::READY_WITHIN.as_secs();
                outcome.map_err(|reasons| TestnetError::NotReady { seconds, reasons })?;
                is_ready = true;
                announce(manifest, log);
            }
            happening = processes.next() => match happening {
                Happening::Line(line) => log.line(line),
                Happening::Exited { node, status } => {
                    let name = name_of(manifest, node);
                    log.recall(node, &format!("{name} ended ({status}); its last lines:"));
                    if !is_ready {
                        return Err(TestnetError::ExitedEarly { node: name, status });
                    }
                    if processes.alive() == 0 {
                        return Err(TestnetError::AllExited);
                    }
                    log.say(&format!("{} of {} nodes go on", processes.alive(), manifest.nodes.len()));
                }
            },
            name = stops.next() => {
                log.say(&format!("{name}: stopping {} nodes", processes.alive()));
                return Ok(());
            }
        }
    }
}

fn name_of(manifest: &Manifest, node: usize) -> String {
    manifest.nodes.get(node).map_or_else(|| format!("node-{node}"), |entry| entry.name.clone())
}

/// SIGTERM to all, SIGKILL to those that still run after [`STOP_WITHIN`].
async fn stop_all(processes: &mut Processes, names: &[String], log: &mut MergedLog<'_>) {
    processes.stop();
    if timeout(STOP_WITHIN, drain(processes, names, log)).await.is_err() {
        log.say(&format!("killing {} nodes that did not stop", processes.alive()));
        processes.kill();
        drain(processes, names, log).await;
    }
}

/// Shows what the nodes still say until all have ended.
async fn drain(processes: &mut Processes, names: &[String], log: &mut MergedLog<'_>) {
    while processes.alive() > 0 {
        match processes.next().await {
            Happening::Line(line) => log.line(line),
            Happening::Exited { node, status } => {
                let name = names.get(node).map_or("a node", String::as_str);
                log.say(&format!("{name} ended ({status})"));
            }
        }
    }
}

fn announce(manifest: &Manifest, log: &mut MergedLog<'_>) {
    let options = &manifest.options;
    log.say("");
    log.say(&format!(
        "chain id {}, {} with {} validators, block period {}, gas limit {}, gas price 0",
        manifest.chain_id,
        options.engine,
        options.validators,
        options.block_period,
        options.gas_limit
    ));
    log.say("");
    log.say(&format!("{:<8} {:<22} {:<20} {:<42} pid", "node", "HTTP", "WebSocket", "validator"));
    for node in &manifest.nodes {
        let pid = node.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        log.say(&format!(
            "{:<8} {:<22} {:<20} {:<42} {pid}",
            node.name, node.rpc, node.ws, node.validator
        ));
    }
    announce_private(manifest, log);
    log.say("");
    log.say(&format!(
        "accounts with {DEV_BALANCE_ETHER} ether each; their keys are public, never use them elsewhere"
    ));
    for account in &manifest.accounts {
        log.say(&format!("{}  {}", account.address, account.private_key));
    }
    log.say("");
    let url = manifest.nodes.first().map_or("", |node| node.rpc.as_str());
    log.say(&format!("READY {} nodes, JSON-RPC at {url}; Ctrl-C stops them", manifest.nodes.len()));
}

/// Who has which key for private transactions.
fn announce_private(manifest: &Manifest, log: &mut MergedLog<'_>) {
    if !manifest.options.private {
        return;
    }
    log.say("");
    log.say(&format!("{:<8} {:<44} account it signs for", "node", "privacy key (privateFor)"));
    for node in &manifest.nodes {
        if let (Some(key), Some(account)) = (&node.privacy_key, node.account) {
            log.say(&format!("{:<8} {key:<44} {account}", node.name));
        }
    }
}

/// What tells us to stop.
struct Stops {
    interrupt: Signal,
    terminate: Signal,
}

impl Stops {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// The next signal, by name.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}
