//! Probes and metrics, answered on the same port by plain GET.

use crate::{Readiness, context::Service};
use http::StatusCode;
use serde_json::json;

/// What a plain GET is answered.
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) content_type: &'static str,
    pub(crate) body: String,
}

const JSON: &str = "application/json";
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Besu's defaults for its readiness probe.
const MIN_PEERS: u64 = 0;
const MAX_BLOCKS_BEHIND: u64 = 2;

/// The page of an exact path, or `None`.
pub(crate) fn page(service: &Service, path: &str, query: Option<&str>) -> Option<Page> {
    let query = query.unwrap_or_default();
    let ready = |peers, behind| {
        let readiness = service.context.backend.readiness();
        judge(&readiness, query, (peers, behind))
    };
    Some(match path {
        "/livez" => {
            Page { status: StatusCode::OK, content_type: JSON, body: "{\"ok\":true}".into() }
        }
        "/liveness" => besu(true),
        "/readyz" => {
            let problems = ready("peers", "blocks_behind");
            let readiness = service.context.backend.readiness();
            let body = json!({
                "ready": problems.is_empty(),
                "problems": problems,
                "peers": readiness.peers,
                "blocksBehind": readiness.blocks_behind,
                "head": service.context.reader.head().header.number,
            });
            Page { status: status(problems.is_empty()), content_type: JSON, body: body.to_string() }
        }
        "/readiness" => besu(ready("minPeers", "maxBlocksBehind").is_empty()),
        "/metrics" => Page {
            status: StatusCode::OK,
            content_type: METRICS,
            body: service.context.backend.metrics(),
        },
        _ => return None,
    })
}

const fn status(good: bool) -> StatusCode {
    if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

fn besu(up: bool) -> Page {
    let body = json!({ "status": if up { "UP" } else { "DOWN" } });
    Page { status: status(up), content_type: JSON, body: body.to_string() }
}

/// Everything that speaks against sending requests to this node.
fn judge(readiness: &Readiness, query: &str, names: (&str, &str)) -> Vec<String> {
    let mut problems = readiness.problems.clone();
    let min_peers = parameter(query, names.0, MIN_PEERS, &mut problems);
    let max_behind = parameter(query, names.1, MAX_BLOCKS_BEHIND, &mut problems);
    if (readiness.peers as u64) < min_peers {
        problems.push(format!("{} peers, at least {min_peers} expected", readiness.peers));
    }
    if readiness.blocks_behind > max_behind {
        problems.push(format!(
            "{} blocks behind the best peer, at most {max_behind} expected",
            readiness.blocks_behind
        ));
    }
    problems
}

fn parameter(query: &str, name: &str, default: u64, problems: &mut Vec<String>) -> u64 {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let Some((_, value)) = pairs.into_iter().find(|(key, _)| *key == name) else {
        return default;
    };
    value.parse().unwrap_or_else(|_| {
        problems.push(format!("{name} is not a number"));
        default
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_names_what_is_wrong() {
        let readiness = Readiness { peers: 1, blocks_behind: 5, problems: vec![] };
        let problems = judge(&readiness, "peers=2&blocks_behind=3", ("peers", "blocks_behind"));
        assert_eq!(
            problems,
            ["1 peers, at least 2 expected", "5 blocks behind the best peer, at most 3 expected"]
        );
        assert!(judge(&readiness, "blocks_behind=5", ("peers", "blocks_behind")).is_empty());
    }

    #[test]
    fn a_threshold_that_is_no_number_is_not_ready() {
        let problems = judge(&Readiness::default(), "peers=x", ("peers", "blocks_behind"));
        assert_eq!(problems, ["peers is not a number"]);
    }
}
