//! Raft (Ongaro, "Consensus: Bridging Theory and Practice"), for crash faults only, as a pure state
//! machine in which **the chain is the log**: the log index is the block number, and there is at
//! most one block above the committed head, `accepted` and not yet known to be committed
//! (docs/decisions/0005).
//!
//! Positions in the log are compared by the height that is decided next, then by the term of the
//! block accepted there (`state`). A leader that finds an accepted block of an earlier term proposes
//! the same block again under its own; a block is committed when a majority accepted it in the
//! leader's term (`replication`, `following`). Elections begin with a question that changes nothing
//! (`election`). A voter whose log is empty asks all others before it votes (`recovery`). Members
//! change by blocks (`cluster`, `membership`). What binds this node is durable before it is said
//! (`record`). Only members are listened to, over the connection that proved their key (`peers`).

mod cluster;
mod election;
mod following;
mod head;
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
        Action, Engine, EngineStatus, Evidence, Input, Millis, Now, Operation, Recipients, Step,
    },
    message::Admitted,
    random::Random,
};
use alloy_primitives::{Address, B256};
use cluster::Cluster;
use entente_chain::{ChainSpec, EnvironmentId, NodeId, signer::SealSigner};
use membership::PendingChanges;
use peers::Peers;
use recovery::Blank;
use state::{Durable, Executing, Refused, Role};
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
    cluster: Option<Cluster>,
    durable: Durable,
    role: Role,
    /// Some: this node lost its votes, or never had any. Binds it once it is a voter.
    blank: Option<Blank>,
    executing: Option<Executing>,
    /// A block for the height after the next: ours is being committed still.
    early: Option<Executing>,
    refused: Option<Refused>,
    /// The block of the next height that is committed, as its leader said or we decided.
    decided: Option<B256>,
    /// That block was handed to the chain.
    adopting: Option<B256>,
    peers: Peers,
    changes: PendingChanges,
    leader: Option<Address>,
    leader_heard: Option<Millis>,
    election_at: Millis,
    /// The last breach that was reported: author and block.
    reported: Option<(Address, B256)>,
    waiting_since: Option<Millis>,
    builds: u64,
    deadline: Option<Millis>,
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
            cluster: None,
            durable: Durable::default(),
            role: Role::Follower,
            blank: None,
            executing: None,
            early: None,
            refused: None,
            decided: None,
            adopting: None,
            peers: Peers::default(),
            changes: PendingChanges::default(),
            leader: None,
            leader_heard: None,
            election_at: 0,
            reported: None,
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
        let cluster = self.cluster.as_ref()?;
        self.own_address().filter(|own| cluster.is_voter(*own))
    }

    /// Our address, when it has a vote and remembers what it promised: only then may it promise.
    fn bound(&self) -> Option<Address> {
        self.voter().filter(|_| self.blank.is_none())
    }

    fn is_blank_voter(&self) -> bool {
        self.blank.is_some() && self.voter().is_some()
    }

    /// Voters and learners beside ourselves.
    fn others(&self) -> Vec<Address> {
        let own = self.own_address();
        let members = self.cluster.as_ref().map(|cluster| cluster.members());
        members.into_iter().flatten().filter(|address| Some(*address) != own).collect()
    }

    fn other_voters(&self) -> Vec<Address> {
        let own = self.own_address();
        let voters = self.cluster.as_ref().map(|cluster| cluster.position.next.addresses());
        let voters = voters.unwrap_or_default().iter().copied();
        voters.filter(|address| Some(*address) != own).collect()
    }

    fn send(&self, to: Address, body: Body, out: &mut Step) {
        if let Some((to, message)) = self.addressed(to, body) {
            out.then(Action::Send { to, message });
        }
    }

    fn addressed(&self, to: Address, body: Body) -> Option<(Recipients, crate::Message)> {
        let (node, author) = (self.peers.node_of(to)?, self.own_address()?);
        let environment = self.settings.environment;
        let message = Message { environment, author, term: self.durable.term, body };
        Some((Recipients::Node(node), crate::Message::Raft(Box::new(message))))
    }

    /// Makes the whole durable state durable before whatever follows. Who has no vote promises
    /// nothing; and a record of a node without memory would pass for one.
    fn persist(&self, out: &mut Step) {
        if self.bound().is_some() {
            out.persist(crate::Record::Raft(Box::new(Record(self.durable.clone()))));
        }
    }

    /// Reports a breach, not again while it lasts.
    fn report(&mut self, validator: Address, what: &'static str, block: B256, out: &mut Step) {
        if self.reported == Some((validator, block)) {
            return;
        }
        self.reported = Some((validator, block));
        out.then(Action::Report(Evidence {
            validator,
            height: self.cluster.as_ref().map_or(0, Cluster::next),
            round: self.durable.term,
            what,
            digests: (block, B256::ZERO),
        }));
    }

    fn on_message(&mut self, from: NodeId, admitted: &Admitted, now: Now, out: &mut Step) {
        let crate::Message::Raft(message) = admitted.message() else { return };
        let (author, term) = (message.author, message.term);
        let Some(cluster) = &self.cluster else { return };
        // Who is no member may belong to a cluster that we do not know yet: block sync brings us
        // there, and nobody else is listened to.
        let asked = matches!(message.body, Body::Recovered { .. }) && self.asks(author);
        let known = cluster.is_member(author) && self.own_address() != Some(author);
        if !(known || asked) || self.peers.node_of(author) != Some(from) {
            return;
        }
        let height = cluster.head().number;
        let votes = cluster.is_voter(author) || asked;
        self.peers.heard(author, (height, term, now.elapsed));
        match &message.body {
            Body::Appended { head, accepted, refused } => {
                self.on_appended((author, term), *head, (*accepted, *refused), now, out);
            }
            Body::Change { member, change } => self.on_change(*member, *change, now),
            Body::Transfer { to } => self.begin_transfer(*to, now),
            // Learners have no say in the rest.
            body if votes => self.on_voter_said(author, term, body, now, out),
            _ => {}
        }
    }

    fn on_voter_said(&mut self, author: Address, term: u64, body: &Body, now: Now, out: &mut Step) {
        match body {
            Body::AskVote { position, proposed, transfer, trial } => {
                let (position, proposed, transfer) = (*position, *proposed, *transfer);
                let asked = election::Asked { author, position, proposed, transfer };
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
            Body::Recover { nonce, head } => self.on_recover(author, *nonce, *head, out),
            Body::Recovered { nonce, position, block } => {
                if self.is_answer_to_us(*nonce) {
                    self.on_recovered((author, term), *position, block.as_ref(), now, out);
                }
            }
            Body::TimeoutNow => self.on_timeout_now(author, term, now, out),
            Body::Appended { .. } | Body::Change { .. } | Body::Transfer { .. } => {}
        }
    }

    fn on_operation(&mut self, operation: &Operation, now: Now, out: &mut Step) {
        match *operation {
            Operation::ChangeMember { member, change } => self.on_change(member, change, now),
            Operation::TransferLeadership { to } => match (&self.role, self.leader) {
                (Role::Leader(_), _) => self.begin_transfer(to, now),
                (_, Some(leader)) => self.send(leader, Body::Transfer { to }, out),
                (_, None) => tracing::warn!(%to, "there is no leader to hand leadership over"),
            },
            Operation::ProposeValidator { .. } | Operation::DiscardProposal { .. } => {}
        }
    }

    /// Applies what time and the inputs so far make due.
    fn advance(&mut self, now: Now, out: &mut Step) {
        self.deadline = None;
        if self.cluster.is_none() {
            return;
        }
        self.retry_execution(now, out);
        self.ask_to_recover(now, out);
        self.changes.forget_expired(now.elapsed);
        if matches!(self.role, Role::Leader(_)) {
            self.lead(now, out);
        } else {
            self.watch_leader(now, out);
            self.pass_changes_on(out);
        }
        self.deadline = self.next_due(now);
    }

    fn next_due(&self, now: Now) -> Option<Millis> {
        let retry = self.executing.as_ref().and_then(|executing| executing.retry_at);
        let blank = self.blank_due();
        let role = match &self.role {
            Role::Leader(leader) => Some(self.leader_due(leader, now)),
            _ if self.may_campaign() => Some(self.election_at),
            _ => None,
        };
        [retry, blank, role, self.changes.expires_at()].into_iter().flatten().min()
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
        let alone = self.cluster.as_ref().is_some_and(|cluster| cluster.majority() == 1);
        // Nobody else could lead.
        let patience = match alone {
            true => 0,
            false => timing.election_least.saturating_add(self.random.below(spread)),
        };
        self.election_at = now.elapsed.saturating_add(patience);
    }
}

impl Engine for Raft {
    fn step(&mut self, now: Now, input: Input, out: &mut Step) {
        match input {
            Input::Recovered { position, records, .. } => self.recover(position, records, now, out),
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
            Input::PeerHead { node, number, .. } => self.peers.claimed(node, number),
            Input::Operator(operation) => self.on_operation(&operation, now, out),
            Input::Wake | Input::Fetched { .. } | Input::Imported { .. } => {}
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
