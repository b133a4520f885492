//! Who belongs to the cluster: a function of the committed head and of nothing else. A change of the
//! members is in force once its block is committed, not when it is accepted.

use crate::{
    engine::{ChainPosition, Millis},
    rules::raft_term,
};
use alloy_primitives::Address;
use entente_chain::{
    BlockNumber, ChainSpec, SealedHeader,
    spec::{BlockRules, EngineKind},
};

/// Where the chain stands, and who decides the next block.
pub(super) struct Cluster {
    pub(super) position: ChainPosition,
    pub(super) rules: BlockRules,
    /// When the head was committed here (`Now::elapsed`).
    pub(super) since: Millis,
    /// Term that the head's header names.
    pub(super) head_term: u64,
}

impl Cluster {
    /// `None` where another engine makes the next block, or nobody is known who may: a chain that
    /// GoQuorum began is only read until a transition names its members.
    pub(super) fn new(position: ChainPosition, spec: &ChainSpec, now: Millis) -> Option<Self> {
        let next = position.head.number.saturating_add(1);
        let ours = spec.engine_at(next) == EngineKind::Raft && !position.tally.is_unknown();
        ours.then(|| Self {
            rules: spec.rules_at(next),
            head_term: raft_term(spec, &position.head),
            since: now,
            position,
        })
    }

    pub(super) const fn head(&self) -> &SealedHeader {
        &self.position.head
    }

    /// Height that is being decided.
    pub(super) fn next(&self) -> BlockNumber {
        self.head().number.saturating_add(1)
    }

    /// Votes that decide.
    pub(super) const fn majority(&self) -> usize {
        self.position.next.len() / 2 + 1
    }

    pub(super) fn is_voter(&self, address: Address) -> bool {
        self.position.next.contains(address)
    }

    pub(super) fn is_learner(&self, address: Address) -> bool {
        self.position.tally.members().iter().any(|it| it.address == address && it.learner)
    }

    pub(super) fn is_member(&self, address: Address) -> bool {
        self.is_voter(address) || self.is_learner(address)
    }

    /// Voters, then learners.
    pub(super) fn members(&self) -> impl Iterator<Item = Address> {
        let learners = self.position.tally.members().iter().filter(|member| member.learner);
        let voters = self.position.next.addresses().iter().copied();
        voters.chain(learners.map(|member| member.address))
    }

    /// Whether every majority of these voters shares one with every majority of those: so while at
    /// most one voter came or went.
    pub(super) fn shares_majorities_with(&self, other: &Self) -> bool {
        let missing = |from: &Self, of: &Self| {
            let voters = from.position.next.addresses().iter();
            voters.filter(|voter| !of.is_voter(**voter)).count()
        };
        missing(self, other).saturating_add(missing(other, self)) <= 1
    }
}
