//! Says one thing to one half, and another to the other half: two blocks as a proposer, two digests as
//! a voter.

use super::{Means, Said, forker::other_block};
use alloy_primitives::{B256, Bytes};
use entente_consensus::{
    Message,
    ibft::{self, CommitPayload, PreparePayload, Proposal, ProposalPayload, Signed},
};

pub(super) fn distort(message: &Message, frame: &Bytes, means: &mut Means<'_>) -> Vec<Said> {
    let Message::Ibft(message) = message else { return vec![Said::to_all(frame.clone())] };
    let Some(other) = other_message(message, means) else {
        return vec![Said::to_all(frame.clone())];
    };
    let other = Message::Ibft(other).encode();
    (0..means.nodes)
        .map(|node| {
            let frame = if node % 2 == 0 { frame } else { &other };
            Said { to: Some(node), frame: frame.clone(), delay: 0 }
        })
        .collect()
}

fn other_message(message: &ibft::Message, means: &mut Means<'_>) -> Option<ibft::Message> {
    let (environment, signer) = (means.environment, means.signer);
    Some(match message {
        ibft::Message::Proposal(proposal) => {
            let block = other_block(&proposal.block, means.signer)?;
            let view = proposal.signed.payload().view;
            let payload = ProposalPayload { view, digest: block.hash() };
            let signed = Signed::sign(payload, environment, signer);
            let (round_changes, prepares) =
                (proposal.round_changes.clone(), proposal.prepares.clone());
            ibft::Message::Proposal(Box::new(Proposal { signed, block, round_changes, prepares }))
        }
        ibft::Message::Prepare(prepare) => {
            let view = prepare.payload().view;
            let payload = PreparePayload { view, digest: B256::repeat_byte(0xee) };
            ibft::Message::Prepare(Signed::sign(payload, environment, signer))
        }
        ibft::Message::Commit(commit) => {
            let digest = B256::repeat_byte(0xee);
            let payload = CommitPayload { digest, ..*commit.payload() };
            ibft::Message::Commit(Box::new(Signed::sign(payload, environment, signer)))
        }
        ibft::Message::RoundChange(_) => return None,
    })
}
