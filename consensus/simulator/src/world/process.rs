//! A process of a node: its ledger, its consensus log and its engine, opened from its disk.

use super::{Event, World};
use crate::{
    execution::HashExecution,
    scenario::{Profile, Sabotage, environment},
};
use alloy_primitives::B256;
use entente_chain::{spec::ChainSpec, transaction::Signing};
use entente_consensus::{
    ChainPosition, EngineStatus, Input, Now, Record, Replica, Step,
    rules::rules_for,
    schedule::{EngineSettings, Schedule},
    sync::SyncSettings,
};
use entente_evm::Executor;
use entente_ledger::{Execution, Ledger};
use entente_storage::{ChainReader, Column, ConsensusLog, Database, StateStore, StorageOptions};
use std::{path::Path, sync::Arc};

/// See the module.
pub(crate) struct Process {
    pub(super) ledger: Ledger,
    pub(super) reader: ChainReader,
    pub(super) states: StateStore,
    pub(super) log: ConsensusLog,
    pub(super) replica: Replica,
    pub(super) step: Step,
    position: ChainPosition,
}

impl Process {
    /// Where the chain stands for the admission of messages.
    pub(super) const fn position(&self) -> &ChainPosition {
        &self.position
    }

    pub(super) fn set_position(&mut self, position: ChainPosition) {
        self.position = position;
    }

    pub(super) fn status(&self, now: Now) -> EngineStatus {
        self.replica.status(now)
    }
}

fn execution(profile: Profile, loses_logs: bool, spec: &Arc<ChainSpec>) -> Arc<dyn Execution> {
    match profile {
        Profile::Fast => Arc::new(HashExecution { loses_logs }),
        Profile::Full => {
            let rules = rules_for(Arc::clone(spec));
            let author = Arc::new(move |header: &_| rules.author(header).ok());
            Arc::new(Executor::with_author(Arc::clone(spec), author))
        }
    }
}

/// Whether the newest record of a Raft voter holds a block: what the chain lacks of it after a loss
/// of power is decided again from there.
fn holds(records: &[Record], block: B256) -> bool {
    let newest = records.iter().rev().find_map(|record| match record {
        Record::Raft(record) => Some(record.accepted()),
        _ => None,
    });
    newest.flatten().is_some_and(|(_, hash)| hash == block)
}

impl World {
    fn open(&mut self, node: usize) -> Result<(Process, Vec<Record>), String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let disk = Arc::clone(&self.nodes[node].disk);
        let options = StorageOptions { cache_bytes: 1 << 20, ..StorageOptions::default() };
        let database = Database::over(disk, Path::new("simulated"), &options);
        let database = database.map_err(|error| text(&error))?;
        database.initialise(&self.genesis, self.json.as_bytes()).map_err(|error| text(&error))?;
        let spec = Arc::new(self.genesis.spec.clone());
        let loses_logs = self.scenario.sabotage == Some(Sabotage::LostLogs) && node == 0;
        let execution = execution(self.scenario.profile, loses_logs, &spec);
        let ledger =
            Ledger::open(&database, Arc::clone(&spec), execution).map_err(|error| text(&error))?;
        let log = database.consensus_log().map_err(|error| text(&error))?;
        let name = environment(self.genesis.header.hash());
        let records = log.recover().map_err(|error| text(&error))?;
        let records = records
            .iter()
            .map(|bytes| Record::decode(bytes, name, spec.signing()).map_err(|error| text(&error)))
            .collect::<Result<Vec<_>, _>>()?;
        let settings = EngineSettings {
            environment: name,
            vanity: Default::default(),
            seed: self.random.next(),
        };
        let patience = SyncSettings::of_chain(&spec);
        let engine = Schedule::new(spec, Some(self.nodes[node].key.clone()), settings);
        let process = Process {
            position: ledger.position(),
            reader: database.reader(),
            states: database.states(),
            ledger,
            log,
            replica: Replica::new(Box::new(engine), patience),
            step: Step::default(),
        };
        Ok((process, records))
    }

    /// A process starts from what is on the disk.
    pub(super) fn start(&mut self, node: usize) {
        if self.nodes[node].process.is_some() {
            return;
        }
        if self.time < self.nodes[node].down_until {
            let delay = self.nodes[node].down_until - self.time;
            return self.at(delay, Event::Start { node });
        }
        let (process, records) = match self.open(node) {
            Ok(opened) => opened,
            // A full disk; anything else is a database that does not open after a crash.
            Err(error) if error.contains("no space left") => {
                self.at(2_000, Event::Start { node });
                return;
            }
            Err(error) => return self.fail("S7", format!("node {node} does not open: {error}")),
        };
        let head = process.position.head.number;
        let forks = self.scenario.engine == crate::Engine::Clique || self.scenario.switch.is_some();
        let (before, hash) = self.nodes[node].last_head;
        if head < before && !forks && !self.nodes[node].wiped {
            if head + 1 != before || !holds(&records, hash) {
                let what = format!("node {node} opens at {head}, it had committed {before}");
                return self.fail("O1", what);
            }
            self.coverage.saw("head came back out of the log");
        }
        self.checker.begins_again(node, head);
        self.check_store(node);
        let ancestors = match process.ledger.ancestors() {
            Ok(ancestors) => ancestors,
            Err(error) => return self.fail("S7", error.to_string()),
        };
        let position = process.position.clone();
        let state = &mut self.nodes[node];
        state.life += 1;
        state.booted = self.time;
        state.busy_until = self.time;
        state.wake = None;
        let wiped = std::mem::take(&mut state.wiped);
        state.process = Some(process);
        self.check_served(node);
        self.follow_nonce(node);
        let records = match self.scenario.sabotage {
            Some(Sabotage::NoPersistence) => Vec::new(),
            // A record that says: in term 0, no vote given.
            Some(Sabotage::WipedVoterVotes) if wiped => {
                let name = environment(self.genesis.header.hash());
                Record::decode(&[1, 2, 0xc3, 0x80, 0x80, 0xc0], name, Signing::Ethereum)
                    .into_iter()
                    .collect()
            }
            _ => records,
        };
        self.input(node, Input::Recovered { position, ancestors, records });
        for peer in 0..self.nodes.len() {
            if peer != node && self.linked(node, peer) {
                let delay = self.random.below(300);
                self.at(delay, Event::Connection { node, peer, up: true });
                self.at(delay, Event::Connection { node: peer, peer: node, up: true });
            }
        }
    }

    /// The process dies. Of what was not synced, a part survives.
    pub(super) fn crash(&mut self, node: usize) {
        let Some(process) = self.nodes[node].process.take() else { return };
        let head = process.ledger.head();
        let state = &mut self.nodes[node];
        state.last_head = (head.header.number, head.header.hash());
        drop(process);
        state.connected.clear();
        state.writing = None;
        let kept = self.random.index(state.disk.unsynced() + 1);
        let state = &mut self.nodes[node];
        state.disk.lose_power(kept);
        if self.scenario.sabotage == Some(Sabotage::StaleLog) {
            state.disk.forget(Column::ConsensusLog, 1);
        }
        if self.scenario.sabotage == Some(Sabotage::TornBlock) {
            state.disk.forget(Column::Receipts, 3);
        }
        for peer in 0..self.nodes.len() {
            if self.nodes[peer].connected.contains(&node) {
                let delay = self.random.below(500);
                self.at(delay, Event::Connection { node: peer, peer: node, up: false });
            }
        }
    }

    /// The disk is replaced by an empty one.
    pub(super) fn wipe(&mut self, node: usize) {
        self.crash(node);
        let state = &mut self.nodes[node];
        state.disk.wipe();
        state.last_head = Default::default();
        state.wiped = true;
        self.checker.forgets(state.key.address());
        self.coverage.saw("wiped disk");
    }

    /// The pool follows the account's nonce at the head.
    pub(super) fn follow_nonce(&mut self, node: usize) {
        use entente_chain::StateReader;
        let funded = self.funded.address();
        let Some(process) = &self.nodes[node].process else { return };
        let number = process.ledger.head().header.number;
        let account = process.states.at(number).ok().and_then(|state| state.account(funded).ok());
        let nonce = account.flatten().map_or(0, |account| account.nonce);
        self.nodes[node].waiting.next = nonce;
    }
}
