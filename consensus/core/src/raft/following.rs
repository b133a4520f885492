//! What a member does with the words of a leader: executes its block, accepts it durably, answers,
//! and makes it the head once it is committed.

use super::{
    Raft,
    state::{Accepted, EXECUTE_RETRY_MS, Executing, REFUSED_RETRY_MS, Refused, Role},
    wire::{Body, Commit},
};
use crate::{
    engine::{Action, Now, Step, Verdict},
    rules::raft_term,
};
use alloy_primitives::{Address, B256};
use entente_chain::RecoveredBlock;

impl Raft {
    /// Takes what a voter says that leads: `(author, term)`.
    pub(super) fn on_append(
        &mut self,
        (author, term): (Address, u64),
        commit: Commit,
        block: Option<&RecoveredBlock>,
        now: Now,
        out: &mut Step,
    ) {
        if self.is_blank_voter() {
            // Neither bound nor counted: only block sync moves us for now.
            self.leader = Some(author);
            return;
        }
        if term < self.durable.term {
            // It learns our term, and steps down.
            self.answer(author, out);
            return;
        }
        let other = self.leader.is_some_and(|leader| leader != author);
        if term == self.durable.term && (other || matches!(self.role, Role::Leader(_))) {
            self.report(author, "two leaders in one term", B256::ZERO, out);
            return;
        }
        self.bind_to(author, term, now, out);
        self.learn(commit, out);
        match block {
            Some(block) => {
                let (block, leader) = (block.clone(), Some(author));
                self.take_block(Executing { block, term, leader, retry_at: None }, now, out);
            }
            None => self.answer(author, out),
        }
    }

    /// Follows the leader of a term. Who takes its blocks has no vote left in that term: two sets of
    /// members that are two changes apart need not share a voter.
    fn bind_to(&mut self, leader: Address, term: u64, now: Now, out: &mut Step) {
        if term > self.durable.term || self.durable.voted_for.is_none() {
            self.durable.term = term;
            self.durable.voted_for = Some(leader);
            self.persist(out);
        }
        if self.leader != Some(leader) {
            tracing::info!(term, %leader, "this node follows");
        }
        self.follow(Some(leader), now);
        self.leader_heard = Some(now.elapsed);
    }

    /// Takes note of what the leader knows to be committed.
    fn learn(&mut self, commit: Commit, out: &mut Step) {
        if self.cluster.as_ref().is_some_and(|cluster| cluster.next() == commit.number) {
            self.decided = Some(commit.hash);
            self.adopt_decided(out);
        }
    }

    /// Makes the committed block of the next height the head, if we accepted it. Who lacks it gets
    /// it by block sync.
    pub(super) fn adopt_decided(&mut self, out: &mut Step) {
        let Some(accepted) = &self.durable.accepted else { return };
        let hash = accepted.block.hash();
        if self.decided == Some(hash) && self.adopting.is_none() {
            self.adopting = Some(hash);
            let block = accepted.block.clone();
            // Who is bound has it in its newest record, and the next record without it is written
            // after it is in the chain.
            out.then(match self.bound() {
                Some(_) => Action::AdoptLogged(block),
                None => Action::Adopt(block),
            });
        }
    }

    /// Has a proposed block executed, or answers at once when that was done.
    pub(super) fn take_block(&mut self, proposed: Executing, now: Now, out: &mut Step) {
        let Some(cluster) = &self.cluster else { return };
        let (head, next) = (cluster.head(), cluster.next());
        let header = &proposed.block.header;
        let hash = header.hash();
        if proposed.term < self.durable.term {
            return;
        }
        if header.number == next.saturating_add(1) && self.adopting.is_some() {
            self.early = Some(proposed);
            return;
        }
        let follows = header.number == next && header.parent_hash == head.hash();
        // Ours name a term, and nobody proposes what only a later leader can have built.
        let built = (1..=proposed.term).contains(&raft_term(&self.spec, header));
        let looked_at = self.refused.is_some_and(|it| it.block == hash && now.elapsed < it.until);
        if !follows || !built || looked_at || self.adopting.is_some() {
            // Behind, or ahead: block sync and the leader's next beat bring us together.
            if let Some(leader) = proposed.leader {
                self.answer(leader, out);
            }
            return;
        }
        if self.durable.accepted.as_ref().is_some_and(|known| known.block.hash() == hash) {
            self.accept(proposed, now, out);
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
        self.executing = Some(proposed);
    }

    pub(super) fn on_executed(&mut self, block: B256, verdict: &Verdict, now: Now, out: &mut Step) {
        let Some(executing) = self.executing.take_if(|running| running.block.hash() == block)
        else {
            return;
        };
        match verdict {
            Verdict::Valid => self.accept(executing, now, out),
            Verdict::Invalid(cause) => {
                tracing::error!(%block, %cause, "the leader's block is invalid");
                let until = now.elapsed.saturating_add(REFUSED_RETRY_MS);
                self.refused = Some(Refused { block, until });
                let author = executing.block.header.beneficiary;
                self.report(author, "proposed an invalid block", block, out);
                if let Some(leader) = executing.leader {
                    self.answer(leader, out);
                }
            }
            Verdict::Unavailable(cause) => {
                tracing::warn!(%block, %cause, "a block could not be executed");
                let retry_at = Some(now.elapsed.saturating_add(EXECUTE_RETRY_MS));
                self.executing = Some(Executing { retry_at, ..executing });
            }
        }
    }

    pub(super) fn retry_execution(&mut self, now: Now, out: &mut Step) {
        let Some(executing) = &mut self.executing else { return };
        if executing.retry_at.is_some_and(|at| at <= now.elapsed) {
            executing.retry_at = None;
            out.then(Action::Execute(executing.block.clone()));
        }
    }

    /// An executed block becomes durable; only then the leader hears of it.
    fn accept(&mut self, executed: Executing, now: Now, out: &mut Step) {
        let Executing { block, term, leader, .. } = executed;
        let (hash, leads) = (block.hash(), matches!(self.role, Role::Leader(_)));
        let stale = leader.is_some() && term != self.durable.term;
        if stale || leads {
            if self.decided == Some(hash) && self.adopting.is_none() {
                // Its term is over, and it is committed all the same.
                self.adopting = Some(hash);
                out.then(Action::Adopt(block));
            }
            return;
        }
        let known = self.durable.accepted.as_ref().map(|known| (known.term, known.block.hash()));
        let news = known != Some((term, hash));
        self.durable.accepted = Some(Accepted { term, block });
        match leader {
            Some(leader) => {
                if news {
                    self.persist(out);
                }
                self.answer(leader, out);
                self.adopt_decided(out);
            }
            None => self.continue_recovery(now, out),
        }
    }

    /// How far we are, and what we accepted in the current term. A voter without memory has nothing
    /// to say that may be counted.
    pub(super) fn answer(&self, leader: Address, out: &mut Step) {
        let Some(cluster) = &self.cluster else { return };
        if self.is_blank_voter() {
            return;
        }
        let accepted = self.durable.accepted.as_ref();
        let accepted = accepted.filter(|accepted| accepted.term == self.durable.term);
        let accepted = accepted.map_or(B256::ZERO, |accepted| accepted.block.hash());
        let refused = self.refused.map_or(B256::ZERO, |refused| refused.block);
        let head = cluster.head().number;
        self.send(leader, Body::Appended { head, accepted, refused }, out);
    }
}
