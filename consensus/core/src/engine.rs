//! The contract between a consensus protocol and whoever runs it.
//!
//! A host feeds [`Input`]s to [`Engine::step`], then calls [`Step::perform`] once: every record is
//! durable before any action happens, so nothing that binds this node is said before it is on disk
//! (S6: no equivocation after a crash). The one exception is [`Step::send_ahead`].

mod record;
mod status;
mod step;

pub use entente_chain::extra_data::raft::MemberChange;
pub use record::{Record, RecordError};
pub use status::{EngineStatus, Held, ValidatorStatus};
pub use step::Step;

use crate::message::{Admitted, Message};
use alloy_primitives::{Address, B256, Bytes, U256};
use entente_chain::{
    BlockNumber, NodeId, RecoveredBlock, SealedHeader, ValidatorSet, votes::VoteTally,
};
use std::time::Duration;

/// Milliseconds.
pub type Millis = u64;

/// Monotonic time for deadlines and wall clock for header timestamps; a jump of one never moves
/// the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since the host started.
    pub elapsed: Millis,
    /// Milliseconds since 1970.
    pub unix: Millis,
}

impl Now {
    /// The wall clock in whole seconds, as headers carry it.
    #[must_use]
    pub const fn unix_seconds(self) -> u64 {
        Duration::from_millis(self.unix).as_secs()
    }
}

/// Where the chain stands: the head and who votes on the next block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainPosition {
    /// The newest committed block.
    pub head: SealedHeader,
    /// Validators of the next block. From header votes or a contract: not the engine's business.
    pub next: ValidatorSet,
    /// What headers up to the head say: open votes, recent signers, members.
    pub tally: VoteTally,
    /// Sum of difficulties up to the head.
    pub total_difficulty: U256,
}

/// What an engine asked to be built; echoed in [`Input::Built`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BuildId(pub u64);

/// A range request to a peer; echoed in [`Input::Fetched`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FetchId(pub u64);

/// A batch handed to the chain for import; echoed in [`Input::Imported`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImportId(pub u64);

/// Marks requests of an engine, so that their answers do not go to block sync.
const OF_ENGINE: u64 = 1 << 63;

impl FetchId {
    /// A request of an engine (block sync counts from 0).
    #[must_use]
    pub const fn of_engine(number: u64) -> Self {
        Self(number | OF_ENGINE)
    }

    /// Whether an engine made the request.
    #[must_use]
    pub const fn is_of_engine(self) -> bool {
        self.0 & OF_ENGINE != 0
    }
}

impl ImportId {
    /// A batch of an engine (block sync counts from 0).
    #[must_use]
    pub const fn of_engine(number: u64) -> Self {
        Self(number | OF_ENGINE)
    }

    /// Whether an engine handed the batch over.
    #[must_use]
    pub const fn is_of_engine(self) -> bool {
        self.0 & OF_ENGINE != 0
    }
}

/// What execution said about a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every check passed.
    Valid,
    /// The block breaks a rule; never vote for it.
    Invalid(String),
    /// This node could not tell (its parent is missing, its disk failed): never vote, ask again.
    Unavailable(String),
}

/// What an operator asks of the engine over RPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Vote to add (true) or remove a validator whenever this node proposes.
    ProposeValidator {
        /// Whom it is about.
        candidate: Address,
        /// Add when true.
        add: bool,
    },
    /// Withdraw such a vote.
    DiscardProposal {
        /// Whom it was about.
        candidate: Address,
    },
    /// Change the members of a Raft cluster; passed on to the leader.
    ChangeMember {
        /// Whom it is about.
        member: Address,
        /// What becomes of it.
        change: MemberChange,
    },
    /// Hand Raft leadership to another voter.
    TransferLeadership {
        /// Who shall lead.
        to: Address,
    },
}

/// Everything that can happen to an engine.
#[derive(Clone, Debug)]
pub enum Input {
    /// Always first: what the disk knows.
    Recovered {
        /// Where the chain stands.
        position: ChainPosition,
        /// The head's ancestors, oldest first, as far as a chain that may reorganise needs them
        /// ([`entente_chain::limits::REORGANISATION_BLOCKS_MAX`]); empty where blocks are final.
        ancestors: Vec<ChainPosition>,
        /// Our own durable records, oldest first.
        records: Vec<Record>,
    },
    /// The deadline passed (spurious wakes are harmless).
    Wake,
    /// A message of another node: decoded, size- and signature-checked by
    /// [`crate::message::admit`].
    Message {
        /// The peer it came from (not always its author: messages are relayed).
        from: NodeId,
        /// The message.
        message: Admitted,
    },
    /// Answer to [`Action::Build`].
    Built {
        /// Which request.
        request: BuildId,
        /// The block, or why there is none.
        block: Result<RecoveredBlock, String>,
    },
    /// Answer to [`Action::Execute`].
    Executed {
        /// Block hash.
        block: B256,
        /// What execution said.
        verdict: Verdict,
    },
    /// The chain moved, by our decision or by sync.
    Committed(ChainPosition),
    /// Whether executable transactions wait in the pool; sent when it changes and after each
    /// commit.
    TransactionsWaiting(bool),
    /// A peer came or went.
    Peer {
        /// The peer.
        node: NodeId,
        /// The validator address it proved in its handshake, if it is one.
        validator: Option<Address>,
        /// Whether it is connected now.
        connected: bool,
    },
    /// A peer announced its head.
    PeerHead {
        /// The peer.
        node: NodeId,
        /// Its head's height.
        number: BlockNumber,
        /// Its head's hash.
        hash: B256,
    },
    /// Answer to [`Action::Fetch`]; blocks ascend from the number asked for, senders recovered.
    Fetched {
        /// Which request.
        request: FetchId,
        /// The blocks, or why there are none.
        blocks: Result<Vec<RecoveredBlock>, String>,
    },
    /// Answer to [`Action::Import`]: how far it came. `Committed` inputs came before it.
    Imported {
        /// Which batch.
        request: ImportId,
        /// `Err((number, reason))`: the first block that was refused.
        result: Result<(), (BlockNumber, Verdict)>,
    },
    /// An operator's wish.
    Operator(Operation),
}

/// What the next block must look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildAttributes {
    /// Hash of the committed parent.
    pub parent: B256,
    /// Height.
    pub number: BlockNumber,
    /// Header timestamp.
    pub timestamp: u64,
    /// Coinbase.
    pub beneficiary: Address,
    /// extraData, seals empty.
    pub extra_data: Bytes,
    /// Difficulty and mixHash as the engine sets them are taken from its rules by the builder;
    /// this is the vote nonce of engines that have one (else zero).
    pub nonce: u64,
    /// Difficulty where the engine chooses it (Clique); else ignored.
    pub difficulty: U256,
    /// How long transactions may be executed into the block.
    pub time_limit: Duration,
}

/// Who gets a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipients {
    /// Every peer of the environment (validators relay to each other through it).
    Everyone,
    /// One peer.
    Node(NodeId),
}

/// What an engine wants done. Carried out in order, after all records are durable.
#[derive(Clone, Debug)]
pub enum Action {
    /// Send a message.
    Send {
        /// To whom.
        to: Recipients,
        /// What.
        message: Message,
    },
    /// Pass a peer's frame on, byte for byte, to peers that may not have it.
    Relay {
        /// Who sent it.
        from: NodeId,
        /// What came.
        frame: Bytes,
    },
    /// Build a block on the committed head.
    Build {
        /// Echoed in the answer.
        request: BuildId,
        /// What it must look like.
        attributes: BuildAttributes,
    },
    /// Execute a block whose parent is committed; keep the result for [`Action::Adopt`].
    Execute(RecoveredBlock),
    /// Make this finally sealed child of the head the head. It was built or executed here.
    Adopt(RecoveredBlock),
    /// As [`Action::Adopt`], of a block that the records of this engine hold until it is durable as
    /// a part of the chain: after a loss of power the engine finds it there and decides it again, so
    /// it need not be synced once more.
    AdoptLogged(RecoveredBlock),
    /// Leave the canonical chain for a better branch (Clique only): take blocks back down to
    /// `ancestor`, then check, execute and commit `blocks`. Answered by [`Input::Imported`]; a
    /// block that is refused brings the old branch back.
    Reorganize {
        /// Echoed in the answer.
        request: ImportId,
        /// The newest block that both branches share.
        ancestor: BlockNumber,
        /// The new branch, ascending from the ancestor's child.
        blocks: Vec<RecoveredBlock>,
    },
    /// Ask a peer for blocks.
    Fetch {
        /// Echoed in the answer.
        request: FetchId,
        /// Whom.
        from: NodeId,
        /// First height.
        start: BlockNumber,
        /// How many, at most [`entente_chain::limits::BLOCK_RANGE_MAX`].
        count: u64,
    },
    /// Check (headers, seals), execute and commit these blocks in order.
    Import {
        /// Echoed in the answer.
        request: ImportId,
        /// Ascending, the first one's parent is the head.
        blocks: Vec<RecoveredBlock>,
    },
    /// A peer broke a rule: score it, maybe ban it.
    Penalize {
        /// Who.
        node: NodeId,
        /// Which rule.
        reason: &'static str,
    },
    /// Something that operators must know (equivocation, a bad justification).
    Report(Evidence),
}

/// A provable breach of the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Validator that signed it.
    pub validator: Address,
    /// Height.
    pub height: BlockNumber,
    /// Round.
    pub round: u64,
    /// What it did.
    pub what: &'static str,
    /// The two conflicting digests, where there are two.
    pub digests: (B256, B256),
}

/// A consensus protocol: equal state, `now` and input give equal output. Bounded work per call; no
/// input, however hostile, may panic it.
pub trait Engine: Send {
    /// Takes one input.
    fn step(&mut self, now: Now, input: Input, out: &mut Step);
    /// `step(.., Input::Wake, ..)` is due at this `Now::elapsed`; `None`: wait for input.
    fn next_deadline(&self) -> Option<Millis>;
    /// A snapshot for people and probes.
    fn status(&self, now: Now) -> EngineStatus;
}
