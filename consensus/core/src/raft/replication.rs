//! The leader sends its block and its commits; followers execute, accept durably, and answer. A
//! majority that accepted in the leader's term decides.

use super::{
    Raft,
    state::{Accepted, Executing, Leader, Role},
    wire::{Body, Commit},
};
use crate::engine::{Action, Millis, Now, Step};
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

    fn hears_majority(&self, now: Now) -> bool {
        let Role::Leader(leader) = &self.role else { return true };
        let patience = self.settings.timing.election_most;
        let recent = |at: Millis| now.elapsed.saturating_sub(at) < patience;
        let heard = leader.answered.iter().filter(|(who, at)| self.has_vote(**who) && recent(**at));
        recent(leader.since) || heard.count().saturating_add(1) >= self.majority()
    }

    /// When a leader must act next.
    pub(super) fn leader_due(&self, leader: &Leader, now: Now) -> Millis {
        let due = self.block_due(leader, now).unwrap_or(Millis::MAX);
        leader.beat_at.min(due)
    }

    /// Tells every member how far the chain is, and gives them the block in flight.
    pub(super) fn beat(&mut self, with_block: bool, now: Now, out: &mut Step) {
        let heartbeat = self.settings.timing.heartbeat;
        let commit = self.commit();
        let others = self.others();
        let Role::Leader(leader) = &mut self.role else { return };
        leader.beat_at = now.elapsed.saturating_add(heartbeat);
        if with_block {
            leader.resend_at = now.elapsed.saturating_add(heartbeat.saturating_mul(RESEND_BEATS));
        }
        let has = leader.accepted_by.clone();
        let block = self.durable.accepted.as_ref().map(|accepted| &accepted.block);
        for member in others {
            let block = block.filter(|_| with_block && !has.contains(&member)).cloned();
            self.send(member, Body::Append { commit, block }, out);
        }
    }

    /// The newest block that is decided, as far as this node knows: one that it handed to the
    /// chain counts.
    fn commit(&self) -> Commit {
        if let (Some(adopting), Some(accepted)) = (self.adopting, &self.durable.accepted) {
            return Commit { number: accepted.block.header.number, hash: adopting };
        }
        let head = self.chain.as_ref().map(|chain| &chain.position.head);
        head.map(|head| Commit { number: head.number, hash: head.hash() }).unwrap_or_default()
    }

    /// Our own sealed block: accepted here, and sent.
    pub(super) fn propose(&mut self, block: RecoveredBlock, now: Now, out: &mut Step) {
        let Some(own) = self.voter() else { return };
        self.durable.accepted = Some(Accepted { term: self.durable.term, block });
        self.persist(out);
        if let Role::Leader(leader) = &mut self.role {
            leader.accepted_by.clear();
            leader.accepted_by.insert(own);
        }
        self.beat(true, now, out);
        self.decide(out);
    }

    /// Hands the block in flight to the chain once a majority has accepted it in this term.
    pub(super) fn decide(&mut self, out: &mut Step) {
        let Role::Leader(leader) = &self.role else { return };
        let Some(accepted) = &self.durable.accepted else { return };
        let votes = leader.accepted_by.iter().filter(|voter| self.has_vote(**voter)).count();
        if self.adopting.is_some() || votes < self.majority() {
            return;
        }
        let block = accepted.block.clone();
        self.adopting = Some(block.hash());
        // Durable at a majority: the others need not wait for our own disk.
        let commit = self.commit();
        for member in self.others() {
            self.send(member, Body::Append { commit, block: None }, out);
        }
        out.then(Action::Adopt(block));
    }

    /// Takes what the leader sends: `(author, term)`.
    pub(super) fn on_append(
        &mut self,
        (author, term): (Address, u64),
        commit: Commit,
        block: Option<&RecoveredBlock>,
        now: Now,
        out: &mut Step,
    ) {
        if self.blank.is_some() {
            // Neither bound nor counted: only block sync moves us for now.
            self.leader = Some(author);
            return;
        }
        if term < self.durable.term {
            self.answer(author, out);
            return;
        }
        self.bind_to(author, term, now, out);
        if let Some(accepted) = &self.durable.accepted
            && accepted.block.hash() == commit.hash
            && self.adopting != Some(commit.hash)
        {
            self.adopting = Some(commit.hash);
            out.then(Action::Adopt(accepted.block.clone()));
        }
        match block {
            Some(block) => {
                let (block, leader) = (block.clone(), Some(author));
                self.take_block(Executing { block, term, leader, retry_at: None }, now, out);
            }
            None => self.answer(author, out),
        }
    }

    /// Follows the leader of a term. Who takes its blocks has voted for it, in effect: two sets of
    /// members may differ by more than one.
    fn bind_to(&mut self, leader: Address, term: u64, now: Now, out: &mut Step) {
        if term > self.durable.term || self.durable.voted_for != Some(leader) {
            self.durable.term = term;
            self.durable.voted_for = Some(leader);
            self.persist(out);
        }
        self.follow(Some(leader), now);
        self.leader_heard = Some(now.elapsed);
    }

    /// Has a proposed block executed, or answers at once when that was done.
    pub(super) fn take_block(&mut self, mut proposed: Executing, now: Now, out: &mut Step) {
        let Some(chain) = &self.chain else { return };
        let head = &chain.position.head;
        let number = proposed.block.header.number;
        let next = head.number.saturating_add(1);
        if proposed.term < self.durable.term {
            return;
        }
        if number == next.saturating_add(1) && self.adopting.is_some() {
            self.early = Some(proposed);
            return;
        }
        let follows = number == next && proposed.block.header.parent_hash == head.hash();
        if !follows {
            // Behind, or ahead: block sync and the leader's next beat bring us together.
            if let Some(leader) = proposed.leader {
                self.answer(leader, out);
            }
            return;
        }
        let hash = proposed.block.hash();
        let known = self.durable.accepted.as_ref().map(|known| (known.block.hash(), known.term));
        if known.is_some_and(|(known, _)| known == hash) {
            if known == Some((hash, proposed.term)) {
                if let Some(leader) = proposed.leader {
                    self.answer(leader, out);
                }
            } else {
                self.accept(proposed, now, out);
            }
            return;
        }
        if let Some(running) = &mut self.executing
            && running.block.hash() == hash
        {
            running.term = proposed.term;
            running.leader = proposed.leader;
            return;
        }
        out.then(Action::Execute(proposed.block.clone()));
        proposed.retry_at = None;
        self.executing = Some(proposed);
    }

    /// An executed block becomes durable; only then the leader hears of it.
    pub(super) fn accept(&mut self, executed: Executing, now: Now, out: &mut Step) {
        let Executing { block, term, leader, .. } = executed;
        let stale = leader.is_some() && term != self.durable.term;
        let leads = matches!(self.role, Role::Leader(_));
        if stale || leads {
            return;
        }
        self.durable.accepted = Some(Accepted { term, block });
        if let Some(leader) = leader {
            self.persist(out);
            self.answer(leader, out);
        } else {
            self.continue_recovery(now, out);
        }
    }

    /// How far we are, and what we accepted in the current term.
    fn answer(&self, leader: Address, out: &mut Step) {
        let head = self.chain.as_ref().map_or(0, |chain| chain.position.head.number);
        let accepted = self.durable.accepted.as_ref();
        let accepted = accepted.filter(|accepted| accepted.term == self.durable.term);
        let accepted = accepted.map_or(B256::ZERO, |accepted| accepted.block.hash());
        self.send(leader, Body::Appended { head, accepted }, out);
    }

    /// An answer of a member: `(head, accepted)`.
    pub(super) fn on_appended(
        &mut self,
        author: Address,
        term: u64,
        (head, accepted): (BlockNumber, B256),
        now: Now,
        out: &mut Step,
    ) {
        if self.blank.is_some() {
            return;
        }
        if term > self.durable.term {
            self.enter_term(term, now, out);
            return;
        }
        if term < self.durable.term {
            return;
        }
        let in_flight = self.durable.accepted.as_ref().map(|accepted| &accepted.block.header);
        let in_flight = in_flight.map(|header| (header.number, header.hash()));
        let own_head = self.chain.as_ref().map_or(0, |chain| chain.position.head.number);
        let mut behind = false;
        if let Role::Leader(leader) = &mut self.role {
            leader.answered.insert(author, now.elapsed);
            leader.heads.insert(author, head);
            if let Some((number, hash)) = in_flight {
                // Who has committed that height has committed this block: there is no other.
                let has = accepted == hash || head >= number;
                if has {
                    leader.accepted_by.insert(author);
                }
                // It caught up since the block was sent.
                behind = !has && head == own_head && now.elapsed >= leader.resend_at;
            }
        }
        if behind && let Some(accepted) = &self.durable.accepted {
            let (commit, block) = (self.commit(), Some(accepted.block.clone()));
            self.send(author, Body::Append { commit, block }, out);
        }
        self.decide(out);
    }

    /// A member that comes hears at once what there is.
    pub(super) fn greet(&self, member: Option<Address>, out: &mut Step) {
        let Some(member) = member.filter(|member| self.others().contains(member)) else { return };
        match &self.role {
            Role::Leader(leader) => {
                let block = self.durable.accepted.as_ref().map(|accepted| accepted.block.clone());
                let block = block.filter(|_| !leader.accepted_by.contains(&member));
                self.send(member, Body::Append { commit: self.commit(), block }, out);
            }
            _ => {
                if let Some(blank) = &self.blank {
                    self.send(member, Body::Recover { nonce: blank.nonce() }, out);
                }
            }
        }
    }

    /// Hands leadership over once the other has all that we have.
    fn hand_over(&mut self, now: Now, out: &mut Step) {
        let idle = self.durable.accepted.is_none();
        let head = self.chain.as_ref().map_or(0, |chain| chain.position.head.number);
        let Role::Leader(leader) = &mut self.role else { return };
        let Some((to, until)) = leader.transfer else { return };
        if now.elapsed >= until {
            leader.transfer = None;
            return;
        }
        if idle && leader.building.is_none() && leader.heads.get(&to) == Some(&head) {
            leader.transfer = None;
            self.send(to, Body::TimeoutNow, out);
        }
    }
}
