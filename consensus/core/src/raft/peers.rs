//! Which node has which member's key, as their handshakes proved, how far each says it is, and when
//! members were heard.

use crate::engine::Millis;
use alloy_primitives::Address;
use entente_chain::{BlockNumber, NodeId, limits::PEERS_MAX};
use std::collections::BTreeMap;

/// What was heard of a member last: height, term, and when.
pub(super) type Heard = (BlockNumber, u64, Millis);

/// Connected nodes, at most [`PEERS_MAX`], and members.
#[derive(Debug, Default)]
pub(super) struct Peers {
    nodes: BTreeMap<NodeId, Option<Address>>,
    addresses: BTreeMap<Address, NodeId>,
    heads: BTreeMap<NodeId, BlockNumber>,
    heard: BTreeMap<Address, Heard>,
}

impl Peers {
    /// A later connection with the same key replaces the earlier one.
    pub(super) fn connected(&mut self, node: NodeId, address: Option<Address>) {
        self.lost(node);
        if self.nodes.len() >= PEERS_MAX {
            return;
        }
        self.nodes.insert(node, address);
        if let Some(address) = address {
            self.addresses.insert(address, node);
        }
    }

    /// An earlier connection with the same key counts again.
    pub(super) fn lost(&mut self, node: NodeId) {
        self.heads.remove(&node);
        let Some(Some(address)) = self.nodes.remove(&node) else { return };
        if self.addresses.get(&address) == Some(&node) {
            self.addresses.remove(&address);
            let other = self.nodes.iter().find(|(_, of)| **of == Some(address));
            if let Some((other, _)) = other {
                self.addresses.insert(address, *other);
            }
        }
    }

    /// The node that speaks for an address.
    pub(super) fn node_of(&self, address: Address) -> Option<NodeId> {
        self.addresses.get(&address).copied()
    }

    /// A connected node announced its head.
    pub(super) fn claimed(&mut self, node: NodeId, head: BlockNumber) {
        if self.nodes.contains_key(&node) {
            self.heads.insert(node, head);
        }
    }

    /// The highest head that a connected node announces.
    pub(super) fn best_claim(&self) -> BlockNumber {
        self.heads.values().copied().max().unwrap_or(0)
    }

    /// A member said something.
    pub(super) fn heard(&mut self, member: Address, what: Heard) {
        self.heard.insert(member, what);
    }

    pub(super) fn last_heard(&self, member: Address) -> Option<Heard> {
        self.heard.get(&member).copied()
    }

    /// Forgets who is no member any more.
    pub(super) fn retain(&mut self, is_member: impl Fn(Address) -> bool) {
        self.heard.retain(|address, _| is_member(*address));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMBER: Address = Address::repeat_byte(1);

    const fn node(byte: u8) -> NodeId {
        NodeId([byte; 32])
    }

    #[test]
    fn the_latest_connection_speaks_for_an_address() {
        let mut peers = Peers::default();
        peers.connected(node(1), Some(MEMBER));
        peers.connected(node(2), Some(MEMBER));
        assert_eq!(peers.node_of(MEMBER), Some(node(2)));
        peers.lost(node(2));
        assert_eq!(peers.node_of(MEMBER), Some(node(1)));
        peers.lost(node(1));
        assert_eq!(peers.node_of(MEMBER), None);
    }

    #[test]
    fn connected_nodes_are_bounded() {
        let mut peers = Peers::default();
        for byte in 0..=u8::MAX {
            peers.connected(node(byte), Some(Address::repeat_byte(byte)));
            peers.claimed(node(byte), 1);
        }
        assert_eq!((peers.nodes.len(), peers.heads.len()), (PEERS_MAX, PEERS_MAX));
        assert_eq!(peers.addresses.len(), PEERS_MAX);
    }

    #[test]
    fn only_what_connected_nodes_announce_counts() {
        let mut peers = Peers::default();
        peers.claimed(node(1), 9);
        assert_eq!(peers.best_claim(), 0);
        peers.connected(node(1), None);
        peers.claimed(node(1), 9);
        assert_eq!(peers.best_claim(), 9);
        peers.lost(node(1));
        assert_eq!(peers.best_claim(), 0);
    }
}
