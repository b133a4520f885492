//! S8, B1: what a node keeps of what others sent stays within limits, and nobody moves it far.

use super::{Finding, finding};
use alloy_primitives::Address;
use entente_chain::{
    BlockNumber,
    limits::{BACKLOG_PER_VALIDATOR, BLOCK_RANGE_MAX},
};
use entente_consensus::{EngineStatus, ibft};
use std::collections::BTreeMap;

/// Kinds of IBFT messages.
const KINDS: usize = 4;
/// Blocks in Clique's tree.
const TREE: usize = 1024;
/// Ranges of block sync.
const RANGES: usize = 3;
/// Rounds that one voice may move a node ahead of all honest ones.
const LEAP: u64 = 4096;

/// The highest round that an honest validator named at each height.
#[derive(Debug, Default)]
pub(super) struct Limits {
    rounds: BTreeMap<BlockNumber, u64>,
}

impl Limits {
    /// What a node says it keeps.
    pub(super) fn held(status: &EngineStatus) -> Result<(), Finding> {
        let (held, validators) = (status.held, status.validators.len().max(1));
        let votes = (3 + KINDS) * BACKLOG_PER_VALIDATOR * validators + 2 * BACKLOG_PER_VALIDATOR;
        let rounds = 2 * BACKLOG_PER_VALIDATOR * validators + validators;
        let tree = if status.engine == "clique" { TREE } else { 0 };
        let range = usize::try_from(BLOCK_RANGE_MAX).unwrap_or(usize::MAX);
        let blocks = 4 + 16 + validators + tree + RANGES * range;
        let broken = held.messages > votes || held.rounds > rounds || held.blocks > blocks;
        match broken {
            false => Ok(()),
            true => finding("S8", format!("{held:?} with {validators} validators")),
        }
    }

    /// B1: any two quorums of a node share an honest validator (celo-blockchain#117).
    pub(super) fn quorums_meet(status: &EngineStatus) -> Result<(), Finding> {
        let (all, quorum) = (status.validators.len(), status.quorum);
        let faults = all.saturating_sub(1) / 3;
        match all == 0 || 2 * quorum > all + faults {
            true => Ok(()),
            false => finding("B1", format!("two quorums of {quorum} among {all} may be strangers")),
        }
    }

    /// An honest validator names a round.
    pub(super) fn said(&mut self, author: Address, view: ibft::View) -> Result<(), Finding> {
        let highest = self.rounds.entry(view.height).or_insert(0);
        let farthest = highest.saturating_add(LEAP + 1);
        if view.round > farthest {
            let what = format!("{author} goes to {view:?}, honest ones are in {highest}");
            return finding("S8", what);
        }
        *highest = view.round.max(*highest);
        self.rounds = self.rounds.split_off(&view.height.saturating_sub(1_000));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use entente_consensus::engine::{Held, ValidatorStatus};

    #[test]
    fn a_node_that_keeps_too_much_is_found() {
        let mut status = EngineStatus { engine: "ibft", ..EngineStatus::default() };
        assert!(Limits::held(&status).is_ok());
        status.held = Held { messages: 1_000, ..Held::default() };
        assert!(Limits::held(&status).is_err());
        status.held = Held { blocks: 2_000, ..Held::default() };
        assert!(Limits::held(&status).is_err());
    }

    #[test]
    fn a_far_round_is_found_once_an_honest_validator_names_it() {
        let mut limits = Limits::default();
        let mut say = |round| limits.said(Address::ZERO, ibft::View { height: 3, round }).is_ok();
        assert!(say(1) && say(4_000) && say(8_000));
        assert!(!say(1 << 30));
    }

    #[test]
    fn quorums_that_may_miss_each_other_are_found() {
        let seen = ValidatorStatus {
            address: Address::ZERO,
            reachable: true,
            last_seen: None,
            since_seen: None,
            clock_offset: None,
        };
        let mut status = EngineStatus { validators: vec![seen; 6], ..EngineStatus::default() };
        status.quorum = 3;
        assert!(Limits::quorums_meet(&status).is_err(), "2F+1 of six");
        status.quorum = 4;
        assert!(Limits::quorums_meet(&status).is_ok());
    }
}
