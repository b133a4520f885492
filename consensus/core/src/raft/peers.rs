//! Which node has which member's key, as their handshakes proved, and when it was heard.

use crate::engine::Millis;
use alloy_primitives::Address;
use entente_chain::{NodeId, limits::PEERS_MAX};
use std::collections::BTreeMap;

/// Connected nodes.
#[derive(Debug, Default)]
pub(super) struct Peers {
    nodes: BTreeMap<NodeId, Address>,
    addresses: BTreeMap<Address, NodeId>,
    heard: BTreeMap<Address, Millis>,
}

impl Peers {
    /// A later connection with the same key replaces the earlier one.
    pub(super) fn connected(&mut self, node: NodeId, address: Option<Address>) {
        self.lost(node);
        if let Some(address) = address
            && self.nodes.len() < PEERS_MAX
        {
            self.nodes.insert(node, address);
            self.addresses.insert(address, node);
        }
    }

    pub(super) fn lost(&mut self, node: NodeId) {
        if let Some(address) = self.nodes.remove(&node)
            && self.addresses.get(&address) == Some(&node)
        {
            self.addresses.remove(&address);
        }
    }

    pub(super) fn node_of(&self, address: Address) -> Option<NodeId> {
        self.addresses.get(&address).copied()
    }

    pub(super) fn address_of(&self, node: NodeId) -> Option<Address> {
        self.nodes.get(&node).copied()
    }

    pub(super) fn heard(&mut self, address: Address, at: Millis) {
        if self.heard.len() < PEERS_MAX || self.heard.contains_key(&address) {
            self.heard.insert(address, at);
        }
    }

    pub(super) fn last_heard(&self, address: Address) -> Option<Millis> {
        self.heard.get(&address).copied()
    }
}
