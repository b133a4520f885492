//! `entente testnet status`: how the nodes of a network are.

use crate::{error::TestnetError, layout::Layout, manifest::Manifest, rpc};
use serde_json::{Value, json};
use std::{io::Write, path::Path};

/// Prints a table: per node whether it answers, its head, its peers, and what its engine waits for.
///
/// # Errors
/// When there is no network in `dir` or `out` cannot be written.
pub async fn status(dir: &Path, out: &mut (dyn Write + Send)) -> Result<(), TestnetError> {
    let manifest = Manifest::read(dir)?;
    let layout = Layout::new(&manifest.options)?;
    let mut table = row(["node", "state", "head", "peers", "height/round", "waits for"]);
    for node in layout.nodes() {
        table += &match NodeStatus::ask(&node.rpc_url()).await {
            Ok(status) => row([
                &node.name,
                "up",
                &status.head.to_string(),
                &status.peers.to_string(),
                &status.round,
                &status.phase,
            ]),
            Err(reason) => row([&node.name, "down", "-", "-", "-", &reason]),
        };
    }
    out.write_all(table.as_bytes())
        .and_then(|()| out.flush())
        .map_err(TestnetError::file("report about", dir))
}

fn row(cells: [&str; 6]) -> String {
    let [node, state, head, peers, round, phase] = cells;
    format!("{node:<8} {state:<5} {head:>9} {peers:>5}  {round:<12} {phase}\n")
}

struct NodeStatus {
    head: u64,
    peers: u64,
    round: String,
    phase: String,
}

impl NodeStatus {
    async fn ask(url: &str) -> Result<Self, String> {
        let in_words = |cause: rpc::CallError| cause.to_string();
        let head = rpc::quantity(url, "eth_blockNumber").await.map_err(in_words)?;
        let peers = rpc::quantity(url, "net_peerCount").await.map_err(in_words)?;
        let (round, phase) = match rpc::call(url, "entente_consensusStatus", json!([])).await {
            Ok(engine) => describe(&engine),
            Err(cause) => ("-".to_owned(), cause.to_string()),
        };
        Ok(Self { head, peers, round, phase })
    }
}

/// (height/round, what is waited for and who is missing) from `entente_consensusStatus`.
fn describe(engine: &Value) -> (String, String) {
    let field = |name: &str| number(engine.get(name)).unwrap_or_else(|| "?".to_owned());
    let phase = engine.get("phase").and_then(Value::as_str).unwrap_or("?");
    let missing: Vec<&str> = engine
        .get("validators")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|validator| validator.get("reachable") == Some(&Value::Bool(false)))
        .filter_map(|validator| validator.get("address")?.as_str())
        .collect();
    let round = format!("{}/{}", field("height"), field("round"));
    if missing.is_empty() {
        (round, phase.to_owned())
    } else {
        (round, format!("{phase}; missing {}", missing.join(", ")))
    }
}

/// A JSON number or a hexadecimal quantity, in decimal.
fn number(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => {
            let digits = text.strip_prefix("0x")?;
            u64::from_str_radix(digits, 16).ok().map(|number| number.to_string())
        }
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn missing_validators_are_named() {
        let engine = json!({
            "height": "0x1f", "round": 2, "phase": "waiting for round changes",
            "validators": [
                { "address": "0xaa", "reachable": true },
                { "address": "0xbb", "reachable": false },
            ],
        });
        let (round, phase) = describe(&engine);
        assert_eq!(round, "31/2");
        assert_eq!(phase, "waiting for round changes; missing 0xbb");
    }

    #[test]
    fn unknown_form_of_status_is_no_failure() {
        assert_eq!(describe(&json!({})), ("?/?".to_owned(), "?".to_owned()));
    }
}
