//! What goes wrong, drawn one after the other.

use super::{World, model::Model};
use crate::{random::Random, scenario::Weather};
use entente_storage::Column;

impl World {
    pub(super) fn disturb(&mut self) {
        let node = self.random.index(self.machines.len());
        match self.random.below(12) {
            0 | 1 => self.crash_and_restart(node, 4_000),
            2 => self.crash_and_restart(node, 16_000),
            3 | 4 => self.partition(),
            5 => {
                let other = self.random.index(self.machines.len());
                if other != node {
                    self.links.cut.insert((node.min(other), node.max(other)));
                    self.relink();
                }
            }
            6 | 7 => {
                self.links.cut.clear();
                self.relink();
            }
            8 => {
                let mut random = Random::new(self.random.next(), 15);
                self.links.weather = Weather::draw(&mut random);
            }
            _ => self.lose_disk(node),
        }
    }

    fn partition(&mut self) {
        self.coverage.saw("partition");
        let sides: Vec<bool> = self.machines.iter().map(|_| self.random.percent(50)).collect();
        self.links.cut.clear();
        for (one, side) in sides.iter().enumerate() {
            for (other, other_side) in sides.iter().enumerate().skip(one) {
                if side != other_side {
                    self.links.cut.insert((one, other));
                }
            }
        }
        self.relink();
    }

    /// One node at a time loses its disk and keeps its keys, and only while all others have theirs and
    /// lack nothing: two copies of a payload do not withstand two losses.
    fn lose_disk(&mut self, node: usize) {
        let height = self.blocks.len() as u64;
        let whole = self.machines.iter().all(|machine| {
            machine.process.is_some() && machine.head() + 3 >= height && machine.stalled.is_none()
        });
        let recovers = |node: usize| {
            self.privacy(node).is_some_and(|privacy| privacy.recovering_until().is_some())
        };
        if !self.scenario.wipes || !whole || (0..self.machines.len()).any(recovers) {
            return;
        }
        let payloads_only = self.random.percent(15) && !self.machines[node].models.is_empty();
        self.crash(node);
        let machine = &mut self.machines[node];
        machine.wiped_at = Some(self.time);
        machine.holds.clear();
        if payloads_only {
            machine.disk.forget(Column::Payloads, 0);
            machine.told_to_recover = true;
            machine.forgot_at = Some(self.time);
            self.coverage.saw("wiped payload store");
        } else {
            machine.disk.wipe();
            machine.last_head = 0;
            machine.known = 0;
            machine.models.iter_mut().for_each(|model| *model = Model::default());
            self.coverage.saw("wiped disk");
        }
        self.tell(&format!("node {node} loses its disk"));
        self.note_losses(node);
        self.crash_and_restart(node, 3_000);
    }

    /// Boxes that were on that disk alone are lost for good.
    fn note_losses(&mut self, node: usize) {
        let mut lost = Vec::new();
        for (hash, payload) in &self.truths.payloads {
            for key in &payload.parties {
                let is_own = self.units.get(key).is_some_and(|unit| unit.0 == node);
                let elsewhere = self.machines.iter().any(|machine| {
                    machine.holds.get(hash).is_some_and(|(keys, _)| keys.contains(key))
                });
                if is_own && payload.lie.is_none() && !elsewhere {
                    lost.push((*hash, *key));
                }
            }
        }
        if !lost.is_empty() {
            self.coverage.saw("last copy of a payload lost");
        }
        self.truths.lost.extend(lost);
    }
}
