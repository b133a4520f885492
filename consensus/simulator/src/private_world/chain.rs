//! The order of blocks: a node in turn builds on the head, everybody gets the block, and commits it as
//! the node's chain thread does (`when_readable`).

use super::{Event, World, machine::Machine, signer};
use crate::scenario::START_UNIX;
use alloy_primitives::{B256, U256};
use entente_chain::{RecoveredBlock, RecoveredTransaction, extra_data::qbft::QbftExtra};
use entente_consensus::{BuildAttributes, Verdict};
use entente_evm::{Room, SkipReason, TransactionSource};
use entente_ledger::{CommittedBlock, LedgerError};
use std::{collections::VecDeque, sync::Arc, time::Duration};

/// Real time that building may take: never what stops it here.
const TIME: Duration = Duration::from_secs(3600);

/// Feeds a build.
struct Source {
    waiting: VecDeque<Arc<RecoveredTransaction>>,
    invalid: Vec<(B256, String)>,
    left_out: usize,
}

impl TransactionSource for Source {
    fn next(&mut self, _: Room) -> Option<Arc<RecoveredTransaction>> {
        self.waiting.pop_front()
    }

    fn skipped(&mut self, hash: B256, reason: SkipReason) {
        match reason {
            SkipReason::Invalid(cause) => self.invalid.push((hash, cause.to_string())),
            SkipReason::NoRoom => self.left_out += 1,
        }
    }
}

impl World {
    fn unix_seconds(&self) -> u64 {
        (START_UNIX + self.time) / 1000 + 5
    }

    /// The node in turn builds, or the one after it.
    pub(super) fn propose(&mut self) {
        self.at(self.scenario.period, Event::Propose);
        // Recoveries end some blocks later, so that there must be some.
        if self.pool.is_empty() && !self.healed && !self.random.percent(20) {
            return;
        }
        let height = self.blocks.len() as u64;
        let turn = self.random.index(self.machines.len());
        let nodes = (0..self.machines.len()).map(|step| (turn + step) % self.machines.len());
        let able = |node: &usize| {
            let machine = &self.machines[*node];
            let linked = (0..self.machines.len()).filter(|other| self.linked(*node, *other));
            let majority = linked.count() * 2 > self.machines.len();
            let is_level = machine.head() == height && machine.stalled.is_none();
            machine.process.is_some() && is_level && majority
        };
        let Some(node) = nodes.into_iter().find(able) else {
            return self.coverage.saw("nobody can build");
        };
        match self.build(node) {
            Ok(block) => self.decide(node, block),
            Err(error) => self.fail("P3", format!("node {node} cannot build: {error}")),
        }
    }

    fn build(&mut self, node: usize) -> Result<RecoveredBlock, String> {
        let waiting = self.pool.iter().cloned().collect();
        let own = signer(node).address();
        let Some(process) = self.machines[node].process.as_mut() else {
            return Err("no process".to_owned());
        };
        let position = process.ledger.position();
        let validators = position.next.addresses().to_vec();
        let attributes = BuildAttributes {
            parent: position.head.hash(),
            number: position.head.number + 1,
            timestamp: position.head.timestamp + self.scenario.period / 1000,
            beneficiary: own,
            extra_data: QbftExtra { validators, ..QbftExtra::default() }.encode(),
            nonce: 0,
            difficulty: U256::from(1),
            time_limit: TIME,
        };
        let template = process.ledger.template(&attributes).map_err(|error| error.to_string())?;
        let mut source = Source { waiting, invalid: Vec::new(), left_out: 0 };
        let built = process.ledger.build(template, own, TIME, &mut source);
        let Source { invalid, left_out, .. } = source;
        if left_out > 0 {
            self.coverage.saw("proposer leaves out what it cannot read");
        }
        if let Some((hash, cause)) = invalid.first() {
            return Err(format!("transaction {hash}: {cause}"));
        }
        built.map_err(|error| error.to_string())
    }

    fn decide(&mut self, builder: usize, block: RecoveredBlock) {
        let number = block.header.number;
        let taken: Vec<_> = block.transactions().iter().map(|taken| taken.hash()).collect();
        self.pool.retain(|waiting| !taken.contains(&waiting.hash()));
        self.tell(&format!("block {number} {} has {} transactions", block.hash(), taken.len()));
        self.follow_public(&block);
        self.blocks.push(block);
        self.builders.push(builder);
        for node in 0..self.machines.len() {
            let delay = 1 + self.random.below(self.links.weather.delay_most);
            self.at(delay, Event::Block { node, number });
        }
    }

    pub(super) fn hear_block(&mut self, node: usize, number: u64) {
        let index = usize::try_from(number).unwrap_or(usize::MAX).saturating_sub(1);
        let builder = self.builders.get(index).copied();
        let has_it = |other: &Machine| {
            let linked = self.linked(node, other.index);
            linked && (builder == Some(other.index) || other.head() >= number)
        };
        if number > 0 && !self.healed && !self.machines.iter().any(has_it) {
            // Whom a partition cuts off hears of blocks once it is over.
            return self.at(500, Event::Block { node, number });
        }
        self.tell(&format!("node {node} hears of block {number}"));
        let machine = &mut self.machines[node];
        machine.known = machine.known.max(number);
        self.advance(node);
    }

    /// Commits the next blocks; one with a payload that cannot be read waits.
    pub(super) fn advance(&mut self, node: usize) {
        while self.failure.is_none() {
            let unix = self.unix_seconds();
            let machine = &mut self.machines[node];
            let Some(process) = machine.process.as_mut() else { return };
            let next = process.ledger.head().header.number + 1;
            if next > machine.known {
                return;
            }
            let index = usize::try_from(next).unwrap_or(usize::MAX).saturating_sub(1);
            let Some(block) = self.blocks.get(index).cloned() else { return };
            if machine.stalled.is_none() && self.random.percent(30) {
                match process.ledger.check(&block, unix) {
                    Verdict::Valid => {}
                    Verdict::Unavailable(_) => self.coverage.saw("vote held back"),
                    Verdict::Invalid(cause) => {
                        return self
                            .fail("P8", format!("node {node} refuses block {next}: {cause}"));
                    }
                }
            }
            match process.ledger.adopt(block, unix) {
                Ok(committed) => self.committed(node, &committed),
                Err(error) => return self.not_committed(node, next, &error),
            }
        }
    }

    fn committed(&mut self, node: usize, committed: &CommittedBlock) {
        let number = committed.block.header.number;
        if self.machines[node].stalled.take().is_some() {
            self.tell(&format!("node {node} goes on at block {number}"));
        }
        self.check_commit(node, committed);
        self.state_receipts(node, committed);
    }

    fn not_committed(&mut self, node: usize, number: u64, error: &LedgerError) {
        if error.missing_payload().is_none() {
            return self.fail("P8", format!("node {node} cannot commit block {number}: {error}"));
        }
        if self.machines[node].stalled != Some(number) {
            self.machines[node].stalled = Some(number);
            self.coverage.saw("block waits for a payload");
            self.tell(&format!("node {node} waits at block {number}: {error}"));
        }
    }
}
