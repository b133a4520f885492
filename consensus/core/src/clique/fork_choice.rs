//! Which of two branches is better. The heavier one (EIP-225); of equal weight, with EIP-3436, the
//! shorter, then the one whose last signer was in turn most recently, then the lower hash. For the
//! third step the EIP contradicts itself: its reasons and its first draft want the smaller distance,
//! as Besu does; its final rule says the larger. We do what Besu does. Without
//! EIP-3436 the shorter one, else the one we have: geth tosses a coin there, which only makes nodes
//! disagree for longer.

use super::tree::Node;
use crate::sabotage::{Bug, is_on};
use alloy_primitives::{B256, U256};
use entente_chain::{BlockNumber, ValidatorSet};
use std::cmp::Reverse;

/// What branches are compared by; greater is better.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Weight {
    total_difficulty: U256,
    number: Reverse<BlockNumber>,
    /// EIP-3436 only.
    since_turn: Reverse<u64>,
    hash: Reverse<B256>,
}

impl Weight {
    pub(super) fn of(node: &Node, signers: Option<&ValidatorSet>, eip3436: bool) -> Self {
        let header = &node.position.head;
        let since_turn = signers.filter(|_| eip3436).map_or(0, |signers| {
            let count = signers.len() as u64;
            let index = signers.index_of(node.signer).unwrap_or(0) as u64;
            // How many blocks ago it was this signer's turn.
            let turn = header.number.checked_rem(count).unwrap_or(0);
            turn.saturating_add(count).saturating_sub(index).checked_rem(count).unwrap_or(0)
        });
        Self {
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
    let plain = |weight: &Weight| (weight.total_difficulty, weight.number);
    if eip3436 { branch > ours } else { plain(branch) > plain(ours) }
}
