//! S6, R2, R6: over all its lives, an honest node never says two things about one matter.

use super::{Finding, blocks::clique_signer, finding};
use crate::Coverage;
use alloy_primitives::{Address, B256};
use entente_chain::{BlockNumber, Header};
use entente_consensus::{
    Message,
    ibft::{self, Kind},
    raft::{self, Body},
};
use std::collections::{BTreeMap, BTreeSet};

/// What was said first.
#[derive(Default)]
pub(super) struct Words {
    ibft: BTreeMap<(Address, Kind, BlockNumber, u64), B256>,
    /// Raft: whom a voter gave its vote in a term.
    votes: BTreeMap<(Address, u64), Address>,
    /// Raft: the block of a height that a leader sent in a term.
    blocks: BTreeMap<(u64, BlockNumber), B256>,
    terms: BTreeMap<Address, u64>,
    /// Clique: what a signer sealed at a height on a parent.
    seals: BTreeMap<(Address, B256), B256>,
    amnesiacs: BTreeSet<Address>,
    /// IBFT: the highest height that a validator spoke about, and had when it lost its memory. Of
    /// higher ones it has forgotten nothing.
    spoken: BTreeMap<Address, BlockNumber>,
    forgotten: BTreeMap<Address, BlockNumber>,
    /// The chain may leave a block below the one that is voted on.
    parents_change: bool,
    heights: BTreeMap<BlockNumber, u64>,
}

impl Words {
    pub(super) fn of_chain(parents_change: bool) -> Self {
        Self { parents_change, ..Self::default() }
    }

    pub(super) fn forgets(&mut self, who: Address) {
        self.amnesiacs.insert(who);
        let spoken = self.spoken.get(&who).copied().unwrap_or_default();
        self.forgotten.insert(who, spoken);
    }

    /// IBFT: who may have forgotten what it said at a height.
    pub(super) fn forgetful_at(&self, height: BlockNumber) -> BTreeSet<Address> {
        let forgetful = self.forgotten.iter().filter(|(_, spoken)| **spoken >= height);
        forgetful.map(|(who, _)| *who).collect()
    }

    pub(super) fn amnesiacs(&self) -> BTreeSet<Address> {
        self.amnesiacs.clone()
    }

    pub(super) fn said(
        &mut self,
        message: &Message,
        to: Option<Address>,
        liars: &BTreeSet<Address>,
        coverage: &mut Coverage,
    ) -> Result<(), Finding> {
        match message {
            Message::Ibft(message) => self.ibft(message, liars, coverage),
            Message::Raft(message) => self.raft(message, to, coverage),
            Message::Clique(message) => self.clique(&message.block.header),
        }
    }

    fn ibft(
        &mut self,
        message: &ibft::Message,
        liars: &BTreeSet<Address>,
        coverage: &mut Coverage,
    ) -> Result<(), Finding> {
        let (author, view) = (message.author(), message.view());
        let digest = match message {
            ibft::Message::Proposal(proposal) => {
                if !proposal.prepares.is_empty() {
                    coverage.saw("prepared block proposed again");
                }
                proposal.signed.payload().digest
            }
            ibft::Message::Prepare(prepare) => prepare.payload().digest,
            ibft::Message::Commit(commit) => commit.payload().digest,
            ibft::Message::RoundChange(change) => {
                change.signed.payload().prepared.map_or(B256::ZERO, |(_, digest)| digest)
            }
        };
        let spoken = self.spoken.entry(author).or_default();
        *spoken = view.height.max(*spoken);
        let forgot = self.forgotten.get(&author).is_some_and(|spoken| *spoken >= view.height);
        if liars.contains(&author) || forgot {
            return Ok(());
        }
        // After a switch from Clique the block below may change, and with it what was prepared on it.
        if self.parents_change && message.kind() == Kind::RoundChange {
            return Ok(());
        }
        let key = (author, message.kind(), view.height, view.round);
        let first = *self.ibft.entry(key).or_insert(digest);
        if first == digest {
            return Ok(());
        }
        finding("S6", format!("{key:?} was said as {first} and as {digest}"))
    }

    fn raft(
        &mut self,
        message: &raft::Message,
        to: Option<Address>,
        coverage: &mut Coverage,
    ) -> Result<(), Finding> {
        let raft::Message { author, term, ref body, .. } = *message;
        let known = self.terms.entry(author).or_insert(term);
        if term < *known && !self.amnesiacs.contains(&author) {
            return finding("R6", format!("{author} is in term {term} and was in {known}"));
        }
        *known = term.max(*known);
        match body {
            Body::AskVote { proposed, trial: false, .. } => self.vote(author, *proposed, author),
            Body::Vote { proposed, granted: true, trial: false } => {
                to.map_or(Ok(()), |candidate| self.vote(author, *proposed, candidate))
            }
            Body::Append { block: Some(block), .. } => {
                let height = block.header.number;
                let before = self.heights.insert(height, term);
                if before.is_some_and(|before| before < term) {
                    coverage.saw("old block proposed again");
                }
                let hash = block.hash();
                let first = *self.blocks.entry((term, height)).or_insert(hash);
                match first == hash {
                    true => Ok(()),
                    false => {
                        let what = format!("two blocks at {height} in term {term}");
                        finding("R2", what)
                    }
                }
            }
            Body::Recovered { .. } => {
                coverage.saw("voter recovered its memory");
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Nobody seals two blocks on one parent.
    fn clique(&mut self, header: &Header) -> Result<(), Finding> {
        let Some(signer) = clique_signer(header) else {
            return finding("S6", format!("block {} has no seal", header.number));
        };
        if self.amnesiacs.contains(&signer) {
            return Ok(());
        }
        let hash = header.hash_slow();
        let first = *self.seals.entry((signer, header.parent_hash)).or_insert(hash);
        match first == hash {
            true => Ok(()),
            false => finding("S6", format!("{signer} seals {first} and {hash} on one parent")),
        }
    }

    fn vote(&mut self, voter: Address, term: u64, candidate: Address) -> Result<(), Finding> {
        let first = self.votes.entry((voter, term)).or_insert(candidate);
        // Whoever lost its disk is no candidate any more: the vote for itself counted nowhere else.
        if *first == voter && self.amnesiacs.contains(&voter) {
            *first = candidate;
        }
        match *first == candidate {
            true => Ok(()),
            false => {
                let what = format!("{voter} votes for {first} and {candidate} in term {term}");
                finding("S6", what)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{environment, key};

    fn say(words: &mut Words, author: usize, term: u64, body: Body) -> Option<&'static str> {
        let author = key(author).address();
        let message = raft::Message { environment: environment(B256::ZERO), author, term, body };
        let message = Message::Raft(Box::new(message));
        let to = Some(key(9).address());
        let said = words.said(&message, to, &BTreeSet::new(), &mut Coverage::default());
        said.err().map(|finding| finding.checker)
    }

    fn append(height: BlockNumber, content: u64) -> Body {
        let header = Header { number: height, gas_used: content, ..Header::default() };
        let hash = header.hash_slow();
        let header = entente_chain::SealedHeader::new(header, hash);
        let block = entente_chain::RecoveredBlock { header, body: Default::default() };
        Body::Append { block: Some(block), commit: raft::Commit::default() }
    }

    #[test]
    fn a_leader_has_one_block_for_a_height_in_a_term() {
        let mut words = Words::default();
        assert_eq!(say(&mut words, 1, 4, append(7, 1)), None);
        assert_eq!(say(&mut words, 1, 4, append(7, 1)), None);
        assert_eq!(say(&mut words, 1, 5, append(7, 2)), None);
        assert_eq!(say(&mut words, 1, 5, append(7, 3)), Some("R2"));
    }

    /// Doubted for ever, it was one too many where three validators were left (IBFT seed 15103).
    #[test]
    fn who_lost_its_disk_is_doubted_only_where_it_had_spoken() {
        let (mut words, who) = (Words::default(), key(1).address());
        words.spoken.insert(who, 8);
        words.forgets(who);
        assert!(words.forgetful_at(7).contains(&who) && words.forgetful_at(8).contains(&who));
        assert!(words.forgetful_at(9).is_empty());
        // It may lose it again.
        words.spoken.insert(who, 9);
        words.forgets(who);
        assert!(words.forgetful_at(9).contains(&who));
    }

    #[test]
    fn terms_never_go_back() {
        let mut words = Words::default();
        assert_eq!(say(&mut words, 1, 4, append(7, 1)), None);
        assert_eq!(say(&mut words, 2, 3, append(6, 1)), None);
        assert_eq!(say(&mut words, 1, 3, append(6, 1)), Some("R6"));
    }

    #[test]
    fn a_second_vote_in_a_term_is_found() {
        let mut words = Words::default();
        let vote = || Body::Vote { proposed: 4, granted: true, trial: false };
        assert_eq!(say(&mut words, 1, 4, vote()), None);
        let candidate = words.vote(key(1).address(), 4, key(8).address());
        assert_eq!(candidate.err().map(|finding| finding.checker), Some("S6"));
    }
}
