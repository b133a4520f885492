//! The members of a Raft cluster under GoQuorum's names (`raft_`).
//!
//! GoQuorum names a node by its enode; a member is known here by the address of the key that seals
//! its blocks, which an enode's public key gives as well.

use super::{Method, heavy, inline, waits};
use crate::{
    backend::{BoxFuture, PeerInfo},
    context::Service,
    error::{Answer, RpcError},
    params::Params,
};
use alloy_primitives::{Address, hex, keccak256};
use entente_chain::{
    spec::EngineKind,
    votes::{RaftMember, VoteTally},
};
use entente_consensus::engine::{EngineStatus, MemberChange, Operation};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// How long a change of members may take before the caller is told that it is still open.
const CHANGE_TIME: Duration = Duration::from_secs(10);
/// How often the chain is asked whether it holds the change.
const CHANGE_POLL: Duration = Duration::from_millis(20);
/// Hex digits of the public key in an enode.
const ENODE_DIGITS: usize = 128;

pub(super) const METHODS: &[Method] = &[
    inline("raft_role", 0, role),
    heavy("raft_leader", 0, leader),
    heavy("raft_cluster", 0, cluster),
    heavy("raft_getRaftId", 1, raft_id),
    waits("raft_addPeer", 1, |service, params| add(service, params, MemberChange::AddVoter)),
    waits("raft_addLearner", 1, |service, params| add(service, params, MemberChange::AddLearner)),
    waits("raft_promoteToPeer", 1, |service, params| {
        change(service, params, MemberChange::Promote, Value::Bool(true))
    }),
    waits("raft_removePeer", 1, |service, params| {
        change(service, params, MemberChange::Remove, Value::Null)
    }),
    waits("raft_transferLeadership", 1, transfer),
];

/// The engine's status, when Raft makes the next block.
fn status(service: &Service) -> Result<EngineStatus, RpcError> {
    let context = &service.context;
    let next = context.reader.head().header.number.saturating_add(1);
    match context.spec.engine_at(next) {
        EngineKind::Raft => Ok(context.backend.consensus_status()),
        other => Err(RpcError::Refused(format!("block {next} is made by {other}, not by raft"))),
    }
}

/// Refuses to ask for changes where no leader listens: it takes them from members only.
fn check_member(service: &Service) -> Result<(), RpcError> {
    let own = status(service)?.validator;
    match members(service)?.iter().any(|member| Some(member.address) == own) {
        true => Ok(()),
        false => {
            let text = "this node is no member of the cluster: ask one that is";
            Err(RpcError::Refused(text.into()))
        }
    }
}

fn members(service: &Service) -> Result<Vec<RaftMember>, RpcError> {
    let reader = &service.context.reader;
    let stored = reader.tally(reader.head().header.number)?;
    let tally = stored.map(|bytes| VoteTally::decode(&bytes)).transpose();
    let tally = tally.map_err(|cause| RpcError::internal(&cause))?;
    Ok(tally.map(|tally| tally.members().to_vec()).unwrap_or_default())
}

/// GoQuorum's words for parts in the cluster.
fn role(service: &Service, _: &Params) -> Answer {
    check_member(service)?;
    let role = match status(service)?.role {
        "leader" => "minter",
        "learner" => "learner",
        _ => "verifier",
    };
    service.answer(&role)
}

fn node_id(address: Address) -> String {
    hex::encode(address)
}

fn leader(service: &Service, _: &Params) -> Answer {
    let leader = status(service)?.proposer;
    let leader = leader.ok_or_else(|| RpcError::Refused("no leader is currently elected".into()));
    service.answer(&node_id(leader?))
}

fn cluster(service: &Service, _: &Params) -> Answer {
    let status = status(service)?;
    let peers = service.context.backend.peers();
    let node = service.context.backend.node();
    let own = PeerInfo {
        remote_address: format!("/ip4/{}/tcp/{}", node.ip, node.port),
        ..PeerInfo::default()
    };
    let nodes = members(service)?.into_iter().map(|member| {
        let peer = match status.validator == Some(member.address) {
            true => Some(&own),
            false => peers.iter().find(|peer| peer.validator == Some(member.address)),
        };
        let (host, port) = endpoint(peer.map_or("", |peer| &peer.remote_address));
        let role = match (status.proposer == Some(member.address), member.learner) {
            (true, _) => "minter",
            (false, true) => "learner",
            (false, false) => "verifier",
        };
        json!({
            "raftId": member.id,
            "nodeId": node_id(member.address),
            "address": member.address,
            "hostname": host,
            "p2pPort": port,
            "raftPort": port,
            "role": role,
            "nodeActive": peer.is_some(),
        })
    });
    service.answer(&nodes.collect::<Vec<_>>())
}

/// Host and port of `/ip4/10.0.0.1/tcp/30303/...`.
fn endpoint(address: &str) -> (String, u16) {
    let mut parts = address.split('/').skip(2).step_by(2);
    let host = parts.next().unwrap_or_default().to_owned();
    let port = parts.next().and_then(|port| port.parse().ok()).unwrap_or_default();
    (host, port)
}

/// A member by its address, or by the public key in an enode.
fn member(params: &Params) -> Result<Address, RpcError> {
    let text = params.text(0)?;
    let expected = || {
        let text = "expected an address, or an enode with a public key of 128 hex digits";
        RpcError::argument(0, text)
    };
    if let Ok(address) = text.parse::<Address>() {
        return Ok(address);
    }
    let digits = text.strip_prefix("enode://").unwrap_or(&text);
    let digits = digits.split('@').next().unwrap_or_default();
    if digits.len() != ENODE_DIGITS {
        return Err(expected());
    }
    let key = hex::decode(digits).map_err(|_| expected())?;
    Ok(Address::from_word(keccak256(key)))
}

fn raft_id(service: &Service, params: &Params) -> Answer {
    let member = member(params)?;
    let known = members(service)?.into_iter().find(|known| known.address == member);
    let known = known.ok_or_else(|| RpcError::Refused(format!("{member} is not a member")))?;
    service.answer(&known.id)
}

fn add(service: Arc<Service>, params: Params, change: MemberChange) -> BoxFuture<Answer> {
    Box::pin(async move {
        check_member(&service)?;
        let member = member(&params)?;
        if members(&service)?.iter().any(|known| known.address == member) {
            return Err(RpcError::Refused(format!("{member} is a member already")));
        }
        if member.is_zero() {
            return Err(RpcError::argument(0, "the zero address cannot be a member"));
        }
        operate(&service, Operation::ChangeMember { member, change }).await?;
        let id = settled(&service, |members| {
            members.iter().find(|known| known.address == member).map(|known| known.id)
        });
        let id = id.await?;
        service.answer(&id)
    })
}

/// Promotes or removes a member, by its raft id.
fn change(
    service: Arc<Service>,
    params: Params,
    change: MemberChange,
    done: Value,
) -> BoxFuture<Answer> {
    Box::pin(async move {
        check_member(&service)?;
        let known = by_id(&service, &params)?;
        if change == MemberChange::Promote && !known.learner {
            return Err(RpcError::Refused(format!("raft id {} is no learner", known.id)));
        }
        let voters = members(&service)?.iter().filter(|member| !member.learner).count();
        if change == MemberChange::Remove && !known.learner && voters == 1 {
            return Err(RpcError::Refused("the last voter cannot be removed".into()));
        }
        let member = known.address;
        operate(&service, Operation::ChangeMember { member, change }).await?;
        settled(&service, |members| {
            let now = members.iter().find(|now| now.address == member);
            match change {
                MemberChange::Remove => now.is_none().then_some(()),
                _ => now.filter(|now| !now.learner).map(|_| ()),
            }
        })
        .await?;
        service.answer(&done)
    })
}

fn transfer(service: Arc<Service>, params: Params) -> BoxFuture<Answer> {
    Box::pin(async move {
        check_member(&service)?;
        let to = by_id(&service, &params)?;
        if to.learner {
            return Err(RpcError::Refused(format!("raft id {} is a learner", to.id)));
        }
        operate(&service, Operation::TransferLeadership { to: to.address }).await?;
        service.answer(&true)
    })
}

fn by_id(service: &Service, params: &Params) -> Result<RaftMember, RpcError> {
    let id = params.count(0)?;
    let known = members(service)?.into_iter().find(|known| known.id == id);
    known.ok_or_else(|| RpcError::Refused(format!("no member has raft id {id}")))
}

async fn operate(service: &Service, operation: Operation) -> Result<(), RpcError> {
    let result = service.context.backend.operate(operation).await;
    result.map_err(|rejected| RpcError::Refused(rejected.to_string()))
}

/// Waits until the committed chain holds a change.
async fn settled<T>(
    service: &Service,
    mut find: impl FnMut(&[RaftMember]) -> Option<T>,
) -> Result<T, RpcError> {
    let wait = async {
        loop {
            if let Some(found) = find(&members(service)?) {
                return Ok(found);
            }
            tokio::time::sleep(CHANGE_POLL).await;
        }
    };
    let open = |_| RpcError::Refused("the cluster has not decided within 10 s".into());
    tokio::time::timeout(CHANGE_TIME, wait).await.map_err(open)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port_are_read_from_an_address() {
        assert_eq!(endpoint("/ip4/10.0.0.1/tcp/30303/p2p/x"), ("10.0.0.1".to_owned(), 30_303));
        assert_eq!(endpoint(""), (String::new(), 0));
    }
}
