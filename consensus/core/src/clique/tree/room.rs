//! Makes room in a full tree. A signer may seal any number of blocks on one parent, and none of them
//! may push out what the others work on: first goes the lightest end of a branch, and the canonical
//! chain stays, because every change of branches is reckoned from it. What is gone is fetched again
//! with its branch when it turns out to be of weight.

use super::Tree;
use alloy_primitives::{B256, U256};
use std::collections::BTreeSet;

/// Blocks in the tree, canonical ones included.
const BLOCKS_MAX: usize = 1024;
/// Bodies that are kept, in bytes: a branch whose bodies are gone is fetched again.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

impl Tree {
    pub(super) fn prune(&mut self) {
        let (floor, head) = (self.floor(), self.head);
        let before = self.nodes.len();
        self.nodes.retain(|hash, node| node.position.head.number >= floor || *hash == head);
        if self.nodes.len() != before {
            self.body_bytes = self.nodes.values().map(|node| node.bytes).sum();
        }
        if self.nodes.len() <= BLOCKS_MAX && self.body_bytes <= BODY_BYTES_MAX {
            return;
        }
        let canonical = self.canonical();
        while self.nodes.len() > BLOCKS_MAX
            && let Some(end) = self.lightest_end(&canonical)
        {
            let bytes = self.nodes.remove(&end).map_or(0, |node| node.bytes);
            self.body_bytes = self.body_bytes.saturating_sub(bytes);
        }
        while self.body_bytes > BODY_BYTES_MAX
            && let Some(body) = self.least_wanted_body(&canonical)
        {
            let Some(node) = self.nodes.get_mut(&body) else { return };
            node.block = None;
            self.body_bytes = self.body_bytes.saturating_sub(std::mem::take(&mut node.bytes));
        }
    }

    /// The head and what lies below it.
    fn canonical(&self) -> BTreeSet<B256> {
        let below = |hash: &B256| Some(self.nodes.get(hash)?.position.head.parent_hash);
        std::iter::successors(Some(self.head), below).collect()
    }

    fn total_difficulty(&self, hash: &B256) -> U256 {
        self.nodes.get(hash).map_or(U256::ZERO, |node| node.position.total_difficulty)
    }

    /// Of the blocks beside the canonical chain that nothing here builds on, the lightest.
    fn lightest_end(&self, canonical: &BTreeSet<B256>) -> Option<B256> {
        let parents: BTreeSet<B256> =
            self.nodes.values().map(|node| node.position.head.parent_hash).collect();
        let ends = self.nodes.keys().filter(|hash| !canonical.contains(*hash));
        let ends = ends.filter(|hash| !parents.contains(*hash));
        ends.min_by_key(|hash| self.total_difficulty(hash)).copied()
    }

    /// Canonical blocks lie in the chain anyhow; of the others, the lightest goes.
    fn least_wanted_body(&self, canonical: &BTreeSet<B256>) -> Option<B256> {
        let held = self.nodes.iter().filter(|(_, node)| node.bytes > 0).map(|(hash, _)| hash);
        held.min_by_key(|hash| (!canonical.contains(*hash), self.total_difficulty(hash))).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clique::tree::Node, engine::ChainPosition};
    use alloy_primitives::{Address, Bytes};
    use entente_chain::{
        Header, RecoveredBlock, SealedHeader, ValidatorSet, limits::REORGANISATION_BLOCKS_MAX,
        votes::VoteTally,
    };

    /// A block on `parent`, `content` telling it from others there.
    fn block(parent: &ChainPosition, content: u64, difficulty: u64) -> RecoveredBlock {
        let header = Header {
            number: parent.head.number + 1,
            parent_hash: parent.head.hash(),
            extra_data: Bytes::copy_from_slice(&content.to_be_bytes()),
            difficulty: U256::from(difficulty),
            ..Header::default()
        };
        let hash = header.hash_slow();
        RecoveredBlock { header: SealedHeader::new(header, hash), body: Default::default() }
    }

    fn after(parent: &ChainPosition, block: &RecoveredBlock) -> ChainPosition {
        let total_difficulty = parent.total_difficulty + block.header.difficulty;
        ChainPosition { head: block.header.clone(), total_difficulty, ..parent.clone() }
    }

    fn genesis() -> ChainPosition {
        let header = Header::default();
        let hash = header.hash_slow();
        let next = ValidatorSet::new(vec![Address::repeat_byte(1)]).expect("one signer");
        let tally = VoteTally::new(next.clone());
        let head = SealedHeader::new(header, hash);
        ChainPosition { head, next, tally, total_difficulty: U256::ONE }
    }

    /// A chain of `length` blocks in turn, its last one the head.
    fn chain(length: u64) -> Vec<ChainPosition> {
        let mut positions = vec![genesis()];
        for content in 0..length {
            let parent = positions.last().expect("genesis at least");
            positions.push(after(parent, &block(parent, content, 2)));
        }
        positions
    }

    fn tree(mut positions: Vec<ChainPosition>) -> Tree {
        let head = positions.pop().expect("a head");
        Tree::new(head, positions)
    }

    fn put(tree: &mut Tree, parent: &ChainPosition, block: &RecoveredBlock) -> ChainPosition {
        let position = after(parent, block);
        tree.place(position.clone(), Address::ZERO, block.clone());
        position
    }

    /// Reliability section 7, row 49. Before, the lowest blocks went first: the canonical chain, and
    /// with it every way to change the branch.
    #[test]
    fn many_blocks_on_one_parent_push_out_neither_the_chain_nor_the_better_branch() {
        let positions = chain(20);
        let mut tree = tree(positions.clone());
        // Eleven blocks in turn weigh more than our ten and any one on top.
        let mut tip = positions[10].clone();
        let mut branch = Vec::new();
        for content in 100..111 {
            let next = block(&tip, content, 2);
            tip = put(&mut tree, &tip, &next);
            branch.push(next.hash());
        }
        for content in 1_000..6_000 {
            put(&mut tree, &positions[20], &block(&positions[20], content, 1));
        }
        assert_eq!(tree.nodes.len(), BLOCKS_MAX);
        assert!(positions.iter().all(|kept| tree.get(kept.head.hash()).is_some()));
        assert!(branch.iter().all(|kept| tree.get(*kept).is_some()));
        let (ancestor, blocks) = tree.better_branch(true).expect("the branch is heavier");
        assert_eq!((ancestor, blocks.len()), (10, 11));
    }

    #[test]
    fn bodies_of_the_canonical_chain_go_first() {
        let positions = chain(3);
        let mut tree = tree(positions.clone());
        let side = block(&positions[2], 50, 1);
        put(&mut tree, &positions[2], &side);
        let canonical = positions[3].head.hash();
        for hash in [canonical, side.hash()] {
            let Some(node) = tree.nodes.get_mut(&hash) else { panic!("in the tree") };
            let Node { bytes, .. } = node;
            *bytes = BODY_BYTES_MAX;
            tree.body_bytes += BODY_BYTES_MAX;
        }
        tree.prune();
        assert_eq!(tree.body_bytes, BODY_BYTES_MAX);
        assert!(tree.get(side.hash()).is_some_and(|node| node.block.is_some()));
    }

    #[test]
    fn what_lies_too_deep_is_forgotten() {
        let tree = tree(chain(REORGANISATION_BLOCKS_MAX + 50));
        let mut full = tree;
        full.prune();
        assert_eq!(full.nodes.len() as u64, REORGANISATION_BLOCKS_MAX + 1);
    }
}
