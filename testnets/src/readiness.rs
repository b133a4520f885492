//! When a network is ready: every node answers, sees all others, and the chain moves.

use crate::{layout::Layout, options::BlockPeriod, rpc};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Longest wait; on two busy cores twenty nodes take a while.
pub(crate) const READY_WITHIN: Duration = Duration::from_secs(120);
const ASK_EVERY: Duration = Duration::from_millis(100);

/// Waits until the network is ready.
///
/// # Errors
/// What is still missing after [`READY_WITHIN`], by node.
pub(crate) async fn wait(layout: &Layout, period: BlockPeriod) -> Result<(), String> {
    let deadline = Instant::now() + READY_WITHIN;
    let others = layout.nodes().len().saturating_sub(1);
    let first_block = u64::from(period != BlockPeriod::OnDemand);
    let mut ready = vec![false; layout.nodes().len()];
    loop {
        let round = Instant::now();
        let mut missing = Vec::new();
        for (node, ready) in layout.nodes().iter().zip(&mut ready).filter(|(_, ready)| !**ready) {
            match check(&node.rpc_url(), others, first_block).await {
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
