//! What a header must be: for followers, importers and RPC, which run no engine.
//!
//! Three layers, cheapest first, so that a liar costs little: [`HeaderRules::check_alone`] needs
//! the header only, [`HeaderRules::check_with_parent`] its parent and the validators,
//! [`HeaderRules::check_seals`] recovers signatures (plain function of one header: run many in
//! parallel). Nothing here looks at bodies or state. Which rules hold is asked of the
//! [`ChainSpec`] per block, so a chain may change its engine on the way.

mod alone;
mod bft;
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
pub use difficulty::ethash_difficulty;
pub use error::{FieldValue, HeaderError, HeaderField};
pub(crate) use istanbul::author as istanbul_author;
pub use raft::raft_digest;
pub use template::next_header;
pub use uncles::Ancestor;

use alloy_primitives::{Address, B256};
use entente_chain::{
    BlockNumber, ChainSpec, Header, SealedHeader, ValidatorSet, spec::EngineKind, votes::VoteTally,
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
        match self.engine(header)? {
            Format::Qbft => qbft::check_alone(&self.spec, header)?,
            Format::Istanbul => istanbul::check_alone(&self.spec, header)?,
            Format::Raft => raft::check_alone(&self.spec, header)?,
            Format::Ethereum => ethereum::check_alone(&self.spec, header)?,
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
        match self.engine(header)? {
            Format::Qbft => qbft::check_with_parent(&self.spec, header, parent, validators),
            Format::Istanbul => istanbul::check_with_parent(&self.spec, header, parent, validators),
            Format::Raft => raft::check_with_parent(&self.spec, header, parent, tally),
            Format::Ethereum => ethereum::check_with_parent(&self.spec, header, parent),
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
        match self.engine(header)? {
            Format::Qbft => qbft::check_seals(&self.spec, header, validators),
            Format::Istanbul => istanbul::check_seals(&self.spec, header, validators),
            Format::Raft => raft::check_seals(header),
            Format::Ethereum => Ok(()),
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
        match self.engine(header)? {
            Format::Qbft | Format::Istanbul | Format::Raft => uncles::there_are_none(ommers),
            Format::Ethereum if ethereum::is_merged(&self.spec, header) => {
                uncles::there_are_none(ommers)
            }
            Format::Ethereum => uncles::check(&self.spec, header, ommers, ancestor),
        }
    }

    /// Who made the block.
    ///
    /// # Errors
    /// When its seal cannot be read.
    pub fn author(&self, header: &Header) -> Result<Address, HeaderError> {
        match self.engine(header)? {
            Format::Istanbul => istanbul::author(header),
            Format::Qbft | Format::Raft | Format::Ethereum => Ok(header.beneficiary),
        }
    }

    /// Who sealed the block, in the order of its seals; empty where there are no such seals.
    ///
    /// # Errors
    /// When extraData or a seal cannot be read.
    pub fn committers(&self, header: &Header) -> Result<Vec<Address>, HeaderError> {
        match self.engine(header)? {
            Format::Qbft => qbft::committers(header),
            Format::Istanbul => istanbul::committers(header),
            Format::Raft => Ok(vec![raft::signer(header)?]),
            Format::Ethereum => Ok(Vec::new()),
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
    pub fn tally_after(&self, header: &Header, tally: VoteTally) -> Result<VoteTally, HeaderError> {
        let tally = match self.engine(header)? {
            Format::Qbft => qbft::tally_after(&self.spec, header, tally)?,
            Format::Istanbul => istanbul::tally_after(&self.spec, header, tally)?,
            Format::Raft => raft::tally_after(header, tally)?,
            Format::Ethereum => tally,
        };
        self.tally_for(header.number.saturating_add(1), tally)
    }

    fn engine(&self, header: &Header) -> Result<Format, HeaderError> {
        match self.spec.engine_at(header.number) {
            EngineKind::Qbft => Ok(Format::Qbft),
            EngineKind::Istanbul => Ok(Format::Istanbul),
            EngineKind::Raft => Ok(Format::Raft),
            EngineKind::Ethereum => Ok(Format::Ethereum),
            engine @ EngineKind::Clique => {
                Err(HeaderError::UnsupportedEngine { engine, number: header.number })
            }
        }
    }
}

/// Header formats whose rules are known here.
#[derive(Clone, Copy)]
enum Format {
    Qbft,
    Istanbul,
    Raft,
    Ethereum,
}
