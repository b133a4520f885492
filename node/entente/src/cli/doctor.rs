//! `entente doctor`: asks a node why its chain stands still, and says it in a sentence.

use anyhow::{Context, bail};
use serde_json::{Value, json};

/// Arguments of `entente doctor`.
#[derive(clap::Args)]
pub(super) struct DoctorArgs {
    /// RPC address of a node
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8545")]
    rpc: String,
}

/// A node that is further behind than this is named.
const BLOCKS_BEHIND_NAMED: u64 = 2;
/// Clocks that differ more than this are named, in milliseconds.
const CLOCK_OFFSET_NAMED: i64 = 2_000;

pub(super) fn run(args: &DoctorArgs) -> anyhow::Result<()> {
    let status = super::runtime()?.block_on(entente_testnet::rpc::call(
        &args.rpc,
        "entente_consensusStatus",
        json!([]),
    ));
    let status = status.with_context(|| format!("no answer from {}", args.rpc))?;
    let findings = findings(&status);
    println!(
        "height {} round {}: {}",
        text(&status, "height"),
        text(&status, "round"),
        text(&status, "phase")
    );
    if findings.is_empty() {
        println!("healthy: nothing to report");
        return Ok(());
    }
    for finding in &findings {
        println!("- {finding}");
    }
    bail!("the doctor has found something: {}", findings.len())
}

fn text(value: &Value, key: &str) -> String {
    match value.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => "?".to_owned(),
    }
}

/// Everything that is not as it should be.
fn findings(status: &Value) -> Vec<String> {
    let mut findings = Vec::new();
    let reasons = status.get("problems").and_then(Value::as_array);
    findings.extend(reasons.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned));
    let number = |key: &str| status.get(key).and_then(Value::as_u64).unwrap_or(0);
    let (head, best) = (number("head"), number("bestPeerHead"));
    if best > head.saturating_add(BLOCKS_BEHIND_NAMED) {
        findings.push(format!("{} blocks behind: head {head}, best peer {best}", best - head));
    }
    let round = text(status, "round");
    for validator in status.get("validators").and_then(Value::as_array).into_iter().flatten() {
        let address = text(validator, "address");
        if validator.get("reachable") == Some(&Value::Bool(false)) {
            findings.push(format!("validator {address} is missing"));
            continue;
        }
        let seen = validator.get("lastSeenRound").filter(|round| !round.is_null());
        let seen = seen.map(|_| text(validator, "lastSeenRound"));
        if let Some(seen) = seen.filter(|seen| *seen != round && !reasons.is_none_or(Vec::is_empty))
        {
            findings.push(format!("validator {address} is in round {seen}, this node in {round}"));
        }
        let offset = validator.get("clockOffsetMs").and_then(Value::as_i64).unwrap_or(0);
        if offset.abs() > CLOCK_OFFSET_NAMED {
            findings.push(format!("the clock of validator {address} is off by {offset} ms"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_missing_and_the_late_are_named() {
        let status = json!({
            "round": "2",
            "problems": ["quorum lost: have 2 of 3 needed"],
            "validators": [
                { "address": "0xa", "reachable": false },
                { "address": "0xb", "reachable": true, "lastSeenRound": "1", "clockOffsetMs": -4000 },
                { "address": "0xc", "reachable": true, "lastSeenRound": "2", "clockOffsetMs": 3 },
            ],
        });
        assert_eq!(
            findings(&status),
            [
                "quorum lost: have 2 of 3 needed",
                "validator 0xa is missing",
                "validator 0xb is in round 1, this node in 2",
                "the clock of validator 0xb is off by -4000 ms",
            ]
        );
    }
}
