//! Which node serves which key. A node speaks for itself only, over its own connection, and proves
//! each key; nobody is believed about others.

use crate::message::NODE_KEYS_MAX;
use alloy_primitives::B256;
use alloy_rlp::{Decodable as _, RlpDecodable, RlpEncodable};
use entente_chain::{NodeId, private::RecipientKey};
use std::collections::{BTreeMap, BTreeSet};

/// Most nodes that are remembered.
pub const NODES_MAX: usize = 1024;

/// The keys of one node, as they are stored.
#[derive(RlpEncodable, RlpDecodable)]
struct Entry {
    node: B256,
    keys: Vec<RecipientKey>,
}

/// What came of a node's statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stated {
    /// Nothing is new.
    Known,
    /// Store it.
    Changed,
    /// There is no room for another node.
    Full,
}

/// Proven keys by node.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    by_node: BTreeMap<NodeId, BTreeSet<RecipientKey>>,
    by_key: BTreeMap<RecipientKey, NodeId>,
    /// Nodes whose newest statement names a key that is another node's.
    disputed: BTreeMap<NodeId, RecipientKey>,
}

impl Directory {
    /// Reads what was stored; damaged entries and those that contradict others are left out.
    pub(crate) fn restore(entries: &[Vec<u8>]) -> Self {
        let mut directory = Self::default();
        for entry in entries {
            if let Ok(Entry { node, keys }) = Entry::decode(&mut entry.as_slice()) {
                directory.state(NodeId(node.0), &keys);
            }
        }
        directory
    }

    /// The entry of a node, to store.
    pub(crate) fn entry(&self, node: NodeId) -> Vec<u8> {
        let keys = self.by_node.get(&node).into_iter().flatten();
        let keys = keys.copied().collect();
        alloy_rlp::encode(Entry { node: B256::from(node.0), keys })
    }

    /// A node has proven these keys, and has no others. A key that another node proved stays there
    /// while that node claims it: two nodes with one key would each miss what the other got.
    pub(crate) fn state(&mut self, node: NodeId, keys: &[RecipientKey]) -> Stated {
        if !self.by_node.contains_key(&node) && self.by_node.len() >= NODES_MAX {
            return Stated::Full;
        }
        let others = |key: &&RecipientKey| self.node_of(key).is_some_and(|other| other != node);
        let disputed = keys.iter().find(others).copied();
        let own = keys.iter().take(NODE_KEYS_MAX).filter(|key| !others(key)).copied();
        let own: BTreeSet<_> = own.collect();
        match disputed {
            Some(key) => self.disputed.insert(node, key),
            None => self.disputed.remove(&node),
        };
        let before = self.by_node.get(&node);
        if before == Some(&own) || (before.is_none() && own.is_empty()) {
            return Stated::Known;
        }
        self.by_key.retain(|_, holder| *holder != node);
        self.by_key.extend(own.iter().map(|key| (*key, node)));
        self.by_node.insert(node, own);
        Stated::Changed
    }

    /// Forgets a node, so that another may prove its keys.
    pub(crate) fn forget(&mut self, node: NodeId) -> bool {
        self.by_key.retain(|_, holder| *holder != node);
        self.disputed.remove(&node);
        self.by_node.remove(&node).is_some()
    }

    pub(crate) fn node_of(&self, key: &RecipientKey) -> Option<NodeId> {
        self.by_key.get(key).copied()
    }

    /// The key of a node that is another's.
    pub(crate) fn disputed(&self, node: NodeId) -> Option<RecipientKey> {
        self.disputed.get(&node).copied()
    }

    pub(crate) fn keys_of(&self, node: NodeId) -> Vec<RecipientKey> {
        self.by_node.get(&node).into_iter().flatten().copied().collect()
    }

    /// Nodes with keys, ascending.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.by_node.iter().filter(|(_, keys)| !keys.is_empty()).map(|(node, _)| *node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(number: u8) -> NodeId {
        NodeId([number; 32])
    }

    fn key(number: u8) -> RecipientKey {
        RecipientKey([number; 32])
    }

    #[test]
    fn the_newest_statement_of_a_node_replaces_its_last() {
        let mut directory = Directory::default();
        assert_eq!(directory.state(node(1), &[key(1), key(2)]), Stated::Changed);
        assert_eq!(directory.state(node(1), &[key(1), key(2)]), Stated::Known);
        assert_eq!(directory.state(node(1), &[key(2), key(3)]), Stated::Changed);
        let found = [1, 2, 3].map(|number| directory.node_of(&key(number)));
        assert_eq!(found, [None, Some(node(1)), Some(node(1))]);
    }

    /// tessera#649: whoever pushed a table of keys could take them over.
    #[test]
    fn a_key_stays_with_the_node_that_proved_it_while_it_claims_it() {
        let mut directory = Directory::default();
        directory.state(node(1), &[key(1)]);
        assert_eq!(directory.state(node(2), &[key(1), key(2)]), Stated::Changed);
        assert_eq!(directory.node_of(&key(1)), Some(node(1)));
        assert_eq!(directory.node_of(&key(2)), Some(node(2)));
        assert_eq!(directory.disputed(node(2)), Some(key(1)));
        directory.state(node(1), &[]);
        directory.state(node(2), &[key(1), key(2)]);
        assert_eq!(directory.node_of(&key(1)), Some(node(2)));
        assert_eq!(directory.disputed(node(2)), None);
    }

    #[test]
    fn a_forgotten_node_makes_room_for_its_successor() {
        let mut directory = Directory::default();
        directory.state(node(1), &[key(1)]);
        assert!(directory.forget(node(1)));
        assert!(!directory.forget(node(1)));
        directory.state(node(2), &[key(1)]);
        assert_eq!(directory.node_of(&key(1)), Some(node(2)));
    }

    #[test]
    fn entries_come_back_and_damaged_ones_are_left_out() {
        let mut directory = Directory::default();
        directory.state(node(1), &[key(1), key(3)]);
        directory.state(node(2), &[key(2)]);
        let entries = [directory.entry(node(1)), vec![1, 2, 3], directory.entry(node(2))];
        let restored = Directory::restore(&entries);
        assert_eq!(restored.keys_of(node(1)), [key(1), key(3)]);
        assert_eq!(restored.nodes().collect::<Vec<_>>(), [node(1), node(2)]);
    }

    #[test]
    fn nodes_are_bounded() {
        let mut directory = Directory::default();
        for number in 0..NODES_MAX {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&(number as u64).to_be_bytes());
            assert_eq!(directory.state(NodeId(id), &[RecipientKey(id)]), Stated::Changed);
        }
        assert_eq!(directory.state(node(9), &[key(9)]), Stated::Full);
        assert_eq!(directory.node_of(&key(9)), None);
    }
}
