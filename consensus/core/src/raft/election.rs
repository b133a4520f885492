//! Elections: a trial first (pre-vote, Ongaro 9.6), so that a node that was cut off does not drive
//! the terms up; nobody votes while a leader is heard (leader stickiness, 4.2.3); a leader that hears
//! no majority steps down (check-quorum, 6.2).

use super::{
    Raft,
    state::{Leader, Position, Role, Transfer},
    wire::Body,
};
use crate::engine::{Now, Step};
use alloy_primitives::Address;
use entente_chain::limits::ROUND_MAX;
use std::collections::BTreeSet;

/// Elections that a leader sits out whose block others refused.
const SAT_OUT_ELECTIONS: u64 = 5;

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
        self.bound().is_some() && self.durable.term < ROUND_MAX
    }

    pub(super) fn own_position(&self) -> Position {
        let head = self.cluster.as_ref().map_or(0, |cluster| cluster.head().number);
        self.durable.position(head)
    }

    /// Whether a leader was heard so recently that no other is needed.
    fn is_led(&self, now: Now) -> bool {
        let patience = self.settings.timing.election_least;
        let heard = self.leader_heard.is_some_and(|at| now.elapsed.saturating_sub(at) < patience);
        heard || matches!(self.role, Role::Leader(_))
    }

    /// A follower that heard no leader for long asks whether it would be elected.
    pub(super) fn watch_leader(&mut self, now: Now, out: &mut Step) {
        if !self.may_campaign() || now.elapsed < self.election_at {
            return;
        }
        self.leader = None;
        self.reset_election(now);
        let Some(own) = self.bound() else { return };
        self.role = Role::Trial(BTreeSet::from([own]));
        self.ask_for_votes(None, out);
        self.count(now, out);
    }

    /// Asks one voter, or all, what the part that we play asks.
    pub(super) fn ask_for_votes(&self, only: Option<Address>, out: &mut Step) {
        let (trial, transfer, votes) = match &self.role {
            Role::Trial(votes) => (true, false, votes),
            Role::Candidate { votes, transfer } => (false, *transfer, votes),
            Role::Follower | Role::Leader(_) => return,
        };
        let proposed = self.durable.term.saturating_add(u64::from(trial));
        let position = self.own_position();
        let wanted =
            |voter: &Address| !votes.contains(voter) && only.is_none_or(|only| only == *voter);
        for voter in self.other_voters().into_iter().filter(wanted) {
            self.send(voter, Body::AskVote { position, proposed, transfer, trial }, out);
        }
    }

    /// A trial binds nobody: it asks what we would do.
    pub(super) fn on_trial(&self, asked: &Asked, now: Now, out: &mut Step) {
        if self.bound().is_none() {
            return;
        }
        let granted = asked.proposed > self.durable.term
            && asked.position >= self.own_position()
            && !self.is_led(now);
        let (proposed, trial) = (asked.proposed, true);
        self.send(asked.author, Body::Vote { proposed, granted, trial }, out);
    }

    pub(super) fn on_vote_asked(&mut self, asked: &Asked, now: Now, out: &mut Step) {
        let Asked { author, position, proposed, transfer } = *asked;
        if self.bound().is_none() {
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
        if self.bound().is_none() {
            return;
        }
        if term > self.durable.term {
            self.enter_term(term, now, out);
            return;
        }
        let wanted = self.durable.term.saturating_add(u64::from(trial));
        if !granted || proposed != wanted {
            return;
        }
        match &mut self.role {
            Role::Trial(votes) if trial => votes.insert(author),
            Role::Candidate { votes, .. } if !trial => votes.insert(author),
            _ => return,
        };
        self.count(now, out);
    }

    fn count(&mut self, now: Now, out: &mut Step) {
        let Some(cluster) = &self.cluster else { return };
        let counted = |votes: &BTreeSet<Address>| {
            votes.iter().filter(|voter| cluster.is_voter(**voter)).count() >= cluster.majority()
        };
        match &self.role {
            Role::Trial(votes) if counted(votes) => self.campaign(false, now, out),
            Role::Candidate { votes, .. } if counted(votes) => self.begin_to_lead(now, out),
            _ => {}
        }
    }

    /// Asks for votes in a new term. Our own vote is durable before.
    fn campaign(&mut self, transfer: bool, now: Now, out: &mut Step) {
        if !self.may_campaign() {
            return;
        }
        let Some(own) = self.bound() else { return };
        self.durable.term = self.durable.term.saturating_add(1);
        self.durable.voted_for = Some(own);
        self.persist(out);
        self.leader = None;
        self.reset_election(now);
        self.role = Role::Candidate { votes: BTreeSet::from([own]), transfer };
        self.ask_for_votes(None, out);
        self.count(now, out);
    }

    /// A leader takes over the accepted block of an earlier term as its own: it may have been
    /// committed, and nobody else at this height was.
    fn begin_to_lead(&mut self, now: Now, out: &mut Step) {
        let Some(own) = self.bound() else { return };
        tracing::info!(term = self.durable.term, "this node leads");
        self.leader = Some(own);
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

    /// Begins to hand leadership to another voter, if this node leads.
    pub(super) fn begin_transfer(&mut self, to: Address, now: Now) {
        let until = now.elapsed.saturating_add(self.settings.timing.election_most);
        let votes = self.cluster.as_ref().is_some_and(|cluster| cluster.is_voter(to));
        let known = votes && Some(to) != self.own_address();
        if let (Role::Leader(leader), true) = (&mut self.role, known) {
            leader.transfer = Some(Transfer { to, until, told: false });
        }
    }

    /// The leader wants us to take over at once.
    pub(super) fn on_timeout_now(&mut self, author: Address, term: u64, now: Now, out: &mut Step) {
        let follows = matches!(self.role, Role::Follower) && self.leader == Some(author);
        if term == self.durable.term && follows {
            self.campaign(true, now, out);
        }
    }

    /// Gives others time to lead: they refused our block.
    pub(super) fn sit_out(&mut self, now: Now) {
        self.follow(None, now);
        let pause = self.settings.timing.election_most.saturating_mul(SAT_OUT_ELECTIONS);
        self.election_at = now.elapsed.saturating_add(pause);
    }
}
