//! Breaches that are provable with two signed messages, and the promises that keep us from one.

use super::{
    height::Height,
    payload::{Kind, View},
    record::Record,
};
use crate::engine::{Action, Evidence, Step};
use alloy_primitives::{Address, B256};

/// Reports of one height that are remembered; a validator that breaks rules on and on is not
/// reported for ever.
const REPORTS_MAX: usize = 1024;

impl Height {
    /// Reports a breach, once for each author, type and round.
    pub(super) fn report(
        &mut self,
        validator: Address,
        kind: Kind,
        round: u64,
        found: (&'static str, B256, B256),
        out: &mut Step,
    ) {
        let reported = &mut self.votes.reported;
        if reported.len() >= REPORTS_MAX || !reported.insert((validator, kind, round)) {
            return;
        }
        let (what, first, second) = found;
        let (height, digests) = (self.number, (first, second));
        out.then(Action::Report(Evidence { validator, height, round, what, digests }));
    }

    /// Binds this node to a vote of the current round before it is sent (S6). False when it voted
    /// already, for this or another block.
    pub(super) fn promise(&mut self, kind: Kind, digest: B256, out: &mut Step) -> bool {
        let round = self.round.number;
        self.promise_in(round, kind, digest, out)
    }

    fn promise_in(&mut self, round: u64, kind: Kind, digest: B256, out: &mut Step) -> bool {
        if self.promises.sent.contains_key(&(round, kind)) {
            return false;
        }
        self.promises.sent.insert((round, kind), digest);
        let height = self.number;
        out.persist(crate::Record::Ibft(Record::VoteSent { height, round, kind, digest }));
        true
    }

    /// A vote under our own key came from outside: we lost our records, or somebody else has the
    /// key. Whatever it was, it binds us as well.
    pub(super) fn on_own_vote(&mut self, kind: Kind, view: View, digest: B256, out: &mut Step) {
        let Some(own) = self.voter else { return };
        match self.promises.sent.get(&(view.round, kind)).copied() {
            Some(ours) if ours == digest => {}
            Some(ours) => {
                let what = "another node signs with the key of this one";
                self.report(own, kind, view.round, (what, ours, digest), out);
            }
            // Only what could still be contradicted; this also bounds it.
            None if view.round == self.round.number => {
                self.promise_in(view.round, kind, digest, out);
            }
            None => {}
        }
    }
}
