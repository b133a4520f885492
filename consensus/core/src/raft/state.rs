//! What a node remembers: durable, and of the part it plays.

use crate::engine::{BuildId, Millis, Now};
use alloy_primitives::{Address, B256};
use entente_chain::{BlockNumber, RecoveredBlock};
use std::collections::{BTreeMap, BTreeSet};

/// Pause before execution is asked for again.
pub(super) const EXECUTE_RETRY_MS: Millis = 200;
/// Pause before an invalid block is looked at again.
pub(super) const REFUSED_RETRY_MS: Millis = 2_000;

/// All that survives a restart; one record holds all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Durable {
    pub(super) term: u64,
    /// Whom we gave our vote in that term.
    pub(super) voted_for: Option<Address>,
    pub(super) accepted: Option<Accepted>,
}

/// A block above the head that is executed, durable, and not known to be committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Accepted {
    /// Term of the leader that proposed it to us; the header's own may be earlier.
    pub(super) term: u64,
    pub(super) block: RecoveredBlock,
}

/// How far a node is: the height that it decides next, and the term in which it accepted a block
/// there. The order is that of votes: by height, then by term.
///
/// A committed height is one that is not decided any more. So a node that has committed a block is
/// ahead of everybody who has accepted one at that height, in whatever term: the block that a leader
/// alone accepted, before another one was committed there, must not win a vote (quorum#852).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The head's height and one.
    pub height: BlockNumber,
    /// Term in which a block was accepted at that height; 0: none was.
    pub term: u64,
}

impl Durable {
    pub(super) fn position(&self, head: BlockNumber) -> Position {
        let term = self.accepted.as_ref().map_or(0, |accepted| accepted.term);
        Position { height: head.saturating_add(1), term }
    }
}

/// A proposed block that is being executed.
#[derive(Clone, Debug)]
pub(super) struct Executing {
    pub(super) block: RecoveredBlock,
    /// Term in which it will be accepted.
    pub(super) term: u64,
    /// Whom to answer; `None`: taken over in recovery.
    pub(super) leader: Option<Address>,
    pub(super) retry_at: Option<Millis>,
}

/// A block that was found invalid.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refused {
    pub(super) block: B256,
    /// It may be looked at again then: its time may just have been ahead of our clock.
    pub(super) until: Millis,
}

/// The part a node plays.
#[derive(Debug)]
pub(super) enum Role {
    Follower,
    /// Asks who would vote for it.
    Trial(BTreeSet<Address>),
    /// Asks for votes; `transfer`: at the leader's own wish.
    Candidate {
        votes: BTreeSet<Address>,
        transfer: bool,
    },
    Leader(Leader),
}

/// Hand over to whom, and until when we try.
#[derive(Clone, Copy, Debug)]
pub(super) struct Transfer {
    pub(super) to: Address,
    pub(super) until: Millis,
    pub(super) told: bool,
}

/// What a leader keeps beside its log.
#[derive(Debug)]
pub(super) struct Leader {
    /// Who accepted the block in flight in this term, ourselves included.
    pub(super) accepted_by: BTreeSet<Address>,
    /// Who found it invalid.
    pub(super) refused_by: BTreeSet<Address>,
    /// When each member answered last.
    pub(super) answered: BTreeMap<Address, Millis>,
    /// Newest head that each member told of.
    pub(super) heads: BTreeMap<Address, BlockNumber>,
    pub(super) since: Millis,
    pub(super) building: Option<BuildId>,
    pub(super) build_after: Millis,
    pub(super) beat_at: Millis,
    /// The block in flight goes again to those that have not accepted it.
    pub(super) resend_at: Millis,
    /// Behind when the block in flight was sent: they need it again once they have its parent.
    pub(super) lagging: BTreeSet<Address>,
    /// Leadership is being handed over; nothing is built meanwhile.
    pub(super) transfer: Option<Transfer>,
}

impl Leader {
    pub(super) fn new(now: Now) -> Self {
        Self {
            accepted_by: BTreeSet::new(),
            refused_by: BTreeSet::new(),
            answered: BTreeMap::new(),
            heads: BTreeMap::new(),
            since: now.elapsed,
            building: None,
            build_after: 0,
            beat_at: now.elapsed,
            resend_at: 0,
            lagging: BTreeSet::new(),
            transfer: None,
        }
    }

    /// Begins the next height: what members accepted belongs to the last one.
    pub(super) fn on_committed(&mut self, is_member: impl Fn(Address) -> bool) {
        self.accepted_by.clear();
        self.refused_by.clear();
        self.lagging.clear();
        self.building = None;
        self.answered.retain(|member, _| is_member(*member));
        self.heads.retain(|member, _| is_member(*member));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use entente_chain::{Header, SealedHeader};

    fn position(head: BlockNumber, accepted: Option<u64>) -> Position {
        let header =
            SealedHeader::new(Header { number: head + 1, ..Header::default() }, B256::ZERO);
        let block = RecoveredBlock { header, body: std::sync::Arc::default() };
        let accepted = accepted.map(|term| Accepted { term, block });
        Durable { accepted, ..Durable::default() }.position(head)
    }

    /// quorum#852, and the fork of `a_block_of_a_lost_leader_never_replaces_a_committed_one`.
    #[test]
    fn a_committed_block_outranks_every_accepted_one_of_its_height() {
        let committed = position(7, None);
        assert!(committed > position(6, Some(u64::MAX)));
        assert!(committed < position(7, Some(1)));
        assert!(position(7, Some(2)) > position(7, Some(1)));
    }
}
