//! Changes of the members that operators ask for. They go to the leader, and wait there for a block
//! to carry them, one each.

use super::{Raft, state::Role, wire::Body};
use crate::engine::{MemberChange, Millis, Now, Step};
use alloy_primitives::Address;
use entente_chain::votes::VoteTally;
use std::collections::VecDeque;

/// Changes that wait; more is a mistake.
const CHANGES_MAX: usize = 16;
/// How long a change waits: for a leader, and until it is safe.
const CHANGE_LIFE_MS: Millis = 10_000;

#[derive(Clone, Copy, Debug)]
struct Waiting {
    member: Address,
    change: MemberChange,
    until: Millis,
    /// Term whose leader was told.
    told: Option<u64>,
}

/// Changes in the order they were asked for, one for each member.
#[derive(Debug, Default)]
pub(super) struct PendingChanges {
    waiting: VecDeque<Waiting>,
}

impl PendingChanges {
    fn insert(&mut self, member: Address, change: MemberChange, now: Millis) {
        if self.waiting.iter().any(|known| (known.member, known.change) == (member, change)) {
            return;
        }
        self.waiting.retain(|known| known.member != member);
        if self.waiting.len() < CHANGES_MAX {
            let until = now.saturating_add(CHANGE_LIFE_MS);
            self.waiting.push_back(Waiting { member, change, until, told: None });
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Forgets what no longer fits, above all what was just committed.
    pub(super) fn retain_fitting(&mut self, tally: &VoteTally) {
        self.waiting.retain(|waiting| fits(tally, waiting.member, waiting.change));
    }

    pub(super) fn forget_expired(&mut self, now: Millis) {
        self.waiting.retain(|waiting| {
            let over = waiting.until <= now;
            if over {
                let (member, change) = (waiting.member, waiting.change);
                tracing::warn!(%member, ?change, "a change of the members was not made in time");
            }
            !over
        });
    }

    pub(super) fn expires_at(&self) -> Option<Millis> {
        self.waiting.iter().map(|waiting| waiting.until).min()
    }
}

fn fits(tally: &VoteTally, member: Address, change: MemberChange) -> bool {
    tally.clone().change_member(member, change).is_some()
}

impl Raft {
    pub(super) fn on_change(&mut self, member: Address, change: MemberChange, now: Now) {
        let Some(cluster) = &self.cluster else { return };
        if fits(&cluster.position.tally, member, change) {
            self.changes.insert(member, change, now.elapsed);
        } else {
            tracing::warn!(%member, ?change, "a change of the members does not fit and is dropped");
        }
    }

    /// Tells the leader what operators of this node want, once in its term.
    pub(super) fn pass_changes_on(&mut self, out: &mut Step) {
        let (Role::Follower, Some(leader)) = (&self.role, self.leader) else { return };
        let term = self.durable.term;
        let untold = self.changes.waiting.iter_mut().filter(|it| it.told != Some(term));
        let bodies: Vec<Body> = untold
            .map(|waiting| {
                waiting.told = Some(term);
                Body::Change { member: waiting.member, change: waiting.change }
            })
            .collect();
        for body in bodies {
            self.send(leader, body, out);
        }
    }

    /// The change that the next block carries.
    pub(super) fn next_change(&self, now: Now) -> Option<(MemberChange, Address)> {
        let mut waiting = self.changes.waiting.iter();
        let next = waiting.find(|it| self.leaves_a_majority(it.member, it.change, now))?;
        Some((next.change, next.member))
    }

    /// Whether the cluster can go on after a change with those who answer now. A new voter has to
    /// hear all others before it votes: with one of them away it would raise the majority and not
    /// count towards it.
    fn leaves_a_majority(&self, member: Address, change: MemberChange, now: Now) -> bool {
        let Some(cluster) = &self.cluster else { return false };
        let own = self.own_address();
        let here = |voter: &&Address| Some(**voter) == own || self.is_heard(**voter, now);
        let voters = cluster.position.next.addresses();
        match change {
            MemberChange::AddLearner => true,
            MemberChange::AddVoter | MemberChange::Promote => {
                voters.iter().filter(here).count() == voters.len()
            }
            MemberChange::Remove if !cluster.is_voter(member) => true,
            MemberChange::Remove => {
                let left = || voters.iter().filter(|voter| **voter != member);
                left().filter(here).count() > left().count() / 2
            }
        }
    }
}
