//! The state of the one height that is being decided.

use super::{
    format::Format,
    justification::Voters,
    payload::{CommitPayload, Kind, PreparePayload, Signed},
    tally::Tally,
    wire::{Proposal, RoundChange},
};
use crate::{
    engine::{BuildId, ChainPosition, Millis},
    rules,
};
use alloy_primitives::{Address, B256};
use entente_chain::{
    BlockNumber, RecoveredBlock, SealedHeader, ValidatorSet,
    spec::{BlockRules, ChainSpec},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Proposals of a height that are remembered: the current one, the prepared one, and two of rounds
/// that were left, should their commits still arrive.
const KNOWN_BLOCKS_MAX: usize = 4;

/// The height that is being decided.
pub(super) struct Height {
    pub(super) parent: SealedHeader,
    /// Who sealed the parent: the proposers' order goes on from there.
    last_proposer: Option<Address>,
    pub(super) format: Format,
    /// Header timestamps in a second: 1, or 10^9 on a chain that began under GoQuorum's Raft.
    pub(super) ticks: u64,
    pub(super) number: BlockNumber,
    pub(super) validators: ValidatorSet,
    pub(super) rules: BlockRules,
    pub(super) quorum: usize,
    /// Our address, when it votes at this height.
    pub(super) voter: Option<Address>,
    /// When the parent was committed here (`Now::elapsed`).
    pub(super) begun: Millis,
    pub(super) round: Round,
    pub(super) known: Vec<Known>,
    pub(super) votes: Votes,
    pub(super) promises: Promises,
    pub(super) decided: Option<B256>,
}

/// The current round.
#[derive(Default)]
pub(super) struct Round {
    pub(super) number: u64,
    /// When its timer began; `None`: no block is due yet.
    pub(super) since: Option<Millis>,
    /// In rounds above 0: since when a quorum is known to be in this round or beyond.
    pub(super) met: Option<Millis>,
    /// The proposal that was accepted.
    pub(super) accepted: Option<B256>,
    /// The block that is being built for us.
    pub(super) building: Option<BuildId>,
    /// No block is asked for before this.
    pub(super) build_after: Millis,
    /// When our own messages go out again.
    pub(super) resend_at: Millis,
    /// Our proposal, as it was sent.
    pub(super) proposal: Option<Box<Proposal>>,
    /// Our round change to this round, as it was sent.
    pub(super) round_change: Option<Box<RoundChange>>,
}

/// How far execution of a block is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// An answer is awaited.
    Running,
    /// It could not be told; ask again then.
    RetryAt(Millis),
    /// It may be voted for.
    Valid,
    /// It must not be voted for.
    Invalid,
}

/// A block that was proposed at this height.
pub(super) struct Known {
    pub(super) block: RecoveredBlock,
    pub(super) progress: Progress,
}

/// What other validators (and we) said.
#[derive(Default)]
pub(super) struct Votes {
    /// First digest that the proposer of a round named.
    pub(super) named: BTreeMap<u64, B256>,
    pub(super) prepares: Tally<PreparePayload>,
    pub(super) commits: Tally<CommitPayload>,
    /// The highest round change of each validator.
    pub(super) round_changes: BTreeMap<Address, RoundChange>,
    /// What was reported already.
    pub(super) reported: BTreeSet<(Address, Kind, u64)>,
}

/// What binds this node. All of it is durable before it is said.
#[derive(Default)]
pub(super) struct Promises {
    /// Digest of our vote by round and type.
    pub(super) sent: BTreeMap<(u64, Kind), B256>,
    /// The newest block of which we saw a quorum of prepares.
    pub(super) prepared: Option<Prepared>,
}

/// A block with the quorum of prepares that locks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Prepared {
    pub(super) round: u64,
    pub(super) block: RecoveredBlock,
    pub(super) prepares: Vec<Signed<PreparePayload>>,
}

impl Height {
    pub(super) fn new(
        position: ChainPosition,
        spec: &Arc<ChainSpec>,
        format: Format,
        own: Option<Address>,
        now: Millis,
    ) -> Self {
        let ChainPosition { head: parent, next: validators, .. } = position;
        let number = parent.number.saturating_add(1);
        let validator_contract = spec.validator_contract_at(number);
        let rules = BlockRules { validator_contract, ..spec.rules_at(number) };
        let author = |header| rules::rules_for(Arc::clone(spec)).author(header).ok();
        let last_proposer = if parent.number > 0 { author(&parent) } else { None };
        Self {
            quorum: validators.quorum(rules.quorum_two_thirds),
            voter: own.filter(|own| validators.contains(*own)),
            number,
            rules,
            validators,
            last_proposer,
            format,
            ticks: spec.ticks_per_second(),
            parent,
            begun: now,
            round: Round::default(),
            known: Vec::new(),
            votes: Votes::default(),
            promises: Promises::default(),
            decided: None,
        }
    }

    pub(super) const fn voters(&self) -> Voters<'_> {
        Voters { validators: &self.validators, quorum: self.quorum }
    }

    /// Whose turn it is. After genesis the order begins at the first validator.
    pub(super) fn proposer(&self, round: u64) -> Address {
        self.validators.proposer(self.last_proposer, round, self.rules.sticky_proposer)
    }

    pub(super) fn known(&self, digest: B256) -> Option<&Known> {
        self.known.iter().find(|known| known.block.hash() == digest)
    }

    pub(super) fn known_mut(&mut self, digest: B256) -> Option<&mut Known> {
        self.known.iter_mut().find(|known| known.block.hash() == digest)
    }

    /// The accepted proposal of this round, once it was executed and found valid.
    pub(super) fn valid_proposal(&self) -> Option<&RecoveredBlock> {
        let known = self.known(self.round.accepted?)?;
        let valid = known.progress == Progress::Valid && self.lies_on_parent(&known.block);
        valid.then_some(&known.block)
    }

    /// Remembers a block. What is neither accepted nor prepared goes first, oldest first.
    pub(super) fn remember(&mut self, block: RecoveredBlock, progress: Progress) {
        if self.known.len() >= KNOWN_BLOCKS_MAX {
            let prepared = self.promises.prepared.as_ref().map(|prepared| prepared.block.hash());
            let kept = [self.round.accepted, prepared];
            let old = self.known.iter().position(|known| !kept.contains(&Some(known.block.hash())));
            self.known.remove(old.unwrap_or_default());
        }
        self.known.push(Known { block, progress });
    }

    /// Round changes that ask for exactly the current round.
    pub(super) fn changes_to_this_round(&self) -> impl Iterator<Item = &RoundChange> {
        let round = self.round.number;
        self.votes
            .round_changes
            .values()
            .filter(move |change| change.signed.payload().view.round == round)
    }
}
