//! What this node waits for, for people and probes.

use super::Clique;
use crate::{
    engine::{EngineStatus, Held, Now, ValidatorStatus},
    rules::clique_in_turn,
};

impl Clique {
    pub(super) fn describe(&self, now: Now) -> EngineStatus {
        let idle = EngineStatus {
            engine: "clique",
            height: self.next_number,
            role: "follower",
            validator: self.own_address(),
            proposals: self.operator_votes.list(),
            best_peer_head: self.best_peer_head,
            phase: "idle: another engine seals the next block".to_owned(),
            ..EngineStatus::default()
        };
        let Some(tree) = &self.tree else { return idle };
        let head = &tree.head().position;
        let signers = head.tally.validators();
        let is_validator = self.own_address().is_some_and(|own| signers.contains(own));
        let since_commit = now.elapsed.saturating_sub(self.head_since);
        let rules = self.spec.rules_at(self.next_number);
        let busy = self.waiting_since.is_some() || rules.block_period_ms > 0;
        // Out of turn somebody seals within this.
        let wiggle = 1_000u64.saturating_mul(super::confirmed_depth(signers));
        let validators = signers.addresses().iter().map(|address| {
            let recent = head.tally.recent_signers().iter().rev();
            let sealed = recent.clone().find(|recent| recent.signer == *address);
            ValidatorStatus {
                address: *address,
                reachable: sealed.is_some() || self.own_address() == Some(*address),
                last_seen: sealed.map(|recent| (recent.block, 0)),
                since_seen: None,
                clock_offset: None,
            }
        });
        EngineStatus {
            role: if is_validator { "signer" } else { "follower" },
            is_validator,
            proposer: Some(clique_in_turn(signers, self.next_number)),
            quorum: 1,
            validators: validators.collect(),
            since_commit,
            expected_within: busy.then(|| rules.block_period_ms.saturating_add(wiggle)),
            phase: self.phase(),
            held: Held { blocks: tree.len(), ..Held::default() },
            ..idle
        }
    }

    fn phase(&self) -> String {
        let Some(tree) = &self.tree else { return String::new() };
        if self.changing.is_some() {
            return "waiting for a branch to be executed".to_owned();
        }
        if let Some(reason) = self.may_not_seal(&tree.head().position) {
            return reason;
        }
        match &self.turn {
            Some(turn) if turn.due().is_some() => "waiting for our time to seal".to_owned(),
            Some(_) => "waiting for our block, or for transactions".to_owned(),
            None => "waiting for transactions".to_owned(),
        }
    }
}
