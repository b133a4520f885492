//! What the threads of a node do around the exchange of payloads: frames, time, sessions
//! (`node/entente/src/private_node/exchange.rs`).

use super::{
    Event, Sabotage, World,
    frames::{ACKNOWLEDGE_FRAME, REFUSE_FRAME, payload_in},
    machine::{Machine, PAYLOADS, PrivateSide},
};
use crate::world::{index_of, node_id};
use alloy_primitives::Bytes;
use entente_chain::{NodeId, private::PayloadHash};
use entente_privacy::{Action, EncryptedPayload, Privacy, Randomness, Standing};
use entente_storage::Column;
use std::{collections::BTreeSet, sync::Arc};

/// How often a process looks at the time, and tries a waiting block again, in milliseconds.
const TICK: u64 = 200;

impl World {
    pub(super) fn privacy(&self, node: usize) -> Option<Arc<Privacy>> {
        self.private_side(node).map(|side| Arc::clone(&side.privacy))
    }

    pub(super) fn private_side(&self, node: usize) -> Option<&PrivateSide> {
        self.machines[node].process.as_ref()?.private.as_ref()
    }

    /// Milliseconds of the process's own clock.
    pub(super) fn clock(&self, node: usize) -> u64 {
        self.time.saturating_sub(self.machines[node].booted)
    }

    fn peers_of(&self, node: usize) -> BTreeSet<NodeId> {
        (0..self.machines.len()).filter(|peer| *peer != node).map(node_id).collect()
    }

    /// A process starts from what is on the disk.
    pub(super) fn start(&mut self, node: usize) {
        if self.machines[node].process.is_some() {
            return;
        }
        // Where no disk is ever lost there is nobody to ask, so that twins ask nothing in the order
        // of hashes.
        let peers = if self.scenario.wipes { self.peers_of(node) } else { BTreeSet::new() };
        let machine = &mut self.machines[node];
        machine.life += 1;
        machine.booted = self.time;
        let dice = self.scenario.seed ^ (node as u64) << 48 ^ machine.life << 32;
        let opened =
            machine.open(&self.chain, Randomness::from_seed(dice), peers, self.scenario.sabotage);
        let process = match opened {
            Ok(process) => process,
            Err(error) => return self.fail("S7", format!("node {node} does not open: {error}")),
        };
        let (before, head) = (machine.last_head, process.ledger.head().header.number);
        machine.process = Some(process);
        machine.known = machine.known.max(head);
        let life = machine.life;
        if head != before {
            return self.fail("O1", format!("node {node} opens at {head}, it had {before}"));
        }
        let delay = 1 + self.random.below(TICK);
        self.at(delay, Event::Tick { node, life });
        let number = self.blocks.len() as u64;
        self.at(300, Event::Block { node, number });
        for peer in 0..self.machines.len() {
            if peer != node && self.linked(node, peer) {
                let delay = self.random.below(300);
                self.at(delay, Event::Session { node, peer, up: true });
                self.at(delay, Event::Session { node: peer, peer: node, up: true });
            }
        }
    }

    /// The process dies. Of what was not synced, a part survives.
    pub(super) fn crash(&mut self, node: usize) {
        let machine = &mut self.machines[node];
        let head = machine.head();
        let Some(process) = machine.process.take() else { return };
        drop(process);
        machine.last_head = head;
        machine.connected.clear();
        machine.stalled = None;
        let kept = self.random.index(machine.disk.unsynced() + 1);
        if self.scenario.sabotage != Some(Sabotage::EarlyAcknowledgement) {
            machine.disk.lose_power(kept);
        }
        for client in self.clients.iter_mut().filter(|client| client.node == node) {
            client.forget_request();
        }
        for peer in 0..self.machines.len() {
            if self.machines[peer].connected.contains(&node) {
                let delay = self.random.below(500);
                self.at(delay, Event::Session { node: peer, peer: node, up: false });
            }
        }
    }

    pub(super) fn crash_and_restart(&mut self, node: usize, longest: u64) {
        self.crash(node);
        let delay = 100 + self.random.below(longest);
        self.at(delay, Event::Start { node });
    }

    pub(super) fn tick(&mut self, node: usize) {
        let life = self.machines[node].life;
        self.at(TICK, Event::Tick { node, life });
        let now = self.clock(node);
        if let Some(privacy) = self.privacy(node) {
            if privacy.next_deadline().is_some_and(|deadline| deadline <= now) {
                let actions = privacy.tick(now);
                self.perform(node, actions);
            }
            self.watch_recovery(node, &privacy);
        }
        self.advance(node);
    }

    /// A frame arrives: the payload in it is on the disk before the answer leaves.
    pub(super) fn receive(&mut self, node: usize, from: usize, frame: &Bytes) {
        self.seen.arrived(node, self.time, from, frame.len());
        let Some(privacy) = self.privacy(node) else { return };
        let payload = payload_in(frame);
        let full = payload.is_some() && !self.healed && self.random.percent(2);
        self.machines[node].disk.set_full(full);
        let actions = privacy.arrived(self.clock(node), node_id(from), frame);
        self.machines[node].disk.set_full(false);
        if full {
            self.coverage.saw("disk full when a payload came");
        }
        let Some(payload) = payload else { return self.perform(node, actions) };
        let hash = payload.hash();
        match said(&actions, node_id(from), hash) {
            Some(ACKNOWLEDGE_FRAME) => self.took(node, &payload),
            Some(REFUSE_FRAME) if !full => {
                self.coverage.saw("payload refused at arrival");
                if self.scenario.sabotage == Some(Sabotage::NoArrivalCheck) {
                    let own: Vec<_> = privacy.keys();
                    let copy = payload.copy_for(&own);
                    self.machines[node].force(&copy, &self.dice);
                    self.took(node, &payload);
                }
            }
            _ => {}
        }
        if !self.healed && self.random.percent(2) {
            self.coverage.saw("crash between store and acknowledgement");
            return self.crash_and_restart(node, 4_000);
        }
        self.perform(node, actions);
    }

    /// A node has a payload on its disk now.
    fn took(&mut self, node: usize, payload: &EncryptedPayload) {
        let sender = payload.sender();
        let own: Vec<_> = self.machines[node].party_keys();
        let is_own = |key: &_| own.iter().any(|(own, _)| own.public() == *key);
        let boxes = payload.boxed().into_iter().filter(|key| is_own(key) || *key == sender);
        let boxes: Vec<_> = boxes.collect();
        let time = self.time;
        let held = self.machines[node].holds.entry(payload.hash());
        held.or_insert_with(|| (BTreeSet::new(), time)).0.extend(boxes);
    }

    /// Does what the exchange wants.
    pub(super) fn perform(&mut self, node: usize, actions: Vec<Action>) {
        for action in actions {
            if self.machines[node].process.is_none() {
                return;
            }
            match action {
                Action::Send { to, frame } => self.transmit(node, index_of(to), &frame),
                Action::Finished { request, result } => self.finished(node, request, result),
                Action::ReceiptArrived { hash, party } => self.check_statement(node, hash, party),
                Action::Misbehaved { node: accused, reason } => {
                    let accused = index_of(accused);
                    self.fail("blame", format!("node {node} blames node {accused}: {reason}"));
                }
            }
        }
    }

    /// Tells the watch over a recovery how things stand.
    fn watch_recovery(&mut self, node: usize, privacy: &Privacy) {
        let now = self.clock(node);
        let machine = &self.machines[node];
        let heads = machine.connected.iter().map(|peer| {
            let head = self.machines.get(*peer).map_or(0, Machine::head);
            (node_id(*peer), head)
        });
        let (head, is_waiting) = (machine.head(), machine.stalled.is_some());
        let standing = Standing { head, is_waiting, connected: heads.collect() };
        let process = self.machines[node].process.as_mut();
        let Some(side) = process.and_then(|process| process.private.as_mut()) else { return };
        match side.watch.look(privacy, now, &standing) {
            Ok(true) if head > 0 => {
                self.coverage.saw("recovery ended");
                self.tell(&format!("node {node} ends its recovery at {head}"));
            }
            Ok(_) => {}
            Err(error) => self.fail("S7", format!("node {node} cannot note its recovery: {error}")),
        }
    }

    /// Whether a payload's record would survive a loss of power now.
    pub(super) fn is_durable(&self, node: usize, hash: PayloadHash) -> bool {
        let key = [&[PAYLOADS], hash.0.as_slice()].concat();
        self.machines[node].disk.is_durable(Column::Payloads, &key)
    }

    /// Whether a payload's record is there.
    pub(super) fn is_stored(&self, node: usize, hash: PayloadHash) -> bool {
        let key = [&[PAYLOADS], hash.0.as_slice()].concat();
        self.machines[node].disk.keys(Column::Payloads, PAYLOADS).contains(&key)
    }
}

/// What a node answers about a payload, as the kind of the frame.
fn said(actions: &[Action], to: NodeId, hash: PayloadHash) -> Option<u8> {
    actions.iter().find_map(|action| match action {
        Action::Send { to: asked, frame } if *asked == to => {
            let kind = frame.get(1).copied()?;
            let answers = [ACKNOWLEDGE_FRAME, REFUSE_FRAME].contains(&kind);
            let about = frame.windows(64).any(|window| window == hash.0.as_slice());
            (answers && about).then_some(kind)
        }
        _ => None,
    })
}
