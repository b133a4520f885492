//! What a node remembers: durable, and of the part it plays.

use crate::engine::{BuildId, Millis, Now};
use alloy_primitives::Address;
use entente_chain::{BlockNumber, RecoveredBlock};
use std::collections::{BTreeMap, BTreeSet};

/// Pause before execution is asked for again.
pub(super) const EXECUTE_RETRY_MS: Millis = 200;

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

/// How far a node's log reaches. The order is that of votes: by height, then by term.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Height of the newest block.
    pub height: BlockNumber,
    /// Term in which it was accepted; 0 when it is committed.
    pub term: u64,
}

impl Durable {
    pub(super) fn position(&self, head: BlockNumber) -> Position {
        match &self.accepted {
            Some(accepted) => {
                Position { height: accepted.block.header.number, term: accepted.term }
            }
            None => Position { height: head, term: 0 },
        }
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

/// The part a node plays.
#[derive(Debug)]
pub(super) enum Role {
    Follower,
    /// Asks who would vote for it.
    Trial(BTreeSet<Address>),
    /// Asks for votes.
    Candidate(BTreeSet<Address>),
    Leader(Leader),
}

/// What a leader keeps beside its log.
#[derive(Debug)]
pub(super) struct Leader {
    /// Who accepted the block in flight in this term, ourselves included.
    pub(super) accepted_by: BTreeSet<Address>,
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
    /// Hand over to whom, and until when we try.
    pub(super) transfer: Option<(Address, Millis)>,
}

impl Leader {
    pub(super) fn new(now: Now) -> Self {
        Self {
            accepted_by: BTreeSet::new(),
            answered: BTreeMap::new(),
            heads: BTreeMap::new(),
            since: now.elapsed,
            building: None,
            build_after: 0,
            beat_at: now.elapsed,
            resend_at: 0,
            transfer: None,
        }
    }

    pub(super) fn on_committed(&mut self, now: Now) {
        self.accepted_by.clear();
        self.building = None;
        self.beat_at = now.elapsed;
    }
}
