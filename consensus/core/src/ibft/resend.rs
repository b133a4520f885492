//! Says again what this node said last: regularly while a round takes too long, and to every peer
//! that (re)connects. Nothing new is ever said here.

use super::{Ibft, height::Height, payload::Kind, wire::Message};
use crate::engine::{Action, Now, Recipients, Step};
use entente_chain::NodeId;

impl Ibft {
    /// Sends our messages of this round again when their time has come.
    pub(super) fn resend_due(&self, height: &mut Height, now: Now, out: &mut Step) -> bool {
        if height.round.since.is_none() || now.elapsed < height.round.resend_at {
            return false;
        }
        height.round.resend_at = now.elapsed.saturating_add(height.resend_interval());
        // A proposal may be large: only while it has not reached a quorum.
        let prepared = height.prepared_now().is_some();
        resend(height, &Recipients::Everyone, !prepared, out);
        true
    }

    /// Tells a peer that just connected where we stand.
    pub(super) fn greet(&self, node: NodeId, out: &mut Step) {
        if let Some(height) = &self.height {
            resend(height, &Recipients::Node(node), true, out);
        }
    }
}

fn resend(height: &Height, to: &Recipients, with_proposal: bool, out: &mut Step) {
    let Some(own) = height.voter else { return };
    let round = height.round.number;
    let change = height.round.round_change.clone().map(Message::RoundChange);
    let proposal = height.round.proposal.clone().filter(|_| with_proposal).map(Message::Proposal);
    let prepare = height.votes.prepares.vote(round, own).cloned().map(Message::Prepare);
    // The newest commit, even of a round that was left: others may need just this seal.
    let newest = height.promises.sent.keys().rev().find(|(_, kind)| *kind == Kind::Commit);
    let commit = newest
        .and_then(|(round, _)| height.votes.commits.vote(*round, own))
        .map(|commit| Message::Commit(Box::new(commit.clone())));
    for message in [change, proposal, prepare, commit].into_iter().flatten() {
        let message = crate::Message::Ibft(message);
        out.then(Action::Send { to: to.clone(), message });
    }
}
