//! P2: a seed is run again with other private words of the same length. Everything that anybody
//! receives has the same length at the same time, and public blocks differ by hashes only.

use super::World;

/// When what came from whom, by node.
#[derive(Default)]
pub(super) struct Seen(Vec<(usize, u64, usize, usize)>);

impl Seen {
    pub(super) fn arrived(&mut self, node: usize, time: u64, from: usize, length: usize) {
        self.0.push((node, time, from, length));
    }
}

impl World {
    /// Compares this run with that of its twin.
    pub(super) fn compare(&mut self, twin: Self) {
        self.coverage.saw("run twice with other payloads");
        if let Some(failure) = twin.failure {
            self.failure = Some(failure);
            return;
        }
        let mut frames = self.seen.0.iter().zip(&twin.seen.0);
        let other = frames.find(|(one, other)| one != other);
        if let Some((one, other)) = other {
            let what = format!("(node, time, from, length): {one:?}, with other words {other:?}");
            return self.fail("P2", what);
        }
        let counts = (self.seen.0.len(), twin.seen.0.len());
        if counts.0 != counts.1 || self.blocks.len() != twin.blocks.len() {
            return self.fail("P2", format!("{counts:?} frames, or not as many blocks"));
        }
        for (one, other) in self.blocks.iter().zip(&twin.blocks) {
            let public = |block: &entente_chain::RecoveredBlock| {
                let header = &block.header;
                let (gas, bloom) = (header.gas_used, header.logs_bloom);
                let roots = (header.state_root, header.receipts_root);
                (roots, gas, bloom, header.timestamp, block.transactions().len())
            };
            if public(one) != public(other) {
                let number = one.header.number;
                return self.fail("P2", format!("block {number} shows what its payloads are"));
            }
        }
        let words_differ =
            self.blocks.iter().zip(&twin.blocks).any(|(one, other)| one.hash() != other.hash());
        if !self.truths.on_chain.is_empty() && !words_differ {
            self.fail("P2", "the twin has the same words: nothing was compared".to_owned());
        }
    }
}
