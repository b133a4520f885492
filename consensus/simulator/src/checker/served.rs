//! S2, S5, O1, O4: what nodes serve of a block is the same on all of them, and stays so.

use super::{Checker, Finding, finding};
use alloy_primitives::{B256, keccak256};
use entente_chain::{BlockNumber, Receipt, RecoveredBlock};
use std::collections::BTreeMap;

/// By block: a hash over its receipts, as who committed it first had them.
#[derive(Debug, Default)]
pub(super) struct Served {
    receipts: BTreeMap<B256, B256>,
    heads: BTreeMap<usize, BlockNumber>,
}

fn digest(receipts: &[Receipt]) -> B256 {
    keccak256(format!("{receipts:?}"))
}

impl Served {
    pub(super) fn committed(
        &mut self,
        block: &RecoveredBlock,
        receipts: &[Receipt],
    ) -> Result<(), Finding> {
        let (number, ours) = (block.header.number, digest(receipts));
        let first = *self.receipts.entry(block.hash()).or_insert(ours);
        if receipts.len() != block.transactions().len() {
            return finding("S5", format!("block {number} has {} receipts", receipts.len()));
        }
        match first == ours {
            true => Ok(()),
            false => finding("S5", format!("nodes have different receipts of block {number}")),
        }
    }
}

impl Checker {
    /// A node's head moved: never back where blocks are final.
    pub(crate) fn head(&mut self, node: usize, number: BlockNumber) -> Result<(), Finding> {
        let before = self.served.heads.insert(node, number).unwrap_or(0);
        match number > before || self.forks() {
            true => Ok(()),
            false => finding("O1", format!("node {node} goes from {before} to {number}")),
        }
    }

    /// A node lost its disk and begins again.
    pub(crate) fn begins_again(&mut self, node: usize, head: BlockNumber) {
        self.served.heads.insert(node, head);
    }

    /// What a node serves of a block that it has: decided (S2), with the receipts that were
    /// committed, and found by the index of logs exactly when it has some (O4).
    pub(crate) fn serves(
        &self,
        node: usize,
        block: &RecoveredBlock,
        receipts: &[Receipt],
        indexed: bool,
    ) -> Result<(), Finding> {
        let (number, hash) = (block.header.number, block.hash());
        let decided = self.decided.get(&number).filter(|_| !self.forks());
        if decided.is_some_and(|decided| *decided != hash) {
            return finding("S2", format!("node {node} serves {hash} at decided height {number}"));
        }
        if self.served.receipts.get(&hash) != Some(&digest(receipts)) {
            return finding("O4", format!("node {node} serves other receipts of block {number}"));
        }
        let logs = receipts.iter().any(|receipt| !receipt.logs.is_empty());
        match logs == indexed {
            true => Ok(()),
            false => {
                let what =
                    format!("node {node}: block {number} has logs: {logs}, found: {indexed}");
                finding("O4", what)
            }
        }
    }
}
