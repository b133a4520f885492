//! Makes room in a full tree. A signer may seal any number of blocks on one parent, and none of them
//! may push out what the others work on: first goes what its signer has a better block beside, then
//! what leads to the lightest end. The canonical chain stays, because every change of branches is
//! reckoned from it. What is gone is fetched again with its branch when it turns out to be of weight.

use super::{Tree, Weight};
use alloy_primitives::{Address, B256};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

/// Blocks in the tree, canonical ones included.
const BLOCKS_MAX: usize = 1024;
/// Bodies that are kept beside those of the best branch, in bytes.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How much a block is wanted; the least wanted goes first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Worth {
    /// Its signer has no better block on the same parent.
    is_first: bool,
    /// Of the best block that lies on top of it, or its own: a branch is worth no less at its
    /// beginning than at its end.
    best: Weight,
}

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
        let worths = self.worths();
        while self.nodes.len() > BLOCKS_MAX
            && let Some(end) = self.least_wanted_end(&canonical, &worths)
        {
            let bytes = self.nodes.remove(&end).map_or(0, |node| node.bytes);
            self.body_bytes = self.body_bytes.saturating_sub(bytes);
        }
        for body in self.bodies_that_may_go(&canonical, &worths) {
            if self.body_bytes <= BODY_BYTES_MAX {
                return;
            }
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

    fn worths(&self) -> BTreeMap<B256, Worth> {
        let mut nodes: Vec<_> = self.nodes.iter().collect();
        nodes.sort_unstable_by_key(|(_, node)| Reverse(node.position.head.number));
        let mut best: BTreeMap<B256, Weight> = BTreeMap::new();
        let mut firsts: BTreeMap<(B256, Address), Weight> = BTreeMap::new();
        let raise = |known: &mut Weight, weight: &Weight| {
            if *known < *weight {
                known.clone_from(weight);
            }
        };
        for (hash, node) in &nodes {
            let mut weight = self.weight(node, true);
            if let Some(above) = best.get(*hash) {
                raise(&mut weight, above);
            }
            let parent = node.position.head.parent_hash;
            let first = firsts.entry((parent, node.signer)).or_insert_with(|| weight.clone());
            raise(first, &weight);
            raise(best.entry(parent).or_insert_with(|| weight.clone()), &weight);
            best.insert(**hash, weight);
        }
        let worth = |(hash, node): (&B256, &super::Node)| {
            let best = best.remove(hash)?;
            let first = firsts.get(&(node.position.head.parent_hash, node.signer));
            Some((*hash, Worth { is_first: first == Some(&best), best }))
        };
        nodes.into_iter().filter_map(worth).collect()
    }

    /// Of the blocks beside the canonical chain that nothing here builds on.
    fn least_wanted_end(
        &self,
        canonical: &BTreeSet<B256>,
        worths: &BTreeMap<B256, Worth>,
    ) -> Option<B256> {
        let parents: BTreeSet<B256> =
            self.nodes.values().map(|node| node.position.head.parent_hash).collect();
        let ends = self.nodes.keys().filter(|hash| !canonical.contains(*hash));
        let ends = ends.filter(|hash| !parents.contains(*hash));
        ends.min_by_key(|hash| worths.get(*hash)).copied()
    }

    /// The least wanted first. Canonical blocks lie in the chain anyhow. The best branch keeps all:
    /// without one of its bodies it could never be taken, and it would lose the same ones again. It is
    /// no more than one block a height, and its signers took turns.
    fn bodies_that_may_go(
        &self,
        canonical: &BTreeSet<B256>,
        worths: &BTreeMap<B256, Worth>,
    ) -> Vec<B256> {
        let best = worths.values().map(|worth| &worth.best).max();
        let held = self.nodes.iter().filter(|(_, node)| node.bytes > 0).map(|(hash, _)| hash);
        let mut held: Vec<_> = held
            .map(|hash| (!canonical.contains(hash), worths.get(hash), hash))
            .filter(|(beside, worth, _)| !beside || worth.map(|worth| &worth.best) != best)
            .collect();
        held.sort_unstable();
        held.into_iter().map(|(.., hash)| *hash).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clique::fork_choice::FinalHeights;
    use crate::{clique::tree::Node, engine::ChainPosition};
    use alloy_primitives::{Bytes, U256};
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
        Tree::new(head, positions, FinalHeights::default())
    }

    fn put(tree: &mut Tree, parent: &ChainPosition, block: &RecoveredBlock) -> ChainPosition {
        put_by(tree, parent, block, Address::ZERO)
    }

    fn put_by(
        tree: &mut Tree,
        parent: &ChainPosition,
        block: &RecoveredBlock,
        signer: Address,
    ) -> ChainPosition {
        let position = after(parent, block);
        tree.place(position.clone(), signer, block.clone());
        position
    }

    /// Blocks here have no transactions: what this one is said to weigh in bytes.
    fn enlarge(tree: &mut Tree, hash: B256, size: usize) {
        let Some(node) = tree.nodes.get_mut(&hash) else { panic!("in the tree") };
        if node.block.is_some() && node.bytes == 0 {
            node.bytes = size;
            tree.body_bytes += size;
            tree.prune();
        }
    }

    const MIB: usize = 1024 * 1024;

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

    /// As above, but the branch comes when the tree is full of heavier blocks.
    #[test]
    fn a_branch_finds_room_in_a_tree_that_one_signer_filled() {
        let positions = chain(20);
        let mut tree = tree(positions.clone());
        for content in 1_000..3_000 {
            let signer = Address::repeat_byte(1);
            put_by(&mut tree, &positions[20], &block(&positions[20], content, 1), signer);
        }
        let mut tip = positions[10].clone();
        for content in 100..111 {
            let next = block(&tip, content, 2);
            tip = put_by(&mut tree, &tip, &next, Address::repeat_byte(2));
        }
        let (ancestor, blocks) = tree.better_branch(true).expect("the branch is heavier");
        assert_eq!((ancestor, blocks.len()), (10, 11));
    }

    /// 70 blocks of 1 MiB. Before, the first of them lost their bodies to the last, for ever.
    #[test]
    fn a_better_branch_keeps_its_bodies_however_many_they_are() {
        let positions = chain(69);
        let mut tree = tree(positions.clone());
        let mut branch = vec![positions[0].clone()];
        for content in 100..170 {
            let parent = branch.last().expect("genesis at least").clone();
            let next = block(&parent, content, 2);
            branch.push(put(&mut tree, &parent, &next));
            enlarge(&mut tree, next.hash(), MIB);
        }
        // Those that went before the branch was the better one are asked for again, once.
        let tip = branch.last().expect("a tip").head.hash();
        while let Some(missing) = tree.lowest_missing(tip) {
            let at = usize::try_from(missing).expect("small");
            put(&mut tree, &branch[at - 1], &block(&branch[at - 1], 99 + missing, 2));
            enlarge(&mut tree, branch[at].head.hash(), MIB);
            assert!(tree.lowest_missing(tip).is_none_or(|next| next > missing), "gone again");
        }
        let (ancestor, blocks) = tree.better_branch(true).expect("the branch is heavier");
        assert_eq!((ancestor, blocks.len()), (0, 70));
    }

    /// Each of the blocks of one signer on the head weighs more than the lower half of the branch.
    #[test]
    fn large_blocks_on_one_parent_do_not_take_the_bodies_of_a_better_branch() {
        let positions = chain(20);
        let mut tree = tree(positions.clone());
        for content in 1_000..1_070 {
            let next = block(&positions[20], content, 1);
            put_by(&mut tree, &positions[20], &next, Address::repeat_byte(1));
            enlarge(&mut tree, next.hash(), MIB);
        }
        let mut tip = positions[10].clone();
        for content in 100..111 {
            let next = block(&tip, content, 2);
            tip = put_by(&mut tree, &tip, &next, Address::repeat_byte(2));
            enlarge(&mut tree, next.hash(), MIB);
        }
        assert!(tree.body_bytes <= BODY_BYTES_MAX);
        assert_eq!(tree.lowest_missing(tip.head.hash()), None);
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
