//! Round changes: gives up on a round that leads nowhere, and follows when others did.

use super::{
    Ibft, Outcome,
    height::{Height, Prepared, Round},
    payload::{Kind, RoundChangePayload, Signed, View},
    peers::Presence,
    proposal::send,
    record::Record,
    wire::{Message, RoundChange},
};
use crate::{
    engine::{Now, Step},
    sabotage::{Bug, is_on},
};
use alloy_primitives::B256;
use entente_chain::{limits::ROUND_MAX, signer::SealSigner};

/// How many rounds a single validator may pull this node ahead at once: what one that was alone
/// passes in three days with a cap of a minute, and a millionth of what there is.
const LEAP_MAX: u64 = 4096;

impl Ibft {
    /// Gives up on the current round when its time is over.
    pub(super) fn expire_round(&self, height: &mut Height, now: Now, out: &mut Step) -> bool {
        if self.round_deadline(height, now).is_none_or(|deadline| now.elapsed < deadline) {
            return false;
        }
        let next = self.round_after(height, now);
        self.change_round(height, next, now, out);
        true
    }

    /// The next round; or a higher one in which somebody already waits, when the validators that
    /// can be reached and are not ahead are too few for a quorum. Without this a validator that
    /// was alone for long is met again only after all the timeouts in between (goal L3).
    fn round_after(&self, height: &Height, now: Now) -> u64 {
        let next = height.round.number.saturating_add(1).min(ROUND_MAX);
        let patience = height.hearing_patience();
        let ahead = |address| {
            let change = height.votes.round_changes.get(&address)?;
            let round = change.signed.payload().view.round;
            (round > next).then_some(round)
        };
        let addresses = height.validators.addresses().iter().copied();
        let beside = addresses.clone().filter(|address| {
            let own = height.voter == Some(*address);
            let here = self.peers.presence(*address, now.elapsed, patience) == Presence::Here;
            (own || here) && ahead(*address).is_none()
        });
        if beside.count() >= height.quorum || is_on(Bug::LonelyRounds) {
            return next;
        }
        let leap = next.saturating_add(LEAP_MAX);
        addresses.filter_map(ahead).min().map_or(next, |round| round.min(leap))
    }

    /// F+1 validators want higher rounds: one of them is honest, so go to the lowest of these.
    pub(super) fn follow_round_changes(
        &self,
        height: &mut Height,
        now: Now,
        out: &mut Step,
    ) -> bool {
        let current = height.round.number;
        let rounds = height.votes.round_changes.values().map(|c| c.signed.payload().view.round);
        let higher = rounds.filter(|round| *round > current);
        let ignored = match () {
            () if is_on(Bug::FollowOne) => 0,
            () if is_on(Bug::LonelyRounds) => usize::MAX,
            () => height.validators.faults(),
        };
        if higher.clone().count() <= ignored {
            return false;
        }
        let Some(lowest) = higher.min() else { return false };
        self.change_round(height, lowest, now, out);
        true
    }

    /// Moves to a round and asks the others to come along.
    pub(super) fn change_round(&self, height: &mut Height, round: u64, now: Now, out: &mut Step) {
        height.enter_round(round, now);
        let Some(signer) = &self.signer else { return };
        let Some(own) = height.voter else { return };
        out.persist(crate::Record::Ibft(Record::RoundReached { height: height.number, round }));
        let change = self.round_change(height, round, height.promises.prepared.as_ref(), signer);
        height.votes.round_changes.insert(own, change.clone());
        let change = Box::new(change);
        height.round.round_change = Some(change.clone());
        send(Message::RoundChange(change), out);
    }

    /// Our round change to a round, with the newest certificate of the rounds before.
    pub(super) fn round_change(
        &self,
        height: &Height,
        round: u64,
        prepared: Option<&Prepared>,
        signer: &SealSigner,
    ) -> RoundChange {
        let prepared = prepared.filter(|_| !is_on(Bug::ForgottenLock));
        let payload = RoundChangePayload {
            view: View { height: height.number, round },
            prepared: prepared.map(|lock| (lock.round, lock.block.hash())),
        };
        RoundChange {
            signed: Signed::sign(payload, self.settings.environment, signer),
            block: prepared.map(|lock| lock.block.clone()),
            prepares: prepared.map(|lock| lock.prepares.clone()).unwrap_or_default(),
        }
    }

    pub(super) fn on_round_change(
        height: &mut Height,
        change: &RoundChange,
        out: &mut Step,
    ) -> Outcome {
        let payload = *change.signed.payload();
        let round = payload.view.round;
        let author = change.signed.author();
        if let Some(earlier) = height.votes.round_changes.get(&author) {
            let earlier = *earlier.signed.payload();
            if earlier.view.round == round && earlier.prepared != payload.prepared {
                let digest =
                    |change: RoundChangePayload| change.prepared.map_or(B256::ZERO, |p| p.1);
                let what = "asked for one round with two different certificates";
                let found = (what, digest(earlier), digest(payload));
                height.report(author, Kind::RoundChange, round, found, out);
                return Outcome::Ignored;
            }
            if earlier.view.round >= round {
                return Outcome::Known;
            }
        }
        if let Err(reason) = height.voters().check_message(change) {
            return Outcome::Refused(reason);
        }
        // GHSA-23rh: one per validator, its highest.
        height.votes.round_changes.insert(author, change.clone());
        Outcome::New
    }
}

impl Height {
    /// Begins a round, without a word to others.
    pub(super) fn enter_round(&mut self, round: u64, now: Now) {
        self.round = Round {
            number: round,
            since: Some(now.elapsed),
            resend_at: now.elapsed.saturating_add(self.resend_interval()),
            ..Round::default()
        };
        self.votes.prepares.forget_below(round);
    }
}
