//! Takes up a height where a crash left it: in the recorded round, bound by the recorded votes.

use super::{
    Ibft,
    height::{Height, Prepared, Progress, Round},
    payload::{Kind, PreparePayload, Signed, View},
    record::Record,
};
use crate::engine::{Action, ChainPosition, Now, Step};

impl Ibft {
    /// Begins with what the disk knows. Records of heights that were decided are ignored.
    pub(super) fn recover(
        &mut self,
        position: ChainPosition,
        records: Vec<crate::Record>,
        now: Now,
        out: &mut Step,
    ) {
        self.begin_height(position, now, out);
        let Some(mut height) = self.height.take() else { return };
        let mut reached = 0;
        let mut locks: Vec<Prepared> = Vec::new();
        for record in records {
            let crate::Record::Ibft(record) = record else { continue };
            if record.height() != height.number {
                continue;
            }
            match record {
                Record::RoundReached { round, .. } => {
                    reached = reached.max(round);
                }
                Record::VoteSent { round, kind, digest, .. } => {
                    reached = reached.max(round);
                    height.promises.sent.insert((round, kind), digest);
                }
                Record::Prepared { round, block, prepares, .. } => {
                    reached = reached.max(round);
                    locks.push(Prepared { round, block: *block, prepares });
                }
            }
        }
        if !height.promises.sent.is_empty() || reached > 0 {
            // Our round change to this round named what was prepared before it; a block that was
            // prepared in this round since must not change what we say.
            let earlier = locks.iter().filter(|lock| lock.round < reached);
            let earlier = earlier.max_by_key(|lock| lock.round).cloned();
            height.promises.prepared = locks.into_iter().max_by_key(|lock| lock.round);
            self.resume(&mut height, reached, earlier.as_ref(), now, out);
        }
        self.height = Some(height);
    }

    /// Restores the round and our own votes in it.
    fn resume(
        &self,
        height: &mut Height,
        round: u64,
        earlier: Option<&Prepared>,
        now: Now,
        out: &mut Step,
    ) {
        let (Some(signer), Some(own)) = (self.signer.clone(), height.voter) else { return };
        height.round = Round {
            number: round,
            since: Some(now.elapsed),
            // At once, and then regularly: the others may have waited for these.
            resend_at: now.elapsed,
            ..Round::default()
        };
        if round > 0 {
            let change = self.round_change(height, round, earlier, &signer);
            height.votes.round_changes.insert(own, change.clone());
            height.round.round_change = Some(Box::new(change));
        }
        let view = View { height: height.number, round };
        if let Some(digest) = height.promises.sent.get(&(round, Kind::Prepare)).copied() {
            let payload = PreparePayload { view, digest };
            let prepare = Signed::sign(payload, self.settings.environment, &signer);
            height.votes.prepares.insert(prepare);
        }
        let Some(Prepared { round: prepared, block, prepares }) = height.promises.prepared.clone()
        else {
            return;
        };
        let sealed = height.promises.sent.get(&(prepared, Kind::Commit)) == Some(&block.hash());
        if sealed && let Some(commit) = self.sign_commit(height, &block, prepared, &signer) {
            height.votes.commits.insert(commit);
        }
        if prepared == round {
            height.round.accepted = Some(block.hash());
            for prepare in prepares {
                height.votes.prepares.insert(prepare);
            }
        }
        // What was executed before the crash is gone.
        out.then(Action::Execute(block.clone()));
        height.remember(block, Progress::Running);
    }
}
