//! The leader sends its block and its commits, and counts who accepted: a majority in its own term
//! decides.

use super::{
    Raft,
    state::{Accepted, Leader, Role},
    wire::{Body, Commit},
};
use crate::engine::{Millis, Now, Step};
use alloy_primitives::{Address, B256};
use entente_chain::{BlockNumber, RecoveredBlock};

/// Beats after which the block in flight goes again to those that have not accepted it.
const RESEND_BEATS: Millis = 5;

impl Raft {
    /// What the leader does as time passes.
    pub(super) fn lead(&mut self, now: Now, out: &mut Step) {
        if !self.hears_majority(now) {
            tracing::warn!(
                term = self.durable.term,
                "no majority answers: this node leads no more"
            );
            self.follow(None, now);
            return;
        }
        let Role::Leader(leader) = &self.role else { return };
        if now.elapsed >= leader.beat_at {
            let again = now.elapsed >= leader.resend_at;
            self.beat(again, now, out);
        }
        self.hand_over(now, out);
        self.build_if_due(now, out);
    }

    /// Whether a voter answered within the time after which others would elect another leader.
    pub(super) fn is_heard(&self, voter: Address, now: Now) -> bool {
        let Role::Leader(leader) = &self.role else { return false };
        let patience = self.settings.timing.election_most;
        let recent = |at: &Millis| now.elapsed.saturating_sub(*at) < patience;
        leader.answered.get(&voter).is_some_and(recent)
    }

    fn hears_majority(&self, now: Now) -> bool {
        let (Role::Leader(leader), Some(cluster)) = (&self.role, &self.cluster) else {
            return true;
        };
        let patience = self.settings.timing.election_most;
        let fresh = now.elapsed.saturating_sub(leader.since) < patience;
        let heard = self.other_voters().into_iter().filter(|voter| self.is_heard(*voter, now));
        fresh || heard.count().saturating_add(1) >= cluster.majority()
    }

    /// When a leader must act next.
    pub(super) fn leader_due(&self, leader: &Leader, now: Now) -> Millis {
        let due = self.block_due(leader, now).unwrap_or(Millis::MAX);
        leader.beat_at.min(due)
    }

    /// Tells every member how far the chain is, and gives the block in flight to those that may
    /// need it: who is further behind could not execute it, who refused it will not.
    pub(super) fn beat(&mut self, with_block: bool, now: Now, out: &mut Step) {
        for (member, body) in self.appends(with_block, now) {
            self.send(member, body, out);
        }
    }

    fn appends(&mut self, with_block: bool, now: Now) -> Vec<(Address, Body)> {
        let heartbeat = self.settings.timing.heartbeat.max(1);
        let commit = self.commit();
        let others = self.others();
        let Role::Leader(leader) = &mut self.role else { return Vec::new() };
        leader.beat_at = now.elapsed.saturating_add(heartbeat);
        if with_block {
            leader.resend_at = now.elapsed.saturating_add(heartbeat.saturating_mul(RESEND_BEATS));
        }
        let needs = |leader: &Leader, member: &Address| {
            // Its head may just be becoming one with ours.
            let near = |head: &BlockNumber| head.saturating_add(2) > commit.number;
            let done = leader.accepted_by.contains(member) || leader.refused_by.contains(member);
            !done && leader.heads.get(member).is_none_or(near)
        };
        let sent: Vec<(Address, bool)> = others
            .into_iter()
            .map(|member| (member, with_block && needs(leader, &member)))
            .collect();
        let append = |(member, with_block)| {
            let block = self.in_flight().filter(|_| with_block).cloned();
            (member, Body::Append { commit, block })
        };
        sent.into_iter().map(append).collect()
    }

    /// The block that waits for a majority.
    fn in_flight(&self) -> Option<&RecoveredBlock> {
        let accepted = self.durable.accepted.as_ref().filter(|_| self.adopting.is_none())?;
        Some(&accepted.block)
    }

    /// The newest block that is decided, as far as this node knows: one that it handed to the
    /// chain counts.
    fn commit(&self) -> Commit {
        let Some(cluster) = &self.cluster else { return Commit::default() };
        match self.adopting {
            Some(hash) => Commit { number: cluster.next(), hash },
            None => Commit { number: cluster.head().number, hash: cluster.head().hash() },
        }
    }

    /// Our own sealed block: accepted here, and sent while our disk still writes (Ongaro 10.2.1).
    /// Should we crash in between, we come back without it and lead no more in this term: to lead is
    /// to have won a vote in a term above the durable one. So there is no second block of ours in
    /// this term. Our own acceptance is counted in what comes after the record.
    pub(super) fn propose(&mut self, block: RecoveredBlock, now: Now, out: &mut Step) {
        let Some(own) = self.bound() else { return };
        self.durable.accepted = Some(Accepted { term: self.durable.term, block });
        self.persist(out);
        if let Role::Leader(leader) = &mut self.role {
            leader.accepted_by.clear();
            leader.refused_by.clear();
            leader.accepted_by.insert(own);
        }
        for (member, body) in self.appends(true, now) {
            if let Some((to, message)) = self.addressed(member, body) {
                out.send_ahead(to, message);
            }
        }
        self.decide(out);
    }

    /// Hands the block in flight to the chain once a majority has accepted it in this term.
    pub(super) fn decide(&mut self, out: &mut Step) {
        let (Role::Leader(leader), Some(cluster)) = (&self.role, &self.cluster) else { return };
        let Some(hash) = self.in_flight().map(RecoveredBlock::hash) else { return };
        let votes = leader.accepted_by.iter().filter(|voter| cluster.is_voter(**voter)).count();
        if votes < cluster.majority() {
            return;
        }
        self.decided = Some(hash);
        self.adopt_decided(out);
        // Durable at a majority: the others need not wait for our own disk.
        let commit = self.commit();
        for member in self.others() {
            self.send(member, Body::Append { commit, block: None }, out);
        }
    }

    /// An answer of a member in a term: its head, what it `(accepted, refused)`.
    pub(super) fn on_appended(
        &mut self,
        (author, term): (Address, u64),
        head: BlockNumber,
        (accepted, refused): (B256, B256),
        now: Now,
        out: &mut Step,
    ) {
        if self.is_blank_voter() {
            return;
        }
        if term > self.durable.term {
            self.enter_term(term, now, out);
            return;
        }
        let (commit, block) = (self.commit(), self.in_flight().cloned());
        let Role::Leader(leader) = &mut self.role else { return };
        if term < self.durable.term {
            return;
        }
        leader.answered.insert(author, now.elapsed);
        leader.heads.insert(author, head);
        let Some(block) = block else { return };
        let hash = block.hash();
        if accepted == hash {
            leader.accepted_by.insert(author);
            leader.refused_by.remove(&author);
            self.decide(out);
        } else if refused == hash {
            leader.refused_by.insert(author);
            self.give_way_to_refusals(now);
        } else if head < commit.number {
            leader.lagging.insert(author);
        } else if leader.lagging.remove(&author) && !leader.accepted_by.contains(&author) {
            // It caught up since the block was sent.
            self.send(author, Body::Append { commit, block: Some(block) }, out);
        }
    }

    /// A block that so many refuse that it cannot be committed: somebody else may do better
    /// (quorum#115 stopped there; a clock that is ahead of all others is enough).
    fn give_way_to_refusals(&mut self, now: Now) {
        let (Role::Leader(leader), Some(cluster)) = (&self.role, &self.cluster) else { return };
        let refused = leader.refused_by.iter().filter(|voter| cluster.is_voter(**voter)).count();
        if cluster.position.next.len().saturating_sub(refused) < cluster.majority() {
            tracing::error!(refused, "our block is refused, others shall lead");
            self.sit_out(now);
        }
    }

    /// A member that comes hears at once what there is.
    pub(super) fn greet(&self, member: Option<Address>, out: &mut Step) {
        let known = |member: &Address| self.others().contains(member);
        let Some(member) = member.filter(known) else { return };
        if let Role::Leader(leader) = &self.role {
            let done = leader.accepted_by.contains(&member);
            let block = self.in_flight().filter(|_| !done).cloned();
            self.send(member, Body::Append { commit: self.commit(), block }, out);
        }
        self.ask_for_votes(Some(member), out);
        self.ask_one_to_recover(member, out);
    }

    /// Hands leadership over once the other has all that we have.
    fn hand_over(&mut self, now: Now, out: &mut Step) {
        let idle = self.durable.accepted.is_none() && self.adopting.is_none();
        let head = self.cluster.as_ref().map_or(0, |cluster| cluster.head().number);
        let Role::Leader(leader) = &mut self.role else { return };
        let Some(transfer) = &mut leader.transfer else { return };
        let to = transfer.to;
        if now.elapsed >= transfer.until {
            tracing::warn!(%to, "leadership was not handed over in time");
            leader.transfer = None;
        } else if idle
            && !transfer.told
            && leader.building.is_none()
            && leader.heads.get(&to) == Some(&head)
        {
            transfer.told = true;
            self.send(to, Body::TimeoutNow, out);
        }
    }
}
