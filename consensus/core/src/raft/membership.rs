//! Changes of the members that wait for a block to carry them, one each.

use super::Raft;
use crate::engine::MemberChange;
use alloy_primitives::Address;
use entente_chain::votes::VoteTally;
use std::collections::VecDeque;

/// Changes that wait; more is a mistake.
const CHANGES_MAX: usize = 16;

/// Changes in the order they were asked for. In memory only: a new leader has to be asked again.
#[derive(Debug, Default)]
pub(super) struct PendingChanges {
    waiting: VecDeque<(MemberChange, Address)>,
}

impl PendingChanges {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn first(&self) -> Option<(MemberChange, Address)> {
        self.waiting.front().copied()
    }

    /// Forgets what no longer fits, above all what was just committed.
    pub(super) fn retain_fitting(&mut self, tally: &VoteTally) {
        self.waiting
            .retain(|(change, member)| tally.clone().change_member(*member, *change).is_some());
    }
}

impl Raft {
    pub(super) fn on_change(&mut self, member: Address, change: MemberChange) {
        let Some(chain) = &self.chain else { return };
        let fits = chain.position.tally.clone().change_member(member, change).is_some();
        let waiting = &mut self.changes.waiting;
        if !fits {
            tracing::warn!(%member, ?change, "a change of the members does not fit and is dropped");
        } else if waiting.len() < CHANGES_MAX && !waiting.contains(&(change, member)) {
            waiting.push_back((change, member));
        }
    }
}
