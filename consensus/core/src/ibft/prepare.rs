//! Prepare phase: says that the accepted proposal is valid, and counts who else says so.

use super::{
    Ibft, Outcome,
    height::{Height, Prepared},
    payload::{Kind, PreparePayload, Signed, View},
    proposal::send,
    tally::Counted,
    wire::Message,
};
use crate::{
    engine::Step,
    sabotage::{Bug, is_on},
};
use entente_chain::limits::VALIDATORS_MAX;

impl Ibft {
    /// Prepares the accepted proposal once it was executed.
    pub(super) fn prepare(&self, height: &mut Height, out: &mut Step) -> bool {
        let Some(digest) = height.valid_proposal().map(|block| block.hash()) else { return false };
        let Some(signer) = &self.signer else { return false };
        // B2: at most one digest per height and round, over restarts too.
        if !height.promise(Kind::Prepare, digest, out) {
            return false;
        }
        let view = View { height: height.number, round: height.round.number };
        let payload = PreparePayload { view, digest };
        let prepare = Signed::sign(payload, self.settings.environment, signer);
        height.votes.prepares.insert(prepare.clone());
        send(Message::Prepare(prepare), out);
        true
    }

    pub(super) fn on_prepare(
        height: &mut Height,
        prepare: &Signed<PreparePayload>,
        out: &mut Step,
    ) -> Outcome {
        let PreparePayload { view, digest } = *prepare.payload();
        if view.round < height.round.number {
            return Outcome::Known;
        }
        match height.votes.prepares.insert(prepare.clone()) {
            Counted::New => Outcome::New,
            Counted::Known => Outcome::Known,
            Counted::Conflict(earlier) => {
                let what = "prepared two blocks in one round";
                let found = (what, earlier, digest);
                height.report(prepare.author(), Kind::Prepare, view.round, found, out);
                Outcome::Ignored
            }
        }
    }
}

impl Height {
    /// The quorum of prepares for the accepted and valid proposal of this round.
    pub(super) fn prepared_now(&self) -> Option<Prepared> {
        let round = self.round.number;
        let block = self.valid_proposal()?;
        let digest = block.hash();
        let quorum = if is_on(Bug::Unprepared) { 1 } else { self.quorum };
        if self.votes.prepares.count(round, digest) < quorum {
            return None;
        }
        let prepares: Vec<_> =
            self.votes.prepares.of(round, digest).take(VALIDATORS_MAX).cloned().collect();
        let block = self.format.resealed(block, round, Vec::new()).ok()?;
        Some(Prepared { round, block, prepares })
    }
}
