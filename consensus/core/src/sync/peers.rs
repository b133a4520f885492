//! What peers claim, and whose claims count.

use crate::engine::{FetchId, Millis};
use entente_chain::{BlockNumber, NodeId, limits::PEERS_MAX};
use std::collections::BTreeMap;

/// Peers remembered, those included that left while they were muted: coming back does not clear a
/// bad record.
const REMEMBERED_MAX: usize = 2 * PEERS_MAX;

#[derive(Clone, Copy, Debug, Default)]
struct Peer {
    connected: bool,
    claim: BlockNumber,
    /// Failures since it last served well, less one for each time it did.
    failures: u32,
    muted_until: Option<Millis>,
    /// Its newest request: who was asked longest ago is next.
    last_asked: Option<FetchId>,
}

impl Peer {
    const fn counts(&self) -> bool {
        self.connected && self.muted_until.is_none()
    }
}

/// Peers and their records.
#[derive(Debug)]
pub(super) struct Peers {
    known: BTreeMap<NodeId, Peer>,
    first_mute: Millis,
    longest_mute: Millis,
}

impl Peers {
    pub(super) const fn new(first_mute: Millis, longest_mute: Millis) -> Self {
        Self { known: BTreeMap::new(), first_mute, longest_mute }
    }

    pub(super) fn connect(&mut self, node: NodeId) {
        if !self.known.contains_key(&node) && self.known.len() >= REMEMBERED_MAX {
            let gone = self.known.iter().find(|(_, peer)| !peer.connected).map(|(id, _)| *id);
            // The network admits fewer connections than are remembered here.
            let Some(gone) = gone else { return };
            self.known.remove(&gone);
        }
        self.known.entry(node).or_default().connected = true;
    }

    pub(super) fn disconnect(&mut self, node: NodeId) {
        let Some(peer) = self.known.get_mut(&node) else { return };
        if peer.muted_until.is_none() {
            self.known.remove(&node);
            return;
        }
        peer.connected = false;
        peer.claim = 0;
    }

    pub(super) fn claim(&mut self, node: NodeId, number: BlockNumber) {
        // An announcement may overtake the news of the connection.
        self.connect(node);
        if let Some(peer) = self.known.get_mut(&node) {
            peer.claim = number;
        }
    }

    pub(super) fn claim_of(&self, node: NodeId) -> BlockNumber {
        self.known.get(&node).map_or(0, |peer| peer.claim)
    }

    pub(super) fn failures(&self, node: NodeId) -> u32 {
        self.known.get(&node).map_or(0, |peer| peer.failures)
    }

    pub(super) fn best_claim(&self) -> BlockNumber {
        self.known.values().filter(|peer| peer.counts()).map(|peer| peer.claim).max().unwrap_or(0)
    }

    /// Whom to ask for `start`: the fewest failures, then asked longest ago.
    pub(super) fn choose(
        &self,
        start: BlockNumber,
        is_busy: impl Fn(NodeId) -> bool,
    ) -> Option<NodeId> {
        self.known
            .iter()
            .filter(|(node, peer)| peer.counts() && peer.claim >= start && !is_busy(**node))
            .min_by_key(|(_, peer)| (peer.failures, peer.last_asked))
            .map(|(node, _)| *node)
    }

    pub(super) fn asked(&mut self, node: NodeId, request: FetchId) {
        if let Some(peer) = self.known.get_mut(&node) {
            peer.last_asked = Some(request);
        }
    }

    /// Its blocks were imported. One good answer makes up for one bad one, no more: a peer that
    /// alternates still waits.
    pub(super) fn served(&mut self, node: NodeId) {
        if let Some(peer) = self.known.get_mut(&node) {
            peer.failures = peer.failures.saturating_sub(1);
        }
    }

    pub(super) fn mute(&mut self, node: NodeId, now: Millis) {
        let Some(peer) = self.known.get_mut(&node) else { return };
        let factor = 1_u64.checked_shl(peer.failures).unwrap_or(u64::MAX);
        let time = self.first_mute.saturating_mul(factor).min(self.longest_mute).max(1);
        peer.failures = peer.failures.saturating_add(1).min(u64::BITS);
        peer.muted_until = Some(now.saturating_add(time));
    }

    pub(super) fn unmute(&mut self, now: Millis) {
        self.known.retain(|_, peer| {
            if peer.muted_until.is_some_and(|until| until <= now) {
                peer.muted_until = None;
            }
            peer.connected || peer.muted_until.is_some()
        });
    }

    pub(super) fn next_unmute(&self) -> Option<Millis> {
        self.known.values().filter_map(|peer| peer.muted_until).min()
    }
}
