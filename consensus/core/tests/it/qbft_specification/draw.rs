//! Random messages of the other validators: most of them make sense where the node under test is,
//! and nearly all that do not are wrong in one place only.

use super::{
    cast::Cast,
    predicates::{
        Address, QbftMessage, SignedCommit, SignedPrepare, SignedProposal, SignedRoundChange,
    },
    state::NodeState,
};
use crate::ibft_world::Random;
use alloy_primitives::B256;
use std::collections::BTreeSet;

/// A prepared round and its block.
type Lock = (u64, B256);

pub(super) struct Draw<'a> {
    pub(super) random: &'a mut Random,
    pub(super) state: &'a NodeState,
    pub(super) cast: &'a Cast,
    /// How much is wrong, in percent of what would be usual.
    pub(super) malice: u64,
}

impl Draw<'_> {
    pub(super) fn message(&mut self) -> QbftMessage {
        match self.random.below(12) {
            0..=2 => self.proposal(),
            3..=5 => QbftMessage::Prepare(self.prepare()),
            6..=7 => QbftMessage::Commit(self.commit()),
            _ => self.round_change(),
        }
    }

    /// Whether to do something wrong.
    fn wrong(&mut self, chance: u64) -> bool {
        let chance = chance * self.malice / 100;
        self.random.percent(chance)
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.random.below(from.len() as u64)).expect("small")]
    }

    fn round(&mut self) -> u64 {
        match self.random.below(12) {
            0 => self.state.round.saturating_sub(1),
            1..=8 => self.state.round,
            9..=10 => self.state.round + 1,
            _ => self.state.round + 2,
        }
    }

    fn height(&mut self) -> u64 {
        if self.wrong(2) { self.pick(&[0, 2, 5, 6]) } else { 1 }
    }

    /// Anybody but the node under test, whose key is nobody else's.
    fn other(&mut self) -> Address {
        let strangers = if self.wrong(3) { 2 } else { 0 };
        let all: Vec<Address> =
            (0..self.cast.validators + strangers).filter(|a| *a != self.cast.own).collect();
        self.pick(&all)
    }

    fn any_block(&mut self) -> B256 {
        let proposer = self.other();
        let choice = self.random.below(3);
        self.cast.digest(proposer, choice)
    }

    /// A block that could be talked about in a round.
    fn block(&mut self, round: u64) -> B256 {
        let accepted = self.state.accepted.map(|block| block.digest);
        match accepted {
            Some(digest) if self.random.percent(80) => digest,
            _ => {
                let leader = self.state.spec.proposer(round);
                // The third choice is an invalid block.
                let choice = self.pick(&[0, 0, 0, 1, 1, 2]);
                self.cast.digest(leader, choice)
            }
        }
    }

    /// Some validators, about a quorum.
    fn about_a_quorum(&mut self) -> Vec<Address> {
        let quorum = self.state.spec.validators * 2;
        let quorum = quorum.div_ceil(3);
        let count = match self.random.below(8) {
            0 if self.wrong(100) => quorum - 1,
            1 => quorum + 1,
            _ => quorum,
        };
        let mut all: Vec<Address> = (0..self.cast.validators).collect();
        let mut chosen = Vec::new();
        while chosen.len() < count && !all.is_empty() {
            let index = usize::try_from(self.random.below(all.len() as u64)).expect("small");
            chosen.push(all.swap_remove(index));
        }
        if self.wrong(3) {
            chosen.push(self.cast.validators);
        }
        if self.wrong(3) && chosen.len() > 1 {
            chosen[0] = chosen[1];
        }
        chosen
    }

    fn certificate(&mut self, (round, digest): Lock) -> Vec<SignedPrepare> {
        let authors = self.about_a_quorum();
        let mut prepares: Vec<_> = authors
            .into_iter()
            .map(|author| SignedPrepare { author, height: 1, round, digest })
            .filter(|prepare| self.may_sign(&QbftMessage::Prepare(*prepare), prepare.author))
            .collect();
        if let Some(prepare) = prepares.first_mut()
            && self.wrong(8)
        {
            match self.random.below(3) {
                0 => prepare.round += 1,
                1 => prepare.height += 1,
                _ => prepare.digest = self.cast.digest(self.cast.own, 0),
            }
        }
        prepares.retain(|p| self.may_sign(&QbftMessage::Prepare(*p), p.author));
        prepares
    }

    /// Nobody can sign for the node under test; what it signed can be used.
    fn may_sign(&self, message: &QbftMessage, author: Address) -> bool {
        author != self.cast.own || self.state.received.contains(message)
    }

    /// A round before another, and a block that may have been prepared in it.
    fn lock(&mut self, round: u64) -> Lock {
        let before = match self.wrong(4) {
            true => round,
            false => self.random.below(round),
        };
        match self.state.prepared {
            Some((prepared, block)) if prepared < round && self.random.percent(50) => {
                (prepared, block.digest)
            }
            _ => (before, self.block(before)),
        }
    }

    fn justification(&mut self, round: u64) -> (Vec<SignedRoundChange>, Option<Lock>) {
        let locks: Vec<Option<Lock>> = match self.random.below(3) {
            0 => vec![None],
            1 => vec![None, Some(self.lock(round))],
            _ => vec![None, Some(self.lock(round)), Some(self.lock(round))],
        };
        let mut changes = Vec::new();
        for author in self.about_a_quorum() {
            let mut round = round;
            if self.wrong(2) {
                round = self.pick(&[round - 1, round + 1]);
            }
            let prepared = self.pick(&locks);
            let change = SignedRoundChange { author, height: 1, round, prepared };
            let own = self.state.round_changes().find(|c| c.author == author && c.round == round);
            match own {
                Some(own) if author == self.cast.own => changes.push(own),
                None if author == self.cast.own => {}
                _ => changes.push(change),
            }
        }
        let prepared = changes.iter().filter_map(|change| change.prepared);
        let chosen = match self.wrong(6) {
            true => prepared.min_by_key(|lock| lock.0),
            false => prepared.max_by_key(|lock| lock.0),
        };
        (changes, chosen)
    }

    fn proposal(&mut self) -> QbftMessage {
        let mut round = self.round();
        if self.state.spec.proposer(round) == self.cast.own {
            round += 1;
        }
        let leader = self.state.spec.proposer(round);
        let (round_changes, lock) = match round {
            0 if !self.wrong(4) => (Vec::new(), None),
            _ => self.justification(round.max(1)),
        };
        let digest = match lock {
            Some((_, digest)) if !self.wrong(8) => digest,
            _ if self.wrong(4) => self.any_block(),
            _ => {
                let choice = self.pick(&[0, 0, 0, 1, 2]);
                self.cast.digest(leader, choice)
            }
        };
        let prepares = match lock {
            Some((prepared, digest)) => self.certificate((prepared, digest)),
            None if self.wrong(4) => self.certificate((0, digest)),
            None => Vec::new(),
        };
        let author = if self.wrong(4) { self.other() } else { leader };
        let named = if self.wrong(2) { self.any_block() } else { digest };
        let block_round = if self.wrong(3) { round + 1 } else { round };
        let height = self.height();
        let payload = SignedProposal { author, height, round, digest: named };
        let block = self.cast.block(digest, block_round);
        QbftMessage::Proposal { payload, block, round_changes, prepares }
    }

    fn prepare(&mut self) -> SignedPrepare {
        let (author, height, round) = (self.other(), self.height(), self.round());
        let digest = if self.wrong(8) { self.any_block() } else { self.block(round) };
        SignedPrepare { author, height, round, digest }
    }

    fn commit(&mut self) -> SignedCommit {
        let (author, height, round) = (self.other(), self.height(), self.round());
        // Also of blocks that this node has not seen yet: their seals cannot be judged.
        let digest = match self.wrong(8) {
            true => self.any_block(),
            false => self.block(round),
        };
        let sealed_round = if self.wrong(15) { round + 1 } else { round };
        let sealed = self.cast.commit_hash(digest, sealed_round);
        let sealer = if self.wrong(3) { self.other() } else { author };
        SignedCommit { author, height, round, digest, sealer, sealed }
    }

    fn round_change(&mut self) -> QbftMessage {
        let ahead = self.pick(&[0, 1, 1, 1, 1, 2, 3]);
        let round = self.state.round + ahead;
        let prepared = (round > 0 && self.random.percent(35)).then(|| self.lock(round));
        let author = self.other();
        let (mut block, mut prepares) = (None, Vec::new());
        if let Some((prepared, digest)) = prepared {
            let carried = if self.wrong(4) { self.any_block() } else { digest };
            block = (!self.wrong(4)).then(|| self.cast.block(carried, prepared));
            prepares = self.certificate((prepared, digest));
        } else if self.wrong(4) {
            let digest = self.any_block();
            block = self.random.percent(50).then(|| self.cast.block(digest, 0));
            prepares = self.certificate((0, digest));
        }
        let payload = SignedRoundChange { author, height: self.height(), round, prepared };
        QbftMessage::RoundChange { payload, block, prepares }
    }
}

/// What `admit` lets in, in the oracle's words.
pub(super) fn passes_the_door(message: &QbftMessage, validators: usize) -> bool {
    let height = message.height();
    // The height that is decided, and a few above it: there anybody may be a validator.
    let known = height == 1;
    if !(1..=4).contains(&height) || (known && message.author() >= validators) {
        return false;
    }
    let fits = |count: usize| count <= if known { validators } else { 256 };
    let same_height = |prepares: &[SignedPrepare]| {
        fits(prepares.len()) && prepares.iter().all(|prepare| prepare.height == height)
    };
    match message {
        QbftMessage::Prepare(_) => true,
        QbftMessage::Commit(commit) => commit.sealer == commit.author,
        QbftMessage::Proposal { payload, block, round_changes, prepares } => {
            let heights: BTreeSet<_> = round_changes.iter().map(|c| c.height).collect();
            (block.digest, block.height) == (payload.digest, height)
                && fits(round_changes.len())
                && heights.iter().all(|other| *other == height)
                && same_height(prepares)
        }
        QbftMessage::RoundChange { payload, block, prepares } => {
            let carried = match (payload.prepared, block) {
                (None, None) => prepares.is_empty(),
                (Some((_, digest)), Some(block)) => {
                    (block.digest, block.height) == (digest, height)
                }
                _ => false,
            };
            carried && same_height(prepares)
        }
    }
}
