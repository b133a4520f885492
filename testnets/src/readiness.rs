//! When a network is ready: every node answers, sees all others, and the chain moves; with private transactions
//! it knows the keys of all others too.

use crate::{
    layout::Layout,
    options::{BlockPeriod, TestnetOptions},
    rpc,
};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Longest wait; on two busy cores twenty nodes take a while.
pub(crate) const READY_WITHIN: Duration = Duration::from_secs(120);
const ASK_EVERY: Duration = Duration::from_millis(100);

/// Waits until the network is ready.
///
/// # Errors
/// What is still missing after [`READY_WITHIN`], by node.
pub(crate) async fn wait(layout: &Layout, options: &TestnetOptions) -> Result<(), String> {
    let deadline = Instant::now() + READY_WITHIN;
    let others = layout.nodes().len().saturating_sub(1);
    let first_block = u64::from(options.block_period != BlockPeriod::OnDemand);
    let mut ready = vec![false; layout.nodes().len()];
    loop {
        let round = Instant::now();
        let mut missing = Vec::new();
        for (node, ready) in layout.nodes().iter().zip(&mut ready).filter(|(_, ready)| !**ready) {
            let mut found = check(&node.rpc_url(), others, first_block).await;
            if found.is_ok() && options.private {
                found = check_keys(&node.rpc_url(), others).await;
            }
            match found {
                Ok(()) => *ready = true,
                Err(reason) => missing.push(format!("{} {reason}", node.name)),
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(missing.join("; "));
        }
        sleep_until(round + ASK_EVERY).await;
    }
}

async fn check(url: &str, others: usize, first_block: u64) -> Result<(), String> {
    let head = rpc::quantity(url, "eth_blockNumber").await.map_err(|cause| cause.to_string())?;
    let peers = rpc::quantity(url, "net_peerCount").await.map_err(|cause| cause.to_string())?;
    if usize::try_from(peers).unwrap_or(usize::MAX) < others {
        return Err(format!("sees {peers} of {others} other nodes"));
    }
    if head < first_block {
        return Err("has no block yet".to_owned());
    }
    Ok(())
}

/// Nodes tell each other their keys for private transactions once they are connected.
async fn check_keys(url: &str, others: usize) -> Result<(), String> {
    let status = rpc::call(url, "privacy_status", json!([])).await;
    let status = status.map_err(|cause| cause.to_string())?;
    let known = status.get("nodes").and_then(Value::as_array).map_or(0, Vec::len);
    if known < others {
        return Err(format!("knows the privacy keys of {known} of {others} other nodes"));
    }
    Ok(())
}
