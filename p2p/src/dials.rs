//! When to dial which configured peer: again and again, with a growing, capped pause.

use crate::{
    config::PeerAddress,
    limits::{REDIAL_COURTESY, REDIAL_MAX, REDIAL_MIN},
};
use entente_chain::NodeId;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

struct Dial {
    address: String,
    failures: u32,
    /// `None` while a dial runs or a session holds the peer's place.
    due: Option<Instant>,
}

/// The schedule of dials.
pub(crate) struct Dials {
    own: NodeId,
    peers: BTreeMap<NodeId, Dial>,
}

impl Dials {
    pub(crate) const fn new(own: NodeId) -> Self {
        Self { own, peers: BTreeMap::new() }
    }

    /// Dials a peer from now on, or at another address than before.
    pub(crate) fn add(&mut self, peer: PeerAddress, now: Instant) {
        if peer.node != self.own {
            let due = now.checked_add(self.courtesy(peer.node));
            let dial = Dial { address: peer.address, failures: 0, due };
            self.peers.insert(peer.node, dial);
        }
    }

    pub(crate) fn remove(&mut self, node: NodeId) {
        self.peers.remove(&node);
    }

    /// When the next dial is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.peers.values().filter_map(|dial| dial.due).min()
    }

    /// Takes the dials that are due; each comes again only after [`ended`](Self::ended).
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<PeerAddress> {
        let due = self.peers.iter_mut().filter(|(_, dial)| dial.due.is_some_and(|at| at <= now));
        due.map(|(node, dial)| {
            dial.due = None;
            PeerAddress { node: *node, address: dial.address.clone() }
        })
        .collect()
    }

    /// A dial or session with the peer is over. Says how often in a row it has failed by now.
    pub(crate) fn ended(&mut self, node: NodeId, was_connected: bool, now: Instant) -> u32 {
        let courtesy = self.courtesy(node);
        let Some(dial) = self.peers.get_mut(&node) else { return 0 };
        dial.failures = if was_connected { 0 } else { dial.failures.saturating_add(1) };
        dial.due = now.checked_add(pause(dial.failures) + courtesy);
        dial.failures
    }

    fn courtesy(&self, node: NodeId) -> Duration {
        if self.own < node { Duration::ZERO } else { REDIAL_COURTESY }
    }
}

fn pause(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    REDIAL_MIN.saturating_mul(1 << doublings).min(REDIAL_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_cap_and_start_over_after_a_session() {
        let now = Instant::now();
        let (own, node) = (NodeId([1; 32]), NodeId([2; 32]));
        let mut dials = Dials::new(own);
        dials.add(PeerAddress { node, address: "localhost:1".to_owned() }, now);
        let mut pauses = Vec::new();
        for _ in 0..7 {
            assert_eq!(dials.take_due(now + REDIAL_MAX).len(), 1);
            assert_eq!(dials.next_due(), None);
            dials.ended(node, false, now);
            pauses.push((dials.next_due().expect("due") - now).as_millis());
        }
        assert_eq!(pauses, [200, 400, 800, 1600, 3200, 5000, 5000]);
        dials.ended(node, true, now);
        assert_eq!(dials.next_due(), now.checked_add(REDIAL_MIN));
    }

    #[test]
    fn a_node_does_not_dial_itself() {
        let own = NodeId([1; 32]);
        let mut dials = Dials::new(own);
        let address = "localhost:1".to_owned();
        dials.add(PeerAddress { node: own, address }, Instant::now());
        assert_eq!(dials.next_due(), None);
    }
}
