//! Proposes a block of its own, with the justification that belongs to another one.

use super::{Means, Said};
use alloy_primitives::Bytes;
use entente_chain::{
    RecoveredBlock, SealedHeader,
    extra_data::{istanbul::IstanbulExtra, qbft::QbftExtra},
    header_hash::{block_hash, istanbul_proposer_digest},
    signer::SealSigner,
    spec::EngineKind,
};
use entente_consensus::{
    Message,
    ibft::{self, Proposal, ProposalPayload, Signed},
};

pub(super) fn distort(message: &Message, frame: &Bytes, means: &mut Means<'_>) -> Vec<Said> {
    let Message::Ibft(ibft::Message::Proposal(proposal)) = message else {
        return vec![Said::to_all(frame.clone())];
    };
    let block = match means.random.percent(70) {
        true => other_block(&proposal.block, means.signer),
        false => None,
    };
    let Some(block) = block else { return vec![Said::to_all(frame.clone())] };
    let payload = ProposalPayload { view: proposal.signed.payload().view, digest: block.hash() };
    let forked = Proposal {
        signed: Signed::sign(payload, means.environment, means.signer),
        block,
        round_changes: proposal.round_changes.clone(),
        prepares: proposal.prepares.clone(),
    };
    vec![Said::to_all(Message::Ibft(ibft::Message::Proposal(Box::new(forked))).encode())]
}

/// A block with the same content and another hash: its vanity differs.
pub(super) fn other_block(block: &RecoveredBlock, signer: &SealSigner) -> Option<RecoveredBlock> {
    let mut header = block.header.header().clone();
    let kind = match QbftExtra::decode(&header.extra_data) {
        Ok(mut extra) => {
            extra.vanity.0[31] ^= 1;
            header.extra_data = extra.encode();
            EngineKind::Qbft
        }
        Err(_) => {
            let mut extra = IstanbulExtra::decode(&header.extra_data).ok()?;
            extra.vanity.0[31] ^= 1;
            extra.proposer_seal = Some(signer.sign(istanbul_proposer_digest(&header, &extra)));
            header.extra_data = extra.encode();
            EngineKind::Istanbul
        }
    };
    let hash = block_hash(kind, &header).ok()?;
    Some(block.with_header(SealedHeader::new(header, hash)))
}
