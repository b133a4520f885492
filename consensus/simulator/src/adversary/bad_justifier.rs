//! Claims that something was prepared that was not, leaves justifications out, and uses stale ones.

use super::{Means, Said};
use alloy_primitives::{B256, Bytes};
use entente_chain::{
    RecoveredBlock, SealedHeader, extra_data::qbft::QbftExtra, header_hash::block_hash,
    spec::EngineKind,
};
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
    let mut view = proposal.signed.payload().view;
    let mut block = proposal.block.clone();
    let mut round_changes = proposal.round_changes.clone();
    match means.random.below(4) {
        0 => round_changes.truncate(1),
        1 => round_changes.rotate_left(1),
        // electroneum-sc#64: those of this round, for the next one that is ours.
        2 => {
            if let Some((round, later)) = next_turn(&block, view.round) {
                (view.round, block) = (round, later);
            }
        }
        _ => {
            let first = round_changes.first().cloned();
            round_changes.extend(first);
            round_changes.pop();
        }
    }
    let prepares = if means.random.percent(50) { Vec::new() } else { proposal.prepares.clone() };
    let payload = ProposalPayload { view, digest: block.hash() };
    let signed = Signed::sign(payload, means.environment, means.signer);
    ibft::Message::Proposal(Box::new(Proposal { signed, block, round_changes, prepares }))
}

/// The block as its proposer may propose it when its turn comes again.
fn next_turn(block: &RecoveredBlock, round: u64) -> Option<(u64, RecoveredBlock)> {
    let mut extra = QbftExtra::decode(&block.header.extra_data).ok()?;
    let round = round.saturating_add(extra.validators.len() as u64);
    extra.round = round;
    let mut header = block.header.header().clone();
    header.extra_data = extra.encode();
    // The round is no part of the hash.
    let hash = block_hash(EngineKind::Qbft, &header).ok()?;
    Some((round, block.with_header(SealedHeader::new(header, hash))))
}
