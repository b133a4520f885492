//! What goes wrong, drawn one after the other.

use super::{Event, World};
use crate::{adversary::Behaviour, random::Random, scenario::Weather};
use alloy_primitives::Address;
use entente_chain::{ValidatorSet, spec::EngineKind};
use entente_consensus::{Input, Operation, engine::MemberChange};

impl World {
    pub(super) fn disturb(&mut self) {
        let node = self.random.index(self.nodes.len());
        match self.random.below(13) {
            0 | 1 => self.die(node),
            2 | 3 => self.partition(),
            4 => self.unlink_one_way(),
            5 => {
                self.network.cut.clear();
                self.relink();
            }
            6 => {
                let mut random = Random::new(self.random.next(), 4);
                self.network.weather = Weather::draw(&mut random);
            }
            7 => {
                self.nodes[node].disk.set_full(true);
                let delay = 500 + self.random.below(4_000);
                self.at(delay, Event::Room { node });
            }
            8 => self.lose_disk(node),
            12 => self.nodes[node].slow_until = self.time + 1_000 + self.random.below(15_000),
            9 => {
                let offset = i64::try_from(self.random.below(2 * self.scenario.skew_most + 1));
                self.nodes[node].skew =
                    offset.unwrap_or(0) - i64::try_from(self.scenario.skew_most).unwrap_or(0);
            }
            _ => self.change_members(),
        }
    }

    fn partition(&mut self) {
        self.coverage.saw("partition");
        let sides: Vec<bool> = self.nodes.iter().map(|_| self.random.percent(50)).collect();
        self.network.cut.clear();
        for (one, side) in sides.iter().enumerate() {
            for (other, other_side) in sides.iter().enumerate() {
                if side != other_side {
                    self.network.cut.insert((one, other));
                }
            }
        }
        self.relink();
    }

    fn unlink_one_way(&mut self) {
        self.coverage.saw("one-way link");
        let (one, other) =
            (self.random.index(self.nodes.len()), self.random.index(self.nodes.len()));
        self.network.cut.insert((one, other));
    }

    /// At most one voter of a majority may lose its disk: more is more than any engine withstands,
    /// and at most as many as may be dishonest, dishonest ones included.
    fn lose_disk(&mut self, node: usize) {
        let wiped = self.nodes.iter().filter(|node| node.wiped).count();
        // Who votes now, wherever anybody stands: votes may have changed that.
        let own = self.nodes[node].key.address();
        let sets = self.nodes.iter().filter_map(|node| node.process.as_ref());
        let sets: Vec<_> = sets.map(|process| process.position().next.clone()).collect();
        let smallest = sets.iter().map(ValidatorSet::len).min().unwrap_or(1);
        let votes = sets.iter().any(|set| set.contains(own)) || sets.is_empty();
        let most = match self.genesis.spec.genesis_rules.engine {
            EngineKind::Raft | EngineKind::Clique => smallest.saturating_sub(1) / 2,
            _ => smallest.saturating_sub(1) / 3,
        };
        let amnesia = self.checker.amnesiacs();
        let allowed = wiped + self.scenario.dishonest < most
            && (amnesia.is_empty() || amnesia.contains(&own))
            && self.scenario.switch.is_none();
        if allowed || !votes && node >= self.scenario.validators {
            self.wipe(node);
            let delay = 200 + self.random.below(5_000);
            self.at(delay, Event::Start { node });
        }
    }

    fn change_members(&mut self) {
        // With liars among them, fewer honest validators could be too few.
        let calm = self.scenario.behaviour.is_none()
            || self.scenario.behaviour == Some(Behaviour::Outsider);
        if !calm || self.scenario.switch.is_some() {
            return;
        }
        let subject = self.random.index(self.nodes.len());
        let candidate = self.nodes[subject].key.address();
        let operation = match self.genesis.spec.genesis_rules.engine {
            EngineKind::Raft => self.draw_member_change(candidate),
            _ => Operation::ProposeValidator { candidate, add: self.random.percent(60) },
        };
        let crowd = matches!(operation, Operation::ProposeValidator { .. });
        let asked = self.random.index(self.nodes.len());
        for node in 0..self.nodes.len() {
            if self.nodes[node].process.is_some() && (crowd || node == asked) {
                self.input(node, Input::Operator(operation.clone()));
            }
        }
    }

    fn draw_member_change(&mut self, member: Address) -> Operation {
        let change = match self.random.below(6) {
            0 => return Operation::TransferLeadership { to: member },
            1 => MemberChange::AddLearner,
            2 => MemberChange::Promote,
            3 => MemberChange::Remove,
            _ => MemberChange::AddVoter,
        };
        Operation::ChangeMember { member, change }
    }
}
