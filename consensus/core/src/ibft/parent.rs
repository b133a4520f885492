//! The block below may change while a height is decided: Clique made it, and Clique's blocks are not
//! final. The height decides on that block as well, as the parent is part of what is voted for. So
//! what was said on one parent counts on the other, and who may have helped to decide a block goes
//! back to its parent ([`Ibft::wanted_parent`]) instead of helping to decide another one.

use super::{
    Ibft,
    height::{Height, Progress, Round},
};
use crate::engine::Now;
use alloy_primitives::B256;
use entente_chain::RecoveredBlock;

impl Height {
    /// Goes on with the same height on another parent.
    pub(super) fn go_on_from(&mut self, before: Self, now: Now) {
        // Clique votes on signers: these voters may be others, and others' votes say nothing here.
        if before.validators != self.validators {
            self.promises.sent = before.promises.sent;
            return;
        }
        self.promises = before.promises;
        self.votes.prepares = before.votes.prepares;
        self.votes.commits = before.votes.commits;
        self.votes.round_changes = before.votes.round_changes;
        self.known = before.known;
        for known in &mut self.known {
            // What was executed went with the parent.
            known.progress = Progress::RetryAt(now.elapsed);
        }
        let Round { number, since, met, accepted, proposal, round_change, .. } = before.round;
        let lies_here = |block: &RecoveredBlock| block.header.parent_hash == self.parent.hash();
        let here = |digest: &B256| self.known(*digest).is_some_and(|known| lies_here(&known.block));
        self.round = Round {
            number,
            since,
            met,
            accepted: accepted.filter(here),
            proposal: proposal.filter(|proposal| lies_here(&proposal.block)),
            round_change,
            resend_at: now.elapsed,
            ..Round::default()
        };
    }

    /// Whether a block lies on the head.
    pub(super) fn lies_on_parent(&self, block: &RecoveredBlock) -> bool {
        block.header.parent_hash == self.parent.hash()
    }

    /// The parent of a block that a quorum has sealed; else of the one that was prepared in the
    /// highest round, as far as this node has heard.
    fn wanted_parent(&self) -> Option<B256> {
        let rounds = self.votes.commits.rounds();
        let sealed = self.known.iter().map(|known| &known.block).find(|block| {
            let sealed = |round: &u64| self.votes.commits.count(*round, block.hash());
            rounds.iter().any(|round| sealed(round) >= self.quorum)
        });
        let changes = self.votes.round_changes.values().filter_map(|change| {
            Some((change.signed.payload().prepared?.0, change.block.as_ref()?))
        });
        let own = self.promises.prepared.iter().map(|lock| (lock.round, &lock.block));
        let prepared = own.chain(changes).max_by_key(|(round, _)| *round).map(|(_, block)| block);
        let wanted = sealed.or(prepared).filter(|block| block.header.number == self.number);
        wanted.map(|block| block.header.parent_hash)
    }
}

impl Ibft {
    /// The block that the next one must lie on; `None`: nothing binds us to any.
    pub(super) fn wanted_parent(&self) -> Option<B256> {
        let height = self.height.as_ref().filter(|_| self.parent_may_change())?;
        height.wanted_parent()
    }
}
