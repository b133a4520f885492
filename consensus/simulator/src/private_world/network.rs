//! Links between nodes: cut or not; frames are lost, doubled, and overtake each other.

use super::{Event, World, frames::PAYLOAD_FRAME, scenario::Sabotage};
use crate::{random::Random, scenario::Weather, world::node_id};
use alloy_primitives::Bytes;
use std::collections::BTreeSet;

/// A frame that took longer than this came late, in milliseconds.
const LATE: u64 = 500;

/// Cut pairs, and the weather.
pub(super) struct Links {
    pub(super) weather: Weather,
    pub(super) cut: BTreeSet<(usize, usize)>,
    pub(super) random: Random,
}

impl Links {
    pub(super) const fn new(weather: Weather, seed: u64) -> Self {
        Self { weather, cut: BTreeSet::new(), random: Random::new(seed, 14) }
    }

    fn is_cut(&self, one: usize, other: usize) -> bool {
        self.cut.contains(&(one.min(other), one.max(other)))
    }
}

impl World {
    pub(super) fn linked(&self, one: usize, other: usize) -> bool {
        !self.links.is_cut(one, other)
    }

    /// Sends a frame; what is sent is judged, whether it arrives or not.
    pub(super) fn transmit(&mut self, from: usize, to: usize, frame: &Bytes) {
        if to >= self.machines.len() || to == from {
            return;
        }
        self.check_frame(from, to, frame);
        let leaks = self.scenario.sabotage == Some(Sabotage::Broadcast);
        if leaks && frame.get(1) == Some(&PAYLOAD_FRAME) {
            let others = (0..self.machines.len()).filter(|other| ![from, to].contains(other));
            let others: Vec<_> = others.collect();
            for other in others {
                self.check_frame(from, other, frame);
                self.carry(from, other, frame);
            }
        }
        self.carry(from, to, frame);
    }

    fn carry(&mut self, from: usize, to: usize, frame: &Bytes) {
        let life = self.machines[to].life;
        let weather = self.links.weather;
        if !self.linked(from, to) || self.links.random.percent(weather.loss) {
            return self.coverage.saw("frame lost");
        }
        let copies = 1 + u64::from(self.links.random.percent(weather.duplication));
        if copies > 1 {
            self.coverage.saw("frame doubled");
        }
        for _ in 0..copies {
            let delay = 1 + self.links.random.below(weather.delay_most);
            if delay > LATE {
                self.coverage.saw("frame late");
            }
            let frame = frame.clone();
            self.at(delay, Event::Frame { node: to, from, life, frame });
        }
    }

    /// A connection comes or goes, as one end notices.
    pub(super) fn session(&mut self, node: usize, peer: usize, up: bool) {
        let possible = self.linked(node, peer) && self.machines[peer].process.is_some();
        if self.machines[node].process.is_none() || up && !possible {
            return;
        }
        if !up && possible {
            // Noticed late: the link is there again, and so will the connection be.
            self.at(300, Event::Session { node, peer, up: true });
        }
        let known = self.machines[node].connected.contains(&peer);
        let Some(privacy) = self.privacy(node) else {
            if up {
                self.machines[node].connected.insert(peer);
            } else {
                self.machines[node].connected.remove(&peer);
            }
            return;
        };
        if known {
            self.machines[node].connected.remove(&peer);
            privacy.disconnected(node_id(peer));
        }
        if up {
            self.machines[node].connected.insert(peer);
            let actions = privacy.connected(self.clock(node), node_id(peer));
            self.perform(node, actions);
        }
    }

    /// Both ends notice sooner or later that a link came or went.
    pub(super) fn relink(&mut self) {
        for one in 0..self.machines.len() {
            for other in 0..self.machines.len() {
                let up = self.linked(one, other);
                if one != other && up != self.machines[one].connected.contains(&other) {
                    let delay = self.random.below(if up { 800 } else { 3_000 });
                    self.at(delay, Event::Session { node: one, peer: other, up });
                }
            }
        }
    }
}
