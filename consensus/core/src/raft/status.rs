//! What this node waits for and whom it hears, for people and probes.

use super::{Raft, state::Role};
use crate::engine::{EngineStatus, Now, ValidatorStatus};
use alloy_primitives::Address;

impl Raft {
    pub(super) fn describe(&self, now: Now) -> EngineStatus {
        let idle = EngineStatus {
            engine: "raft",
            round: self.durable.term,
            validator: self.own_address(),
            role: "follower",
            phase: "idle: another engine seals the next block".to_owned(),
            ..EngineStatus::default()
        };
        let Some(chain) = &self.chain else { return idle };
        let height = chain.position.head.number.saturating_add(1);
        let addresses = chain.position.next.addresses().iter();
        let due = match &self.role {
            Role::Leader(leader) => self.block_due(leader, now),
            _ => self.waiting_since,
        };
        // A healthy cluster has a leader and a block within two elections.
        let patience = self.settings.timing.election_most.saturating_mul(2);
        EngineStatus {
            height,
            role: self.role_name(),
            phase: self.phase(),
            is_validator: self.voter().is_some(),
            proposer: self.leader,
            quorum: self.majority(),
            validators: addresses.map(|who| self.validator_status(*who, now)).collect(),
            since_commit: now.elapsed.saturating_sub(chain.since),
            expected_within: due
                .map(|due| due.saturating_sub(chain.since).saturating_add(patience)),
            ..idle
        }
    }

    fn role_name(&self) -> &'static str {
        let Some(own) = self.own_address() else { return "follower" };
        let members = self.chain.as_ref().map(|chain| chain.position.tally.members());
        let member = members.and_then(|members| members.iter().find(|who| who.address == own));
        match (&self.role, member) {
            (_, None) => "follower",
            (_, Some(member)) if member.learner => "learner",
            (Role::Leader(_), _) => "leader",
            (Role::Trial(_) | Role::Candidate(_), _) => "candidate",
            (Role::Follower, _) if self.blank.is_some() => "blank",
            (Role::Follower, _) => "voter",
        }
    }

    fn validator_status(&self, address: Address, now: Now) -> ValidatorStatus {
        let heard = self.peers.last_heard(address);
        ValidatorStatus {
            address,
            reachable: self.own_address() == Some(address) || self.peers.node_of(address).is_some(),
            last_seen: None,
            since_seen: heard.map(|at| now.elapsed.saturating_sub(at)),
            clock_offset: None,
        }
    }

    fn phase(&self) -> String {
        if self.voter().is_none() {
            return "following: not a voter".to_owned();
        }
        if let Some(blank) = &self.blank {
            let missing = self.other_voters().into_iter().find(|who| !blank.has_answer_of(*who));
            return match missing {
                Some(voter) => format!("no record of our votes: waiting for an answer of {voter}"),
                None => "no record of our votes: catching up before we vote".to_owned(),
            };
        }
        if self.adopting.is_some() {
            return "waiting for the decided block to be stored".to_owned();
        }
        match &self.role {
            Role::Leader(leader) => match &self.durable.accepted {
                Some(_) => {
                    let got = leader.accepted_by.iter().filter(|who| self.has_vote(**who)).count();
                    format!("waiting for acceptances: {got} of {}", self.majority())
                }
                None if leader.building.is_some() => "waiting for our block to be built".to_owned(),
                None => "waiting for transactions".to_owned(),
            },
            Role::Trial(votes) | Role::Candidate(votes) => {
                format!("waiting for votes: {} of {}", votes.len(), self.majority())
            }
            Role::Follower => match self.leader {
                Some(_) if self.executing.is_some() => "executing the leader's block".to_owned(),
                Some(_) => "waiting for the leader's block".to_owned(),
                None => "waiting for a leader".to_owned(),
            },
        }
    }
}
