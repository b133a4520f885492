//! QBFT headers as GoQuorum and Besu write them: the coinbase is the proposer, extraData holds
//! validators, vote, round and committed seals.

use super::{
    HeaderError,
    alone::{
        difficulty_is, gas_limit_in_range, gas_used_within_limit, names_no_uncles, nonce_is_zero,
    },
    bft,
    fork_fields::fork_fields_are_due,
    with_parent::{base_fee_follows, gas_limit_moves_within_bound},
};
use alloy_primitives::Address;
use entente_chain::{
    ChainSpec, Header, SealedHeader, ValidatorSet, extra_data::qbft::QbftExtra,
    header_hash::qbft_commit_digest, limits::ROUND_MAX, seal::recover_seal, spec::EngineKind,
    votes::VoteTally,
};

pub(super) fn check_alone(spec: &ChainSpec, header: &Header) -> Result<(), HeaderError> {
    let extra = QbftExtra::decode(&header.extra_data)?;
    round_is_plausible(&extra)?;
    vote_is_about_somebody(&extra)?;
    bft::mix_hash_is_of_bft(header)?;
    difficulty_is(header, bft::DIFFICULTY)?;
    nonce_is_zero(header)?;
    names_no_uncles(header)?;
    gas_limit_in_range(header)?;
    gas_used_within_limit(header)?;
    fork_fields_are_due(spec, EngineKind::Qbft, header)
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
    bft::proposer_is_validator(header.beneficiary, validators)?;
    let extra = QbftExtra::decode(&header.extra_data)?;
    // Under a validator contract GoQuorum and Besu leave the list empty.
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
    let extra = QbftExtra::decode(&header.extra_data)?;
    let digest = qbft_commit_digest(header, &extra);
    bft::quorum_sealed(spec, header, &extra.committed_seals, digest, validators)
}

pub(super) fn committers(header: &Header) -> Result<Vec<Address>, HeaderError> {
    let extra = QbftExtra::decode(&header.extra_data)?;
    let digest = qbft_commit_digest(header, &extra);
    extra.committed_seals.iter().map(|seal| Ok(recover_seal(seal, digest)?)).collect()
}

pub(super) fn tally_after(
    spec: &ChainSpec,
    header: &Header,
    mut tally: VoteTally,
) -> Result<VoteTally, HeaderError> {
    let rules = spec.rules_at(header.number);
    // A contract's answer is not ours to vote about.
    if spec.validator_contract_at(header.number).is_none() {
        let vote = QbftExtra::decode(&header.extra_data)?.vote;
        tally.apply(header.number, header.beneficiary, vote, rules.epoch_length);
    }
    Ok(tally)
}

const fn round_is_plausible(extra: &QbftExtra) -> Result<(), HeaderError> {
    if extra.round > ROUND_MAX {
        return Err(HeaderError::Round { got: extra.round, allowed: ROUND_MAX });
    }
    Ok(())
}

fn vote_is_about_somebody(extra: &QbftExtra) -> Result<(), HeaderError> {
    match extra.vote {
        Some(vote) if vote.recipient.is_zero() => Err(HeaderError::VoteForNobody),
        Some(_) | None => Ok(()),
    }
}
