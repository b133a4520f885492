//! Who can be reached, so that nobody waits for a validator that is known to be away.

use super::payload::View;
use crate::engine::Millis;
use alloy_primitives::Address;
use entente_chain::{BlockNumber, NodeId, ValidatorSet, limits::PEERS_MAX};
use std::collections::BTreeMap;

/// What is known of a validator.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    connections: usize,
    lost_at: Option<Millis>,
    pub(super) heard: Option<(View, Millis)>,
    pub(super) clock_offset: Option<i64>,
}

/// Whether to wait for a validator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// Connected, or heard of over relays a short while ago.
    Here,
    /// Was connected and is not any more.
    Lost,
    /// Was never connected, nor heard of lately.
    Unknown,
}

/// Peers and validators, bounded by [`PEERS_MAX`] and the validator set.
#[derive(Default)]
pub(super) struct Peers {
    nodes: BTreeMap<NodeId, Option<Address>>,
    heads: BTreeMap<NodeId, BlockNumber>,
    seen: BTreeMap<Address, Seen>,
}

impl Peers {
    pub(super) fn connected(&mut self, node: NodeId, validator: Option<Address>, now: Millis) {
        self.lost(node, now);
        if self.nodes.len() >= PEERS_MAX {
            return;
        }
        self.nodes.insert(node, validator);
        if let Some(validator) = validator {
            self.seen.entry(validator).or_default().connections += 1;
        }
    }

    pub(super) fn lost(&mut self, node: NodeId, now: Millis) {
        self.heads.remove(&node);
        let Some(Some(validator)) = self.nodes.remove(&node) else { return };
        if let Some(seen) = self.seen.get_mut(&validator) {
            seen.connections = seen.connections.saturating_sub(1);
            seen.lost_at = Some(now);
        }
    }

    /// A connected node announced its head.
    pub(super) fn claimed(&mut self, node: NodeId, head: BlockNumber) {
        if self.nodes.contains_key(&node) {
            self.heads.insert(node, head);
        }
    }

    /// Whether a node is the one of a validator.
    pub(super) fn is_node_of(&self, node: NodeId, validator: Address) -> bool {
        self.nodes.get(&node) == Some(&Some(validator))
    }

    /// Whether a validator's node says that it lacks more than the newest block: the newest may be
    /// on its way.
    pub(super) fn is_behind(&self, validator: Address, head: BlockNumber) -> bool {
        let mut claims = self
            .nodes
            .iter()
            .filter(|(_, of)| **of == Some(validator))
            .filter_map(|(node, _)| self.heads.get(node))
            .peekable();
        claims.peek().is_some() && claims.all(|claim| claim.saturating_add(1) < head)
    }

    /// A validator signed a message about `view`.
    pub(super) fn heard(&mut self, validator: Address, view: View, now: Millis) {
        let seen = self.seen.entry(validator).or_default();
        let newest = seen.heard.map_or(view, |(before, _)| before.max(view));
        seen.heard = Some((newest, now));
    }

    pub(super) fn set_clock_offset(&mut self, validator: Address, offset: i64) {
        self.seen.entry(validator).or_default().clock_offset = Some(offset);
    }

    pub(super) fn seen(&self, validator: Address) -> Seen {
        self.seen.get(&validator).copied().unwrap_or_default()
    }

    /// `patience`: how long after a message its author counts as here.
    pub(super) fn presence(&self, validator: Address, now: Millis, patience: Millis) -> Presence {
        let Some(seen) = self.seen.get(&validator) else { return Presence::Unknown };
        let heard = seen.heard.map(|(_, at)| at).filter(|at| now.saturating_sub(*at) <= patience);
        let after_loss = heard.is_some_and(|at| seen.lost_at.is_none_or(|lost| at > lost));
        match seen.connections > 0 || after_loss {
            true => Presence::Here,
            false if seen.lost_at.is_some() => Presence::Lost,
            false => Presence::Unknown,
        }
    }

    /// Forgets who is neither a validator nor connected.
    pub(super) fn retain(&mut self, validators: &ValidatorSet) {
        self.seen.retain(|address, seen| seen.connections > 0 || validators.contains(*address));
    }
}
