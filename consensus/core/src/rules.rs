//! What a header must be: for followers, importers and RPC, which run no engine.
//!
//! Three layers, cheapest first, so that a liar costs little: [`HeaderRules::check_alone`] needs
//! the header only, [`HeaderRules::check_with_parent`] its parent and the validators,
//! [`HeaderRules::check_seals`] recovers signatures (plain function of one header: run many in
//! parallel). Nothing here looks at bodies or state. Which rules hold is asked of the
//! [`ChainSpec`] per block, so a chain may change its engine on the way.

mod alone;
mod bft;
mod clique;
mod difficulty;
mod error;
mod ethereum;
mod fork_fields;
mod istanbul;
mod qbft;
mod raft;
mod template;
mod uncles;
mod with_parent;

pub use alone::{FUTURE_SECONDS_MAX, GAS_LIMIT_MIN};
pub use bft::MIX_HASH;
pub(crate) use clique::is_checkpoint as clique_is_checkpoint;
pub(crate) use clique::{IN_TURN, OUT_OF_TURN};
pub use clique::{clique_digest, clique_in_turn, clique_sealed_until};
pub use difficulty::ethash_difficulty;
pub use error::{FieldValue, HeaderError, HeaderField};
pub(crate) use istanbul::author as istanbul_author;
pub use raft::raft_digest;
pub(crate) use raft::{check_raft_seal, raft_term};
pub use template::next_header;
pub use uncles::Ancestor;

use crate::sabotage::{Bug, is_on};
use alloy_primitives::{Address, B256};
use entente_chain::{
    BlockNumber, ChainSpec, Header, SealedHeader, ValidatorSet, extra_data::qbft::QbftExtra,
    spec::EngineKind, votes::VoteTally,
};
use std::sync::Arc;

/// The header rules of one chain. Cheap to clone.
#[derive(Clone, Debug)]
pub struct HeaderRules {
    spec: Arc<ChainSpec>,
}

/// The header rules of a chain.
#[must_use]
pub const fn rules_for(spec: Arc<ChainSpec>) -> HeaderRules {
    HeaderRules { spec }
}

impl HeaderRules {
    /// The chain these rules belong to.
    #[must_use]
    pub const fn spec(&self) -> &Arc<ChainSpec> {
        &self.spec
    }

    /// Checks what can be told from the header alone. `now` is the wall clock in seconds since
    /// 1970; pass `u64::MAX` to accept any timestamp.
    ///
    /// # Errors
    /// The first rule that the header breaks.
    pub fn check_alone(&self, header: &Header, now: u64) -> Result<(), HeaderError> {
        match self.engine(header) {
            EngineKind::Qbft => qbft::check_alone(&self.spec, header)?,
            EngineKind::Istanbul => istanbul::check_alone(&self.spec, header)?,
            EngineKind::Raft => raft::check_alone(&self.spec, header)?,
            EngineKind::Clique => clique::check_alone(&self.spec, header)?,
            EngineKind::Ethereum => ethereum::check_alone(&self.spec, header)?,
        }
        alone::timestamp_is_not_in_the_future(&self.spec, header, now)
    }

    /// Checks a header against its parent and the tally after the parent (under a contract, with
    /// the validators that it names). Plain Ethereum headers ignore the tally.
    ///
    /// # Errors
    /// The first rule that the header breaks.
    pub fn check_with_parent(
        &self,
        header: &Header,
        parent: &SealedHeader,
        tally: &VoteTally,
    ) -> Result<(), HeaderError> {
        let validators = tally.validators();
        with_parent::number_follows(header, parent)?;
        with_parent::parent_is_named(header, parent)?;
        match self.engine(header) {
            EngineKind::Qbft => qbft::check_with_parent(&self.spec, header, parent, validators),
            EngineKind::Istanbul => {
                istanbul::check_with_parent(&self.spec, header, parent, validators)
            }
            EngineKind::Raft => raft::check_with_parent(&self.spec, header, parent, tally),
            EngineKind::Clique => clique::check_with_parent(&self.spec, header, parent, tally),
            EngineKind::Ethereum => ethereum::check_with_parent(&self.spec, header, parent),
        }
    }

    /// Checks that enough validators sealed the header. The seal of ethash is not checked.
    ///
    /// # Errors
    /// When a seal is not of a validator, is there twice, or a quorum is missing.
    pub fn check_seals(
        &self,
        header: &Header,
        validators: &ValidatorSet,
    ) -> Result<(), HeaderError> {
        match self.engine(header) {
            EngineKind::Qbft => qbft::check_seals(&self.spec, header, validators),
            EngineKind::Istanbul => istanbul::check_seals(&self.spec, header, validators),
            EngineKind::Raft => check_raft_seal(header),
            EngineKind::Clique => clique::check_seals(header, validators),
            EngineKind::Ethereum => Ok(()),
        }
    }

    /// Checks the uncles of a block; `ancestor` finds a block of the same chain by its hash.
    ///
    /// # Errors
    /// The first rule that they break; any uncle at all where there are none.
    pub fn check_uncles(
        &self,
        header: &Header,
        ommers: &[Header],
        ancestor: &dyn Fn(B256) -> Option<Ancestor>,
    ) -> Result<(), HeaderError> {
        uncles::hash_matches(header, ommers)?;
        match self.engine(header) {
            EngineKind::Qbft | EngineKind::Istanbul | EngineKind::Clique | EngineKind::Raft => {
                uncles::there_are_none(ommers)
            }
            EngineKind::Ethereum if ethereum::is_merged(&self.spec, header) => {
                uncles::there_are_none(ommers)
            }
            EngineKind::Ethereum => uncles::check(&self.spec, header, ommers, ancestor),
        }
    }

    /// Who made the block.
    ///
    /// # Errors
    /// When its seal cannot be read.
    pub fn author(&self, header: &Header) -> Result<Address, HeaderError> {
        match self.engine(header) {
            EngineKind::Istanbul => istanbul::author(header),
            EngineKind::Clique => clique::author(header),
            EngineKind::Qbft | EngineKind::Raft | EngineKind::Ethereum => Ok(header.beneficiary),
        }
    }

    /// Who sealed the block, in the order of its seals; empty where there are no such seals.
    ///
    /// # Errors
    /// When extraData or a seal cannot be read.
    pub fn committers(&self, header: &Header) -> Result<Vec<Address>, HeaderError> {
        match self.engine(header) {
            EngineKind::Qbft => qbft::committers(header),
            EngineKind::Istanbul => istanbul::committers(header),
            EngineKind::Raft => Ok(vec![raft::signer(header)?]),
            EngineKind::Clique => Ok(vec![clique::author(header)?]),
            EngineKind::Ethereum => Ok(Vec::new()),
        }
    }

    /// The tally after genesis: its validators vote on block 1, unless a transition names others.
    ///
    /// # Errors
    /// When one of the lists is no validator set.
    pub fn initial_tally(&self, validators: &[Address]) -> Result<VoteTally, HeaderError> {
        let tally = VoteTally::new(ValidatorSet::new(validators.to_vec())?);
        self.tally_for(1, self.tally_for(0, tally)?)
    }

    /// A tally as the rules of block `next` have it: with the validators that a transition at that
    /// block names, and in the form of its engine.
    ///
    /// # Errors
    /// When a transition names no validator set.
    pub fn tally_for(
        &self,
        next: BlockNumber,
        mut tally: VoteTally,
    ) -> Result<VoteTally, HeaderError> {
        bft::apply_transition(&self.spec, next, &mut tally)?;
        tally.enter(self.spec.engine_at(next));
        Ok(tally)
    }

    /// Takes a checked header into the tally. The result names the validators of the next block,
    /// those of a transition at that block included; where a contract names them, the caller
    /// replaces them.
    ///
    /// # Errors
    /// When extraData cannot be read, or a transition names no validator set.
    pub fn tally_after(
        &self,
        header: &Header,
        mut tally: VoteTally,
    ) -> Result<VoteTally, HeaderError> {
        if is_on(Bug::VotesTwice) {
            let vote = match self.engine(header) {
                EngineKind::Qbft => QbftExtra::decode(&header.extra_data)?.vote,
                _ => istanbul::vote(header)?,
            };
            tally.apply(header.number, Address::repeat_byte(0xbb), vote, 0);
        }
        let tally = match self.engine(header) {
            EngineKind::Qbft => qbft::tally_after(&self.spec, header, tally)?,
            EngineKind::Istanbul => istanbul::tally_after(&self.spec, header, tally)?,
            EngineKind::Raft => raft::tally_after(header, tally)?,
            EngineKind::Clique => clique::tally_after(&self.spec, header, tally)?,
            EngineKind::Ethereum => tally,
        };
        self.tally_for(header.number.saturating_add(1), tally)
    }

    fn engine(&self, header: &Header) -> EngineKind {
        self.spec.engine_at(header.number)
    }
}
