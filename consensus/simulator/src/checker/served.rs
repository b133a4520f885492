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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Engine, Profile,
        scenario::{Scenario, key},
    };
    use alloy_primitives::Address;
    use entente_chain::{Header, SealedHeader};
    use entente_consensus::EngineStatus;
    use std::collections::BTreeSet;

    fn checker(engine: Engine) -> Checker {
        let scenario = Scenario::draw(engine, Profile::Fast, 0);
        let validators = vec![key(0).address(), key(1).address()];
        let (genesis, _) = scenario.genesis(validators.clone(), Address::ZERO);
        Checker::new(&genesis, &validators, engine, BTreeSet::new())
    }

    fn block(content: u64) -> RecoveredBlock {
        let header = Header { number: 1, gas_used: content, ..Header::default() };
        let hash = header.hash_slow();
        RecoveredBlock { header: SealedHeader::new(header, hash), body: Default::default() }
    }

    fn letter(found: Result<(), Finding>) -> Option<&'static str> {
        found.err().map(|finding| finding.checker)
    }

    #[test]
    fn another_block_than_the_decided_one_is_found_in_what_is_served() {
        let mut checker = checker(Engine::Ibft);
        let (one, other) = (block(1), block(2));
        assert!(checker.served.committed(&one, &[]).is_ok());
        checker.decided.insert(1, one.hash());
        assert_eq!(letter(checker.serves(0, &one, &[], false)), None);
        assert_eq!(letter(checker.serves(0, &one, &[], true)), Some("O4"), "no logs in it");
        assert_eq!(letter(checker.serves(0, &other, &[], false)), Some("S2"));
    }

    #[test]
    fn heads_that_go_back_are_found() {
        let mut checker = checker(Engine::Raft);
        assert_eq!(letter(checker.head(0, 5)), None);
        assert_eq!(letter(checker.head(1, 4)), None);
        assert_eq!(letter(checker.head(0, 5)), Some("O1"));
    }

    #[test]
    fn two_leaders_of_a_term_are_found() {
        let mut checker = checker(Engine::Raft);
        let mut lead = |own: usize, round| {
            let validator = Some(key(own).address());
            let (engine, role) = ("raft", "leader");
            let status = EngineStatus { engine, role, round, validator, ..EngineStatus::default() };
            letter(checker.status(&status, &mut crate::Coverage::default()))
        };
        assert_eq!(lead(0, 3), None);
        assert_eq!(lead(1, 4), None);
        assert_eq!(lead(1, 3), Some("R1"));
    }
}
