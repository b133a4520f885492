//! What a node remembers of its peers while they are connected, beside what is on its way.

use crate::{
    directory::Directory, distribution::Distribution, privacy::Millis, recovery::Recovery,
};
use entente_chain::{NodeId, private::RecipientKey};
use std::collections::{BTreeMap, BTreeSet};

/// Payload bytes that a peer may send at once, and per second.
const PAYLOAD_BYTES: (u64, u64) = (32 * 1024 * 1024, 8 * 1024 * 1024);
/// Questions and statements that a peer may send at once, and per second.
const QUESTIONS: (u64, u64) = (512, 64);

/// Pause between statements to a peer that has not answered with its own, in milliseconds.
const STATE_AGAIN: Millis = 5000;
/// The same for one that has.
const STATE_AGAIN_STATED: Millis = 60_000;

/// Everything that changes with messages and time. Nothing in here reads a disk or a clock.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) distribution: Distribution,
    pub(crate) directory: Directory,
    pub(crate) recovery: Recovery,
    pub(crate) peers: BTreeMap<NodeId, Peer>,
}

impl Exchange {
    pub(crate) fn connected(&self) -> BTreeSet<NodeId> {
        self.peers.keys().copied().collect()
    }

    /// Peers to whom our keys shall be stated again.
    pub(crate) fn due_statements(&mut self, now: Millis) -> Vec<NodeId> {
        let mut due = Vec::new();
        for (node, peer) in &mut self.peers {
            if peer.next_statement <= now {
                let pause = if peer.has_stated { STATE_AGAIN_STATED } else { STATE_AGAIN };
                peer.next_statement = now.saturating_add(pause);
                due.push(*node);
            }
        }
        due
    }

    pub(crate) fn next_deadline(&self) -> Option<Millis> {
        let statement = self.peers.values().map(|peer| peer.next_statement).min();
        let others = [self.distribution.next_deadline(), self.recovery.next_deadline()];
        others.into_iter().chain([statement]).flatten().min()
    }
}

/// A connected node.
#[derive(Debug)]
pub(crate) struct Peer {
    /// The key that our proofs must be made for.
    pub(crate) challenge: Option<RecipientKey>,
    /// Whether it has proven its keys in this session: before that we do not know who asks.
    pub(crate) has_stated: bool,
    /// When we state our keys again: a statement may have been lost.
    pub(crate) next_statement: Millis,
    pub(crate) payload_bytes: Allowance,
    pub(crate) questions: Allowance,
}

impl Peer {
    pub(crate) fn new(now: Millis) -> Self {
        Self {
            challenge: None,
            has_stated: false,
            next_statement: now.saturating_add(STATE_AGAIN),
            payload_bytes: Allowance::new(now, PAYLOAD_BYTES),
            questions: Allowance::new(now, QUESTIONS),
        }
    }
}

/// How much more of something a peer may send.
#[derive(Debug)]
pub(crate) struct Allowance {
    left: u64,
    at: Millis,
    most: u64,
    per_second: u64,
}

impl Allowance {
    const fn new(now: Millis, (most, per_second): (u64, u64)) -> Self {
        Self { left: most, at: now, most, per_second }
    }

    /// Whether so much more is allowed; then it is spent.
    pub(crate) fn spend(&mut self, now: Millis, amount: u64) -> bool {
        let passed = now.saturating_sub(self.at);
        let gained = passed.saturating_mul(self.per_second) / 1000;
        if gained > 0 {
            self.left = self.left.saturating_add(gained).min(self.most);
            self.at = now;
        }
        match self.left.checked_sub(amount) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowance_fills_up_again_with_time() {
        let mut allowance = Allowance::new(0, (10, 2));
        assert!(allowance.spend(0, 10));
        assert!(!allowance.spend(400, 1));
        assert!(allowance.spend(500, 1));
        assert!(allowance.spend(5500, 10));
        assert!(!allowance.spend(5500, 1));
        assert!(!allowance.spend(1_000_000, 11), "never more than it holds");
    }
}
