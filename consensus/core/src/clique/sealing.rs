//! Seals blocks: at our turn when the period is over, else a little later, drawn at random, and only
//! if nobody else was faster.

use super::Clique;
use crate::{
    engine::{Action, BuildAttributes, BuildId, ChainPosition, Millis, Now, Recipients, Step},
    rules::{
        IN_TURN, OUT_OF_TURN, clique_digest, clique_in_turn, clique_is_checkpoint,
        clique_sealed_until,
    },
    sabotage::{Bug, is_on},
};
use alloy_primitives::{Address, B256, U256};
use entente_chain::{
    RecoveredBlock, SealedHeader, extra_data::clique::CliqueExtra, spec::EngineKind,
};
use std::time::Duration;

/// The signer in turn is given this long before anybody else tries.
const FIRST_CHANCE_MS: Millis = 300;
/// The draw is from this long for each signer of half of them (geth's wiggle).
const WIGGLE_MS: Millis = 500;
/// Pause before a block is asked for again.
const RETRY_MS: Millis = 250;

/// Our chance to seal on one head.
#[derive(Debug)]
pub(super) struct Turn {
    parent: B256,
    in_turn: bool,
    /// Drawn once for each head.
    delay: Millis,
    /// `Now::elapsed`; `None`: nothing to do, or the block is being built.
    at: Option<Millis>,
    building: Option<BuildId>,
}

impl Turn {
    pub(super) const fn due(&self) -> Option<Millis> {
        self.at
    }
}

impl Clique {
    /// Why this node does not seal on its head: in words, for people. `None`: it may.
    pub(super) fn may_not_seal(&self, head: &ChainPosition) -> Option<String> {
        let Some(own) = self.own_address() else { return Some("following: no key".to_owned()) };
        if !head.tally.validators().contains(own) {
            return Some("following: not a signer".to_owned());
        }
        let number = head.head.number.saturating_add(1);
        let until = clique_sealed_until(&head.tally, own)?;
        let missing = until.checked_sub(number).filter(|missing| *missing > 0)?;
        Some(format!("sealed recently: waits for {missing} blocks"))
    }

    /// When a block on the head is due by its period (`Now::elapsed`); `None`: nobody wants one.
    fn due(&self, head: &ChainPosition, now: Now) -> Option<Millis> {
        let rules = self.spec.rules_at(self.next_number);
        let ticks = self.spec.ticks_per_second();
        let seconds = rules.block_period_ms / 1000;
        let stamp = head.head.timestamp.saturating_add(seconds.saturating_mul(ticks));
        let unix = self.spec.seconds(stamp).saturating_mul(1000);
        // A fixed point in time: one that moved along with a late clock would never come for those
        // who wait a little longer.
        let by_clock = now.elapsed.saturating_add(unix).saturating_sub(now.unix);
        // Fractions of a second are kept by our own timer.
        let by_timer = self.head_since.saturating_add(rules.block_period_ms % 1000);
        let due = by_clock.max(by_timer);
        if let Some(since) = self.waiting_since {
            return Some(if rules.block_period_ms == 0 { due.max(since) } else { due });
        }
        match rules.empty_block_period_ms {
            Some(empty) if empty > rules.block_period_ms => {
                Some(self.head_since.saturating_add(empty).max(due))
            }
            _ if rules.block_period_ms == 0 => None,
            _ => Some(due),
        }
    }

    fn new_turn(&mut self, parent: B256, in_turn: bool, signers: usize) -> Turn {
        let spread = WIGGLE_MS.saturating_mul(signers as u64 / 2 + 1);
        let delay = match in_turn {
            true => 0,
            false => FIRST_CHANCE_MS.saturating_add(self.random.below(spread)),
        };
        Turn { parent, in_turn, delay, at: None, building: None }
    }

    pub(super) fn seal_if_due(&mut self, now: Now, out: &mut Step) {
        let (Some(tree), Some(own)) = (&self.tree, self.own_address()) else { return };
        if self.spec.engine_at(self.next_number) != EngineKind::Clique {
            return;
        }
        let head = tree.head().position.clone();
        if self.changing.is_some() || self.may_not_seal(&head).is_some() {
            self.turn.take_if(|turn| turn.building.is_none());
            return;
        }
        let number = head.head.number.saturating_add(1);
        let signers = head.tally.validators();
        let in_turn = clique_in_turn(signers, number) == own;
        let mut turn = match self.turn.take() {
            Some(turn) if turn.parent == head.head.hash() => turn,
            _ => self.new_turn(head.head.hash(), in_turn, signers.len()),
        };
        if turn.building.is_none() {
            let due = self.due(&head, now).map(|due| due.saturating_add(turn.delay));
            // A retry waits longer than the period.
            turn.at = due.map(|due| due.max(turn.at.filter(|at| *at > now.elapsed).unwrap_or(0)));
            if turn.at.is_some_and(|at| at <= now.elapsed) {
                turn.at = None;
                self.ask_for_block(&mut turn, &head, now, out);
            }
        }
        self.turn = Some(turn);
    }

    fn ask_for_block(&mut self, turn: &mut Turn, head: &ChainPosition, now: Now, out: &mut Step) {
        let number = head.head.number.saturating_add(1);
        let rules = self.spec.rules_at(number);
        let ticks = self.spec.ticks_per_second();
        let period = (rules.block_period_ms / 1000).saturating_mul(ticks);
        let wall = match self.spec.nanosecond_timestamps {
            true => now.unix.saturating_mul(ticks / 1000),
            false => now.unix_seconds(),
        };
        let signers = head.tally.validators();
        let request = BuildId(self.next_request());
        let checkpoint = clique_is_checkpoint(&self.spec, number);
        let vote = match checkpoint {
            true => None,
            false => self.operator_votes.next(signers, request.0),
        };
        let listed = if checkpoint { signers.addresses().to_vec() } else { Vec::new() };
        let extra =
            CliqueExtra { vanity: self.settings.vanity, signers: listed, ..CliqueExtra::default() };
        turn.building = Some(request);
        out.then(Action::Build {
            request,
            attributes: BuildAttributes {
                parent: head.head.hash(),
                number,
                timestamp: head.head.timestamp.saturating_add(period).max(wall),
                beneficiary: vote.map_or(Address::ZERO, |vote| vote.recipient),
                extra_data: extra.encode(),
                nonce: if vote.is_some_and(|vote| vote.add) { u64::MAX } else { 0 },
                difficulty: if turn.in_turn || is_on(Bug::AlwaysInTurn) {
                    IN_TURN
                } else {
                    OUT_OF_TURN
                },
                time_limit: Duration::from_millis((rules.block_period_ms / 2).clamp(100, 2_000)),
            },
        });
    }

    /// Seals a block that was built for us, and tells everybody.
    pub(super) fn on_built(
        &mut self,
        request: BuildId,
        block: Result<RecoveredBlock, String>,
        now: Now,
        out: &mut Step,
    ) {
        let Some(turn) = &mut self.turn else { return };
        if turn.building != Some(request) {
            return;
        }
        turn.building = None;
        turn.at = Some(now.elapsed.saturating_add(RETRY_MS));
        let parent = turn.parent;
        let Some(head) = self.tree.as_ref().map(|tree| tree.head().position.clone()) else {
            return;
        };
        if head.head.hash() != parent {
            return;
        }
        // Numbers of requests are each engine's own: it may be what another one asked for before.
        let Some(block) = block.ok().filter(|block| block.header.parent_hash == parent) else {
            return;
        };
        if self.changing.is_some() || !self.is_wanted(&block, now) {
            return;
        }
        let total_difficulty = head.total_difficulty.saturating_add(block.header.difficulty);
        if !self.outweighs_last_seal(total_difficulty) {
            // Sealed before a restart: another block of this weight would be a second word.
            return;
        }
        let Some(block) = self.seal(&block) else { return };
        let record = super::Record { total_difficulty, block: block.clone() };
        out.persist(crate::Record::Clique(Box::new(record.clone())));
        self.sealed = Some(record);
        if let Some(turn) = &mut self.turn {
            turn.at = None;
        }
        if let Err(reason) = self.on_block(&block, now, out) {
            tracing::error!(%reason, "our own block breaks a rule");
            return;
        }
        // At once: it binds us from here on, whatever becomes of our own disk.
        self.tell_everybody(block.clone(), out);
        out.then(Action::Adopt(block));
    }

    fn tell_everybody(&self, block: RecoveredBlock, out: &mut Step) {
        let message = super::Message { environment: self.settings.environment, block };
        let message = crate::Message::Clique(Box::new(message));
        out.then(Action::Send { to: Recipients::Everyone, message });
    }

    /// A seal that was written down before a crash, and perhaps never said: it is said again as
    /// soon as its parent is here. Without it we might have to be silent for ever.
    pub(super) fn repeat_seal(&mut self, now: Now, out: &mut Step) {
        let Some(sealed) = &self.unheard else { return };
        let Some(tree) = &self.tree else { return };
        let parent = sealed.header.parent_hash;
        let known = tree.get(sealed.hash()).is_some();
        if known || sealed.header.number <= tree.floor() {
            self.unheard = None;
        } else if tree.get(parent).is_some() {
            let Some(block) = self.unheard.take() else { return };
            if self.on_block(&block, now, out).is_ok() {
                self.tell_everybody(block, out);
            }
        }
    }

    pub(super) fn outweighs_last_seal(&self, total_difficulty: U256) -> bool {
        self.sealed.as_ref().is_none_or(|sealed| total_difficulty > sealed.total_difficulty)
    }

    /// On demand an empty block tells nobody anything.
    fn is_wanted(&self, block: &RecoveredBlock, now: Now) -> bool {
        let rules = self.spec.rules_at(self.next_number);
        if !block.transactions().is_empty() {
            return true;
        }
        match rules.empty_block_period_ms {
            Some(empty) if empty > rules.block_period_ms => {
                now.elapsed >= self.head_since.saturating_add(empty)
            }
            _ => rules.block_period_ms > 0,
        }
    }

    fn seal(&self, block: &RecoveredBlock) -> Option<RecoveredBlock> {
        let signer = self.signer.as_ref()?;
        let mut header = block.header.header().clone();
        let mut extra = CliqueExtra::decode(&header.extra_data).ok()?;
        extra.seal = signer.sign(clique_digest(&header, &extra));
        header.extra_data = extra.encode();
        let hash = header.hash_slow();
        Some(block.with_header(SealedHeader::new(header, hash)))
    }
}
