//! Votes of one height as they came in, bounded per validator.

use super::payload::{CommitPayload, Payload, PreparePayload, Signed};
use alloy_primitives::{Address, B256};
use entente_chain::limits::BACKLOG_PER_VALIDATOR;
use std::collections::{BTreeMap, BTreeSet};

/// A payload that votes for a block.
pub(super) trait Vote: Payload {
    fn digest(&self) -> B256;
}

impl Vote for PreparePayload {
    fn digest(&self) -> B256 {
        self.digest
    }
}

impl Vote for CommitPayload {
    fn digest(&self) -> B256 {
        self.digest
    }
}

/// What became of a vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    /// It counts.
    New,
    /// It was known, or there is no room for it.
    Known,
    /// Its author voted for this digest in the same round.
    Conflict(B256),
}

type ByRound<P> = BTreeMap<u64, Signed<P>>;

/// Votes by author and round.
#[derive(Clone, Debug)]
pub(super) struct Tally<P> {
    votes: BTreeMap<Address, ByRound<P>>,
}

impl<P> Default for Tally<P> {
    fn default() -> Self {
        Self { votes: BTreeMap::new() }
    }
}

impl<P: Vote> Tally<P> {
    /// Takes a vote of a validator. Lower rounds push out higher ones when there is no room:
    /// whoever floods with far-off rounds only loses its own votes.
    pub(super) fn insert(&mut self, vote: Signed<P>) -> Counted {
        let round = vote.payload().view().round;
        let rounds = self.votes.entry(vote.author()).or_default();
        if let Some(earlier) = rounds.get(&round) {
            let digest = earlier.payload().digest();
            let same = digest == vote.payload().digest();
            return if same { Counted::Known } else { Counted::Conflict(digest) };
        }
        if rounds.len() >= BACKLOG_PER_VALIDATOR {
            match rounds.last_key_value() {
                Some((highest, _)) if *highest > round => rounds.pop_last(),
                _ => return Counted::Known,
            };
        }
        rounds.insert(round, vote);
        Counted::New
    }

    /// Votes for a block in a round, ascending by author.
    pub(super) fn of(&self, round: u64, digest: B256) -> impl Iterator<Item = &Signed<P>> {
        self.votes
            .values()
            .filter_map(move |rounds| rounds.get(&round))
            .filter(move |vote| vote.payload().digest() == digest)
    }

    /// Number of votes for a block in a round.
    pub(super) fn count(&self, round: u64, digest: B256) -> usize {
        self.of(round, digest).count()
    }

    /// The vote of one validator in a round.
    pub(super) fn vote(&self, round: u64, author: Address) -> Option<&Signed<P>> {
        self.votes.get(&author)?.get(&round)
    }

    /// Votes that are kept, over all validators and rounds.
    pub(super) fn len(&self) -> usize {
        self.votes.values().map(BTreeMap::len).sum()
    }

    /// Rounds that have votes, ascending.
    pub(super) fn rounds(&self) -> BTreeSet<u64> {
        self.votes.values().flat_map(|rounds| rounds.keys().copied()).collect()
    }

    /// Drops votes of rounds below `round`.
    pub(super) fn forget_below(&mut self, round: u64) {
        for rounds in self.votes.values_mut() {
            *rounds = rounds.split_off(&round);
        }
    }
}
