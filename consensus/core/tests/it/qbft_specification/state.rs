//! The state of the specification's node (`NodeState`), and what it may say in it: each function
//! takes one statement of the engine, finds the `Upon..` predicate of `node.dfy` that allows it,
//! and moves on as that says.

use super::predicates::{
    Address, Block, QbftMessage, SignedCommit, SignedPrepare, SignedRoundChange, Specification,
};
use alloy_primitives::B256;
use std::collections::BTreeSet;

/// What a statement was not allowed for.
pub(super) type Difference = String;

pub(super) struct NodeState {
    pub(super) spec: Specification,
    pub(super) own: Address,
    pub(super) round: u64,
    pub(super) received: BTreeSet<QbftMessage>,
    /// `proposalAcceptedForCurrentRound`: its block, under this round.
    pub(super) accepted: Option<Block>,
    /// `lastPreparedRound` and `lastPreparedBlock`.
    pub(super) prepared: Option<(u64, Block)>,
    /// Blocks that were built here (`getNewBlock`).
    pub(super) built: BTreeSet<B256>,
    pub(super) decided: bool,
}

/// Why the engine was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Something came.
    Input,
    /// Its time came.
    Timer,
}

impl NodeState {
    pub(super) const fn new(spec: Specification, own: Address) -> Self {
        Self {
            spec,
            own,
            round: 0,
            received: BTreeSet::new(),
            accepted: None,
            prepared: None,
            built: BTreeSet::new(),
            decided: false,
        }
    }

    /// `isValidProposal`, but for whether the block is valid.
    pub(super) fn is_valid_proposal(&self, message: &QbftMessage) -> bool {
        let QbftMessage::Proposal { payload, block, round_changes, prepares } = message else {
            return false;
        };
        let round = payload.round;
        // Stricter: a justification says no more than it must.
        let superfluous = match round {
            0 => !round_changes.is_empty() || !prepares.is_empty(),
            _ => {
                round_changes.iter().all(|change| change.prepared.is_none()) && !prepares.is_empty()
            }
        };
        // Looser: whether or not a proposal was accepted in the current round.
        let is_due = match self.accepted {
            Some(_) => round > self.round,
            None => round >= self.round,
        };
        let justification = (&round_changes[..], &prepares[..]);
        payload.height == self.spec.height
            && payload.author == self.spec.proposer(round)
            && self.spec.is_proposal_justification(justification, round, block, true, true)
            && block.digest == payload.digest
            && is_due
            && !superfluous
    }

    /// `UponProposal`, but for the prepare: that waits for execution.
    pub(super) fn accept(&mut self, message: &QbftMessage) -> Result<(), Difference> {
        let QbftMessage::Proposal { payload, block, .. } = message else {
            return Err("accepted what is no proposal".into());
        };
        if !self.is_valid_proposal(message) {
            return Err(format!("accepted {message:?}"));
        }
        self.round = payload.round;
        self.accepted = Some(*block);
        Ok(())
    }

    /// `UponProposal`: the prepare.
    pub(super) fn prepare(&mut self, prepare: SignedPrepare) -> Result<(), Difference> {
        let fits = self.accepted.is_some_and(|block| {
            block.digest == prepare.digest && block.round == prepare.round && block.is_valid
        });
        let again = self.received.iter().any(|message| {
            let QbftMessage::Prepare(other) = message else { return false };
            other.author == self.own && other.round == prepare.round
        });
        if !fits || again || prepare.author != self.own || prepare.round != self.round {
            return Err(format!("said {prepare:?} with {:?} accepted", self.accepted));
        }
        self.received.insert(QbftMessage::Prepare(prepare));
        Ok(())
    }

    /// Authors of valid prepares that came.
    pub(super) fn preparers(&self, round: u64, digest: B256) -> BTreeSet<Address> {
        let prepares = self.received.iter().filter_map(|message| match message {
            QbftMessage::Prepare(prepare) => Some(*prepare),
            _ => None,
        });
        prepares
            .filter(|prepare| self.spec.valid_prepare(*prepare, round, digest))
            .map(|prepare| prepare.author)
            .collect()
    }

    pub(super) fn has_committed(&self, round: u64) -> bool {
        self.received.iter().any(|message| {
            let QbftMessage::Commit(commit) = message else { return false };
            commit.author == self.own && commit.round == round
        })
    }

    /// `UponPrepare`
    pub(super) fn commit(&mut self, commit: SignedCommit) -> Result<(), Difference> {
        let Some(block) = self.accepted else { return Err(format!("said {commit:?}")) };
        let enough = self.preparers(self.round, block.digest).len() >= self.spec.quorum();
        let fits = commit.author == self.own && self.spec.valid_commit(commit, self.round, &block);
        if !enough || !fits || !block.is_valid || self.has_committed(self.round) {
            return Err(format!("said {commit:?} in round {} with {block:?}", self.round));
        }
        self.prepared = Some((self.round, block));
        self.received.insert(QbftMessage::Commit(commit));
        Ok(())
    }

    /// Round changes that came, valid or not.
    pub(super) fn round_changes(&self) -> impl Iterator<Item = SignedRoundChange> + Clone {
        self.received.iter().filter_map(|message| match message {
            QbftMessage::RoundChange { payload, .. } => Some(*payload),
            _ => None,
        })
    }

    /// `UponRoundChange`, second branch: F+1 validators ask for this round or a later one.
    fn may_follow(&self, round: u64) -> bool {
        let ahead = self.round_changes().filter(|change| {
            change.height == self.spec.height && change.round > self.round && change.round >= round
        });
        let senders: BTreeSet<_> = ahead.clone().map(|change| change.author).collect();
        senders.len() > self.spec.f() && ahead.into_iter().any(|change| change.round == round)
    }

    /// `UponRoundTimeout` or the second branch of `UponRoundChange`. True when others were followed.
    pub(super) fn change_round(
        &mut self,
        message: &QbftMessage,
        cause: Cause,
    ) -> Result<bool, Difference> {
        let QbftMessage::RoundChange { payload, block, prepares } = message else {
            return Err("no round change".into());
        };
        let round = payload.round;
        let next = round == self.round + 1;
        let gives_up = match cause {
            // Stricter: invalid blocks are left at once.
            Cause::Input => next && self.accepted.is_some_and(|block| !block.is_valid),
            Cause::Timer => {
                // Looser: to where another one is (goal L3).
                next || self.round_changes().any(|change| change.round == round)
            }
        };
        let follows = self.may_follow(round);
        if round <= self.round || !(gives_up || follows) {
            return Err(format!("from round {} to {message:?}, for {cause:?}", self.round));
        }
        // `createRoundChange`
        let certified = match (self.prepared, block) {
            (None, None) => prepares.is_empty() && payload.prepared.is_none(),
            (Some((prepared, last)), Some(block)) => {
                payload.prepared == Some((prepared, last.digest))
                    && (block.digest, block.round) == (last.digest, prepared)
                    && self.spec.certifies(prepares, prepared, last.digest)
                    && prepares.iter().all(|p| self.received.contains(&QbftMessage::Prepare(*p)))
            }
            _ => false,
        };
        let own = payload.author == self.own && payload.height == self.spec.height;
        if !certified || !own {
            return Err(format!("said {message:?} after preparing {:?}", self.prepared));
        }
        self.round = round;
        self.accepted = None;
        self.received.insert(message.clone());
        Ok(follows && !gives_up)
    }

    /// `UponBlockTimeout`, or the first branch of `UponRoundChange`
    /// (`isReceivedProposalJustification`), and `UponProposal` of what we proposed.
    pub(super) fn propose(&mut self, message: &QbftMessage) -> Result<(), Difference> {
        let QbftMessage::Proposal { payload, block, round_changes, prepares } = message else {
            return Err("no proposal".into());
        };
        let carrier = |change: &SignedRoundChange| {
            self.received.iter().find(|message| {
                matches!(message, QbftMessage::RoundChange { payload, .. } if payload == change)
            })
        };
        let carriers: Vec<_> = round_changes.iter().filter_map(carrier).collect();
        let carried = carriers.iter().filter_map(|message| match message {
            QbftMessage::RoundChange { block, prepares, .. } => Some((block, prepares)),
            _ => None,
        });
        let is_available =
            carried.clone().any(|(carried, _)| carried.is_some_and(|c| c.digest == block.digest));
        let known = |prepare: &SignedPrepare| {
            self.received.contains(&QbftMessage::Prepare(*prepare))
                || carried.clone().any(|(_, prepares)| prepares.contains(prepare))
        };
        let is_new = self.built.contains(&block.digest) && block.proposer == self.own;
        let justification = (&round_changes[..], &prepares[..]);
        let justified = self.spec.is_proposal_justification(
            justification,
            payload.round,
            block,
            is_available,
            is_new,
        );
        let received = carriers.len() == round_changes.len() && prepares.iter().all(known);
        let ours = payload.author == self.own && self.spec.proposer(payload.round) == self.own;
        if !justified || !received || !ours || payload.round != self.round {
            return Err(format!("proposed {message:?} in round {}", self.round));
        }
        self.received.insert(message.clone());
        self.accept(message)
    }

    /// Commits that came for a block in a round, by author.
    pub(super) fn committers(&self, block: &Block) -> BTreeSet<Address> {
        let commits = self.received.iter().filter_map(|message| match message {
            QbftMessage::Commit(commit) => Some(*commit),
            _ => None,
        });
        commits
            .filter(|commit| self.spec.valid_commit(*commit, block.round, block))
            .map(|commit| commit.author)
            .collect()
    }

    /// `UponCommit`: the block that it would send in `NewBlock`.
    pub(super) fn decide(
        &mut self,
        block: &Block,
        seals: &[(Address, B256)],
    ) -> Result<(), Difference> {
        let committers = self.committers(block);
        let received = seals.iter().all(|(sealer, _)| committers.contains(sealer));
        if !self.spec.valid_new_block(block, seals) || !received || !block.is_valid {
            return Err(format!("decided {block:?} with {seals:?}"));
        }
        self.decided = true;
        Ok(())
    }
}
