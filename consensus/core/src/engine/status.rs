//! What an engine says of itself, for people and probes.

use super::Millis;
use alloy_primitives::Address;
use entente_chain::BlockNumber;

/// Why a chain goes on or stands still; served by `entente_consensusStatus`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineStatus {
    /// `ibft`, ...
    pub engine: &'static str,
    /// Height that is being decided.
    pub height: BlockNumber,
    /// Round of that height on this node; Raft: the term.
    pub round: u64,
    /// Part that this node plays: `validator`, `leader`, `candidate`, `learner`, `follower`, ...
    pub role: &'static str,
    /// What this node waits for, in words: `waiting for prepares: 2 of 3`.
    pub phase: String,
    /// Our address, when this node has a key.
    pub validator: Option<Address>,
    /// Whether that address votes at this height.
    pub is_validator: bool,
    /// Proposer of this round; Raft: the leader; Clique: whose turn it is.
    pub proposer: Option<Address>,
    /// Votes needed.
    pub quorum: usize,
    /// Every validator as this node sees it.
    pub validators: Vec<ValidatorStatus>,
    /// Milliseconds since the head was committed.
    pub since_commit: Millis,
    /// Milliseconds after which a healthy chain would have the next block; `None`: on demand and
    /// nothing waits.
    pub expected_within: Option<Millis>,
    /// Our pending votes for validators: (candidate, add).
    pub proposals: Vec<(Address, bool)>,
    /// Highest head that any peer announced.
    pub best_peer_head: BlockNumber,
    /// What this node keeps of what others sent.
    pub held: Held,
}

/// How much an engine and block sync keep of what came from outside; every number has a bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Votes and other messages, those that were passed on included.
    pub messages: usize,
    /// Different rounds that these are about.
    pub rounds: usize,
    /// Blocks that are not canonical yet, and Clique's tree.
    pub blocks: usize,
}

/// One validator as this node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatorStatus {
    /// Its address.
    pub address: Address,
    /// Whether it is ourselves, connected, or heard of over relays within the last rounds.
    pub reachable: bool,
    /// Height and round of its newest message.
    pub last_seen: Option<(BlockNumber, u64)>,
    /// Milliseconds since that message.
    pub since_seen: Option<Millis>,
    /// Wall clock of its newest proposal or handshake minus ours, in milliseconds.
    pub clock_offset: Option<i64>,
}
