//! What this node waits for and whom it hears, for people and probes.

use super::{
    Ibft,
    height::{Height, Progress},
    payload::Kind,
    peers::Presence,
};
use crate::engine::{EngineStatus, Held, Millis, Now, ValidatorStatus};
use alloy_primitives::Address;
use std::collections::BTreeSet;

impl Ibft {
    pub(super) fn describe(&self, now: Now) -> EngineStatus {
        let idle = EngineStatus {
            engine: "ibft",
            height: self.next_number,
            validator: self.own_address(),
            proposals: self.operator_votes.list(),
            best_peer_head: self.best_peer_head,
            phase: "idle: another engine seals the next block".to_owned(),
            ..EngineStatus::default()
        };
        let Some(height) = &self.height else { return idle };
        let addresses = height.validators.addresses().iter();
        EngineStatus {
            round: height.round.number,
            phase: self.phase(height, now),
            is_validator: height.voter.is_some(),
            proposer: Some(height.proposer(height.round.number)),
            quorum: height.quorum,
            validators: addresses.map(|who| self.validator_status(height, *who, now)).collect(),
            since_commit: now.elapsed.saturating_sub(height.begun),
            expected_within: self.expected_within(height, now),
            held: self.held(height),
            ..idle
        }
    }

    fn held(&self, height: &Height) -> Held {
        let votes = &height.votes;
        let changes = votes.round_changes.values();
        let rounds = votes.prepares.rounds().into_iter().chain(votes.commits.rounds());
        let asked = changes.clone().map(|change| change.signed.payload().view.round);
        let with_blocks = changes.filter(|change| change.block.is_some()).count();
        let messages = [
            votes.prepares.len(),
            votes.commits.len(),
            votes.round_changes.len(),
            votes.named.len(),
            votes.reported.len(),
            self.backlog.len(),
            self.relayed.len(),
        ];
        let blocks = [height.known.len(), with_blocks, self.backlog.blocks()];
        Held {
            messages: messages.iter().sum(),
            rounds: rounds.chain(asked).collect::<BTreeSet<_>>().len(),
            blocks: blocks.iter().sum(),
        }
    }

    fn validator_status(&self, height: &Height, address: Address, now: Now) -> ValidatorStatus {
        let seen = self.peers.seen(address);
        let presence = self.peers.presence(address, now.elapsed, height.hearing_patience());
        ValidatorStatus {
            address,
            reachable: self.own_address() == Some(address) || presence == Presence::Here,
            last_seen: seen.heard.map(|(view, _)| (view.height, view.round)),
            since_seen: seen.heard.map(|(_, at)| now.elapsed.saturating_sub(at)),
            clock_offset: seen.clock_offset,
        }
    }

    /// A healthy chain has its next block one round after it is due.
    fn expected_within(&self, height: &Height, now: Now) -> Option<Millis> {
        let due = match height.round.since {
            Some(since) => since.min(height.due(self.waiting_since, now).unwrap_or(since)),
            None => height.due(self.waiting_since, now)?,
        };
        Some(due.saturating_sub(height.begun).saturating_add(height.rules.request_timeout_ms))
    }

    fn phase(&self, height: &Height, now: Now) -> String {
        let round = height.round.number;
        let quorum = height.quorum;
        if height.decided.is_some() {
            return "waiting for the decided block to be stored".to_owned();
        }
        let Some(own) = height.voter else { return "following: not a validator".to_owned() };
        let Some(digest) = height.round.accepted else {
            return self.phase_before_proposal(height, own, now);
        };
        match height.known(digest).map(|known| &known.progress) {
            Some(Progress::Valid) => {}
            Some(Progress::Invalid) => return "the proposal is invalid".to_owned(),
            _ => return "waiting for the proposal to be executed".to_owned(),
        }
        match height.promises.sent.contains_key(&(round, Kind::Commit)) {
            false => {
                let got = height.votes.prepares.count(round, digest);
                format!("waiting for prepares: {got} of {quorum}")
            }
            true => {
                let got = height.votes.commits.count(round, digest);
                format!("waiting for commits: {got} of {quorum}")
            }
        }
    }

    fn phase_before_proposal(&self, height: &Height, own: Address, now: Now) -> String {
        let round = height.round.number;
        let changes = height.changes_to_this_round().count();
        if height.round.building.is_some() {
            return "waiting for our block to be built".to_owned();
        }
        if height.round.since.is_none() {
            let waits = height.due(self.waiting_since, now).is_none();
            let what = if waits { "transactions" } else { "the block period" };
            return format!("waiting for {what}");
        }
        if round > 0 && changes < height.quorum {
            return format!("waiting for round changes: {changes} of {}", height.quorum);
        }
        let ours = height.proposer(round) == own;
        let whose = if ours { "our" } else { "the" };
        format!("waiting for {whose} proposal")
    }
}
