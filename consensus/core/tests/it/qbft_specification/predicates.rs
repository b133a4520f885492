//! The predicates, over sets of statements as the specification has them. Names and order of
//! `node_auxiliary_functions.dfy`; nothing of the engine is used here.

use alloy_primitives::B256;
use std::collections::BTreeSet;

/// A node, by its place in the order of addresses. Above the validators there are strangers.
pub(super) type Address = usize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SignedProposal {
    pub(super) author: Address,
    pub(super) height: u64,
    pub(super) round: u64,
    pub(super) digest: B256,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SignedPrepare {
    pub(super) author: Address,
    pub(super) height: u64,
    pub(super) round: u64,
    pub(super) digest: B256,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SignedCommit {
    pub(super) author: Address,
    pub(super) height: u64,
    pub(super) round: u64,
    pub(super) digest: B256,
    /// `recoverSignedHashAuthor`: who made the seal.
    pub(super) sealer: Address,
    /// What the seal was made over.
    pub(super) sealed: B256,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SignedRoundChange {
    pub(super) author: Address,
    pub(super) height: u64,
    pub(super) round: u64,
    /// Both of `preparedRound` and `preparedValue`, or none: the wire knows nothing in between.
    pub(super) prepared: Option<(u64, B256)>,
}

/// A block as far as consensus looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Block {
    /// The specification's digest covers `roundNumber`, that of QBFT headers does not: therefore
    /// `replaceRoundInBlock` is nowhere to be seen.
    pub(super) digest: B256,
    pub(super) height: u64,
    pub(super) round: u64,
    pub(super) proposer: Address,
    /// `hashBlockForCommitSeal`, with this round.
    pub(super) commit_hash: B256,
    /// `validateEthereumBlock`.
    pub(super) is_valid: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum QbftMessage {
    Proposal {
        payload: SignedProposal,
        block: Block,
        round_changes: Vec<SignedRoundChange>,
        prepares: Vec<SignedPrepare>,
    },
    Prepare(SignedPrepare),
    Commit(SignedCommit),
    RoundChange {
        payload: SignedRoundChange,
        block: Option<Block>,
        prepares: Vec<SignedPrepare>,
    },
}

impl QbftMessage {
    pub(super) const fn author(&self) -> Address {
        match self {
            Self::Proposal { payload, .. } => payload.author,
            Self::Prepare(prepare) => prepare.author,
            Self::Commit(commit) => commit.author,
            Self::RoundChange { payload, .. } => payload.author,
        }
    }

    pub(super) const fn height(&self) -> u64 {
        match self {
            Self::Proposal { payload, .. } => payload.height,
            Self::Prepare(prepare) => prepare.height,
            Self::Commit(commit) => commit.height,
            Self::RoundChange { payload, .. } => payload.height,
        }
    }
}

/// A rule that is left out of the oracle, to see that the comparison notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Omission {
    /// celo-blockchain#117, arXiv 1901.07160: quorums that are too small.
    QuorumSize,
    /// electroneum-sc#64: round changes of any round justify a proposal.
    RoundOfRoundChange,
    /// sigp/anchor#592: `preparedRound < round`.
    PreparedBefore,
    /// charon#540: any prepared block, not that of the highest round.
    HighestPrepared,
    /// sigp/anchor#549: the prepares behind a prepared block.
    Certificate,
    /// Whose turn it is.
    Leader,
    /// F+1 validators ahead, where one would do.
    FaultsAndOne,
    /// What a commit's seal was made over.
    SealedHash,
    /// Which round a prepare is for.
    RoundOfPrepare,
}

/// The specification for one number of validators, at one height.
#[derive(Clone, Copy, Debug)]
pub(super) struct Specification {
    pub(super) validators: usize,
    pub(super) height: u64,
    pub(super) omission: Option<Omission>,
}

impl Specification {
    fn omits(self, omission: Omission) -> bool {
        self.omission == Some(omission)
    }

    const fn is_validator(self, address: Address) -> bool {
        address < self.validators
    }

    /// `f`
    pub(super) fn f(self) -> usize {
        if self.omits(Omission::FaultsAndOne) { 0 } else { self.validators.saturating_sub(1) / 3 }
    }

    /// `quorum`
    pub(super) fn quorum(self) -> usize {
        (self.validators * 2 - 1) / 3 + 1 - usize::from(self.omits(Omission::QuorumSize))
    }

    /// `proposer`, after a genesis block.
    pub(super) fn proposer(self, round: u64) -> Address {
        usize::try_from(round).expect("few rounds") % self.validators
    }

    /// `validSignedPrepareForHeightRoundAndDigest`
    pub(super) fn valid_prepare(self, prepare: SignedPrepare, round: u64, digest: B256) -> bool {
        prepare.height == self.height
            && (prepare.round == round || self.omits(Omission::RoundOfPrepare))
            && prepare.digest == digest
            && self.is_validator(prepare.author)
    }

    /// A quorum of valid prepares and nothing else.
    pub(super) fn certifies(self, prepares: &[SignedPrepare], round: u64, digest: B256) -> bool {
        if self.omits(Omission::Certificate) {
            return true;
        }
        // One signature for each statement of each author (`lemmaSignedPrepare`).
        let set: BTreeSet<_> = prepares.iter().copied().collect();
        set.len() >= self.quorum()
            && set.iter().all(|prepare| self.valid_prepare(*prepare, round, digest))
    }

    /// `validateCommit`
    pub(super) fn valid_commit(self, commit: SignedCommit, round: u64, block: &Block) -> bool {
        commit.height == self.height
            && commit.round == round
            && commit.digest == block.digest
            && (commit.sealed == block.commit_hash || self.omits(Omission::SealedHash))
            && commit.sealer == commit.author
            && self.is_validator(commit.author)
    }

    /// `validRoundChange`
    pub(super) fn valid_round_change(self, change: SignedRoundChange, round: u64) -> bool {
        let before = |prepared: u64| {
            prepared < round || (self.omits(Omission::PreparedBefore) && prepared == round)
        };
        change.height == self.height
            && (change.round == round || self.omits(Omission::RoundOfRoundChange))
            && change.prepared.is_none_or(|(prepared, _)| before(prepared))
            && self.is_validator(change.author)
    }

    /// `isHighestPrepared`
    fn is_highest_prepared(self, prepared: u64, changes: &[SignedRoundChange]) -> bool {
        self.omits(Omission::HighestPrepared)
            || changes.iter().filter_map(|other| other.prepared).all(|other| other.0 <= prepared)
    }

    /// `isProposalJustification`; `is_available` and `validate` are the sets and functions that it
    /// is given.
    pub(super) fn is_proposal_justification(
        self,
        (changes, prepares): (&[SignedRoundChange], &[SignedPrepare]),
        round: u64,
        block: &Block,
        is_available: bool,
        validate: bool,
    ) -> bool {
        let of_leader = block.proposer == self.proposer(round) || self.omits(Omission::Leader);
        let fits = block.round == round && block.height == self.height;
        if round == 0 {
            return validate && fits && of_leader;
        }
        let senders: BTreeSet<_> = changes.iter().map(|change| change.author).collect();
        if senders.len() < self.quorum()
            || !changes.iter().all(|change| self.valid_round_change(*change, round))
        {
            return false;
        }
        if changes.iter().all(|change| change.prepared.is_none()) {
            return validate && fits && of_leader;
        }
        let prepared = changes.iter().filter_map(|change| change.prepared);
        is_available
            && fits
            && prepared.into_iter().any(|(prepared, value)| {
                self.is_highest_prepared(prepared, changes)
                    && value == block.digest
                    && self.certifies(prepares, prepared, value)
            })
    }

    /// `ValidNewBlock`: who sealed what, and in which number.
    pub(super) fn valid_new_block(self, block: &Block, seals: &[(Address, B256)]) -> bool {
        let sealers: BTreeSet<_> = seals.iter().map(|seal| seal.0).collect();
        block.height == self.height
            && sealers.len() >= self.quorum()
            && seals
                .iter()
                .all(|(sealer, sealed)| self.is_validator(*sealer) && *sealed == block.commit_hash)
    }
}
