//! QBFT headers as GoQuorum and Besu write them: the coinbase is the proposer, extraData holds
//! validators, vote, round and committed seals.

use super::{
    HeaderError,
    alone::{
        difficulty_is, gas_limit_in_range, gas_used_within_limit, names_no_uncles, nonce_is_zero,
    },
    fork_fields::fork_fields_are_due,
    with_parent::{base_fee_follows, gas_limit_moves_within_bound, timestamp_not_before},
};
use alloy_primitives::{Address, B256, U256, b256};
use entente_chain::{
    BlockNumber, ChainSpec, Header, SealedHeader, ValidatorSet,
    extra_data::qbft::QbftExtra,
    header_hash::qbft_commit_digest,
    limits::ROUND_MAX,
    seal::recover_seal,
    spec::{BlockRules, EngineKind},
    votes::VoteTally,
};
use std::{collections::BTreeSet, time::Duration};

/// mixHash of every BFT header ("Practical byzantine fault tolerance" in GoQuorum's digest).
pub const MIX_HASH: B256 =
    b256!("0x63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365");

/// Difficulty of every BFT header.
pub(super) const DIFFICULTY: U256 = U256::ONE;

pub(super) fn check_alone(spec: &ChainSpec, header: &Header) -> Result<(), HeaderError> {
    let extra = QbftExtra::decode(&header.extra_data)?;
    round_is_plausible(&extra)?;
    vote_is_about_somebody(&extra)?;
    mix_hash_is_of_bft(header)?;
    difficulty_is(header, DIFFICULTY)?;
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
    block_period_is_over(&rules, header, parent)?;
    gas_limit_moves_within_bound(spec, header, parent)?;
    base_fee_follows(spec, header, parent)?;
    proposer_is_validator(header, validators)?;
    let extra = QbftExtra::decode(&header.extra_data)?;
    // Under a validator contract GoQuorum and Besu leave the list empty.
    if rules.validator_contract.is_some() && extra.validators.is_empty() {
        return Ok(());
    }
    validators_are_those_who_vote(&extra, validators)
}

/// Recovers every seal; cheap refusals come first.
pub(super) fn check_seals(
    spec: &ChainSpec,
    header: &Header,
    validators: &ValidatorSet,
) -> Result<(), HeaderError> {
    let extra = QbftExtra::decode(&header.extra_data)?;
    let got = extra.committed_seals.len();
    let expected = validators.quorum(spec.rules_at(header.number).quorum_two_thirds);
    if got < expected {
        return Err(HeaderError::TooFewSeals { got, expected });
    }
    if got > validators.len() {
        return Err(HeaderError::TooManySeals { got, allowed: validators.len() });
    }
    // Told apart by address: a seal has two malleable forms.
    let mut seen = BTreeSet::new();
    let digest = qbft_commit_digest(header, &extra);
    for seal in &extra.committed_seals {
        let signer = recover_seal(seal, digest)?;
        if !validators.contains(signer) {
            return Err(HeaderError::SealOfStranger(signer));
        }
        if !seen.insert(signer) {
            return Err(HeaderError::DuplicateSeal(signer));
        }
    }
    Ok(())
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
    if rules.validator_contract.is_none() {
        let vote = QbftExtra::decode(&header.extra_data)?.vote;
        tally.apply(header.number, header.beneficiary, vote, rules.epoch_length);
    }
    apply_transition(spec, header.number.saturating_add(1), &mut tally)?;
    Ok(tally)
}

/// Replaces the validators where a transition at exactly `next` names them.
pub(super) fn apply_transition(
    spec: &ChainSpec,
    next: BlockNumber,
    tally: &mut VoteTally,
) -> Result<(), HeaderError> {
    match spec.rules_at(next).validator_override {
        Some((block, validators)) if block == next => {
            tally.replace(ValidatorSet::new(validators)?);
            Ok(())
        }
        Some(_) | None => Ok(()),
    }
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

fn mix_hash_is_of_bft(header: &Header) -> Result<(), HeaderError> {
    let (got, expected) = (header.mix_hash, MIX_HASH);
    if got == expected { Ok(()) } else { Err(HeaderError::MixHash { got, expected }) }
}

/// Whole seconds only: below one second, equal timestamps are fine.
fn block_period_is_over(
    rules: &BlockRules,
    header: &Header,
    parent: &Header,
) -> Result<(), HeaderError> {
    let period = Duration::from_millis(rules.block_period_ms).as_secs();
    timestamp_not_before(header, parent.timestamp.saturating_add(period))
}

fn proposer_is_validator(header: &Header, validators: &ValidatorSet) -> Result<(), HeaderError> {
    if validators.contains(header.beneficiary) {
        return Ok(());
    }
    Err(HeaderError::UnknownProposer(header.beneficiary))
}

fn validators_are_those_who_vote(
    extra: &QbftExtra,
    validators: &ValidatorSet,
) -> Result<(), HeaderError> {
    let (got, expected) = (&extra.validators, validators.addresses());
    for index in 0..got.len().max(expected.len()) {
        let (got, expected) = (got.get(index).copied(), expected.get(index).copied());
        if got != expected {
            return Err(HeaderError::Validators { index, got, expected });
        }
    }
    Ok(())
}
