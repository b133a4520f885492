//! The node itself and its peers.

use super::{Method, inline};
use crate::{PeerInfo, context::Service, error::Answer, params::Params};
use serde_json::{Value, json};

pub(super) const METHODS: &[Method] =
    &[inline("admin_nodeInfo", 0, node_info), inline("admin_peers", 0, peers)];

fn node_info(service: &Service, _: &Params) -> Answer {
    let node = service.context.backend.node();
    let reader = &service.context.reader;
    let head = reader.head();
    let engine = service.context.spec.engine_at(head.header.number.saturating_add(1)).name();
    service.answer(&json!({
        "id": node.id,
        "name": node.client_version,
        "enode": node.p2p_address,
        "ip": node.ip,
        "ports": { "discovery": 0, "listener": node.port },
        "listenAddr": format!("{}:{}", node.ip, node.port),
        "protocols": {
            "istanbul": {
                "network": service.context.spec.chain_id,
                "genesis": reader.hash(0)?,
                "head": head.header.hash(),
                "difficulty": head.total_difficulty,
                "consensus": engine,
            },
        },
    }))
}

fn peers(service: &Service, _: &Params) -> Answer {
    let peers: Vec<Value> = service.context.backend.peers().iter().map(peer).collect();
    service.answer(&peers)
}

fn peer(peer: &PeerInfo) -> Value {
    json!({
        "id": peer.id,
        "name": peer.name,
        "enode": peer.remote_address,
        "caps": peer.protocols,
        "network": {
            "localAddress": peer.local_address,
            "remoteAddress": peer.remote_address,
            "inbound": peer.inbound,
            "trusted": false,
            "static": true,
        },
        "protocols": {
            "istanbul": {
                "validator": peer.validator,
                "number": peer.head.map(|(number, _)| number),
                "head": peer.head.map(|(_, hash)| hash),
            },
        },
    })
}
