//! Links between nodes: each direction may be cut; frames are lost, doubled, and overtake each other.

use super::{Event, World, index_of, node_id};
use crate::{random::Random, scenario::Weather, workload};
use alloy_primitives::Bytes;
use entente_chain::NodeId;
use entente_consensus::{
    Input,
    message::{Gate, admit},
};
use std::collections::BTreeSet;

/// Cut directions, and the weather.
pub(super) struct Network {
    pub(super) weather: Weather,
    pub(super) cut: BTreeSet<(usize, usize)>,
    random: Random,
}

impl Network {
    pub(super) const fn new(weather: Weather, seed: u64) -> Self {
        Self { weather, cut: BTreeSet::new(), random: Random::new(seed, 3) }
    }

    /// Delays of the copies of a frame that arrive.
    fn copies(&mut self, from: usize, to: usize) -> Vec<u64> {
        if self.cut.contains(&(from, to)) || self.random.percent(self.weather.loss) {
            return Vec::new();
        }
        let copies = 1 + u64::from(self.random.percent(self.weather.duplication));
        (0..copies).map(|_| 1 + self.random.below(self.weather.delay_most)).collect()
    }
}

impl World {
    pub(super) fn linked(&self, one: usize, other: usize) -> bool {
        let cut = &self.network.cut;
        !cut.contains(&(one, other)) && !cut.contains(&(other, one))
    }

    /// Whether a node's connection ends at the process that its peer runs now. Over one to an earlier
    /// process nothing is answered: what was said there is not what this process says.
    pub(super) fn in_session(&self, node: usize, peer: usize) -> bool {
        let life = self.nodes.get(peer).map(|peer| peer.life);
        self.nodes[node].connected.get(&peer).copied() == life
    }

    pub(super) fn transmit(&mut self, from: usize, to: usize, frame: &Bytes, extra: u64) {
        if from == to || to >= self.nodes.len() {
            return;
        }
        for delay in self.network.copies(from, to) {
            let frame = frame.clone();
            self.at(delay + extra, Event::Frame { node: to, from, frame });
        }
    }

    pub(super) fn broadcast(&mut self, from: usize, except: Option<NodeId>, frame: &Bytes) {
        let except = except.map(index_of);
        for to in 0..self.nodes.len() {
            if Some(to) != except {
                self.transmit(from, to, frame, 0);
            }
        }
    }

    /// What the admission thread does.
    pub(super) fn receive(&mut self, node: usize, from: usize, frame: &Bytes) {
        let Some(process) = &self.nodes[node].process else { return };
        // A frame over a connection that is gone does not arrive.
        if !self.nodes[node].connected.contains_key(&from) {
            return;
        }
        let position = process.position().clone();
        let gate = Gate {
            environment: crate::scenario::environment(self.genesis.header.hash()),
            head: position.head.number,
            validators: &position.next,
        };
        let (profile, funded) = (self.scenario.profile, self.funded.address());
        let recover = |envelopes| workload::recover(profile, funded, envelopes);
        match admit(frame, &gate, &recover) {
            Ok(message) => {
                if self.nodes[node].behaviour.is_none() {
                    self.checker.heard(message.message());
                }
                self.input(node, Input::Message { from: node_id(from), message });
            }
            Err(_) => self.coverage.saw("frame refused"),
        }
    }

    /// Both ends notice sooner or later that a link came or went.
    pub(super) fn relink(&mut self) {
        for one in 0..self.nodes.len() {
            for other in 0..self.nodes.len() {
                let up = self.linked(one, other);
                if one != other && up != self.nodes[one].connected.contains_key(&other) {
                    let delay = self.random.below(if up { 800 } else { 3_000 });
                    self.at(delay, Event::Connection { node: one, peer: other, up });
                }
            }
        }
    }

    pub(super) fn on_connection(&mut self, node: usize, peer: usize, up: bool) {
        let possible = self.linked(node, peer)
            && self.nodes[peer].process.is_some()
            && self.nodes[node].process.is_some();
        if up && !possible || !up && self.nodes[node].process.is_none() {
            return;
        }
        if !up && possible {
            // Noticed late: the link is there again, and so will the connection be.
            self.at(300, Event::Connection { node, peer, up: true });
        }
        let known = self.nodes[node].connected.contains_key(&peer);
        if known == up {
            return;
        }
        if up {
            let life = self.nodes[peer].life;
            self.nodes[node].connected.insert(peer, life);
        } else {
            self.nodes[node].connected.remove(&peer);
        }
        let validator = up.then(|| self.nodes[peer].key.address());
        let (node_of_peer, connected) = (node_id(peer), up);
        self.input(node, Input::Peer { node: node_of_peer, validator, connected });
        if up {
            self.announce_to(peer, node);
        }
    }

    /// A handshake, or a status frame, tells the head.
    pub(super) fn announce_to(&mut self, from: usize, to: usize) {
        if !self.nodes[to].connected.contains_key(&from) {
            return;
        }
        let Some(process) = &self.nodes[from].process else { return };
        let head = &process.position().head;
        let (number, hash) = (head.number, head.hash());
        // One stream per peer: what it says of its head keeps its order.
        let delay = 25;
        let life = self.nodes[to].life;
        let input = Box::new(Input::PeerHead { node: node_id(from), number, hash });
        self.at(delay, Event::Input { node: to, life, input });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Engine, Profile, scenario::Scenario};
    use entente_consensus::{Action, FetchId};

    /// Full Raft seed 763: a leader lost power with its newest block only in its log, which is allowed,
    /// and its next process was asked for that block over the connection to the one before, and blamed.
    #[test]
    fn a_process_does_not_answer_for_the_one_before() {
        let mut scenario = Scenario::draw(Engine::Raft, Profile::Fast, 1);
        (scenario.validators, scenario.weather) = (3, Weather::CALM);
        let mut world = World::new(scenario);
        world.begin();
        let ask = |world: &mut World| {
            let (request, from) = (FetchId(7), node_id(0));
            world.act(1, Action::Fetch { request, from, start: 1, count: 1 });
            let asked = |event: &Event| matches!(event, Event::Serve { request: FetchId(7), .. });
            world.agenda.strike(asked)
        };
        assert!(ask(&mut world), "a peer is asked");
        world.crash(0);
        world.start(0);
        assert!(!ask(&mut world), "the connection is to a process that is gone");
    }
}
