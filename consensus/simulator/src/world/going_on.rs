//! What a healed chain must keep up: its beat (L4), the inclusion of what waits (L5), and, where it may
//! fork, one head for all (C4).

use super::World;
use crate::Engine;
use std::collections::BTreeSet;

/// Blocks within which a waiting transaction is included when there is room.
const BLOCKS: u64 = 20;
/// Transactions that fit into a block of the fast profile.
const ROOM: u64 = 40;
/// How long honest nodes may see different heads, in milliseconds.
const SETTLES_MS: u64 = 5_000;

impl World {
    /// Looks on for some twenty blocks, in every fourth seed.
    pub(super) fn go_on(&mut self) {
        if self.failure.is_some() || !self.scenario.seed.is_multiple_of(4) || self.is_tied() {
            return;
        }
        // What was sent so far is in every pool.
        let sent = self.clients.sent.len() as u64;
        let least = self.honest_nonces().into_iter().min().unwrap_or(0);
        let full = sent.saturating_sub(least).div_ceil(ROOM);
        let blocks = BLOCKS + full;
        let begun = self.time;
        let target = self.heads().into_iter().max().unwrap_or(0) + blocks;
        let until = begun + self.bound() + 4_000 * blocks;
        let there = |world: &Self| world.honest_heads().all(|head| head >= target);
        if !self.run_until(until, there) {
            if self.failure.is_none() && !self.is_tied() {
                self.fail("L1", format!("the chain stopped below {target} after it had healed"));
            }
            return;
        }
        self.coverage.saw("twenty blocks after healing");
        self.check_beat(self.time - begun, blocks);
        let behind = self.honest_nonces().into_iter().min().filter(|nonce| *nonce < sent);
        if let Some(nonce) = behind {
            let what = format!("transaction {nonce} of {sent} waits for {blocks} blocks");
            return self.fail("L5", what);
        }
        self.check_one_head();
    }

    /// L4: without liars and with all nodes up, blocks keep their period.
    fn check_beat(&mut self, took: u64, blocks: u64) {
        let period = self.scenario.period_ms;
        let calm = self.scenario.behaviour.is_none() && self.scenario.empty_period_ms.is_none();
        let beats = matches!(self.scenario.engine, Engine::Ibft | Engine::Clique);
        if period < 1_000 || !calm || !beats {
            return;
        }
        // One and a half periods each; the first ones may still be late.
        let allowed = blocks * period * 3 / 2 + 4_000;
        if took > allowed {
            let what = format!("{blocks} blocks of {period} ms took {took} ms");
            self.fail("L4", what);
        }
    }

    /// C4: who has the same blocks has the same head.
    fn check_one_head(&mut self) {
        if self.confirmation() == 0 {
            return;
        }
        let one = |world: &Self| {
            let processes = world.nodes.iter().filter(|node| node.behaviour.is_none());
            let heads = processes.filter_map(|node| node.process.as_ref());
            heads.map(|process| process.ledger.head().header.hash()).collect::<BTreeSet<_>>().len()
                <= 1
        };
        let until = self.time + SETTLES_MS;
        if !self.run_until(until, one) && self.failure.is_none() && !self.is_tied() {
            self.fail("C4", format!("no common head within {SETTLES_MS} ms"));
        }
    }

    pub(super) fn honest_heads(&self) -> impl Iterator<Item = u64> {
        let honest = self.nodes.iter().filter(|node| node.behaviour.is_none());
        honest.map(|node| {
            node.process.as_ref().map_or(0, |process| process.ledger.head().header.number)
        })
    }

    /// The next nonce at each honest node's head.
    fn honest_nonces(&self) -> Vec<u64> {
        let honest = self.nodes.iter().filter(|node| node.behaviour.is_none());
        honest.map(|node| node.waiting.next).collect()
    }
}
