//! Why a round may begin and which block it may propose: the predicates of the QBFT specification
//! (`validRoundChange`, `isHighestPrepared`, `isProposalJustification`), pure.

use super::{
    payload::{PreparePayload, RoundChangePayload, Signed, View},
    wire::{Proposal, RoundChange},
};
use crate::sabotage::{Bug, is_on};
use alloy_primitives::{Address, B256};
use entente_chain::ValidatorSet;
use std::collections::BTreeSet;

/// Who decides a height.
#[derive(Clone, Copy)]
pub(super) struct Voters<'a> {
    pub(super) validators: &'a ValidatorSet,
    pub(super) quorum: usize,
}

/// What a proposal may contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Justified {
    /// A block of this round's proposer.
    Fresh,
    /// A block that a quorum prepared before.
    Prepared,
}

impl Voters<'_> {
    /// `isProposalJustification`, but for the block's content.
    pub(super) fn check_proposal(self, proposal: &Proposal) -> Result<Justified, &'static str> {
        let payload = proposal.signed.payload();
        let changes = &proposal.round_changes;
        if payload.view.round == 0 {
            return match changes.is_empty() && proposal.prepares.is_empty() {
                true => Ok(Justified::Fresh),
                false => Err("a proposal of round 0 carries a justification"),
            };
        }
        // electroneum-sc#64: every one of them must ask for exactly this height and round.
        for change in changes.iter().filter(|_| !is_on(Bug::StaleJustification)) {
            self.check_round_change(change, payload.view)?;
        }
        if distinct(changes.iter().map(Signed::author)) < self.quorum {
            return Err("fewer round changes than a quorum justify the proposal");
        }
        let prepared = changes.iter().map(|change| change.payload());
        let highest = prepared.clone().filter_map(|change| change.prepared).max_by_key(|p| p.0);
        let Some((round, _)) = highest else {
            return match proposal.prepares.is_empty() {
                true => Ok(Justified::Fresh),
                false => Err("prepares justify a proposal although nothing was prepared"),
            };
        };
        let named = Some((round, payload.digest));
        if is_on(Bug::AnyPrepared) {
            return Ok(Justified::Fresh);
        }
        if !prepared.clone().any(|change| change.prepared == named) {
            return Err("the proposal is not the block with the highest prepared round");
        }
        let view = View { height: payload.view.height, round };
        self.check_certificate(&proposal.prepares, view, payload.digest)?;
        Ok(Justified::Prepared)
    }

    /// `validRoundChange`: asks for `view`, and prepared an earlier round if any.
    pub(super) fn check_round_change(
        self,
        change: &Signed<RoundChangePayload>,
        view: View,
    ) -> Result<(), &'static str> {
        let payload = change.payload();
        if payload.view != view {
            return Err("a round change asks for another height or round");
        }
        // sigp/anchor#592: a round cannot be prepared before it begins.
        if payload.prepared.is_some_and(|(round, _)| round >= view.round) {
            return Err("a round change names a prepared round that is not before its own");
        }
        match self.validators.contains(change.author()) {
            true => Ok(()),
            false => Err("a round change is not of a validator"),
        }
    }

    /// A whole round change message: its payload, and the certificate of the block it names.
    pub(super) fn check_message(self, change: &RoundChange) -> Result<(), &'static str> {
        let payload = change.signed.payload();
        if payload.view.round == 0 {
            return Err("a round change asks for round 0");
        }
        self.check_round_change(&change.signed, payload.view)?;
        match (payload.prepared, &change.block) {
            (None, None) => Ok(()),
            (Some((round, digest)), Some(block)) if block.hash() == digest => {
                let view = View { height: payload.view.height, round };
                self.check_certificate(&change.prepares, view, digest)
            }
            _ => Err("a round change does not carry the block it names"),
        }
    }

    /// A quorum of distinct validators prepared `digest` in `view`.
    pub(super) fn check_certificate(
        self,
        prepares: &[Signed<PreparePayload>],
        view: View,
        digest: B256,
    ) -> Result<(), &'static str> {
        for prepare in prepares {
            if *prepare.payload() != (PreparePayload { view, digest }) {
                return Err("a prepare of the certificate is for another block or round");
            }
            if !self.validators.contains(prepare.author()) {
                return Err("a prepare of the certificate is not of a validator");
            }
        }
        match distinct(prepares.iter().map(Signed::author)) >= self.quorum {
            true => Ok(()),
            false => Err("fewer prepares than a quorum certify the block"),
        }
    }
}

/// A signer counts once, however often it is listed.
fn distinct(authors: impl Iterator<Item = Address>) -> usize {
    authors.collect::<BTreeSet<_>>().len()
}
