//! Votes in headers that add and remove validators. IBFT, QBFT and Clique share the tally: a vote
//! counts once per (voter, candidate), a candidate passes with more than half of the validators,
//! and an epoch block drops all votes.

use crate::{BlockNumber, ValidatorSet, extra_data::qbft::Vote};
use alloy_primitives::Address;
use std::collections::BTreeMap;

/// One vote as it was cast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CastVote {
    /// Proposer of the block that carries the vote.
    pub voter: Address,
    /// Block that carries it.
    pub block: BlockNumber,
    /// Whom it is about.
    pub candidate: Address,
    /// Add when true, drop when false.
    pub add: bool,
}

/// Validators and open votes after a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoteTally {
    validators: ValidatorSet,
    votes: Vec<CastVote>,
}

impl VoteTally {
    /// Nobody has voted yet.
    #[must_use]
    pub const fn new(validators: ValidatorSet) -> Self {
        Self { validators, votes: Vec::new() }
    }

    /// Validators of the next block.
    #[must_use]
    pub const fn validators(&self) -> &ValidatorSet {
        &self.validators
    }

    /// Open votes, oldest first.
    #[must_use]
    pub fn votes(&self) -> &[CastVote] {
        &self.votes
    }

    /// Votes for and against by candidate: (add, count).
    #[must_use]
    pub fn counts(&self) -> BTreeMap<Address, (bool, usize)> {
        let mut counts = BTreeMap::new();
        for vote in &self.votes {
            counts.entry(vote.candidate).or_insert((vote.add, 0)).1 += 1;
        }
        counts
    }

    /// Replaces the validators and drops all votes (transition, or a contract's answer).
    pub fn replace(&mut self, validators: ValidatorSet) {
        self.validators = validators;
        self.votes.clear();
    }

    /// Takes a block into the tally. `epoch_length` of 0 means no epochs.
    pub fn apply(
        &mut self,
        number: BlockNumber,
        proposer: Address,
        vote: Option<Vote>,
        epoch_length: u64,
    ) {
        if epoch_length != 0 && number % epoch_length == 0 {
            self.votes.clear();
        }
        let Some(vote) = vote else { return };
        // GoQuorum: the voter's earlier vote about the same candidate is withdrawn first.
        self.votes.retain(|cast| cast.voter != proposer || cast.candidate != vote.recipient);
        let changes_something = self.validators.contains(vote.recipient) != vote.add;
        if !changes_something {
            return;
        }
        self.votes.push(CastVote {
            voter: proposer,
            block: number,
            candidate: vote.recipient,
            add: vote.add,
        });
        let agreeing = self.votes.iter().filter(|cast| cast.candidate == vote.recipient).count();
        if agreeing <= self.validators.len() / 2 {
            return;
        }
        let Some(changed) = self.validators.changed(vote.recipient, vote.add) else { return };
        self.validators = changed;
        self.votes.retain(|cast| {
            let passed = cast.candidate == vote.recipient;
            let voter_removed = !vote.add && cast.voter == vote.recipient;
            !passed && !voter_removed
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(count: u8) -> VoteTally {
        let addresses = (1..=count).map(Address::repeat_byte).collect();
        VoteTally::new(ValidatorSet::new(addresses).expect("valid set"))
    }

    fn vote(candidate: u8, add: bool) -> Option<Vote> {
        Some(Vote { recipient: Address::repeat_byte(candidate), add })
    }

    #[test]
    fn a_candidate_passes_with_more_than_half() {
        let mut tally = tally(4);
        for (block, voter) in [(1, 1), (2, 2), (3, 2)] {
            tally.apply(block, Address::repeat_byte(voter), vote(9, true), 0);
            assert_eq!(tally.validators().len(), 4, "two of four are not enough");
        }
        tally.apply(4, Address::repeat_byte(3), vote(9, true), 0);
        assert!(tally.validators().contains(Address::repeat_byte(9)));
        assert!(tally.votes().is_empty());
    }

    /// besu#9870: an epoch drops votes to remove as well as votes to add.
    #[test]
    fn an_epoch_drops_all_votes() {
        let mut tally = tally(4);
        tally.apply(9, Address::repeat_byte(1), vote(2, false), 10);
        tally.apply(10, Address::repeat_byte(1), None, 10);
        assert!(tally.votes().is_empty());
    }

    #[test]
    fn votes_of_a_removed_validator_go_with_it() {
        let mut tally = tally(3);
        tally.apply(1, Address::repeat_byte(3), vote(9, true), 0);
        tally.apply(2, Address::repeat_byte(1), vote(3, false), 0);
        tally.apply(3, Address::repeat_byte(2), vote(3, false), 0);
        assert_eq!(tally.validators().len(), 2);
        assert!(tally.votes().is_empty());
    }
}
