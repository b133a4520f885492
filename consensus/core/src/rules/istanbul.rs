//! IBFT 1 headers of GoQuorum ("istanbul"): the proposer seals the header, coinbase and nonce hold
//! its vote, extraData validators and seals (consensus/istanbul/ibft/engine).

use super::{
    HeaderError,
    alone::{difficulty_is, gas_limit_in_range, gas_used_within_limit, names_no_uncles},
    bft,
    fork_fields::fork_fields_are_due,
    with_parent::{base_fee_follows, gas_limit_moves_within_bound},
};
use alloy_primitives::{Address, B64};
use entente_chain::{
    ChainSpec, Header, SealedHeader, ValidatorSet,
    extra_data::{istanbul::IstanbulExtra, qbft::Vote},
    header_hash::{block_hash, istanbul_commit_digest, istanbul_proposer_digest},
    seal::recover_seal,
    spec::EngineKind,
    votes::VoteTally,
};

/// Nonce of a vote that adds the coinbase; zero drops it. EIP-225 has the same.
const NONCE_ADD: B64 = B64::repeat_byte(0xff);

pub(super) fn check_alone(spec: &ChainSpec, header: &Header) -> Result<(), HeaderError> {
    let extra = IstanbulExtra::decode(&header.extra_data)?;
    if extra.proposer_seal.is_none() {
        return Err(HeaderError::ProposerSealMissing);
    }
    vote(header)?;
    bft::mix_hash_is_of_bft(header)?;
    difficulty_is(header, bft::DIFFICULTY)?;
    names_no_uncles(header)?;
    gas_limit_in_range(header)?;
    gas_used_within_limit(header)?;
    fork_fields_are_due(spec, EngineKind::Istanbul, header)
}

pub(super) fn check_with_parent(
    spec: &ChainSpec,
    header: &Header,
    parent: &SealedHeader,
    validators: &ValidatorSet,
) -> Result<(), HeaderError> {
    let rules = spec.rules_at(header.number);
    bft::block_period_is_over(spec, &rules, header, parent)?;
    gas_limit_moves_within_bound(spec, header, parent)?;
    base_fee_follows(spec, header, parent)?;
    bft::proposer_is_validator(author(header)?, validators)?;
    let extra = IstanbulExtra::decode(&header.extra_data)?;
    if spec.validator_contract_at(header.number).is_some() && extra.validators.is_empty() {
        return Ok(());
    }
    bft::validators_are_those_who_vote(&extra.validators, validators)
}

pub(super) fn check_seals(
    spec: &ChainSpec,
    header: &Header,
    validators: &ValidatorSet,
) -> Result<(), HeaderError> {
    let extra = IstanbulExtra::decode(&header.extra_data)?;
    let digest = istanbul_commit_digest(block_hash(EngineKind::Istanbul, header)?);
    bft::quorum_sealed(spec, header, &extra.committed_seals, digest, validators)
}

/// The proposer: who made the seal over the header.
pub(crate) fn author(header: &Header) -> Result<Address, HeaderError> {
    let extra = IstanbulExtra::decode(&header.extra_data)?;
    let seal = extra.proposer_seal.ok_or(HeaderError::ProposerSealMissing)?;
    Ok(recover_seal(&seal, istanbul_proposer_digest(header, &extra))?)
}

pub(super) fn committers(header: &Header) -> Result<Vec<Address>, HeaderError> {
    let extra = IstanbulExtra::decode(&header.extra_data)?;
    let digest = istanbul_commit_digest(block_hash(EngineKind::Istanbul, header)?);
    extra.committed_seals.iter().map(|seal| Ok(recover_seal(seal, digest)?)).collect()
}

pub(super) fn tally_after(
    spec: &ChainSpec,
    header: &Header,
    mut tally: VoteTally,
) -> Result<VoteTally, HeaderError> {
    let rules = spec.rules_at(header.number);
    if spec.validator_contract_at(header.number).is_none() {
        let vote = vote(header)?;
        tally.apply(header.number, author(header)?, vote, rules.epoch_length);
    }
    Ok(tally)
}

/// The vote in coinbase and nonce. A zero coinbase with a zero nonce is none.
pub(super) fn vote(header: &Header) -> Result<Option<Vote>, HeaderError> {
    let add = match header.nonce {
        NONCE_ADD => true,
        B64::ZERO => false,
        got => return Err(HeaderError::VoteNonce { got }),
    };
    match header.beneficiary.is_zero() {
        true if add => Err(HeaderError::VoteForNobody),
        true => Ok(None),
        false => Ok(Some(Vote { recipient: header.beneficiary, add })),
    }
}
