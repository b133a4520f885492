//! Recent blocks of all branches, each with what the headers up to it say. Bounded in number, in bytes,
//! and in depth below the head.

mod room;

use super::fork_choice::{FinalHeights, Weight, is_better};
use crate::{
    engine::ChainPosition,
    rules::HeaderRules,
    sabotage::{Bug, is_on},
};
use alloy_primitives::{Address, B256};
use entente_chain::{BlockNumber, RecoveredBlock, limits::REORGANISATION_BLOCKS_MAX};
use std::collections::{BTreeMap, BTreeSet};

/// Invalid blocks that are remembered.
const BAD_MAX: usize = 256;

/// A block of a branch.
pub(super) struct Node {
    /// Head: this block; the rest: after it.
    pub(super) position: ChainPosition,
    pub(super) signer: Address,
    block: Option<RecoveredBlock>,
    bytes: usize,
}

/// What became of a block that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placed {
    New,
    Known,
    /// Its parent is not there.
    Orphan,
    /// Too old, known as bad, or there is no room.
    Refused,
}

/// The tree. Its canonical head is what the host committed.
pub(super) struct Tree {
    nodes: BTreeMap<B256, Node>,
    head: B256,
    bad: BTreeSet<(BlockNumber, B256)>,
    body_bytes: usize,
    finals: FinalHeights,
}

impl Tree {
    pub(super) fn new(
        position: ChainPosition,
        ancestors: Vec<ChainPosition>,
        finals: FinalHeights,
    ) -> Self {
        let head = position.head.hash();
        let mut tree =
            Self { nodes: BTreeMap::new(), head, bad: BTreeSet::new(), body_bytes: 0, finals };
        for position in ancestors.into_iter().chain([position]) {
            tree.insert(position, Address::ZERO, None);
        }
        tree
    }

    /// Reads who sealed the blocks that it began with: with EIP-3436 a restarted node must weigh its
    /// own branch as all others do.
    pub(super) fn with_signers(mut self, rules: &HeaderRules) -> Self {
        for node in self.nodes.values_mut() {
            node.signer = rules.author(&node.position.head).unwrap_or_default();
        }
        self
    }

    fn insert(&mut self, position: ChainPosition, signer: Address, block: Option<RecoveredBlock>) {
        let hash = position.head.hash();
        let bytes = block.as_ref().map_or(0, |block| {
            block.transactions().iter().map(|transaction| transaction.encoded().len()).sum()
        });
        self.body_bytes = self.body_bytes.saturating_add(bytes);
        self.nodes.insert(hash, Node { position, signer, block, bytes });
    }

    pub(super) fn head(&self) -> &Node {
        // Put there by `new` and `commit`, and never removed while it is the head.
        #[expect(clippy::expect_used, reason = "the head is always in the tree")]
        self.nodes.get(&self.head).expect("the head")
    }

    /// Blocks in it.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn get(&self, hash: B256) -> Option<&Node> {
        self.nodes.get(&hash)
    }

    pub(super) fn contains(&self, hash: B256) -> bool {
        self.nodes.contains_key(&hash) || self.bad.iter().any(|(_, bad)| *bad == hash)
    }

    /// The lowest block without a body on the way from the canonical chain to a block that is
    /// heavier than ours: that branch cannot be taken without it.
    pub(super) fn lowest_missing(&self, hash: B256) -> Option<BlockNumber> {
        let mut at = self.nodes.get(&hash)?;
        let mut canonical = self.head();
        if self.weight(at, true) <= self.weight(canonical, true) {
            return None;
        }
        let mut missing = None;
        loop {
            let (number, parent) = (at.position.head.number, at.position.head.parent_hash);
            while canonical.position.head.number > number {
                canonical = self.nodes.get(&canonical.position.head.parent_hash)?;
            }
            if canonical.position.head.hash() == at.position.head.hash() {
                return missing;
            }
            if at.block.is_none() {
                missing = Some(number);
            }
            // Too deep to be taken.
            at = self.nodes.get(&parent)?;
        }
    }

    /// The lowest height at which a branch may leave the canonical chain.
    pub(super) fn floor(&self) -> BlockNumber {
        self.head().position.head.number.saturating_sub(REORGANISATION_BLOCKS_MAX)
    }

    /// Another block of a signer on the same parent.
    pub(super) fn rival(&self, block: &RecoveredBlock, signer: Address) -> Option<B256> {
        let same = |node: &&Node| {
            (node.signer == signer || is_on(Bug::BlameAnybody))
                && node.position.head.parent_hash == block.header.parent_hash
                && node.position.head.hash() != block.hash()
        };
        self.nodes.values().find(same).map(|node| node.position.head.hash())
    }

    /// Puts a block in whose header was checked against its parent.
    pub(super) fn place(
        &mut self,
        position: ChainPosition,
        signer: Address,
        block: RecoveredBlock,
    ) {
        let hash = block.hash();
        match self.nodes.get_mut(&hash) {
            Some(node) if node.block.is_none() => {
                let bytes = block.transactions().iter().map(|tx| tx.encoded().len()).sum();
                self.body_bytes = self.body_bytes.saturating_add(bytes);
                (node.block, node.bytes, node.signer) = (Some(block), bytes, signer);
            }
            Some(_) => {}
            None => self.insert(position, signer, Some(block)),
        }
        self.prune();
    }

    /// Whether a block may be put in.
    pub(super) fn may_place(&self, block: &RecoveredBlock) -> Placed {
        let (hash, parent) = (block.hash(), block.header.parent_hash);
        if self.bad.iter().any(|(_, bad)| *bad == hash || *bad == parent) {
            return Placed::Refused;
        }
        if block.header.number <= self.floor() {
            return Placed::Refused;
        }
        match self.nodes.get(&hash) {
            Some(node) if node.block.is_some() => Placed::Known,
            _ if self.nodes.contains_key(&parent) => Placed::New,
            _ => Placed::Orphan,
        }
    }

    /// The host committed a block.
    pub(super) fn commit(&mut self, position: ChainPosition, rules: &HeaderRules) {
        self.head = position.head.hash();
        if !self.nodes.contains_key(&self.head) {
            let signer = rules.author(&position.head).unwrap_or_default();
            self.insert(position, signer, None);
        }
        self.prune();
    }

    /// Removes a block that turned out to be invalid, and all on top of it; gives its signer.
    pub(super) fn remove_bad(&mut self, hash: B256) -> Option<Address> {
        let signer = self.nodes.get(&hash).map(|node| node.signer);
        let number = self.nodes.get(&hash)?.position.head.number;
        let mut bad = vec![hash];
        while let Some(next) = bad.pop() {
            if let Some(node) = self.nodes.remove(&next) {
                self.body_bytes = self.body_bytes.saturating_sub(node.bytes);
            }
            let children = self.nodes.values().filter(|node| {
                node.position.head.parent_hash == next && node.position.head.hash() != self.head
            });
            bad.extend(children.map(|node| node.position.head.hash()));
        }
        self.bad.insert((number, hash));
        if self.bad.len() > BAD_MAX {
            self.bad.pop_first();
        }
        signer
    }

    /// The newest height of a branch that ends at `number` which another engine decides for good.
    pub(super) fn newest_final(&self, number: BlockNumber) -> BlockNumber {
        self.finals.newest(number)
    }

    fn weight(&self, node: &Node, eip3436: bool) -> Weight {
        let parent = self.nodes.get(&node.position.head.parent_hash);
        let signers = parent.map(|parent| parent.position.tally.validators());
        Weight::of(node, self.finals.newest(node.position.head.number), signers, eip3436)
    }

    /// A branch that is better than the canonical chain and whose bodies are all here: the height
    /// at which it leaves, and its blocks, ascending.
    pub(super) fn better_branch(
        &self,
        eip3436: bool,
    ) -> Option<(BlockNumber, Vec<RecoveredBlock>)> {
        let mut best: Option<(Weight, Vec<RecoveredBlock>, BlockNumber)> = None;
        let ours = self.weight(self.head(), eip3436);
        for node in self.nodes.values() {
            let weight = self.weight(node, eip3436);
            let than = best.as_ref().map_or(&ours, |(best, ..)| best);
            if is_better(&weight, than, eip3436)
                && let Some((ancestor, blocks)) = self.path(node)
            {
                best = Some((weight, blocks, ancestor));
            }
        }
        best.map(|(_, blocks, ancestor)| (ancestor, blocks))
    }

    /// The way from the canonical chain to a block beside it, when all bodies on it are here.
    pub(super) fn way_to(&self, hash: B256) -> Option<(BlockNumber, Vec<RecoveredBlock>)> {
        self.path(self.nodes.get(&hash)?).filter(|(_, blocks)| !blocks.is_empty())
    }

    /// From the canonical chain up to a block.
    fn path(&self, node: &Node) -> Option<(BlockNumber, Vec<RecoveredBlock>)> {
        let mut blocks = Vec::new();
        let mut at = node;
        while !self.is_canonical(at) {
            blocks.push(at.block.clone()?);
            at = self.nodes.get(&at.position.head.parent_hash)?;
        }
        blocks.reverse();
        Some((at.position.head.number, blocks))
    }

    fn is_canonical(&self, node: &Node) -> bool {
        let mut at = self.head();
        while at.position.head.number > node.position.head.number {
            match self.nodes.get(&at.position.head.parent_hash) {
                Some(parent) => at = parent,
                None => return false,
            }
        }
        at.position.head.hash() == node.position.head.hash()
    }
}
