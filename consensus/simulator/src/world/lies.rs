//! How dishonest nodes reach the network.

use super::World;
use crate::adversary::Means;
use alloy_primitives::Bytes;
use entente_consensus::Recipients;

impl World {
    pub(crate) fn with_means<T>(
        &mut self,
        node: usize,
        lie: impl FnOnce(&mut Means<'_>) -> T,
    ) -> T {
        let signer = self.nodes[node].key.clone();
        let bag = self.bag.iter().cloned().collect();
        let mut means = Means {
            signer: &signer,
            environment: crate::scenario::environment(self.genesis.header.hash()),
            random: &mut self.random,
            bag,
            nodes: self.nodes.len(),
        };
        lie(&mut means)
    }

    pub(crate) fn saw_lie(&mut self) {
        self.coverage.saw("dishonest message");
    }

    pub(crate) fn transmit_lie(&mut self, node: usize, peer: usize, frame: &Bytes, delay: u64) {
        self.transmit(node, peer, frame, delay);
    }

    pub(crate) fn hand_over_lie(
        &mut self,
        node: usize,
        to: &Recipients,
        frame: &Bytes,
        delay: u64,
    ) {
        self.hand_over(node, to, frame, delay);
    }
}
