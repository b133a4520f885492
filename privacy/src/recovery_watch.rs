//! When a recovery ends. Until then an unknown hash costs an answer of every node; after it, it is
//! nobody's. Ending too early takes payloads for somebody else's, so all doubts are for going on.

use crate::{
    error::PrivacyError,
    privacy::{Millis, Privacy},
};
use entente_chain::{BlockNumber, NodeId};
use std::collections::{BTreeMap, BTreeSet};

/// A recovery of which it is not known yet where it ends.
pub const RECOVERY_OPEN: BlockNumber = BlockNumber::MAX;
/// A payload that this node acknowledged before its store was lost may come onto the chain so many
/// blocks after the recovery has found its end: transactions wait in pools.
pub const PENDING_BLOCKS: u64 = 10;
/// A peer that has been connected for so long and has named no key takes no part in private
/// transactions, in milliseconds.
const SILENT_AFTER: Millis = 15_000;
/// The chain counts as caught up when no peer has been ahead for so long, in milliseconds.
const SETTLED_AFTER: Millis = 2_000;

/// What a host knows while its node recovers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Our newest block.
    pub head: BlockNumber,
    /// Whether the block after it waits for a payload.
    pub is_waiting: bool,
    /// Connected nodes and their newest blocks.
    pub connected: BTreeMap<NodeId, BlockNumber>,
}

/// Ends recoveries.
#[derive(Debug)]
pub struct RecoveryWatch {
    /// Nodes that this one is told to connect with.
    peers: BTreeSet<NodeId>,
    pending_blocks: u64,
    asked: BTreeSet<NodeId>,
    since: BTreeMap<NodeId, Millis>,
    level_since: Option<Millis>,
}

#[derive(Debug, PartialEq, Eq)]
enum Decision {
    GoOn(BlockNumber),
    End,
}

impl RecoveryWatch {
    /// A watch over a node that is told to connect with `peers`; `pending_blocks` are
    /// [`PENDING_BLOCKS`] but in simulations, whose chains are short.
    #[must_use]
    pub fn new(peers: BTreeSet<NodeId>, pending_blocks: u64) -> Self {
        let (asked, since) = (peers.clone(), BTreeMap::new());
        Self { peers, pending_blocks, asked, since, level_since: None }
    }

    /// Looks at how things stand; true when the recovery has just ended. To be called several times a
    /// second.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn look(
        &mut self,
        privacy: &Privacy,
        now: Millis,
        standing: &Standing,
    ) -> Result<bool, PrivacyError> {
        let Some(until) = privacy.recovering_until() else { return Ok(false) };
        let known = privacy.directory().into_iter().map(|(node, _)| node).collect();
        match self.decide(until, &known, now, standing) {
            Some(Decision::GoOn(until)) => privacy.begin_recovery(until, self.asked.clone())?,
            Some(Decision::End) => privacy.end_recovery()?,
            None => {}
        }
        Ok(privacy.recovering_until().is_none())
    }

    fn decide(
        &mut self,
        until: BlockNumber,
        known: &BTreeSet<NodeId>,
        now: Millis,
        standing: &Standing,
    ) -> Option<Decision> {
        let Standing { head, is_waiting, connected } = standing;
        self.since.retain(|node, _| connected.contains_key(node));
        for node in connected.keys() {
            self.since.entry(*node).or_insert(now);
        }
        let is_silent = |node: &NodeId| {
            let since = self.since.get(node).copied();
            !known.contains(node)
                && since.is_some_and(|since| now.saturating_sub(since) > SILENT_AFTER)
        };
        let must: BTreeSet<_> =
            self.peers.iter().filter(|node| !is_silent(node)).copied().collect();
        let newest = connected.values().max().copied().unwrap_or(0).max(*head);
        // Less than half of the others may all be behind: whoever decides blocks is elsewhere.
        let seen = self.peers.iter().filter(|node| connected.contains_key(node)).count();
        let is_level = newest <= head.saturating_add(1)
            && seen.saturating_mul(2) >= self.peers.len()
            && !is_waiting;
        self.level_since = if is_level { self.level_since.or(Some(now)) } else { None };
        let settled =
            self.level_since.is_some_and(|since| now.saturating_sub(since) > SETTLED_AFTER);
        let changed = must != self.asked;
        self.asked = must;
        if until == RECOVERY_OPEN && settled {
            // Nothing was acknowledged on a chain that has not begun, or where there is nobody.
            let pending = if *head == 0 || self.peers.is_empty() { 0 } else { self.pending_blocks };
            Some(Decision::GoOn(newest.saturating_add(pending)))
        } else if until <= *head {
            Some(Decision::End)
        } else {
            changed.then_some(Decision::GoOn(until))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(numbers: &[u8]) -> BTreeSet<NodeId> {
        numbers.iter().map(|number| NodeId([*number; 32])).collect()
    }

    fn standing(head: u64, is_waiting: bool, heads: &[(u8, u64)]) -> Standing {
        let connected = heads.iter().map(|(node, head)| (NodeId([*node; 32]), *head)).collect();
        Standing { head, is_waiting, connected }
    }

    /// What it decides while things stand like this for 3 seconds.
    fn settles(watch: &mut RecoveryWatch, standing: &Standing) -> Option<Decision> {
        let known = nodes(&[1, 2, 3]);
        assert_eq!(watch.decide(RECOVERY_OPEN, &known, 0, standing), None);
        watch.decide(RECOVERY_OPEN, &known, 3_000, standing)
    }

    fn watch() -> RecoveryWatch {
        RecoveryWatch::new(nodes(&[1, 2, 3]), 10)
    }

    /// Private simulator seed 162: the transaction of a payload that was acknowledged before the loss
    /// waited in the pools while the recovery ended.
    #[test]
    fn a_recovery_ends_some_blocks_after_the_newest_one() {
        let level = standing(6, false, &[(1, 7), (2, 6), (3, 6)]);
        assert_eq!(settles(&mut watch(), &level), Some(Decision::GoOn(17)));
        let decide = |head| watch().decide(17, &nodes(&[1]), 0, &standing(head, false, &[]));
        assert_eq!(decide(16), None);
        assert_eq!(decide(17), Some(Decision::End));
    }

    /// Private simulator seed 57: the newest block waited for a payload, and no other came after it.
    #[test]
    fn a_recovery_does_not_find_its_end_while_a_block_waits() {
        let waiting = standing(6, true, &[(1, 7), (2, 7), (3, 7)]);
        assert_eq!(settles(&mut watch(), &waiting), None);
    }

    /// Private simulator seed 310.
    #[test]
    fn a_few_peers_that_are_behind_do_not_end_a_recovery() {
        let few = standing(6, false, &[(3, 6)]);
        assert_eq!(settles(&mut watch(), &few), None);
        let half = standing(6, false, &[(2, 6), (3, 6)]);
        assert_eq!(settles(&mut watch(), &half), Some(Decision::GoOn(16)));
    }

    #[test]
    fn who_is_behind_does_not_end_its_recovery() {
        let behind = standing(6, false, &[(1, 9), (2, 6), (3, 6)]);
        assert_eq!(settles(&mut watch(), &behind), None);
    }

    #[test]
    fn a_chain_that_has_not_begun_has_nothing_to_recover() {
        let genesis = standing(0, false, &[(1, 0), (2, 0), (3, 0)]);
        assert_eq!(settles(&mut watch(), &genesis), Some(Decision::GoOn(0)));
        let mut alone = RecoveryWatch::new(BTreeSet::new(), 10);
        assert_eq!(settles(&mut alone, &standing(9, false, &[])), Some(Decision::GoOn(9)));
    }

    #[test]
    fn a_peer_that_names_no_key_is_no_longer_asked() {
        let (mut watch, known) = (watch(), nodes(&[1, 2]));
        let behind = standing(6, false, &[(1, 9), (2, 9), (3, 9)]);
        assert_eq!(watch.decide(RECOVERY_OPEN, &known, 0, &behind), None);
        assert_eq!(watch.decide(RECOVERY_OPEN, &known, 15_000, &behind), None);
        let struck = watch.decide(RECOVERY_OPEN, &known, 15_001, &behind);
        assert_eq!(struck, Some(Decision::GoOn(RECOVERY_OPEN)));
        assert_eq!(watch.asked, known);
        assert_eq!(watch.decide(RECOVERY_OPEN, &known, 15_200, &behind), None);
    }
}
