//! Once everything has healed: everybody is level, and every disk is looked through.

use super::{
    Event, World,
    code::MARK,
    machine::{Machine, PAYLOADS},
};
use crate::scenario::Weather;
use alloy_primitives::{B512, U256};
use entente_chain::{
    StateReader as _,
    private::{PayloadHash, RecipientKey},
};
use entente_privacy::PrivacyError;
use entente_storage::Column;
use std::collections::BTreeSet;

/// Virtual time that healing may take, in milliseconds: a recovery waits 15 s for a node without keys,
/// for every block anew if all its payloads are unknown, then 2 s until the chain counts as level.
const HEALING: u64 = 180_000;

impl World {
    /// No more faults; everybody must become level.
    pub(super) fn heal(&mut self) {
        if self.failure.is_some() {
            return;
        }
        self.healed = true;
        self.links.cut.clear();
        self.links.weather = Weather::CALM;
        self.tell("everything heals");
        for node in 0..self.machines.len() {
            self.at(1, Event::Start { node });
        }
        self.at(10, Event::Client);
        self.run_for(20);
        self.relink();
        let until = self.time + HEALING;
        if !self.run_until(until, Self::is_level) && self.failure.is_none() {
            let stands = |machine: &Machine| {
                let waits = machine.stalled.map_or(String::new(), |at| format!(" waits at {at}"));
                format!("node {} at {}{waits}", machine.index, machine.head())
            };
            let nodes: Vec<_> = self.machines.iter().map(stands).collect();
            let (blocks, pool) = (self.blocks.len(), self.pool.len());
            let what = format!("{blocks} blocks, {pool} transactions wait; {}", nodes.join(", "));
            self.fail("L", what);
        }
    }

    fn is_level(&self) -> bool {
        let height = self.blocks.len() as u64;
        let level = |machine: &Machine| {
            machine.process.is_some() && machine.head() == height && machine.stalled.is_none()
        };
        let recovers = |node: usize| {
            self.privacy(node).is_some_and(|privacy| privacy.recovering_until().is_some())
        };
        self.pool.is_empty()
            && self.clients.iter().all(|client| client.is_free())
            && self.machines.iter().all(level)
            && !(0..self.machines.len()).any(recovers)
    }

    pub(super) fn check_end(&mut self) {
        for node in 0..self.machines.len() {
            if self.failure.is_none() {
                self.check_disk(node);
                self.check_payloads(node);
                self.check_public(node);
                self.check_private_states(node);
            }
        }
    }

    fn keys_of(&self, node: usize) -> BTreeSet<RecipientKey> {
        self.units.iter().filter(|(_, unit)| unit.0 == node).map(|(key, _)| *key).collect()
    }

    /// P2: nothing in plain on any disk, and no record of what is for others.
    fn check_disk(&mut self, node: usize) {
        let disk = &self.machines[node].disk;
        if let Some(column) = disk.find(MARK) {
            return self.fail("P2", format!("{column:?} of node {node} has a payload in plain"));
        }
        let keys = self.keys_of(node);
        let rows = disk.count(Column::Payloads) + disk.count(Column::PrivateState);
        if keys.is_empty() && rows > 0 {
            return self.fail("P2", format!("node {node} has no key and {rows} private records"));
        }
        for record in disk.keys(Column::Payloads, PAYLOADS) {
            let hash = record.get(1..).and_then(|hash| <[u8; 64]>::try_from(hash).ok());
            let parties =
                hash.and_then(|hash| self.judge.requested.get(&PayloadHash(B512::from(hash))));
            if parties.is_none_or(|parties| parties.is_disjoint(&keys)) {
                return self.fail("P2", format!("node {node} keeps {record:02x?}, it is no party"));
            }
        }
    }

    /// P4: what a party can read is what was sent, and nobody else can read it.
    fn check_payloads(&mut self, node: usize) {
        let Some(privacy) = self.privacy(node) else { return };
        let keys = self.keys_of(node);
        let mut finding = None;
        for (_, hash) in &self.truths.on_chain {
            let Some(payload) = self.truths.payloads.get(hash) else { continue };
            let there = |key: &&RecipientKey| !self.truths.lost.contains(&(*hash, **key));
            let is_party = payload.parties.intersection(&keys).any(|key| there(&key));
            let read = privacy.receive(*hash);
            let forgotten = self.machines[node].forgot(payload.at);
            match (&read, payload.lie.is_some()) {
                (Ok(read), _) if *read.plain != payload.plain || read.sender != payload.sender => {
                    finding = Some(("P4", format!("node {node} reads {hash} otherwise")));
                }
                (Ok(_), _) if payload.parties.is_disjoint(&keys) => {
                    finding = Some(("P2", format!("node {node} reads {hash}, it is no party")));
                }
                (Err(error), false) if is_party && !forgotten => {
                    finding = Some(("P4", format!("node {node} does not read {hash}: {error}")));
                }
                (Err(PrivacyError::Unknown(_)) | Ok(_), _) => {}
                (Err(error), _) => {
                    finding = Some(("P4", format!("node {node} does not read {hash}: {error}")));
                }
            }
        }
        if let Some((checker, what)) = finding {
            self.fail(checker, what);
        }
    }

    /// P8: what private transactions did is nowhere in the public state.
    fn check_public(&mut self, node: usize) {
        let Some(process) = &self.machines[node].process else { return };
        let head = process.ledger.head().header.number;
        let Some(model) = self.public.last() else { return };
        let Ok(state) = process.public.at(head) else { return };
        let mut finding = None;
        for contract in &self.truths.contracts {
            if state.account(contract.address) != Ok(None) {
                finding = Some(format!("{} is in public at node {node}", contract.address));
            }
        }
        for (address, contract) in &model.0 {
            for (place, expected) in contract.slots.iter().enumerate() {
                let got = state.slot(*address, U256::from(place)).unwrap_or(U256::MAX);
                if got != *expected {
                    finding = Some(format!("slot {place} of {address} at node {node} is {got:x}"));
                }
            }
        }
        if let Some(what) = finding {
            self.fail("P8", what);
        }
    }

    /// P1 and P2: each private state has the contracts of its parties and no others.
    fn check_private_states(&mut self, node: usize) {
        let head = self.machines[node].head();
        let all: BTreeSet<_> =
            self.truths.contracts.iter().map(|contract| contract.address).collect();
        for resident in 0..self.machines[node].models.len() {
            self.check_slots((node, resident), head, &all);
        }
    }
}
