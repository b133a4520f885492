//! Claims that something was prepared that was not, leaves justifications out, and uses stale ones.

use super::{Means, Said};
use alloy_primitives::{B256, Bytes};
use entente_consensus::{
    Message,
    ibft::{self, Proposal, ProposalPayload, RoundChange, RoundChangePayload, Signed},
};

pub(super) fn distort(message: &Message, frame: &Bytes, means: &mut Means<'_>) -> Vec<Said> {
    let Message::Ibft(message) = message else { return vec![Said::to_all(frame.clone())] };
    let bad = match message {
        ibft::Message::RoundChange(change) => Some(bad_round_change(change, means)),
        ibft::Message::Proposal(proposal) if proposal.signed.payload().view.round > 0 => {
            Some(bad_proposal(proposal, means))
        }
        _ => None,
    };
    match bad {
        Some(bad) if means.random.percent(75) => vec![Said::to_all(Message::Ibft(bad).encode())],
        _ => vec![Said::to_all(frame.clone())],
    }
}

fn bad_round_change(change: &RoundChange, means: &mut Means<'_>) -> ibft::Message {
    let payload = *change.signed.payload();
    let view = payload.view;
    let (prepared, keep) = match means.random.below(3) {
        // Prepared in a round that never was.
        0 => (Some((view.round.saturating_sub(1), B256::repeat_byte(0xdd))), true),
        // Nothing prepared, although there is.
        1 => (None, false),
        // In another round than the certificate says.
        _ => (payload.prepared.map(|(round, digest)| (round.saturating_add(1), digest)), true),
    };
    let payload = RoundChangePayload { view, prepared };
    let signed = Signed::sign(payload, means.environment, means.signer);
    let block = change.block.clone().filter(|_| keep);
    let prepares = if keep { change.prepares.clone() } else { Vec::new() };
    ibft::Message::RoundChange(Box::new(RoundChange { signed, block, prepares }))
}

fn bad_proposal(proposal: &Proposal, means: &mut Means<'_>) -> ibft::Message {
    let view = proposal.signed.payload().view;
    let payload = ProposalPayload { view, digest: proposal.block.hash() };
    let mut round_changes = proposal.round_changes.clone();
    match means.random.below(3) {
        0 => round_changes.truncate(1),
        1 => round_changes.rotate_left(1),
        _ => {
            let first = round_changes.first().cloned();
            round_changes.extend(first);
            round_changes.pop();
        }
    }
    let prepares = if means.random.percent(50) { Vec::new() } else { proposal.prepares.clone() };
    ibft::Message::Proposal(Box::new(Proposal {
        signed: Signed::sign(payload, means.environment, means.signer),
        block: proposal.block.clone(),
        round_changes,
        prepares,
    }))
}
