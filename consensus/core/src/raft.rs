//! Raft (Ongaro, "Consensus: Bridging Theory and Practice"), for crash faults only, as a pure state
//! machine in which **the chain is the log**: the log index is the block number, and there is at
//! most one block above the committed head, `accepted` and not yet known to be committed
//! (docs/decisions/0005).
//!
//! Positions in the log are compared by height first, then by the term of the accepted block
//! (`state`). A leader that finds an accepted block of an earlier term proposes the same block
//! again under its own; a block is committed when a majority accepted it in the leader's term
//! (`replication`). Elections begin with a question that changes nothing (`election`). A voter whose
//! log is empty asks all others before it votes (`recovery`). Members change by blocks
//! (`membership`). What binds this node is durable before it is said (`record`).

mod election;
mod membership;
mod peers;
mod proposal;
mod record;
mod recovery;
mod replication;
mod state;
mod status;
mod wire;

pub(crate) use record::PREFIX;
pub use record::{Record, RecordError};
pub use state::Position;
pub use wire::{Body, Commit, Message};

use crate::{
    engine::{
        Action, ChainPosition, Engine, EngineStatus, Input, Millis, Now, Operation, Recipients,
        Step, Verdict,
    },
    message::Admitted,
    random::Random,
};
use alloy_primitives::{Address, B256};
use entente_chain::{
    ChainSpec, EnvironmentId, NodeId,
    signer::SealSigner,
    spec::{BlockRules, EngineKind},
};
use membership::PendingChanges;
use peers::Peers;
use recovery::Blank;
use state::{Durable, Executing, Role};
use std::sync::Arc;

/// Pauses between two beats, and the bounds between which an election timeout is drawn, in
/// milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RaftTiming {
    /// A leader is heard this often.
    pub heartbeat: Millis,
    /// A voter that heard no leader for so long may be asked for its vote.
    pub election_least: Millis,
    /// And asks for votes itself before this.
    pub election_most: Millis,
}

impl Default for RaftTiming {
    fn default() -> Self {
        Self { heartbeat: 100, election_least: 500, election_most: 1000 }
    }
}

/// What the engine must know beside the chain's rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RaftSettings {
    /// Hash of the genesis block; in every message.
    pub environment: EnvironmentId,
    /// First 32 bytes of extraData in our blocks.
    pub vanity: B256,
    /// Where election timeouts are drawn from; another one at each start.
    pub seed: u64,
    /// How patient elections are.
    pub timing: RaftTiming,
}

impl RaftSettings {
    /// With the usual timing.
    #[must_use]
    pub fn new(environment: EnvironmentId, vanity: B256, seed: u64) -> Self {
        Self { environment, vanity, seed, timing: RaftTiming::default() }
    }
}

/// The Raft engine.
pub struct Raft {
    spec: Arc<ChainSpec>,
    signer: Option<SealSigner>,
    settings: RaftSettings,
    random: Random,
    /// `None` before `Recovered`, and while another engine seals.
    chain: Option<Chain>,
    durable: Durable,
    role: Role,
    /// Some: this voter lost its votes, or never had any.
    blank: Option<Blank>,
    executing: Option<Executing>,
    /// A block for the height after the next: ours is being committed still.
    early: Option<Executing>,
    /// The accepted block was handed to the chain.
    adopting: Option<B256>,
    peers: Peers,
    changes: PendingChanges,
    leader: Option<Address>,
    leader_heard: Option<Millis>,
    election_at: Millis,
    waiting_since: Option<Millis>,
    builds: u64,
    deadline: Option<Millis>,
}

/// Where the chain stands, and who votes on the next block.
struct Chain {
    position: ChainPosition,
    rules: BlockRules,
    /// When the head was committed here (`Now::elapsed`).
    since: Millis,
}

impl Raft {
    /// An engine that waits for [`Input::Recovered`]. Without `signer` it follows.
    #[must_use]
    pub fn new(spec: Arc<ChainSpec>, signer: Option<SealSigner>, settings: RaftSettings) -> Self {
        Self {
            random: Random(settings.seed),
            spec,
            signer,
            settings,
            chain: None,
            durable: Durable::default(),
            role: Role::Follower,
            blank: None,
            executing: None,
            early: None,
            adopting: None,
            peers: Peers::default(),
            changes: PendingChanges::default(),
            leader: None,
            leader_heard: None,
            election_at: 0,
            waiting_since: None,
            builds: 0,
            deadline: None,
        }
    }

    fn own_address(&self) -> Option<Address> {
        self.signer.as_ref().map(SealSigner::address)
    }

    /// Our address, when it has a vote at the next height.
    fn voter(&self) -> Option<Address> {
        let chain = self.chain.as_ref()?;
        self.own_address().filter(|own| chain.position.next.contains(*own))
    }

    /// Votes that decide.
    fn majority(&self) -> usize {
        self.chain.as_ref().map_or(usize::MAX, |chain| chain.position.next.len() / 2 + 1)
    }

    fn has_vote(&self, address: Address) -> bool {
        self.chain.as_ref().is_some_and(|chain| chain.position.next.contains(address))
    }

    /// Voters and learners beside ourselves.
    fn others(&self) -> Vec<Address> {
        let own = self.own_address();
        let members = self.chain.as_ref().map(|chain| chain.position.tally.members());
        let addresses = members.unwrap_or_default().iter().map(|member| member.address);
        addresses.filter(|address| Some(*address) != own).collect()
    }

    fn other_voters(&self) -> Vec<Address> {
        self.others().into_iter().filter(|address| self.has_vote(*address)).collect()
    }

    fn send(&self, to: Address, body: Body, out: &mut Step) {
        let (Some(node), Some(author)) = (self.peers.node_of(to), self.own_address()) else {
            return;
        };
        let environment = self.settings.environment;
        let message = Message { environment, author, term: self.durable.term, body };
        let message = crate::Message::Raft(Box::new(message));
        out.then(Action::Send { to: Recipients::Node(node), message });
    }

    /// Makes the whole durable state durable before whatever follows.
    fn persist(&self, out: &mut Step) {
        out.persist(crate::Record::Raft(Box::new(Record(self.durable.clone()))));
    }

    fn set_chain(&mut self, position: ChainPosition, now: Now) -> bool {
        let next = position.head.number.saturating_add(1);
        if self.spec.engine_at(next) != EngineKind::Raft {
            self.chain = None;
            self.role = Role::Follower;
            return false;
        }
        let rules = self.spec.rules_at(next);
        self.chain = Some(Chain { position, rules, since: now.elapsed });
        true
    }

    fn on_committed(&mut self, position: ChainPosition, now: Now, out: &mut Step) {
        let head = position.head.number;
        let known = self.chain.as_ref().map(|chain| chain.position.head.hash());
        if known == Some(position.head.hash()) || !self.set_chain(position, now) {
            return;
        }
        self.adopting = None;
        self.durable.accepted.take_if(|accepted| accepted.block.header.number <= head);
        self.executing.take_if(|executing| executing.block.header.number <= head);
        let next = self.chain.as_ref().map(|chain| chain.position.tally.clone());
        if let Some(tally) = next {
            self.changes.retain_fitting(&tally);
        }
        if let Role::Leader(leader) = &mut self.role {
            leader.on_committed(now);
            if self.voter().is_none() {
                // Removed: the others elect somebody else.
                self.follow(None, now);
            }
        }
        if let Some(early) = self.early.take() {
            self.take_block(early, now, out);
        }
        self.continue_recovery(now, out);
    }

    fn on_message(&mut self, from: NodeId, admitted: &Admitted, now: Now, out: &mut Step) {
        let crate::Message::Raft(message) = admitted.message() else { return };
        let author = message.author;
        if self.chain.is_none() || self.peers.address_of(from) != Some(author) {
            return;
        }
        let Message { term, body, .. } = &**message;
        self.peers.heard(author, now.elapsed);
        let term = *term;
        match body {
            Body::AskVote { position, proposed, transfer, trial } => {
                let asked = election::Asked {
                    author,
                    position: *position,
                    proposed: *proposed,
                    transfer: *transfer,
                };
                if *trial {
                    self.on_trial(&asked, now, out);
                } else {
                    self.on_vote_asked(&asked, now, out);
                }
            }
            Body::Vote { proposed, granted, trial } => {
                self.on_vote(author, term, (*proposed, *granted, *trial), now, out);
            }
            Body::Append { commit, block } => {
                self.on_append((author, term), *commit, block.as_ref(), now, out);
            }
            Body::Appended { head, accepted } => {
                self.on_appended(author, term, (*head, *accepted), now, out);
            }
            Body::Recover { nonce } => self.on_recover(author, *nonce, out),
            Body::Recovered { nonce, head, accepted } => {
                if self.is_answer_to_us(*nonce) {
                    self.on_recovered((author, term), *head, accepted.as_ref(), now, out);
                }
            }
            Body::TimeoutNow => self.on_timeout_now(author, term, now, out),
            Body::Change { member, change } => self.on_change(*member, *change),
        }
    }

    fn on_executed(&mut self, block: B256, verdict: &Verdict, now: Now, out: &mut Step) {
        let Some(executing) = &mut self.executing else { return };
        if executing.block.hash() != block {
            return;
        }
        match verdict {
            Verdict::Valid => {
                if let Some(executing) = self.executing.take() {
                    self.accept(executing, now, out);
                }
            }
            Verdict::Invalid(_) => {
                let leader = executing.block.header.beneficiary;
                let height = executing.block.header.number;
                self.executing = None;
                out.then(Action::Report(crate::engine::Evidence {
                    validator: leader,
                    height,
                    round: self.durable.term,
                    what: "proposed an invalid block",
                    digests: (block, B256::ZERO),
                }));
            }
            Verdict::Unavailable(_) => {
                executing.retry_at = Some(now.elapsed.saturating_add(state::EXECUTE_RETRY_MS));
            }
        }
    }

    fn on_operation(&mut self, operation: &Operation, now: Now, out: &mut Step) {
        match *operation {
            Operation::ChangeMember { member, change } => {
                if matches!(self.role, Role::Leader(_)) {
                    self.on_change(member, change);
                } else if let Some(leader) = self.leader {
                    self.send(leader, Body::Change { member, change }, out);
                }
            }
            Operation::TransferLeadership { to } => self.begin_transfer(to, now),
            Operation::ProposeValidator { .. } | Operation::DiscardProposal { .. } => {}
        }
    }

    /// Applies what time and the inputs so far make due.
    fn advance(&mut self, now: Now, out: &mut Step) {
        self.deadline = None;
        if self.chain.is_none() {
            return;
        }
        self.retry_execution(now, out);
        self.ask_to_recover(now, out);
        if matches!(self.role, Role::Leader(_)) {
            self.lead(now, out);
        } else {
            self.watch_leader(now, out);
        }
        self.deadline = self.next_due(now);
    }

    fn retry_execution(&mut self, now: Now, out: &mut Step) {
        let Some(executing) = &mut self.executing else { return };
        if executing.retry_at.is_some_and(|at| at <= now.elapsed) {
            executing.retry_at = None;
            out.then(Action::Execute(executing.block.clone()));
        }
    }

    fn next_due(&self, now: Now) -> Option<Millis> {
        let retry = self.executing.as_ref().and_then(|executing| executing.retry_at);
        let blank = self.blank.as_ref().and_then(|blank| blank.next_question());
        let role = match &self.role {
            Role::Leader(leader) => Some(self.leader_due(leader, now)),
            _ if self.may_campaign() => Some(self.election_at),
            _ => None,
        };
        [retry, blank, role].into_iter().flatten().min()
    }

    /// Becomes a follower, of `leader` if one is known.
    fn follow(&mut self, leader: Option<Address>, now: Now) {
        self.role = Role::Follower;
        self.leader = leader;
        self.reset_election(now);
    }

    fn reset_election(&mut self, now: Now) {
        let timing = self.settings.timing;
        let spread = timing.election_most.saturating_sub(timing.election_least).max(1);
        let patience = timing.election_least.saturating_add(self.random.below(spread));
        self.election_at = now.elapsed.saturating_add(patience);
    }
}

impl Engine for Raft {
    fn step(&mut self, now: Now, input: Input, out: &mut Step) {
        match input {
            Input::Recovered { position, records, .. } => self.recover(position, records, now),
            Input::Committed(position) => self.on_committed(position, now, out),
            Input::Message { from, message } => self.on_message(from, &message, now, out),
            Input::Built { request, block } => self.on_built(request, block, now, out),
            Input::Executed { block, verdict } => self.on_executed(block, &verdict, now, out),
            Input::TransactionsWaiting(waiting) => {
                let since = self.waiting_since.unwrap_or(now.elapsed);
                self.waiting_since = waiting.then_some(since);
            }
            Input::Peer { node, validator, connected: true } => {
                self.peers.connected(node, validator);
                self.greet(validator, out);
            }
            Input::Peer { node, connected: false, .. } => self.peers.lost(node),
            Input::Operator(operation) => self.on_operation(&operation, now, out),
            Input::Wake
            | Input::PeerHead { .. }
            | Input::Fetched { .. }
            | Input::Imported { .. } => {}
        }
        self.advance(now, out);
    }

    fn next_deadline(&self) -> Option<Millis> {
        self.deadline
    }

    fn status(&self, now: Now) -> EngineStatus {
        self.describe(now)
    }
}
