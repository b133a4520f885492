//! S9, R7: who makes the next block, counted anew from the headers. The ledger keeps a tally along
//! the chain; here is a second count, with other means, of the same votes.

use super::{Finding, blocks::clique_signer, finding, hash_with};
use alloy_primitives::{Address, B64, B256, keccak256};
use entente_chain::{
    Header,
    extra_data::{
        istanbul::IstanbulExtra,
        qbft::QbftExtra,
        raft::{MemberChange, RaftExtra},
    },
    seal::recover_seal,
    spec::{ChainSpec, EngineKind},
};
use entente_consensus::ChainPosition;
use std::collections::{BTreeMap, BTreeSet};

/// A nonce that votes for somebody (EIP-225).
const ADD: B64 = B64::repeat_byte(0xff);

/// What the headers up to a block say.
#[derive(Clone, Debug, Default)]
struct Count {
    validators: BTreeSet<Address>,
    learners: BTreeSet<Address>,
    /// Who wants a candidate's state changed.
    votes: BTreeMap<Address, BTreeSet<Address>>,
}

/// What a header says about others.
enum Ballot {
    Nothing,
    Vote { voter: Address, candidate: Address, add: bool },
    Change(MemberChange, Address),
}

/// Counts by block.
#[derive(Debug)]
pub(super) struct Electorate {
    after: BTreeMap<B256, Count>,
}

impl Electorate {
    pub(super) fn new(genesis: B256, validators: &[Address]) -> Self {
        let validators = validators.iter().copied().collect();
        let count = Count { validators, ..Count::default() };
        Self { after: BTreeMap::from([(genesis, count)]) }
    }

    /// Who voted on a block with this parent.
    pub(super) fn of_child(&self, parent: B256) -> Option<&BTreeSet<Address>> {
        self.after.get(&parent).map(|count| &count.validators)
    }

    /// Counts a block, and compares with what a node makes of it.
    pub(super) fn count(
        &mut self,
        spec: &ChainSpec,
        header: &Header,
        hash: B256,
        position: &ChainPosition,
    ) -> Result<(), Finding> {
        let Some(before) = self.after.get(&header.parent_hash) else { return Ok(()) };
        let (number, mut count) = (header.number, before.clone());
        let epoch = spec.rules_at(number).epoch_length;
        if epoch != 0 && number.is_multiple_of(epoch) {
            count.votes.clear();
        }
        let Some(ballot) = ballot(spec.engine_at(number), header) else {
            return finding("S9", format!("block {number}: its vote cannot be read"));
        };
        match ballot {
            Ballot::Nothing => {}
            Ballot::Vote { voter, candidate, add } => count.vote(voter, candidate, add),
            Ballot::Change(change, member) => {
                let voters = count.validators.clone();
                count.change(change, member);
                if voters.symmetric_difference(&count.validators).count() > 1 {
                    return finding("R7", format!("block {number} changes more than one voter"));
                }
            }
        }
        if spec.engine_at(number.saturating_add(1)) == EngineKind::Raft {
            count.votes.clear();
        } else {
            count.learners.clear();
        }
        let ours: Vec<_> = count.validators.iter().copied().collect();
        if ours != position.next.addresses() {
            let theirs = position.next.addresses();
            return finding("S9", format!("after block {number} {theirs:?} vote, not {ours:?}"));
        }
        self.after.insert(hash, count);
        Ok(())
    }
}

impl Count {
    /// More than half of the validators, each with its last word, change one membership.
    fn vote(&mut self, voter: Address, candidate: Address, add: bool) {
        let agreeing = self.votes.entry(candidate).or_default();
        agreeing.remove(&voter);
        if add != self.validators.contains(&candidate) {
            agreeing.insert(voter);
        }
        let last = !add && self.validators.len() == 1;
        if 2 * agreeing.len() <= self.validators.len() || last {
            return;
        }
        self.votes.remove(&candidate);
        if add {
            self.validators.insert(candidate);
        } else {
            self.validators.remove(&candidate);
            self.votes.values_mut().for_each(|voters| {
                voters.remove(&candidate);
            });
        }
    }

    fn change(&mut self, change: MemberChange, member: Address) {
        match change {
            MemberChange::AddVoter => {
                self.validators.insert(member);
            }
            MemberChange::AddLearner => {
                self.learners.insert(member);
            }
            MemberChange::Promote => {
                self.learners.remove(&member);
                self.validators.insert(member);
            }
            MemberChange::Remove => {
                self.learners.remove(&member);
                self.validators.remove(&member);
            }
        }
    }
}

/// `None`: the header is not what its engine writes.
fn ballot(engine: EngineKind, header: &Header) -> Option<Ballot> {
    let in_header = |voter| {
        let (candidate, add) = (header.beneficiary, header.nonce == ADD);
        match candidate.is_zero() {
            true => Ballot::Nothing,
            false => Ballot::Vote { voter, candidate, add },
        }
    };
    Some(match engine {
        EngineKind::Qbft => {
            let vote = QbftExtra::decode(&header.extra_data).ok()?.vote;
            vote.map_or(Ballot::Nothing, |vote| Ballot::Vote {
                voter: header.beneficiary,
                candidate: vote.recipient,
                add: vote.add,
            })
        }
        EngineKind::Istanbul => {
            let extra = IstanbulExtra::decode(&header.extra_data).ok()?;
            let seal = extra.proposer_seal?;
            let digest = keccak256(hash_with(header, extra.without_seals().encode()));
            in_header(recover_seal(&seal, digest).ok()?)
        }
        EngineKind::Clique => in_header(clique_signer(header)?),
        EngineKind::Raft => {
            let term = RaftExtra::decode(&header.extra_data).ok()?.term;
            let change = term.and_then(|term| term.change);
            change.map_or(Ballot::Nothing, |(change, member)| Ballot::Change(change, member))
        }
        EngineKind::Ethereum => Ballot::Nothing,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(byte: u8) -> Address {
        Address::repeat_byte(byte)
    }

    fn count(validators: u8) -> Count {
        Count { validators: (1..=validators).map(address).collect(), ..Count::default() }
    }

    #[test]
    fn more_than_half_is_needed_and_a_last_word_counts() {
        let mut count = count(4);
        count.vote(address(1), address(9), true);
        count.vote(address(2), address(9), true);
        // Takes its vote back: dropping somebody who is not there.
        count.vote(address(2), address(9), false);
        count.vote(address(3), address(9), true);
        assert_eq!(count.validators.len(), 4);
        count.vote(address(4), address(9), true);
        assert!(count.validators.contains(&address(9)));
        assert!(count.votes.is_empty());
    }

    #[test]
    fn who_is_voted_out_takes_its_votes_along_and_the_last_one_stays() {
        let mut count = count(2);
        count.vote(address(2), address(9), true);
        count.vote(address(1), address(2), false);
        count.vote(address(2), address(2), false);
        assert_eq!(count.validators, BTreeSet::from([address(1)]));
        assert!(count.votes[&address(9)].is_empty());
        count.vote(address(1), address(1), false);
        assert_eq!(count.validators.len(), 1);
    }
}
