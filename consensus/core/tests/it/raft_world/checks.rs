//! What must hold over all nodes and all of their lives, whatever happens to them.

use super::*;
use entente_chain::ValidatorSet;
use entente_consensus::{Message, raft::Body};

/// What a run came across, so that no run is blind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// A leader proposed a block again that was built in an earlier term.
    pub(crate) proposed_again: u64,
    /// A leader's block was replaced by another one.
    pub(crate) lost: u64,
    /// A node whose disk was lost votes again.
    pub(crate) recovered: u64,
    /// Members changed while the network was partitioned.
    pub(crate) changed_apart: u64,
    /// Leadership was handed over.
    pub(crate) handed_over: u64,
    /// A step was cut off after its records were written.
    pub(crate) cut_off: u64,
    /// A leader's word was out when it crashed, and its record was not written.
    pub(crate) unwritten: u64,
    /// The highest term that anybody sought votes for.
    pub(crate) highest_term: u64,
}

impl Seen {
    pub(crate) fn add(&mut self, other: &Self) {
        self.proposed_again += other.proposed_again;
        self.lost += other.lost;
        self.recovered += other.recovered;
        self.changed_apart += other.changed_apart;
        self.handed_over += other.handed_over;
        self.cut_off += other.cut_off;
        self.unwritten += other.unwritten;
        self.highest_term = self.highest_term.max(other.highest_term);
    }
}

/// What was said so far.
#[derive(Default)]
pub(super) struct Checks {
    /// R3, R4: the one block of each height.
    decided: BTreeMap<BlockNumber, B256>,
    /// R1: who leads a term.
    leaders: BTreeMap<u64, Address>,
    /// R2: the one block that is proposed at a height in a term.
    proposed: BTreeMap<(BlockNumber, u64), B256>,
    first_term: BTreeMap<(BlockNumber, B256), u64>,
    /// S6: one vote a term.
    votes: BTreeMap<(Address, u64), Address>,
    /// S6, R5: who accepted what.
    accepted: BTreeMap<(BlockNumber, u64, B256), BTreeSet<Address>>,
    accepted_by: BTreeMap<(Address, BlockNumber, u64), B256>,
    /// R6: the highest term of each node over all of its lives.
    terms: BTreeMap<Address, u64>,
}

impl Checks {
    /// Something left a node: it must not contradict anything that left it before, over restarts
    /// and lost disks.
    pub(super) fn said(&mut self, message: &Message, to: Address, seen: &mut Seen) {
        let Message::Raft(message) = message else { panic!("a Raft engine speaks Raft") };
        let (author, term) = (message.author, message.term);
        match &message.body {
            Body::Append { commit, block } => {
                self.term(author, term);
                let first = *self.leaders.entry(term).or_insert(author);
                assert_eq!(first, author, "R1: two leaders in term {term}");
                if let Some(block) = block {
                    let (height, hash) = (block.header.number, block.hash());
                    assert!(height > commit.number || hash == commit.hash, "an old block again");
                    self.proposal(height, term, hash, seen);
                }
            }
            Body::Appended { head, accepted, .. } => {
                if !accepted.is_zero() {
                    self.term(author, term);
                    self.accept(author, head + 1, term, *accepted);
                }
            }
            Body::AskVote { proposed, transfer, trial: false, .. } => {
                self.term(author, term);
                seen.handed_over += u64::from(*transfer);
                seen.highest_term = seen.highest_term.max(*proposed);
                self.vote(author, *proposed, author);
            }
            Body::Vote { proposed, granted: true, trial: false } => {
                self.term(author, term);
                self.vote(author, *proposed, to);
            }
            Body::AskVote { .. }
            | Body::Vote { .. }
            | Body::Recover { .. }
            | Body::Recovered { .. }
            | Body::TimeoutNow
            | Body::Change { .. }
            | Body::Transfer { .. } => {}
        }
    }

    /// A disk was lost. What a node promised to others still binds it; a candidacy of its own, which
    /// nobody may have heard of, ended with the life that held it.
    pub(super) fn wiped(&mut self, node: Address) {
        self.terms.remove(&node);
        self.votes.retain(|(voter, _), candidate| voter != candidate || *voter != node);
    }

    fn term(&mut self, author: Address, term: u64) {
        let highest = self.terms.entry(author).or_default();
        assert!(*highest <= term, "R6: {author} went back from term {highest} to {term}");
        *highest = term;
    }

    fn vote(&mut self, voter: Address, term: u64, candidate: Address) {
        let first = *self.votes.entry((voter, term)).or_insert(candidate);
        assert_eq!(first, candidate, "S6: {voter} voted twice in term {term}");
    }

    /// What a node accepted is on its disk. A leader's word does not tell: it is out before that.
    pub(super) fn persisted(&mut self, author: Address, records: &[Record]) {
        for record in records {
            let Record::Raft(record) = record else { panic!("a Raft engine writes Raft") };
            if let (Some(height), Some((term, hash))) =
                (record.accepted_height(), record.accepted())
            {
                self.accept(author, height, term, hash);
            }
        }
    }

    fn proposal(&mut self, height: BlockNumber, term: u64, hash: B256, seen: &mut Seen) {
        let first = *self.proposed.entry((height, term)).or_insert(hash);
        assert_eq!(first, hash, "R2: two blocks at height {height} in term {term}");
        let built = *self.first_term.entry((height, hash)).or_insert(term);
        seen.proposed_again += u64::from(built < term);
    }

    fn accept(&mut self, member: Address, height: BlockNumber, term: u64, hash: B256) {
        let first = *self.accepted_by.entry((member, height, term)).or_insert(hash);
        assert_eq!(first, hash, "S6: {member} accepted two blocks at {height} in term {term}");
        self.accepted.entry((height, term, hash)).or_default().insert(member);
    }

    /// A block becomes the head of a node. The first time a majority of the voters of that height
    /// has said to have accepted it, in one term, or is the leader itself. Returns whether it was
    /// known before.
    pub(super) fn committed(
        &mut self,
        block: &RecoveredBlock,
        voters: &ValidatorSet,
        own: Address,
    ) -> bool {
        let (number, hash) = (block.header.number, block.hash());
        if let Some(decided) = self.decided.get(&number) {
            assert_eq!(*decided, hash, "R4: two blocks were committed at height {number}");
            return true;
        }
        self.decided.insert(number, hash);
        let of_height = self.accepted.range((number, 0, B256::ZERO)..(number + 1, 0, B256::ZERO));
        let nobody = BTreeSet::new();
        let majority = of_height
            .filter(|((_, _, accepted), _)| *accepted == hash)
            .map(|(_, who)| who)
            .chain([&nobody])
            .any(|who| {
                let accepted = |voter: &&Address| who.contains(*voter) || **voter == own;
                voters.addresses().iter().filter(accepted).count() > voters.len() / 2
            });
        assert!(majority, "R5: block {number} was committed without a majority");
        false
    }

    /// Blocks that leaders proposed and that are not on the chain.
    pub(super) fn lost(&self) -> u64 {
        let decided = |height: &BlockNumber| self.decided.get(height);
        let lost = |((height, hash), _): &(&(BlockNumber, B256), &u64)| {
            decided(height).is_some_and(|decided| decided != hash)
        };
        self.first_term.iter().filter(lost).count() as u64
    }
}
