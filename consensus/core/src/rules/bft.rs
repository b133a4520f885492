//! Rules that QBFT and IBFT 1 headers share.

use super::{HeaderError, with_parent::timestamp_not_before};
use crate::sabotage::{Bug, is_on};
use alloy_primitives::{Address, B256, U256, b256};
use entente_chain::{
    BlockNumber, ChainSpec, Header, ValidatorSet, extra_data::qbft::Seal, seal::recover_seal,
    spec::BlockRules, votes::VoteTally,
};
use std::{collections::BTreeSet, time::Duration};

/// mixHash of every BFT header ("Practical byzantine fault tolerance" in GoQuorum's digest).
pub const MIX_HASH: B256 =
    b256!("0x63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365");

/// Difficulty of every BFT header.
pub(super) const DIFFICULTY: U256 = U256::ONE;

/// Checks that a quorum sealed `digest`. Recovers every seal; cheap refusals come first.
pub(super) fn quorum_sealed(
    spec: &ChainSpec,
    header: &Header,
    seals: &[Seal],
    digest: B256,
    validators: &ValidatorSet,
) -> Result<(), HeaderError> {
    let got = seals.len();
    let expected = validators.quorum(spec.rules_at(header.number).quorum_two_thirds);
    let missing = usize::from(is_on(Bug::FewSeals));
    if got.saturating_add(missing) < expected {
        return Err(HeaderError::TooFewSeals { got, expected });
    }
    if got > validators.len() {
        return Err(HeaderError::TooManySeals { got, allowed: validators.len() });
    }
    // Told apart by address: a seal has two malleable forms.
    let mut seen = BTreeSet::new();
    for seal in seals {
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

/// Replaces the validators where a transition names those that begin with `next`.
pub(super) fn apply_transition(
    spec: &ChainSpec,
    next: BlockNumber,
    tally: &mut VoteTally,
) -> Result<(), HeaderError> {
    if let Some(validators) = spec.validators_named_for(next) {
        tally.replace(ValidatorSet::new(validators.to_vec())?);
    }
    Ok(())
}

pub(super) fn mix_hash_is_of_bft(header: &Header) -> Result<(), HeaderError> {
    let (got, expected) = (header.mix_hash, MIX_HASH);
    if got == expected { Ok(()) } else { Err(HeaderError::MixHash { got, expected }) }
}

/// Whole seconds only: below one second, equal timestamps are fine.
pub(super) fn block_period_is_over(
    spec: &ChainSpec,
    rules: &BlockRules,
    header: &Header,
    parent: &Header,
) -> Result<(), HeaderError> {
    if is_on(Bug::Hasty) {
        return Ok(());
    }
    let seconds = Duration::from_millis(rules.block_period_ms).as_secs();
    let period = seconds.saturating_mul(spec.ticks_per_second());
    timestamp_not_before(header, parent.timestamp.saturating_add(period))
}

pub(super) fn proposer_is_validator(
    proposer: Address,
    validators: &ValidatorSet,
) -> Result<(), HeaderError> {
    if validators.contains(proposer) {
        return Ok(());
    }
    Err(HeaderError::UnknownProposer(proposer))
}

pub(super) fn validators_are_those_who_vote(
    listed: &[Address],
    validators: &ValidatorSet,
) -> Result<(), HeaderError> {
    let (got, expected) = (listed, validators.addresses());
    for index in 0..got.len().max(expected.len()) {
        let (got, expected) = (got.get(index).copied(), expected.get(index).copied());
        if got != expected {
            return Err(HeaderError::Validators { index, got, expected });
        }
    }
    Ok(())
}
