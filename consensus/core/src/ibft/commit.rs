//! Commit phase: seals the prepared proposal, counts seals, and decides the block.
//!
//! Never decides a block that this node has not executed: a quorum seen early waits in the tally.

use super::{
    Ibft, Outcome,
    height::{Height, Progress},
    payload::{CommitPayload, Kind, Signed, View},
    proposal::send,
    record::Record,
    tally::Counted,
    wire::Message,
};
use crate::engine::{Action, Step};
use entente_chain::{RecoveredBlock, signer::SealSigner};

impl Ibft {
    /// Seals the proposal once a quorum prepared it. The certificate is durable before the seal
    /// leaves, else a restart could help to decide another block in the next round.
    pub(super) fn commit(&self, height: &mut Height, out: &mut Step) -> bool {
        let Some(signer) = &self.signer else { return false };
        let round = height.round.number;
        if height.promises.sent.contains_key(&(round, Kind::Commit)) {
            return false;
        }
        let Some(prepared) = height.prepared_now() else { return false };
        let digest = prepared.block.hash();
        let Some(commit) = self.sign_commit(height, &prepared.block, round, signer) else {
            return false;
        };
        out.persist(crate::Record::Ibft(Record::Prepared {
            height: height.number,
            round,
            block: Box::new(prepared.block.clone()),
            prepares: prepared.prepares.clone(),
        }));
        height.promises.prepared = Some(prepared);
        if !height.promise(Kind::Commit, digest, out) {
            return false;
        }
        height.votes.commits.insert(commit.clone());
        send(Message::Commit(Box::new(commit)), out);
        true
    }

    pub(super) fn sign_commit(
        &self,
        height: &Height,
        block: &RecoveredBlock,
        round: u64,
        signer: &SealSigner,
    ) -> Option<Signed<CommitPayload>> {
        let seal_digest = height.format.commit_digest(block, round)?;
        let view = View { height: height.number, round };
        let seal = signer.sign(seal_digest);
        let payload = CommitPayload { view, digest: block.hash(), seal_digest, seal };
        Some(Signed::sign(payload, self.settings.environment, signer))
    }

    pub(super) fn on_commit(
        height: &mut Height,
        commit: &Signed<CommitPayload>,
        out: &mut Step,
    ) -> Outcome {
        let payload = *commit.payload();
        let round = payload.view.round;
        if let Some(known) = height.known(payload.digest)
            && height.format.commit_digest(&known.block, round) != Some(payload.seal_digest)
        {
            let what = "sealed another header than it voted for";
            let found = (what, payload.digest, payload.seal_digest);
            height.report(commit.author(), Kind::Commit, round, found, out);
            return Outcome::Ignored;
        }
        match height.votes.commits.insert(commit.clone()) {
            Counted::New => Outcome::New,
            Counted::Known => Outcome::Known,
            Counted::Conflict(earlier) => {
                let what = "committed to two blocks in one round";
                let found = (what, earlier, payload.digest);
                height.report(commit.author(), Kind::Commit, round, found, out);
                Outcome::Ignored
            }
        }
    }

    /// Adopts a block with a quorum of seals. Those of a round that was left count as well: what a
    /// quorum has sealed is decided, wherever this node is by now.
    pub(super) fn decide(&self, height: &mut Height, out: &mut Step) -> bool {
        let valid = height.known.iter().filter(|known| {
            known.progress == Progress::Valid && height.lies_on_parent(&known.block)
        });
        let rounds = height.votes.commits.rounds();
        let decided = valid
            .flat_map(|known| rounds.iter().map(move |round| (&known.block, *round)))
            .find_map(|(block, round)| height.sealed(block, round));
        let Some(block) = decided else { return false };
        height.decided = Some(block.hash());
        out.then(Action::Adopt(block));
        true
    }
}

impl Height {
    /// The block with its seals, when a quorum made them in `round`.
    fn sealed(&self, block: &RecoveredBlock, round: u64) -> Option<RecoveredBlock> {
        let digest = block.hash();
        if self.votes.commits.count(round, digest) < self.quorum {
            return None;
        }
        let expected = self.format.commit_digest(block, round)?;
        // One vote per author, ascending by author: seals are distinct whatever form they have.
        let seals: Vec<_> = self
            .votes
            .commits
            .of(round, digest)
            .filter(|commit| commit.payload().seal_digest == expected)
            .map(|commit| commit.payload().seal)
            .collect();
        if seals.len() < self.quorum {
            return None;
        }
        self.format.resealed(block, round, seals).ok()
    }
}
