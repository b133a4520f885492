//! Builds and seals blocks, on demand and on the committed head only (quorum#299, #852: no
//! speculative minting).

use super::{
    Raft,
    state::{Leader, Role},
};
use crate::{
    engine::{Action, BuildAttributes, BuildId, Millis, Now, Step},
    rules::raft_digest,
};
use alloy_primitives::U256;
use entente_chain::{
    RecoveredBlock, SealedHeader,
    extra_data::{
        qbft::Seal,
        raft::{RaftExtra, RaftTerm},
    },
};
use std::time::Duration;

/// Pause before a block is asked for again when the last one was not wanted or not possible.
const BUILD_RETRY_MS: Millis = 50;
/// How long the first transaction waits for those that were sent with it: one block for all is sooner
/// done than one for it and another for the rest (docs/benchmarks.md). Never longer than the least
/// time between blocks.
const GATHER_MS: Millis = 2;
/// How long transactions may be executed into a block: well below an election timeout.
const BUILD_TIME: Duration = Duration::from_millis(250);
/// Nanoseconds in a millisecond.
const NANOSECONDS: u64 = 1_000_000;

impl Raft {
    /// When (`Now::elapsed`) a block is due; `None`: nobody wants one.
    pub(super) fn block_due(&self, leader: &Leader, now: Now) -> Option<Millis> {
        let cluster = self.cluster.as_ref()?;
        let busy = self.durable.accepted.is_some()
            || self.adopting.is_some()
            || leader.building.is_some()
            || leader.transfer.is_some();
        if busy {
            return None;
        }
        let period = cluster.rules.block_period_ms;
        let interval = cluster.since.saturating_add(period);
        let gathered = |since: Millis| since.saturating_add(GATHER_MS.min(period));
        let changed = self.next_change(now).map(|_| 0);
        let wanted = [self.waiting_since.map(gathered), changed, self.empty_block_due()];
        let due = wanted.into_iter().flatten().min()?.max(interval);
        Some(due.max(leader.build_after).max(now.elapsed))
    }

    /// When a block is due although nothing waits.
    fn empty_block_due(&self) -> Option<Millis> {
        let cluster = self.cluster.as_ref()?;
        Some(cluster.since.saturating_add(cluster.rules.empty_block_period_ms?))
    }

    pub(super) fn build_if_due(&mut self, now: Now, out: &mut Step) {
        let Role::Leader(leader) = &self.role else { return };
        if self.block_due(leader, now).is_none_or(|due| due > now.elapsed) {
            return;
        }
        let (Some(cluster), Some(beneficiary)) = (&self.cluster, self.bound()) else { return };
        let head = cluster.head();
        let members = cluster.position.tally.members();
        let Some(own) = members.iter().find(|member| member.address == beneficiary) else { return };
        let change = self.next_change(now);
        let extra = RaftExtra {
            vanity: self.settings.vanity,
            raft_id: own.id,
            signature: Seal::ZERO,
            term: Some(RaftTerm { term: self.durable.term, change }),
        };
        let timestamp = match self.spec.nanosecond_timestamps {
            true => now.unix.saturating_mul(NANOSECONDS).max(head.timestamp.saturating_add(1)),
            false => now.unix_seconds().max(head.timestamp),
        };
        let attributes = BuildAttributes {
            parent: head.hash(),
            number: cluster.next(),
            timestamp,
            beneficiary,
            extra_data: extra.encode(),
            nonce: 0,
            difficulty: U256::ZERO,
            time_limit: BUILD_TIME,
        };
        self.builds = self.builds.wrapping_add(1);
        let request = BuildId(self.builds);
        if let Role::Leader(leader) = &mut self.role {
            leader.building = Some(request);
        }
        out.then(Action::Build { request, attributes });
    }

    /// Seals a block that was built for us, and proposes it.
    pub(super) fn on_built(
        &mut self,
        request: BuildId,
        block: Result<RecoveredBlock, String>,
        now: Now,
        out: &mut Step,
    ) {
        let Role::Leader(leader) = &mut self.role else { return };
        if leader.building != Some(request) {
            return;
        }
        leader.building = None;
        leader.build_after = now.elapsed.saturating_add(BUILD_RETRY_MS);
        if let Err(cause) = &block {
            tracing::warn!(%cause, "no block was built");
        }
        let wanted = block.ok().filter(|block| self.is_wanted(block, now));
        if let Some(block) = wanted.and_then(|block| self.seal(&block)) {
            if let Role::Leader(leader) = &mut self.role {
                leader.build_after = 0;
            }
            self.propose(block, now, out);
        }
    }

    /// What waited may have gone into the block before; an empty block then tells nobody anything.
    fn is_wanted(&self, block: &RecoveredBlock, now: Now) -> bool {
        let Some(cluster) = &self.cluster else { return false };
        let extra = RaftExtra::decode(&block.header.extra_data).ok();
        let term = extra.and_then(|extra| extra.term);
        let changes = term.is_some_and(|term| term.change.is_some());
        let fits = block.header.parent_hash == cluster.head().hash()
            && term.is_some_and(|term| term.term == self.durable.term)
            && self.durable.accepted.is_none()
            && self.adopting.is_none();
        let empty_due = self.empty_block_due().is_some_and(|due| due <= now.elapsed);
        fits && (!block.transactions().is_empty() || changes || empty_due)
    }

    fn seal(&self, block: &RecoveredBlock) -> Option<RecoveredBlock> {
        let signer = self.signer.as_ref()?;
        let mut header = block.header.header().clone();
        let mut extra = RaftExtra::decode(&header.extra_data).ok()?;
        extra.signature = signer.sign(raft_digest(&header, &extra));
        header.extra_data = extra.encode();
        let hash = header.hash_slow();
        Some(block.with_header(SealedHeader::new(header, hash)))
    }
}
