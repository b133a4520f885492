//! Votes in headers that add and remove validators. IBFT, QBFT and Clique share the tally: a vote
//! counts once per (voter, candidate), a candidate passes with more than half of the validators,
//! and an epoch block drops all votes.

use crate::{
    BlockNumber, ValidatorSet,
    extra_data::{qbft::Vote, raft::MemberChange},
    limits::VALIDATORS_MAX,
    spec::EngineKind,
    validators::ValidatorSetError,
};
use alloy_primitives::{Address, Bytes};
use alloy_rlp::{Decodable, Encodable, Header, RlpDecodable, RlpEncodable};
use std::collections::BTreeMap;

/// Most open votes of a tally: an epoch of 30,000 blocks, one vote each, and some. Votes beyond
/// are not counted, so that a chain without epochs cannot grow a tally without end.
pub const VOTES_MAX: usize = 65_536;
/// A vote takes 53 bytes at most, an address 21.
const ENCODED_BYTES_MAX: usize = VOTES_MAX * 56 + VALIDATORS_MAX * (21 + 36 + 36) + 64;

/// Why bytes are no tally.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VoteTallyError {
    /// More bytes than any tally has.
    #[error("vote tally has {got} bytes, at most {allowed} are allowed")]
    TooLong {
        /// Bytes given.
        got: usize,
        /// Bytes allowed.
        allowed: usize,
    },
    /// Not the RLP that [`VoteTally::encode`] writes.
    #[error("vote tally is not valid: {0}")]
    Rlp(#[from] alloy_rlp::Error),
    /// More votes than a tally holds.
    #[error("vote tally has {got} votes, at most {VOTES_MAX} are allowed")]
    TooManyVotes {
        /// Votes given.
        got: usize,
    },
    /// The validators are no set.
    #[error(transparent)]
    Validators(#[from] ValidatorSetError),
}

/// One vote as it was cast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
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

/// Who sealed a recent block (Clique's signing limit).
#[derive(Clone, Copy, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct RecentSigner {
    /// Height.
    pub block: BlockNumber,
    /// Who sealed it.
    pub signer: Address,
}

/// A node of a Raft cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct RaftMember {
    /// Key that seals its blocks.
    pub address: Address,
    /// GoQuorum's `raftId`: counts from 1, never used twice.
    pub id: u64,
    /// Receives blocks, and has no vote.
    pub learner: bool,
}

/// What headers up to a block say about those who may seal the next one: a pure function of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoteTally {
    pub(crate) validators: ValidatorSet,
    pub(crate) votes: Vec<CastVote>,
    /// Clique only: ascending by block, at most half of the signers and one.
    pub(crate) recent: Vec<RecentSigner>,
    /// Raft only: ascending by id, voters and learners.
    pub(crate) members: Vec<RaftMember>,
    /// Raft only: the highest id that was ever given.
    pub(crate) last_member_id: u64,
}

impl VoteTally {
    /// Nobody has voted yet.
    #[must_use]
    pub const fn new(validators: ValidatorSet) -> Self {
        Self {
            validators,
            votes: Vec::new(),
            recent: Vec::new(),
            members: Vec::new(),
            last_member_id: 0,
        }
    }

    /// Nobody is known who may seal: a chain of GoQuorum's Raft does not say, and a contract may
    /// have to be asked first. The one validator is the zero address, which no key has, so that
    /// nothing is sealed until a transition or the contract names others.
    #[must_use]
    pub fn unknown() -> Self {
        Self::new(ValidatorSet::of_nobody())
    }

    /// Whether this is [`unknown`](Self::unknown).
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.validators.addresses() == [Address::ZERO]
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

    /// Who sealed recent blocks, ascending by block (Clique).
    #[must_use]
    pub fn recent_signers(&self) -> &[RecentSigner] {
        &self.recent
    }

    /// Voters and learners, ascending by id (Raft).
    #[must_use]
    pub fn members(&self) -> &[RaftMember] {
        &self.members
    }

    /// The tally as it is stored: RLP of `[validators, [[voter, block, candidate, add]]]`, followed
    /// by recent signers, members and the last member's id where an engine keeps such.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut fields = Vec::with_capacity(128);
        self.validators.addresses().to_vec().encode(&mut fields);
        self.votes.encode(&mut fields);
        if !self.recent.is_empty() || !self.members.is_empty() || self.last_member_id > 0 {
            self.recent.encode(&mut fields);
            self.members.encode(&mut fields);
            self.last_member_id.encode(&mut fields);
        }
        let mut out = Vec::with_capacity(fields.len() + 4);
        Header { list: true, payload_length: fields.len() }.encode(&mut out);
        out.extend_from_slice(&fields);
        out.into()
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    /// When the bytes are too many or not exactly one tally.
    pub fn decode(encoded: &[u8]) -> Result<Self, VoteTallyError> {
        if encoded.len() > ENCODED_BYTES_MAX {
            let got = encoded.len();
            return Err(VoteTallyError::TooLong { got, allowed: ENCODED_BYTES_MAX });
        }
        let mut outer = encoded;
        let mut fields = Header::decode_bytes(&mut outer, true)?;
        let validators = Vec::<Address>::decode(&mut fields)?;
        let votes = Vec::<CastVote>::decode(&mut fields)?;
        let mut tally = Self { votes, ..Self::new(ValidatorSet::new(validators)?) };
        if !fields.is_empty() {
            tally.recent = Vec::decode(&mut fields)?;
            tally.members = Vec::decode(&mut fields)?;
            tally.last_member_id = u64::decode(&mut fields)?;
        }
        if !outer.is_empty() || !fields.is_empty() {
            return Err(alloy_rlp::Error::Custom("trailing bytes").into());
        }
        if tally.votes.len() > VOTES_MAX {
            return Err(VoteTallyError::TooManyVotes { got: tally.votes.len() });
        }
        Ok(tally)
    }

    /// Replaces the validators and drops all votes (transition, or a contract's answer). Members
    /// of a Raft cluster that stay keep their ids.
    pub fn replace(&mut self, validators: ValidatorSet) {
        self.validators = validators;
        self.votes.clear();
        if self.last_member_id > 0 {
            self.members.retain(|member| self.validators.contains(member.address));
            self.add_voters();
        }
    }

    /// Takes on the form of the engine that makes the next block. What only another engine needs is
    /// dropped; Raft's members begin as the validators there are.
    pub fn enter(&mut self, engine: EngineKind) {
        if engine != EngineKind::Clique {
            self.recent.clear();
        }
        if engine == EngineKind::Raft {
            self.votes.clear();
            if self.last_member_id == 0 && !self.is_unknown() {
                self.add_voters();
            }
        } else {
            self.members.clear();
            self.last_member_id = 0;
        }
    }

    /// Notes who sealed a block, and lets the oldest signer seal again (EIP-225).
    pub fn note_signer(&mut self, block: BlockNumber, signer: Address) {
        self.forget_signers(block);
        self.recent.push(RecentSigner { block, signer });
    }

    /// Forgets signers of blocks that limit nobody any more; again after a vote made the signers
    /// fewer, as geth's snapshot does.
    pub fn forget_signers(&mut self, block: BlockNumber) {
        let limit = self.validators.len() as u64 / 2 + 1;
        self.recent.retain(|recent| recent.block.saturating_add(limit) > block);
    }

    /// Applies a change of a Raft cluster's members; `None` when it does not fit.
    pub fn change_member(&mut self, address: Address, change: MemberChange) -> Option<()> {
        let index = self.members.iter().position(|member| member.address == address);
        match (change, index) {
            (MemberChange::AddVoter | MemberChange::AddLearner, None)
                if self.members.len() < VALIDATORS_MAX && !address.is_zero() =>
            {
                self.last_member_id = self.last_member_id.checked_add(1)?;
                let learner = change == MemberChange::AddLearner;
                self.members.push(RaftMember { address, id: self.last_member_id, learner });
            }
            (MemberChange::Promote, Some(index)) => {
                let member = self.members.get_mut(index).filter(|member| member.learner)?;
                member.learner = false;
            }
            (MemberChange::Remove, Some(index)) => {
                let voters = self.members.iter().filter(|member| !member.learner).count();
                let last = voters == 1 && !self.members.get(index)?.learner;
                if last {
                    return None;
                }
                self.members.remove(index);
            }
            _ => return None,
        }
        let voters = self.members.iter().filter(|member| !member.learner);
        self.validators = ValidatorSet::new(voters.map(|member| member.address).collect()).ok()?;
        Some(())
    }

    /// Validators that are no members yet become voters, in the order of their addresses.
    fn add_voters(&mut self) {
        for address in self.validators.addresses() {
            match self.members.iter_mut().find(|member| member.address == *address) {
                Some(member) => member.learner = false,
                None => {
                    self.last_member_id = self.last_member_id.saturating_add(1);
                    let id = self.last_member_id;
                    self.members.push(RaftMember { address: *address, id, learner: false });
                }
            }
        }
    }

    /// Takes a block into the tally. `epoch_length` of 0 means no epochs.
    pub fn apply(
        &mut self,
        number: BlockNumber,
        proposer: Address,
        vote: Option<Vote>,
        epoch_length: u64,
    ) {
        if epoch_length != 0 && number.is_multiple_of(epoch_length) {
            self.votes.clear();
        }
        let Some(vote) = vote else { return };
        // GoQuorum: the voter's earlier vote about the same candidate is withdrawn first.
        self.votes.retain(|cast| cast.voter != proposer || cast.candidate != vote.recipient);
        let changes_something = self.validators.contains(vote.recipient) != vote.add;
        if changes_something && self.votes.len() < VOTES_MAX {
            self.votes.push(CastVote {
                voter: proposer,
                block: number,
                candidate: vote.recipient,
                add: vote.add,
            });
        }
        self.change_if_agreed(vote.recipient);
    }

    /// Also when a block names a candidate without a new vote: a majority may have come about
    /// because a voter was removed (geth's snapshot: executed when it is touched).
    fn change_if_agreed(&mut self, candidate: Address) {
        // All open votes about a candidate want the same: the opposite of what is.
        let mut about = self.votes.iter().filter(|cast| cast.candidate == candidate);
        let Some(add) = about.next().map(|cast| cast.add) else { return };
        if about.count() < self.validators.len() / 2 {
            return;
        }
        let Some(changed) = self.validators.changed(candidate, add) else { return };
        self.validators = changed;
        self.votes.retain(|cast| {
            let voter_removed = !add && cast.voter == candidate;
            cast.candidate != candidate && !voter_removed
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

    fn voted() -> VoteTally {
        let mut tally = tally(4);
        tally.apply(1, Address::repeat_byte(1), vote(9, true), 0);
        tally.apply(300, Address::repeat_byte(2), vote(3, false), 0);
        tally
    }

    #[test]
    fn a_stored_tally_is_read_back() {
        for tally in [tally(1), voted()] {
            assert_eq!(VoteTally::decode(&tally.encode()), Ok(tally));
        }
    }

    /// Written down by hand from the RLP rules: a change of format breaks databases.
    #[test]
    fn stored_tallies_keep_their_bytes() {
        let mut tally = tally(1);
        tally.votes.push(CastVote {
            voter: Address::repeat_byte(1),
            block: 300,
            candidate: Address::repeat_byte(9),
            add: true,
        });
        let (one, nine) = ("01".repeat(20), "09".repeat(20));
        // Bytes: vote 21 + 3 + 21 + 1 = 0x2e, votes 0x2f, validators 0x15, all 0x16 + 0x30 = 0x46.
        let expected = format!("f846d594{one}efee94{one}82012c94{nine}01");
        assert_eq!(hex::encode(tally.encode()), expected);
    }

    #[test]
    fn damaged_tallies_are_refused_without_panic() {
        let encoded = voted().encode();
        for length in 0..encoded.len() {
            assert!(VoteTally::decode(&encoded[..length]).is_err(), "cut to {length} bytes");
        }
        let longer = [&encoded[..], &[0]].concat();
        assert!(VoteTally::decode(&longer).is_err());
        let twice = vec![Address::repeat_byte(1); 2];
        let votes = Vec::<CastVote>::new();
        let mut fields = Vec::new();
        twice.encode(&mut fields);
        votes.encode(&mut fields);
        let mut bytes = Vec::new();
        Header { list: true, payload_length: fields.len() }.encode(&mut bytes);
        bytes.extend_from_slice(&fields);
        assert_eq!(
            VoteTally::decode(&bytes),
            Err(VoteTallyError::Validators(ValidatorSetError::Duplicate(Address::repeat_byte(1))))
        );
    }

    /// A majority that came about by the removal of a voter counts when its candidate is named
    /// again.
    #[test]
    fn a_majority_of_those_who_are_left_counts_on_touch() {
        let mut tally = tally(4);
        for (block, voter, candidate) in [(1, 1, 3), (2, 2, 3), (3, 1, 4), (4, 2, 4), (5, 3, 4)] {
            tally.apply(block, Address::repeat_byte(voter), vote(candidate, false), 0);
        }
        assert_eq!(tally.validators().len(), 3, "the fourth is out, the third has two of three");
        tally.apply(6, Address::repeat_byte(3), vote(3, true), 0);
        assert_eq!(tally.validators().len(), 2, "named again, the third goes");
    }
}
