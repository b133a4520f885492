//! The second half of a seed: everything heals, and the chain must go on within bounds.

use super::{Event, World};
use crate::{Engine, scenario::Weather};
use entente_chain::spec::EngineKind;
use std::{collections::BTreeSet, sync::Arc};

/// Blocks beyond the highest head that every node must reach.
const BLOCKS: u64 = 3;

impl World {
    /// Blocks on top of one after which it is held to be final.
    pub(super) fn confirmation(&self) -> u64 {
        let clique = |kind| kind == EngineKind::Clique;
        let rules = &self.genesis.spec;
        let switched = rules.transitions.iter().filter_map(|change| change.engine);
        if clique(rules.genesis_rules.engine) || switched.into_iter().any(clique) {
            self.nodes.len() as u64 / 2 + 1
        } else {
            0
        }
    }

    /// Virtual milliseconds that healing may take, with reasons.
    pub(super) fn bound(&self) -> u64 {
        let rules = &self.genesis.spec.genesis_rules;
        let period = rules.block_period_ms.max(1_000);
        let nodes = self.nodes.len() as u64;
        let heads = self.heads();
        let lag = heads.iter().max().unwrap_or(&0) - heads.iter().min().unwrap_or(&0);
        // Restarts, reconnects, and block sync, which gives up on a peer for a while.
        let catching_up = 15_000 + 200 * lag + 10_000;
        let engine = match self.scenario.engine {
            // L1: 2 capped timeouts and 3 periods; a liar may take its turn in each round.
            Engine::Ibft => {
                let liars = self.scenario.dishonest as u64 + 1;
                (2 + liars) * 2 * rules.max_request_timeout_ms.min(60_000) + 3 * period
            }
            // Two elections, and a voter without memory asks all others first.
            Engine::Raft => 6_000,
            // A signer out of turn waits up to (N/2+1)/2 s; a branch may have to be fetched first.
            Engine::Clique => (BLOCKS + 2) * (period + 500 * (nodes / 2 + 1)) * 3 + 10_000,
            Engine::Switch | Engine::Private => 90_000,
        };
        catching_up + engine
    }

    pub(super) fn heads(&self) -> Vec<u64> {
        let processes = self.nodes.iter().filter_map(|node| node.process.as_ref());
        processes.map(|process| process.ledger.head().header.number).collect()
    }

    /// For long, one voter too few for a quorum is up (besu#7642).
    pub(super) fn lose_quorum(&mut self) {
        if self.scenario.outage_ms == 0 {
            return;
        }
        self.coverage.saw("quorum lost for minutes");
        let until = self.time + self.scenario.outage_ms;
        let voters = self.scenario.validators;
        let quorum = match self.scenario.engine {
            Engine::Ibft | Engine::Switch | Engine::Private => (2 * voters).div_ceil(3),
            Engine::Raft | Engine::Clique => voters / 2 + 1,
        };
        for node in 0..=voters - quorum {
            self.crash(node);
            self.nodes[node].down_until = until;
        }
        self.run(self.scenario.outage_ms);
    }

    /// A calm network in which one disk is slow for a time: the heads of the others before and after.
    #[cfg(test)]
    pub(crate) fn live_with_a_stalled_disk(&mut self, node: usize, time: u64) -> (u64, u64) {
        self.begin();
        let lowest = |world: &Self| {
            let others = world.honest_heads().enumerate().filter(|(index, _)| *index != node);
            others.map(|(_, head)| head).min().unwrap_or(0)
        };
        let before = lowest(self);
        self.nodes[node].slow_until = self.time + time;
        self.run(time);
        (before, lowest(self))
    }

    /// Stops all faults and waits for progress.
    pub(super) fn heal(&mut self) {
        self.healed = true;
        self.network.cut.clear();
        self.network.weather = Weather::CALM;
        for node in 0..self.nodes.len() {
            self.nodes[node].disk.set_full(false);
            self.nodes[node].skew = 0;
            self.nodes[node].slow_until = 0;
            self.at(1, Event::Start { node });
        }
        let sent = self.clients.sent.clone();
        for node in &mut self.nodes {
            sent.iter().for_each(|transaction| node.waiting.insert(Arc::clone(transaction)));
        }
        self.run(1_000);
        self.relink();
        self.run(4_000);
        let switch = self.scenario.switch.map_or(0, |(block, _)| block);
        let target = self.heads().into_iter().max().unwrap_or(0).max(switch) + BLOCKS;
        let until = self.time + self.bound();
        let there = |world: &Self| world.honest_heads().all(|head| head >= target);
        let came = self.run_until(until, there);
        if !came && self.failure.is_none() && self.is_tied() {
            // go-ethereum#18402: without EIP-3436 branches of one weight may wait for each other.
            self.coverage.saw("branches of equal weight stand still without EIP-3436");
        } else if !came && self.failure.is_none() {
            let phases: Vec<String> = (0..self.nodes.len())
                .map(|node| match &self.nodes[node].process {
                    Some(process) => {
                        let status = process.status(self.clock(node));
                        let head = process.ledger.head().header.number;
                        let hash = process.ledger.head().header.hash();
                        let (role, round, phase) = (status.role, status.round, status.phase);
                        format!("{node}: {head} {hash} {role} {round} {phase}")
                    }
                    None => format!("{node}: dead"),
                })
                .collect();
            let bound = self.bound();
            let somebody = self.heads().iter().any(|head| *head >= target);
            let checker = match somebody {
                true => "L2",
                false if self.scenario.outage_ms > 0 => "L3",
                false => "L1",
            };
            self.fail(
                checker,
                format!("height {target} not reached within {bound} ms: {phases:?}"),
            );
        }
        if self.scenario.switch.is_some() {
            self.coverage.saw("engine switched");
        }
        // Forks that are left must settle.
        let settle = if self.confirmation() > 0 { 12_000 } else { 500 };
        self.run(settle);
    }

    /// Whether honest nodes stand on different branches of one weight, and nothing tells these apart.
    pub(super) fn is_tied(&self) -> bool {
        let honest = self.nodes.iter().filter(|node| node.behaviour.is_none());
        let heads = honest.filter_map(|node| node.process.as_ref()).map(|process| {
            let head = process.ledger.head();
            (head.total_difficulty, head.header.hash())
        });
        let weights: BTreeSet<_> = heads.clone().map(|(weight, _)| weight).collect();
        let hashes: BTreeSet<_> = heads.map(|(_, hash)| hash).collect();
        !self.scenario.eip3436 && self.confirmation() > 0 && weights.len() == 1 && hashes.len() > 1
    }

    /// What must be true at the end: everything that was acknowledged is in every honest chain.
    pub(super) fn check_end(&mut self) {
        if self.failure.is_some() {
            return;
        }
        let mut lost = None;
        for (index, node) in self.nodes.iter().enumerate() {
            let (Some(process), None) = (&node.process, node.behaviour) else { continue };
            let head = process.ledger.head().header.number;
            for (hash, number) in &self.clients.acknowledged {
                let place = process.reader.transaction_location(*hash).ok().flatten();
                if *number <= head && place.is_none() {
                    lost = Some(format!("{hash} of height {number} is not on node {index}"));
                }
            }
        }
        for node in 0..self.nodes.len() {
            self.check_store(node);
            self.check_served(node);
        }
        if self.clients.acknowledged.is_empty() {
            self.coverage.saw("nothing acknowledged");
        }
        if let Some(what) = lost {
            self.fail("S4", what);
        }
    }
}
