//! Who we are and where the chain stands. Everything here is answered from memory.

use super::{Method, inline};
use crate::{context::Service, error::Answer, params::Params, types::quantity};
use alloy_primitives::{U64, keccak256};
use serde_json::{Map, Value, json};

/// The eth protocol that geth named last with this method.
const PROTOCOL_VERSION: u64 = 65;

pub(super) const METHODS: &[Method] = &[
    inline("web3_clientVersion", 0, client_version),
    inline("web3_sha3", 1, sha3),
    inline("net_version", 0, net_version),
    inline("net_listening", 0, |service, _| service.answer(&true)),
    inline("net_peerCount", 0, peer_count),
    inline("rpc_modules", 0, modules),
    inline("eth_chainId", 0, |service, _| {
        service.answer(&U64::from(service.context.spec.chain_id))
    }),
    inline("eth_blockNumber", 0, block_number),
    inline("eth_protocolVersion", 0, |service, _| service.answer(&U64::from(PROTOCOL_VERSION))),
    inline("eth_syncing", 0, syncing),
    inline("eth_coinbase", 0, coinbase),
    inline("eth_mining", 0, mining),
    inline("eth_hashrate", 0, |service, _| service.answer(&U64::ZERO)),
    inline("entente_consensusStatus", 0, consensus_status),
];

fn client_version(service: &Service, _: &Params) -> Answer {
    service.answer(&service.context.backend.node().client_version)
}

fn sha3(service: &Service, params: &Params) -> Answer {
    service.answer(&keccak256(params.bytes(0)?))
}

fn net_version(service: &Service, _: &Params) -> Answer {
    service.answer(&service.context.spec.chain_id.to_string())
}

fn peer_count(service: &Service, _: &Params) -> Answer {
    service.answer(&U64::from(service.context.backend.peers().len()))
}

fn modules(service: &Service, _: &Params) -> Answer {
    let mut modules: Map<String, Value> = service
        .namespaces
        .iter()
        .map(|namespace| (namespace.prefix().to_owned(), json!("1.0")))
        .collect();
    modules.insert("rpc".into(), json!("1.0"));
    service.answer(&modules)
}

fn block_number(service: &Service, _: &Params) -> Answer {
    service.answer(&quantity(service.context.reader.head().header.number))
}

/// geth's shape while peers are ahead, else false.
fn syncing(service: &Service, _: &Params) -> Answer {
    let behind = service.context.backend.readiness().blocks_behind;
    let current = service.context.reader.head().header.number;
    // One block behind is how every block arrives.
    if behind <= 1 {
        return service.answer(&false);
    }
    service.answer(&json!({
        "startingBlock": "0x0",
        "currentBlock": quantity(current),
        "highestBlock": quantity(current.saturating_add(behind)),
    }))
}

fn coinbase(service: &Service, _: &Params) -> Answer {
    service.answer(&service.context.backend.consensus_status().validator.unwrap_or_default())
}

fn mining(service: &Service, _: &Params) -> Answer {
    service.answer(&service.context.backend.consensus_status().is_validator)
}

fn consensus_status(service: &Service, _: &Params) -> Answer {
    let status = service.context.backend.consensus_status();
    let validators: Vec<Value> = status
        .validators
        .iter()
        .map(|validator| {
            json!({
                "address": validator.address,
                "reachable": validator.reachable,
                "lastSeenHeight": validator.last_seen.map(|(height, _)| height),
                "lastSeenRound": validator.last_seen.map(|(_, round)| round),
                "sinceSeenMs": validator.since_seen,
                "clockOffsetMs": validator.clock_offset,
            })
        })
        .collect();
    let proposals: Map<String, Value> = status
        .proposals
        .iter()
        .map(|(candidate, add)| (format!("{candidate:#x}"), json!(add)))
        .collect();
    service.answer(&json!({
        "engine": status.engine,
        "height": status.height,
        "round": status.round,
        "phase": status.phase,
        "validator": status.validator,
        "isValidator": status.is_validator,
        "proposer": status.proposer,
        "quorum": status.quorum,
        "reachable": status.validators.iter().filter(|validator| validator.reachable).count(),
        "validators": validators,
        "sinceCommitMs": status.since_commit,
        "expectedWithinMs": status.expected_within,
        "proposals": proposals,
        "head": service.context.reader.head().header.number,
        "bestPeerHead": status.best_peer_head,
        "problems": service.context.backend.readiness().problems,
    }))
}
