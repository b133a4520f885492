//! IBFT under QBFT rules (Consensys/qbft-formal-spec-and-verification), as a pure state machine.
//!
//! A height is decided in rounds: the proposer of a round proposes a block (`proposal`), every
//! validator executes it and says so (`prepare`), seals it once a quorum said so (`commit`), and
//! the block is decided with a quorum of seals. A round that leads nowhere is given up
//! (`round_change`); a block that may have been decided in it is proposed again, which is what
//! `justification` makes every proposer prove.
//!
//! Inputs only fill the tallies of the one height that is being decided (`height`); then
//! `advance` applies the rules until none applies. What binds this node is durable before it is
//! said (`record`, `recovery`). Everything from outside is bounded (`tally`, `backlog`).

mod backlog;
mod commit;
mod evidence;
mod format;
mod height;
mod justification;
mod parent;
mod payload;
mod peers;
mod prepare;
mod proposal;
mod record;
mod recovery;
mod resend;
mod round_change;
mod round_timer;
mod status;
mod tally;
mod wire;

pub use payload::{
    CommitPayload, Kind, Payload, PreparePayload, ProposalPayload, RoundChangePayload, Signed, View,
};
pub(crate) use record::PREFIX;
pub use record::{Record, RecordError};
pub use wire::{Message, Proposal, RoundChange};

use crate::{
    engine::{Action, ChainPosition, Engine, EngineStatus, Input, Millis, Now, Step, Verdict},
    message::Admitted,
    operator_votes::OperatorVotes,
};
use alloy_primitives::{Address, B256};
use backlog::{Backlog, Relayed};
use entente_chain::{
    BlockNumber, ChainSpec, EnvironmentId, NodeId, limits::FUTURE_HEIGHTS_MAX, signer::SealSigner,
    spec::EngineKind,
};
use format::Format;
use height::{Height, Known, Progress};
use peers::Peers;
use std::sync::Arc;

/// Rules applied in one step. More than any input can trigger; the rest waits for the next wake.
const ADVANCES_MAX: usize = 32;

/// What the engine must know beside the chain's rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IbftSettings {
    /// Hash of the genesis block; in every signed payload.
    pub environment: EnvironmentId,
    /// First 32 bytes of extraData in our blocks.
    pub vanity: B256,
}

/// The IBFT engine.
pub struct Ibft {
    spec: Arc<ChainSpec>,
    signer: Option<SealSigner>,
    settings: IbftSettings,
    /// `None` before `Recovered`, and while another engine seals.
    height: Option<Height>,
    next_number: BlockNumber,
    peers: Peers,
    backlog: Backlog,
    relayed: Relayed,
    operator_votes: OperatorVotes,
    waiting_since: Option<Millis>,
    best_peer_head: BlockNumber,
    builds: u64,
    deadline: Option<Millis>,
}

/// What became of a message, for the relay and the peer that sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// New and good.
    New,
    /// Good, but nothing new to this node; others may still want it.
    Known,
    /// Its author is at fault, or time is; nothing to hold against the peer.
    Ignored,
    /// No honest peer passes this on.
    Refused(&'static str),
}

impl Ibft {
    /// An engine that waits for [`Input::Recovered`]. Without `signer` it follows: it relays and
    /// watches, and never votes.
    #[must_use]
    pub fn new(spec: Arc<ChainSpec>, signer: Option<SealSigner>, settings: IbftSettings) -> Self {
        Self {
            spec,
            signer,
            settings,
            height: None,
            next_number: 0,
            peers: Peers::default(),
            backlog: Backlog::default(),
            relayed: Relayed::default(),
            operator_votes: OperatorVotes::default(),
            waiting_since: None,
            best_peer_head: 0,
            builds: 0,
            deadline: None,
        }
    }

    fn own_address(&self) -> Option<Address> {
        self.signer.as_ref().map(SealSigner::address)
    }

    fn begin_height(&mut self, position: ChainPosition, now: Now, out: &mut Step) {
        self.next_number = position.head.number.saturating_add(1);
        let before = self.height.take();
        let Some(format) = Format::of(self.spec.engine_at(self.next_number)) else { return };
        self.peers.retain(&position.next);
        self.relayed.forget_below(self.next_number);
        let mut height = Height::new(position, &self.spec, format, self.own_address(), now.elapsed);
        // The parent may have changed under us (Clique made it): what we said still binds us.
        if let Some(before) = before.filter(|before| before.number == height.number) {
            height.go_on_from(before, now);
        }
        self.height = Some(height);
        for (from, admitted) in self.backlog.take(self.next_number) {
            self.on_message(from, admitted, now, out);
        }
    }

    fn on_committed(&mut self, position: ChainPosition, now: Now, out: &mut Step) {
        let same = |height: &Height| height.parent.hash() == position.head.hash();
        if !self.height.as_ref().is_some_and(same) {
            self.begin_height(position, now, out);
        }
    }

    fn on_message(&mut self, from: NodeId, admitted: Admitted, now: Now, out: &mut Step) {
        let Some(mut height) = self.height.take() else { return };
        let Some(message) = admitted.ibft() else {
            self.height = Some(height);
            return;
        };
        let view = message.view();
        let votes_now = height.validators.contains(message.author());
        let window = height.number..height.number.saturating_add(FUTURE_HEIGHTS_MAX);
        if votes_now && view.height == height.number {
            let outcome = self.on_vote(&mut height, message, now, out);
            self.pass_on(from, &admitted, outcome, now, out);
        } else if votes_now && window.contains(&view.height) {
            self.backlog.insert(from, admitted);
        }
        self.height = Some(height);
    }

    /// Takes a message of a validator about the height that is being decided.
    fn on_vote(
        &mut self,
        height: &mut Height,
        message: &Message,
        now: Now,
        out: &mut Step,
    ) -> Outcome {
        let (author, view) = (message.author(), message.view());
        if self.own_address() == Some(author) {
            let digest = match message {
                Message::Proposal(proposal) => proposal.signed.payload().digest,
                Message::Prepare(prepare) => prepare.payload().digest,
                Message::Commit(commit) => commit.payload().digest,
                Message::RoundChange(_) => return Outcome::Known,
            };
            height.on_own_vote(message.kind(), view, digest, out);
            return Outcome::Known;
        }
        self.peers.heard(author, view, now.elapsed);
        if height.voter.is_none() || height.decided.is_some() {
            return match message {
                Message::Proposal(_) if author != height.proposer(view.round) => Outcome::Ignored,
                _ => Outcome::Known,
            };
        }
        match message {
            Message::Proposal(proposal) => self.on_proposal(height, proposal, now, out),
            Message::Prepare(prepare) => Self::on_prepare(height, prepare, out),
            Message::Commit(commit) => Self::on_commit(height, commit, out),
            Message::RoundChange(change) => Self::on_round_change(height, change, out),
        }
    }

    fn parent_may_change(&self) -> bool {
        self.spec.engine_at(self.next_number.saturating_sub(1)) == EngineKind::Clique
    }

    fn pass_on(
        &mut self,
        from: NodeId,
        admitted: &Admitted,
        outcome: Outcome,
        now: Now,
        out: &mut Step,
    ) {
        let Some(message) = admitted.ibft() else { return };
        let (author, kind, view) = (message.author(), message.kind(), message.view());
        match outcome {
            Outcome::New | Outcome::Known => {
                if self.relayed.claim(author, kind, view, now.elapsed) {
                    out.then(Action::Relay { from, frame: admitted.frame().clone() });
                }
            }
            Outcome::Ignored => {}
            // Followers relay what they cannot judge: only the author's own node is to blame.
            // Under another block of Clique, which has no finality, the author may be right too.
            Outcome::Refused(_) if self.parent_may_change() => {}
            Outcome::Refused(reason) if self.peers.is_node_of(from, author) => {
                out.then(Action::Penalize { node: from, reason });
            }
            Outcome::Refused(_) => {}
        }
    }

    fn on_executed(&mut self, block: B256, verdict: &Verdict, now: Now, out: &mut Step) {
        let Some(height) = &mut self.height else { return };
        let retry = now.elapsed.saturating_add(proposal::EXECUTE_RETRY_MS);
        let format = height.format;
        let Some(known) = height.known_mut(block) else { return };
        known.progress = match verdict {
            Verdict::Valid => Progress::Valid,
            Verdict::Invalid(_) => Progress::Invalid,
            Verdict::Unavailable(_) => Progress::RetryAt(retry),
        };
        if known.progress == Progress::Invalid {
            let author = format.proposer(&known.block.header).unwrap_or_default();
            let round = height.round.number;
            let found = ("proposed an invalid block", block, B256::ZERO);
            height.report(author, Kind::Proposal, round, found, out);
        }
    }

    fn advance(&mut self, now: Now, out: &mut Step) {
        let Some(mut height) = self.height.take() else { return };
        if height.voter.is_some() {
            self.begin_round_zero(&mut height, now);
            for _ in 0..ADVANCES_MAX {
                self.meet(&mut height, now);
                if height.decided.is_some() || !self.advance_once(&mut height, now, out) {
                    break;
                }
            }
        }
        self.deadline = self.deadline(&height, now);
        self.height = Some(height);
    }

    /// Applies the first rule that applies; the order is that of urgency.
    fn advance_once(&mut self, height: &mut Height, now: Now, out: &mut Step) -> bool {
        self.decide(height, out)
            || self.leave_invalid_proposal(height, now, out)
            || self.follow_round_changes(height, now, out)
            || self.prepare(height, out)
            || self.commit(height, out)
            || self.propose(height, now, out)
            || self.expire_round(height, now, out)
            || self.resend_due(height, now, out)
            || Self::retry_execution(height, now, out)
    }

    /// A round whose proposal is invalid leads nowhere: do not wait for its end.
    fn leave_invalid_proposal(&self, height: &mut Height, now: Now, out: &mut Step) -> bool {
        let accepted = height.round.accepted.and_then(|digest| height.known(digest));
        if accepted.is_none_or(|known| known.progress != Progress::Invalid) {
            return false;
        }
        self.change_round(height, height.round.number.saturating_add(1), now, out);
        true
    }

    fn retry_execution(height: &mut Height, now: Now, out: &mut Step) -> bool {
        let due =
            |progress: &Progress| matches!(progress, Progress::RetryAt(at) if *at <= now.elapsed);
        let parent = height.parent.hash();
        let here = |known: &&mut Known| known.block.header.parent_hash == parent;
        let mut waiting = height.known.iter_mut().filter(here);
        let Some(known) = waiting.find(|known| due(&known.progress)) else { return false };
        known.progress = Progress::Running;
        out.then(Action::Execute(known.block.clone()));
        true
    }

    fn on_peer(&mut self, node: NodeId, validator: Option<Address>, now: Now, out: &mut Step) {
        self.peers.connected(node, validator, now.elapsed);
        self.greet(node, out);
    }
}

impl Engine for Ibft {
    fn step(&mut self, now: Now, input: Input, out: &mut Step) {
        match input {
            Input::Recovered { position, records, .. } => self.recover(position, records, now, out),
            Input::Committed(position) => self.on_committed(position, now, out),
            Input::Message { from, message } => self.on_message(from, message, now, out),
            Input::Built { request, block } => self.on_built(request, block, now, out),
            Input::Executed { block, verdict } => self.on_executed(block, &verdict, now, out),
            Input::TransactionsWaiting(waiting) => {
                let since = self.waiting_since.unwrap_or(now.elapsed);
                self.waiting_since = waiting.then_some(since);
            }
            Input::Peer { node, validator, connected: true } => {
                self.on_peer(node, validator, now, out);
            }
            Input::Peer { node, connected: false, .. } => self.peers.lost(node, now.elapsed),
            Input::PeerHead { node, number, .. } => {
                self.best_peer_head = self.best_peer_head.max(number);
                self.peers.claimed(node, number);
            }
            Input::Operator(operation) => self.operator_votes.apply(&operation),
            Input::Wake | Input::Fetched { .. } | Input::Imported { .. } => {}
        }
        self.deadline = None;
        self.advance(now, out);
    }

    fn bound_to(&self) -> Option<B256> {
        self.wanted_parent()
    }

    fn next_deadline(&self) -> Option<Millis> {
        self.deadline
    }

    fn status(&self, now: Now) -> EngineStatus {
        self.describe(now)
    }
}
