//! B2, B4: what an honest validator says under IBFT is backed by what others said. Proposals and
//! votes are noted as they arrive anywhere, liars' ones included; then every prepare, commit and
//! round change of an honest validator needs its justification among them.

use super::{Finding, finding};
use alloy_primitives::{Address, B256};
use entente_chain::BlockNumber;
use entente_consensus::ibft::{
    Message, PreparePayload, Proposal, RoundChangePayload, Signed, View,
};
use std::collections::{BTreeMap, BTreeSet};

/// Height, round and block.
type Slot = (BlockNumber, u64, B256);

/// What was heard.
#[derive(Debug, Default)]
pub(super) struct Certificates {
    prepares: BTreeMap<Slot, BTreeSet<Address>>,
    /// Proposals above round 0 by what they propose; a liar may justify one in several ways.
    proposals: BTreeMap<Slot, Vec<Reasons>>,
    /// Those of them that are justified.
    justified: BTreeSet<Slot>,
}

/// Why a proposal is made.
#[derive(Debug, PartialEq, Eq)]
struct Reasons {
    round_changes: Vec<Signed<RoundChangePayload>>,
    prepares: Vec<Signed<PreparePayload>>,
}

/// Who votes at a height, and how many are needed.
#[derive(Clone, Copy)]
pub(super) struct Electors<'a> {
    pub(super) all: &'a BTreeSet<Address>,
    pub(super) quorum: usize,
}

impl Electors<'_> {
    fn count(&self, authors: impl Iterator<Item = Address>) -> usize {
        authors.filter(|author| self.all.contains(author)).collect::<BTreeSet<_>>().len()
    }

    fn suffice(&self, authors: impl Iterator<Item = Address>) -> bool {
        self.count(authors) >= self.quorum
    }
}

impl Certificates {
    /// A message arrived at an honest node, or is said by one.
    pub(super) fn heard(&mut self, message: &Message) {
        let view = message.view();
        match message {
            Message::Prepare(prepare) => self.note(prepare),
            Message::Proposal(proposal) if view.round > 0 => {
                let slot = (view.height, view.round, proposal.signed.payload().digest);
                let Proposal { round_changes, prepares, .. } = &**proposal;
                let known = self.proposals.entry(slot).or_default();
                let same = |reasons: &Reasons| {
                    reasons.round_changes == *round_changes && reasons.prepares == *prepares
                };
                if !self.justified.contains(&slot) && !known.iter().any(same) {
                    let (round_changes, prepares) = (round_changes.clone(), prepares.clone());
                    known.push(Reasons { round_changes, prepares });
                }
                prepares.iter().for_each(|prepare| self.note(prepare));
            }
            Message::RoundChange(change) => {
                change.prepares.iter().for_each(|prepare| self.note(prepare));
            }
            Message::Proposal(_) | Message::Commit(_) => {}
        }
    }

    fn is_justified(&mut self, slot: Slot, electors: Electors<'_>) -> bool {
        let known = self.proposals.get(&slot).into_iter().flatten();
        let found = slot.1 == 0
            || self.justified.contains(&slot)
            || known.into_iter().any(|reasons| reasons.suffice(slot, electors));
        if found {
            self.justified.insert(slot);
        }
        found
    }

    /// Carried by another message.
    fn note(&mut self, prepare: &Signed<PreparePayload>) {
        let PreparePayload { view, digest } = *prepare.payload();
        let slot = (view.height, view.round, digest);
        self.prepares.entry(slot).or_default().insert(prepare.author());
    }

    /// An honest validator says something.
    pub(super) fn said(
        &mut self,
        message: &Message,
        electors: Electors<'_>,
    ) -> Result<(), Finding> {
        self.heard(message);
        let (author, view) = (message.author(), message.view());
        if !electors.all.contains(&author) {
            return Ok(());
        }
        let (height, round) = (view.height, view.round);
        match message {
            Message::Prepare(prepare) => {
                let slot = (height, round, prepare.payload().digest);
                let backed = self.is_justified(slot, electors);
                let what = "a proposal that nothing justifies";
                judge("B4", backed, || format!("{author} accepts {what}: {slot:?}"))
            }
            Message::Commit(commit) => {
                let slot = (height, round, commit.payload().digest);
                let backed = self.is_prepared(&slot, electors);
                judge("B2", backed, || format!("{author} commits without a quorum: {slot:?}"))
            }
            Message::RoundChange(change) => {
                let Some((prepared, digest)) = change.signed.payload().prepared else {
                    return Ok(());
                };
                let slot = (height, prepared, digest);
                let backed = prepared < round && self.is_prepared(&slot, electors);
                judge("B4", backed, || format!("{author} was never shown {slot:?} prepared"))
            }
            Message::Proposal(proposal) => {
                let slot = (height, round, proposal.signed.payload().digest);
                let backed = self.is_justified(slot, electors);
                judge("B4", backed, || format!("{author} proposes {view:?} without a reason"))
            }
        }
    }

    fn is_prepared(&self, slot: &Slot, electors: Electors<'_>) -> bool {
        let authors = self.prepares.get(slot).into_iter().flatten().copied();
        electors.suffice(authors)
    }
}

fn judge(checker: &'static str, holds: bool, what: impl FnOnce() -> String) -> Result<(), Finding> {
    if holds { Ok(()) } else { finding(checker, what()) }
}

impl Reasons {
    /// Round changes of a quorum for exactly this round; of the blocks they name as prepared, the one
    /// of the highest round, with a quorum of prepares of that round; a free choice if they name none.
    fn suffice(&self, (height, round, digest): Slot, electors: Electors<'_>) -> bool {
        let view = View { height, round };
        let changes = || self.round_changes.iter().filter(|change| change.payload().view == view);
        let foreign = changes().count() < self.round_changes.len();
        if foreign || !electors.suffice(changes().map(Signed::author)) {
            return false;
        }
        let named: BTreeSet<_> = changes().filter_map(|change| change.payload().prepared).collect();
        let Some((highest, _)) = named.last().copied() else { return true };
        let of_it = self.prepares.iter().filter(|prepare| {
            let PreparePayload { view: at, digest: block } = *prepare.payload();
            at == View { height, round: highest } && block == digest
        });
        let chosen = named.contains(&(highest, digest)) && highest < round;
        chosen && electors.suffice(of_it.map(Signed::author))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{environment, key};
    use entente_consensus::ibft::RoundChange;

    const BLOCK: B256 = B256::repeat_byte(7);

    fn prepare(index: usize, round: u64) -> Message {
        let view = View { height: 1, round };
        let payload = PreparePayload { view, digest: BLOCK };
        Message::Prepare(Signed::sign(payload, environment(B256::ZERO), &key(index)))
    }

    #[test]
    fn what_was_not_prepared_by_a_quorum_cannot_be_claimed() {
        let all: BTreeSet<_> = (0..4).map(|index| key(index).address()).collect();
        let electors = Electors { all: &all, quorum: 3 };
        let mut certificates = Certificates::default();
        let payload =
            RoundChangePayload { view: View { height: 1, round: 1 }, prepared: Some((0, BLOCK)) };
        let signed = Signed::sign(payload, environment(B256::ZERO), &key(0));
        let change = RoundChange { signed, block: None, prepares: Vec::new() };
        let change = Message::RoundChange(Box::new(change));
        for (voter, claimed) in [(0, false), (1, false), (1, false), (2, true)] {
            certificates.heard(&prepare(voter, 0));
            assert_eq!(certificates.said(&change, electors).is_ok(), claimed);
        }
    }

    #[test]
    fn a_prepare_of_a_later_round_needs_a_justified_proposal() {
        let all: BTreeSet<_> = (0..4).map(|index| key(index).address()).collect();
        let electors = Electors { all: &all, quorum: 3 };
        let mut certificates = Certificates::default();
        assert!(certificates.said(&prepare(0, 0), electors).is_ok());
        let found = certificates.said(&prepare(0, 1), electors).err();
        assert_eq!(found.map(|found| found.checker), Some("B4"));
    }
}
