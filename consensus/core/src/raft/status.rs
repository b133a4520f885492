//! What this node waits for and whom it hears, for people and probes.

use super::{
    Raft,
    cluster::Cluster,
    recovery::Missing,
    state::{Leader, Role},
};
use crate::engine::{EngineStatus, Held, Now, ValidatorStatus};
use alloy_primitives::Address;

impl Raft {
    pub(super) fn describe(&self, now: Now) -> EngineStatus {
        let idle = EngineStatus {
            engine: "raft",
            round: self.durable.term,
            validator: self.own_address(),
            role: "follower",
            phase: "idle: another engine seals the next block".to_owned(),
            best_peer_head: self.peers.best_claim(),
            ..EngineStatus::default()
        };
        let Some(cluster) = &self.cluster else { return idle };
        let addresses = cluster.position.next.addresses().iter();
        let due = match &self.role {
            Role::Leader(leader) => self.block_due(leader, now),
            _ => self.waiting_since,
        };
        let blocks = [
            self.durable.accepted.is_some(),
            self.executing.is_some(),
            self.early.is_some(),
            self.adopting.is_some(),
        ];
        // A healthy cluster has a leader and a block within two elections.
        let patience = self.settings.timing.election_most.saturating_mul(2);
        EngineStatus {
            height: cluster.next(),
            role: self.role_name(cluster),
            phase: self.phase(cluster, now),
            is_validator: self.voter().is_some(),
            proposer: self.leader,
            quorum: cluster.majority(),
            validators: addresses.map(|who| self.validator_status(*who, now)).collect(),
            since_commit: now.elapsed.saturating_sub(cluster.since),
            held: Held { blocks: blocks.iter().filter(|held| **held).count(), ..Held::default() },
            expected_within: due
                .map(|due| due.saturating_sub(cluster.since).saturating_add(patience)),
            ..idle
        }
    }

    fn role_name(&self, cluster: &Cluster) -> &'static str {
        let Some(own) = self.own_address() else { return "follower" };
        match &self.role {
            _ if cluster.is_learner(own) => "learner",
            _ if !cluster.is_voter(own) => "follower",
            _ if self.blank.is_some() => "blank",
            Role::Leader(_) => "leader",
            Role::Trial(_) | Role::Candidate { .. } => "candidate",
            Role::Follower => "voter",
        }
    }

    fn validator_status(&self, address: Address, now: Now) -> ValidatorStatus {
        let heard = self.peers.last_heard(address);
        ValidatorStatus {
            address,
            reachable: self.own_address() == Some(address) || self.peers.node_of(address).is_some(),
            last_seen: heard.map(|(height, term, _)| (height, term)),
            since_seen: heard.map(|(_, _, at)| now.elapsed.saturating_sub(at)),
            clock_offset: None,
        }
    }

    fn phase(&self, cluster: &Cluster, now: Now) -> String {
        if self.voter().is_none() {
            return "following: not a voter".to_owned();
        }
        if let Some(missing) = self.missing() {
            return format!("no record of our votes: {}", missing.in_words());
        }
        if self.adopting.is_some() {
            return "waiting for the decided block to be stored".to_owned();
        }
        match &self.role {
            Role::Leader(leader) => self.leader_phase(cluster, leader, now),
            Role::Trial(votes) | Role::Candidate { votes, .. } => {
                format!("waiting for votes: {} of {}", votes.len(), cluster.majority())
            }
            Role::Follower => match self.leader {
                Some(_) if self.refused.is_some() => "the leader's block is invalid".to_owned(),
                Some(_) if self.executing.is_some() => "executing the leader's block".to_owned(),
                Some(_) => "waiting for the leader's block".to_owned(),
                None => "waiting for a leader".to_owned(),
            },
        }
    }

    fn leader_phase(&self, cluster: &Cluster, leader: &Leader, now: Now) -> String {
        if self.durable.accepted.is_some() {
            let got = leader.accepted_by.iter().filter(|who| cluster.is_voter(**who)).count();
            return format!("waiting for acceptances: {got} of {}", cluster.majority());
        }
        if let Some(transfer) = &leader.transfer {
            return format!("handing leadership over to {}", transfer.to);
        }
        if leader.building.is_some() {
            return "waiting for our block to be built".to_owned();
        }
        match self.block_due(leader, now) {
            Some(_) => "waiting for the block period".to_owned(),
            None if self.changes.is_empty() => "waiting for transactions".to_owned(),
            None => "waiting for voters before the members change".to_owned(),
        }
    }
}

impl Missing {
    fn in_words(&self) -> String {
        let listed = |voters: &[Address]| {
            let texts: Vec<String> = voters.iter().map(Address::to_string).collect();
            texts.join(", ")
        };
        match self {
            Self::Peers { claimed: None, .. } => "the only voter waits for peers".to_owned(),
            Self::Peers { claimed: Some(head), .. } | Self::Blocks(head) => {
                format!("catching up with block {head}")
            }
            Self::Answers(voters) => format!("waiting for answers of {}", listed(voters)),
            Self::Block(voters) => format!("waiting for the block of {}", listed(voters)),
            Self::Execution => "executing the newest block of the others".to_owned(),
            Self::Nothing => "done".to_owned(),
        }
    }
}
