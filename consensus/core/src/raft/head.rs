//! Takes up the height after a committed block: at start, and whenever the chain moves.

use super::{Raft, cluster::Cluster, recovery::lies_on, state::Role};
use crate::engine::{ChainPosition, Now, Step};

impl Raft {
    /// The chain moved, by our decision or by sync.
    pub(super) fn on_committed(&mut self, position: ChainPosition, now: Now, out: &mut Step) {
        let hash = position.head.hash();
        if self.cluster.as_ref().is_some_and(|cluster| cluster.head().hash() == hash) {
            return;
        }
        let ours = self.adopting == Some(hash);
        let before = self.cluster.take();
        self.let_go_of_other_branches(&position.head, now);
        self.enter(position, now);
        if let Some(before) = &before {
            self.ask_anew_if_replaced(before.head(), now);
        }
        self.keep_or_leave_part(before.as_ref(), ours, now);
        let Some(cluster) = &self.cluster else { return };
        let term = cluster.head_term;
        if term > self.durable.term {
            // Whoever builds next builds in this term or a later one, also where all records are
            // gone and only the chain is left.
            self.enter_term(term, now, out);
        }
        if let Some(early) = self.early.take() {
            self.take_block(early, now, out);
        } else if let (Role::Follower, Some(leader)) = (&self.role, self.leader) {
            // It gives us the block in flight, if we lacked its parent when it was sent.
            self.answer(leader, out);
        }
        self.continue_recovery(now, out);
    }

    /// Forgets what belongs to heights below the next one.
    pub(super) fn enter(&mut self, position: ChainPosition, now: Now) {
        let head = &position.head;
        self.adopting = None;
        self.decided = None;
        self.refused = None;
        self.reported = None;
        // The record may keep it: a block at or below the head says nothing.
        self.durable.accepted.take_if(|accepted| accepted.block.header.number <= head.number);
        self.executing.take_if(|executing| !lies_on(&executing.block, head));
        self.cluster = Cluster::new(position, &self.spec, now.elapsed);
        match &self.cluster {
            Some(cluster) => {
                self.peers.retain(|address| cluster.is_member(address));
                self.changes.retain_fitting(&cluster.position.tally);
            }
            None => {
                self.early = None;
                self.leader = None;
            }
        }
    }

    /// A leader goes on if it decided the head itself and is tied to the next height: who votes on
    /// that shares a voter with every majority that chose it. Else two leaders of one term could
    /// work at one height. A candidate begins again: those who gave their votes knew it at another
    /// height, where others may count.
    fn keep_or_leave_part(&mut self, before: Option<&Cluster>, ours: bool, now: Now) {
        let votes = self.voter().is_some();
        let tied = match (before, &self.cluster) {
            (Some(before), Some(cluster)) => before.shares_majorities_with(cluster),
            _ => false,
        };
        match (&mut self.role, &self.cluster) {
            (Role::Leader(leader), Some(cluster)) if ours && tied && votes => {
                leader.on_committed(|address| cluster.is_member(address));
            }
            (Role::Leader(_), _) => {
                tracing::info!(term = self.durable.term, "this node leads no more");
                self.follow(None, now);
            }
            (Role::Trial(_) | Role::Candidate { .. }, _) => self.role = Role::Follower,
            (Role::Follower, _) => {}
        }
    }
}
