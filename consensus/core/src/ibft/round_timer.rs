//! When a block is due, how long a round may take, and when to look again.
//!
//! Round 0 begins when a block is due, not when its parent was committed (besu#2095), and on a
//! chain that builds on demand not before a transaction waits. Round timeouts double up to a cap
//! (besu#7642), and a proposer that is known to be away is not waited for.

use super::{
    Ibft,
    height::{Height, Progress},
    payload::View,
    peers::Presence,
};
use crate::{
    engine::{Millis, Now},
    sabotage::{Bug, is_on},
};
use alloy_primitives::Address;

/// A proposer that is known to be away costs at least this.
const EARLY_MS_MIN: Millis = 100;
/// Own messages go out again this often while a round takes longer than it should.
const RESEND_MS_MIN: Millis = 250;
const RESEND_MS_MAX: Millis = 5_000;
/// Doublings after which any sensible cap is reached.
const DOUBLINGS_MAX: u64 = 20;

impl Height {
    /// The earliest timestamp that the next header may carry: whole seconds after the parent's.
    pub(super) fn earliest(&self) -> u64 {
        if is_on(Bug::Hasty) {
            return self.parent.timestamp;
        }
        let period = (self.rules.block_period_ms / 1000).saturating_mul(self.ticks);
        self.parent.timestamp.saturating_add(period)
    }

    /// Wall clock (milliseconds since 1970) as a header timestamp.
    pub(super) const fn stamp(&self, unix: Millis) -> u64 {
        if self.ticks >= 1000 { unix.saturating_mul(self.ticks / 1000) } else { unix / 1000 }
    }

    /// A header timestamp as wall clock.
    pub(super) const fn unix_millis(&self, timestamp: u64) -> Millis {
        if self.ticks >= 1000 {
            timestamp / (self.ticks / 1000)
        } else {
            timestamp.saturating_mul(1000)
        }
    }

    /// Timeout of a round.
    pub(super) fn timeout(&self, round: u64) -> Millis {
        let base = self.rules.request_timeout_ms.max(1);
        let cap = self.rules.max_request_timeout_ms.max(base);
        base.saturating_mul(1 << round.min(DOUBLINGS_MAX)).min(cap)
    }

    pub(super) fn resend_interval(&self) -> Millis {
        self.rules.request_timeout_ms.clamp(RESEND_MS_MIN, RESEND_MS_MAX)
    }

    /// When (`Now::elapsed`) a block with transactions is due.
    fn due_with_transactions(&self, now: Now) -> Millis {
        let period = self.rules.block_period_ms;
        let by_timer = self.begun.saturating_add(period);
        if period == 0 || !period.is_multiple_of(1000) {
            return by_timer;
        }
        // Whole seconds: at the second the header will carry, so that blocks keep the beat
        // however long the last one took. A wall clock that was set back costs one period.
        let at = self.unix_millis(self.earliest());
        let by_clock = now.elapsed.saturating_add(at.saturating_sub(now.unix));
        by_clock.min(by_timer)
    }

    /// When a block without transactions is due; `None`: never.
    fn due_without_transactions(&self, now: Now) -> Option<Millis> {
        let with = self.due_with_transactions(now);
        match self.rules.empty_block_period_ms {
            Some(empty) if empty > self.rules.block_period_ms => {
                Some(self.begun.saturating_add(empty).max(with))
            }
            _ if self.rules.block_period_ms == 0 => None,
            _ => Some(with),
        }
    }

    /// Whether an empty block may be proposed in round 0.
    pub(super) fn empty_block_is_due(&self, now: Now) -> bool {
        self.due_without_transactions(now).is_some_and(|due| due <= now.elapsed)
    }

    /// When round 0 may begin.
    pub(super) fn due(&self, waiting_since: Option<Millis>, now: Now) -> Option<Millis> {
        let empty = self.due_without_transactions(now);
        let full = waiting_since.map(|since| self.due_with_transactions(now).max(since));
        empty.into_iter().chain(full).min()
    }
}

impl Ibft {
    /// Begins round 0 once a block is due, and takes that back when nothing waits any more.
    pub(super) fn begin_round_zero(&self, height: &mut Height, now: Now) {
        let round = &height.round;
        if round.number > 0 || round.accepted.is_some() || round.building.is_some() {
            return;
        }
        // Whoever voted in this round wants it to end.
        let bound = height.promises.sent.keys().any(|(round, _)| *round == 0);
        let is_due = height.due(self.waiting_since, now).is_some_and(|due| due <= now.elapsed);
        match (is_due || bound, height.round.since) {
            (true, None) => {
                height.round.since = Some(now.elapsed);
                height.round.resend_at = now.elapsed.saturating_add(height.resend_interval());
            }
            (true, Some(_)) => {}
            (false, _) => height.round.since = None,
        }
    }

    /// The timer of a later round starts when a quorum is known to be there, as in PBFT (Castro and
    /// Liskov 1999, 4.5.2). With timers that start at once and are capped, validators whose rounds
    /// are a little less than one timeout apart would follow each other for ever and never meet.
    pub(super) fn meet(&self, height: &mut Height, now: Now) {
        let round = &height.round;
        if round.number == 0 || round.met.is_some() {
            return;
        }
        let view = View { height: height.number, round: round.number };
        let is_here = |address: &&Address| {
            let heard = self.peers.seen(**address).heard;
            height.voter == Some(**address) || heard.is_some_and(|(seen, _)| seen >= view)
        };
        let here = height.validators.addresses().iter().filter(is_here).count();
        // An accepted proposal proves that a quorum asked for its round.
        if round.accepted.is_some() || here >= height.quorum || is_on(Bug::LonelyRounds) {
            height.round.met = Some(now.elapsed);
        }
    }

    /// When the current round is given up.
    pub(super) fn round_deadline(&self, height: &Height, now: Now) -> Option<Millis> {
        let round = &height.round;
        let started = if round.number == 0 { round.since } else { round.met };
        let timeout = height.timeout(round.number);
        let patience = match height.round.accepted {
            Some(_) => timeout,
            None => self.patience(height, timeout, now),
        };
        Some(started?.saturating_add(patience))
    }

    /// How long to wait for the proposer of this round.
    fn patience(&self, height: &Height, timeout: Millis, now: Now) -> Millis {
        let proposer = height.proposer(height.round.number);
        if Some(proposer) == height.voter {
            return timeout;
        }
        match self.peers.presence(proposer, now.elapsed, height.hearing_patience()) {
            Presence::Here if !self.peers.is_behind(proposer, height.parent.number) => timeout,
            // One that has still to catch up cannot propose.
            Presence::Here | Presence::Lost => {
                let half_a_period = (height.rules.block_period_ms / 2).max(EARLY_MS_MIN);
                (timeout / 8).clamp(EARLY_MS_MIN, half_a_period).min(timeout)
            }
            Presence::Unknown => timeout / 2,
        }
    }

    /// When to be woken; `None`: when something comes.
    pub(super) fn deadline(&self, height: &Height, now: Now) -> Option<Millis> {
        if height.decided.is_some() || height.voter.is_none() {
            return None;
        }
        let round = &height.round;
        let retry = height.known.iter().filter_map(|known| match known.progress {
            Progress::RetryAt(at) => Some(at),
            Progress::Running | Progress::Valid | Progress::Invalid => None,
        });
        let begun = round.since.is_some();
        let due = if begun { None } else { height.due(self.waiting_since, now) };
        let resend = begun.then_some(round.resend_at);
        let build = Some(round.build_after).filter(|at| begun && *at > now.elapsed);
        let times = [due, resend, build, self.round_deadline(height, now)];
        times.into_iter().flatten().chain(retry).min()
    }
}

impl Height {
    /// How long after a message over relays its author counts as here: two rounds.
    pub(super) fn hearing_patience(&self) -> Millis {
        let round = self.rules.request_timeout_ms.saturating_add(self.rules.block_period_ms);
        round.saturating_mul(2)
    }
}
