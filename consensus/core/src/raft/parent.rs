//! The block below may change while its child is decided: Clique made it, and Clique's blocks are not
//! final. A block that may be decided decides its parent too: who accepted it goes back there, unless
//! a later leader, who knows of all that was decided, builds elsewhere.

use super::Raft;
use alloy_primitives::B256;
use entente_chain::{BlockNumber, spec::EngineKind};

/// Where a leader's block lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProposedOn {
    pub(super) number: BlockNumber,
    pub(super) term: u64,
    pub(super) parent: B256,
}

impl Raft {
    /// The block that the next one must lie on; `None`: nothing binds us to any.
    pub(super) fn wanted_parent(&self) -> Option<B256> {
        let cluster = self.cluster.as_ref()?;
        let next = cluster.next();
        if self.spec.engine_at(cluster.head().number) != EngineKind::Clique {
            return None;
        }
        let taken_over = self.blank.as_ref().and_then(super::recovery::Blank::taken_over);
        let own = self.durable.accepted.as_ref().or(taken_over);
        let own = own.filter(|accepted| accepted.block.header.number == next);
        let least = own.map_or(0, |accepted| accepted.term);
        let proposed =
            self.proposed_on.filter(|proposed| proposed.number == next && proposed.term >= least);
        let accepted = own.map(|accepted| accepted.block.header.parent_hash);
        proposed.map(|proposed| proposed.parent).or(accepted)
    }
}
