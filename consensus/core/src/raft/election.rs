//! Elections: a trial first (pre-vote, Ongaro 9.6), so that a node that was cut off does not drive
//! the terms up; nobody votes while a leader is heard (leader stickiness, 4.2.3); a leader that hears
//! no majority steps down (check-quorum, 6.2).

use super::{
    Raft,
    state::{Leader, Position, Role},
    wire::Body,
};
use crate::engine::{Now, Step};
use alloy_primitives::Address;
use std::collections::BTreeSet;

/// A question for our vote.
pub(super) struct Asked {
    pub(super) author: Address,
    pub(super) position: Position,
    /// The term in which the author wants to lead.
    pub(super) proposed: u64,
    /// A leader handed over to the author: its own word is no reason to wait.
    pub(super) transfer: bool,
}

impl Raft {
    pub(super) fn may_campaign(&self) -> bool {
        self.voter().is_some() && self.blank.is_none()
    }

    pub(super) fn own_position(&self) -> Position {
        let head = self.chain.as_ref().map_or(0, |chain| chain.position.head.number);
        self.durable.position(head)
    }

    /// Whether a leader was heard so recently that no other is needed.
    fn is_led(&self, now: Now) -> bool {
        let patience = self.settings.timing.election_least;
        match self.role {
            Role::Leader(_) => true,
            _ => {
                self.leader_heard.is_some_and(|heard| now.elapsed.saturating_sub(heard) < patience)
            }
        }
    }

    /// A follower that heard no leader for long asks whether it would be elected.
    pub(super) fn watch_leader(&mut self, now: Now, out: &mut Step) {
        if !self.may_campaign() || now.elapsed < self.election_at {
            return;
        }
        self.leader = None;
        self.reset_election(now);
        let Some(own) = self.own_address() else { return };
        self.role = Role::Trial(BTreeSet::from([own]));
        self.ask_for_votes(true, false, out);
        self.count(now, out);
    }

    fn ask_for_votes(&self, trial: bool, transfer: bool, out: &mut Step) {
        let proposed = self.durable.term.saturating_add(u64::from(trial));
        let position = self.own_position();
        for voter in self.other_voters() {
            self.send(voter, Body::AskVote { position, proposed, transfer, trial }, out);
        }
    }

    /// A trial binds nobody: it asks what we would do.
    pub(super) fn on_trial(&self, asked: &Asked, now: Now, out: &mut Step) {
        let granted = self.blank.is_none()
            && self.has_vote(asked.author)
            && asked.proposed > self.durable.term
            && asked.position >= self.own_position()
            && !self.is_led(now);
        let (proposed, trial) = (asked.proposed, true);
        self.send(asked.author, Body::Vote { proposed, granted, trial }, out);
    }

    pub(super) fn on_vote_asked(&mut self, asked: &Asked, now: Now, out: &mut Step) {
        let Asked { author, position, proposed, transfer } = *asked;
        if self.blank.is_some() || !self.has_vote(author) || self.voter().is_none() {
            return;
        }
        if proposed > self.durable.term && (transfer || !self.is_led(now)) {
            self.enter_term(proposed, now, out);
        }
        let free = self.durable.voted_for.is_none_or(|voted| voted == author);
        let granted = proposed == self.durable.term && free && position >= self.own_position();
        if granted {
            if self.durable.voted_for.is_none() {
                self.durable.voted_for = Some(author);
                self.persist(out);
            }
            self.reset_election(now);
        }
        self.send(author, Body::Vote { proposed, granted, trial: false }, out);
    }

    /// Leaves an older term; our vote in the new one is free.
    pub(super) fn enter_term(&mut self, term: u64, now: Now, out: &mut Step) {
        self.durable.term = term;
        self.durable.voted_for = None;
        self.persist(out);
        self.follow(None, now);
    }

    /// An answer: `(proposed, granted, trial)`.
    pub(super) fn on_vote(
        &mut self,
        author: Address,
        term: u64,
        (proposed, granted, trial): (u64, bool, bool),
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
        let wanted = self.durable.term.saturating_add(u64::from(trial));
        if !granted || proposed != wanted || !self.has_vote(author) {
            return;
        }
        match &mut self.role {
            Role::Trial(votes) if trial => votes.insert(author),
            Role::Candidate(votes) if !trial => votes.insert(author),
            _ => return,
        };
        self.count(now, out);
    }

    fn count(&mut self, now: Now, out: &mut Step) {
        let majority = self.majority();
        let counted = |votes: &BTreeSet<Address>| {
            votes.iter().filter(|voter| self.has_vote(**voter)).count() >= majority
        };
        match &self.role {
            Role::Trial(votes) if counted(votes) => self.campaign(false, now, out),
            Role::Candidate(votes) if counted(votes) => self.begin_to_lead(now, out),
            _ => {}
        }
    }

    /// Asks for votes in a new term. Our own vote is durable before.
    pub(super) fn campaign(&mut self, transfer: bool, now: Now, out: &mut Step) {
        let Some(own) = self.voter() else { return };
        self.durable.term = self.durable.term.saturating_add(1);
        self.durable.voted_for = Some(own);
        self.persist(out);
        self.leader = None;
        self.reset_election(now);
        self.role = Role::Candidate(BTreeSet::from([own]));
        self.ask_for_votes(false, transfer, out);
        self.count(now, out);
    }

    /// A leader takes over the accepted block of an earlier term as its own.
    fn begin_to_lead(&mut self, now: Now, out: &mut Step) {
        let Some(own) = self.voter() else { return };
        tracing::info!(term = self.durable.term, "this node leads");
        self.leader = self.own_address();
        self.executing = None;
        self.early = None;
        let mut leader = Leader::new(now);
        if let Some(accepted) = &mut self.durable.accepted {
            accepted.term = self.durable.term;
            leader.accepted_by.insert(own);
            self.persist(out);
        }
        self.role = Role::Leader(leader);
        self.beat(true, now, out);
        self.decide(out);
    }

    pub(super) fn begin_transfer(&mut self, to: Address, now: Now) {
        let until = now.elapsed.saturating_add(self.settings.timing.election_most);
        let known = self.has_vote(to) && Some(to) != self.own_address();
        if let (Role::Leader(leader), true) = (&mut self.role, known) {
            leader.transfer = Some((to, until));
        }
    }

    /// The leader wants us to take over at once.
    pub(super) fn on_timeout_now(&mut self, author: Address, term: u64, now: Now, out: &mut Step) {
        if term == self.durable.term && self.leader == Some(author) && self.may_campaign() {
            self.campaign(true, now, out);
        }
    }
}
