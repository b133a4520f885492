//! Which of two branches is better. The heavier one (EIP-225); of equal weight, with EIP-3436, the
//! shorter, then the one whose last signer was in turn most recently, then the lower hash. For the
//! third step the EIP contradicts itself: its reasons and its first draft want the smaller distance,
//! as Besu does; its final rule says the larger. We do what Besu does. Without
//! EIP-3436 the shorter one, else the one we have: geth tosses a coin there, which only makes nodes
//! disagree for longer.

use super::tree::Node;
use crate::sabotage::{Bug, is_on};
use alloy_primitives::{B256, U256};
use entente_chain::{BlockNumber, ChainSpec, ValidatorSet, spec::EngineKind};
use std::cmp::Reverse;

/// Heights whose blocks another engine decides for good: from the first up to, not with, the second.
#[derive(Debug, Default)]
pub(super) struct FinalHeights(Vec<(BlockNumber, BlockNumber)>);

impl FinalHeights {
    pub(super) fn of(spec: &ChainSpec) -> Self {
        let mut starts: Vec<_> = spec.transitions.iter().map(|change| change.block).collect();
        starts.push(0);
        starts.sort_unstable();
        starts.dedup();
        let ends = starts.iter().copied().skip(1).chain([BlockNumber::MAX]);
        let runs = starts.iter().copied().zip(ends);
        Self(runs.filter(|(from, _)| spec.engine_at(*from) != EngineKind::Clique).collect())
    }

    /// The newest final height of a branch that ends at `number`; 0: none.
    pub(super) fn newest(&self, number: BlockNumber) -> BlockNumber {
        let begun = self.0.iter().filter(|(from, _)| *from <= number);
        begun.map(|(_, end)| number.min(end.saturating_sub(1))).max().unwrap_or(0)
    }
}

/// What branches are compared by; greater is better.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Weight {
    /// Whoever decided a block after Clique's last one has decided that one too.
    last_final: BlockNumber,
    total_difficulty: U256,
    number: Reverse<BlockNumber>,
    /// EIP-3436 only.
    since_turn: Reverse<u64>,
    hash: Reverse<B256>,
}

impl Weight {
    pub(super) fn of(
        node: &Node,
        last_final: BlockNumber,
        signers: Option<&ValidatorSet>,
        eip3436: bool,
    ) -> Self {
        let header = &node.position.head;
        let since_turn = signers.filter(|_| eip3436).map_or(0, |signers| {
            let count = signers.len() as u64;
            let index = signers.index_of(node.signer).unwrap_or(0) as u64;
            // How many blocks ago it was this signer's turn.
            let turn = header.number.checked_rem(count).unwrap_or(0);
            turn.saturating_add(count).saturating_sub(index).checked_rem(count).unwrap_or(0)
        });
        Self {
            last_final,
            total_difficulty: node.position.total_difficulty,
            number: Reverse(header.number),
            since_turn: Reverse(since_turn),
            hash: Reverse(header.hash()),
        }
    }
}

/// Whether `branch` takes the place of `ours`.
pub(super) fn is_better(branch: &Weight, ours: &Weight, eip3436: bool) -> bool {
    if is_on(Bug::OwnBranch) && branch.number != Reverse(ours.number.0.saturating_add(1)) {
        return false;
    }
    let plain = |weight: &Weight| (weight.last_final, weight.total_difficulty, weight.number);
    if eip3436 { branch > ours } else { plain(branch) > plain(ours) }
}
