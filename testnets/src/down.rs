//! `entente testnet down`: stops a network that runs elsewhere.

use crate::{
    error::TestnetError,
    layout::Layout,
    manifest::Manifest,
    pid_file::{self, Runner},
    process,
    up::STOP_WITHIN,
};
use rustix::process::Signal;
use std::{fs, io::Write, path::Path, time::Duration};
use tokio::time::{Instant, sleep};

const LOOK_EVERY: Duration = Duration::from_millis(50);
/// `up` itself waits [`STOP_WITHIN`] for its nodes and then kills them.
const UP_STOPS_WITHIN: Duration = Duration::from_secs(STOP_WITHIN.as_secs() + 5);

/// Stops the network of `dir`: tells the `up` that runs it to stop and waits until it has; nodes
/// that a killed `up` left behind are stopped one by one. Nothing running is no failure.
///
/// # Errors
/// When there is no network in `dir`, or when it does not stop.
pub async fn down(dir: &Path, out: &mut (dyn Write + Send)) -> Result<(), TestnetError> {
    let manifest = Manifest::read(dir)?;
    let told = stop_runner(dir).await?;
    let left = stop_left_behind(&manifest).await?;
    let text = match (told, left) {
        (Some(pid), _) => format!("stopped the network that process {pid} ran"),
        (None, 0) => "nothing runs here".to_owned(),
        (None, nodes) => format!("stopped {nodes} nodes that were left behind"),
    };
    writeln!(out, "{text}").map_err(TestnetError::file("report about", dir))
}

/// The process that was told to stop, if one runs the network.
async fn stop_runner(dir: &Path) -> Result<Option<String>, TestnetError> {
    let deadline = Instant::now() + UP_STOPS_WITHIN;
    let mut told = None;
    loop {
        let pid = match pid_file::take(dir)? {
            Runner::Nobody(_) => return Ok(told),
            Runner::Process(pid) => pid,
        };
        if told.is_none() {
            process::signal(pid.parse().ok(), Signal::TERM);
            told = Some(pid);
        } else if Instant::now() >= deadline {
            return Err(TestnetError::StillRunning { pid, seconds: UP_STOPS_WITHIN.as_secs() });
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Stops processes of the last `up` that still run; says how many.
async fn stop_left_behind(manifest: &Manifest) -> Result<usize, TestnetError> {
    let layout = Layout::new(&manifest.options)?;
    let left: Vec<(u32, String)> = layout
        .nodes()
        .iter()
        .zip(&manifest.nodes)
        .filter_map(|(place, entry)| Some((entry.pid?, place.config().display().to_string())))
        .filter(|(pid, config)| runs_with(*pid, config))
        .collect();
    for (pid, _) in &left {
        process::signal(Some(*pid), Signal::TERM);
    }
    let deadline = Instant::now() + STOP_WITHIN;
    while left.iter().any(|(pid, config)| runs_with(*pid, config)) {
        if Instant::now() >= deadline {
            for (pid, _) in left.iter().filter(|(pid, config)| runs_with(*pid, config)) {
                process::signal(Some(*pid), Signal::KILL);
            }
            break;
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(left.len())
}

/// Whether a process is the node with this configuration, and not somebody who got its number.
fn runs_with(pid: u32, config: &str) -> bool {
    fs::read(format!("/proc/{pid}/cmdline"))
        .is_ok_and(|line| line.split(|byte| *byte == 0).any(|word| word == config.as_bytes()))
}
