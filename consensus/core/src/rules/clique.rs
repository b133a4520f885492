//! Clique headers (EIP-225): the signer seals the header; coinbase and nonce hold its vote;
//! difficulty says whether it was its turn; nobody seals twice within half of the signers.

use super::{
    HeaderError,
    alone::{gas_limit_in_range, gas_used_within_limit, names_no_uncles},
    fork_fields::fork_fields_are_due,
    istanbul::vote,
    with_parent::{base_fee_follows, gas_limit_moves_within_bound, timestamp_not_before},
};
use crate::sabotage::{Bug, is_on};
use alloy_primitives::{Address, B256, U256, keccak256};
use entente_chain::{
    BlockNumber, ChainSpec, Header, SealedHeader, ValidatorSet,
    extra_data::clique::CliqueExtra,
    seal::{is_canonical, recover_seal},
    spec::EngineKind,
    votes::VoteTally,
};
use std::time::Duration;

/// Difficulty of a block by the signer whose turn it is.
pub(crate) const IN_TURN: U256 = U256::from_limbs([2, 0, 0, 0]);
/// Difficulty of any other block.
pub(crate) const OUT_OF_TURN: U256 = U256::ONE;

/// What a signer signs: the header without the seal at the end of extraData.
#[must_use]
pub fn clique_digest(header: &Header, extra: &CliqueExtra) -> B256 {
    keccak256(alloy_rlp::encode(Header { extra_data: extra.without_seal(), ..header.clone() }))
}

/// Whose turn it is at a height: signers take turns in the order of their addresses.
#[must_use]
pub fn clique_in_turn(signers: &ValidatorSet, number: BlockNumber) -> Address {
    let count = signers.len() as u64;
    let index = number.checked_rem(count).unwrap_or(0);
    let index = usize::try_from(index).unwrap_or(0);
    signers.addresses().get(index).copied().unwrap_or_default()
}

/// The first height at which a signer may seal again, as far as the blocks in the tally say.
#[must_use]
pub fn clique_sealed_until(tally: &VoteTally, signer: Address) -> Option<BlockNumber> {
    if is_on(Bug::SigningLimit) {
        return None;
    }
    let limit = tally.validators().len() as u64 / 2 + 1;
    let sealed = tally.recent_signers().iter().filter(|recent| recent.signer == signer);
    sealed.map(|recent| recent.block.saturating_add(limit)).max()
}

pub(crate) fn is_checkpoint(spec: &ChainSpec, number: BlockNumber) -> bool {
    let epoch = spec.rules_at(number).epoch_length;
    epoch != 0 && number.is_multiple_of(epoch) && !is_on(Bug::NoCheckpoints)
}

pub(super) fn check_alone(spec: &ChainSpec, header: &Header) -> Result<(), HeaderError> {
    let extra = CliqueExtra::decode(&header.extra_data)?;
    let vote = vote(header)?;
    if is_checkpoint(spec, header.number) {
        if vote.is_some() {
            return Err(HeaderError::CheckpointVote);
        }
    } else if !extra.signers.is_empty() {
        return Err(HeaderError::CheckpointSigners { number: header.number });
    }
    if header.mix_hash != B256::ZERO {
        return Err(HeaderError::MixHash { got: header.mix_hash, expected: B256::ZERO });
    }
    if header.difficulty != IN_TURN && header.difficulty != OUT_OF_TURN {
        return Err(HeaderError::Difficulty { got: header.difficulty, expected: IN_TURN });
    }
    names_no_uncles(header)?;
    gas_limit_in_range(header)?;
    gas_used_within_limit(header)?;
    fork_fields_are_due(spec, EngineKind::Clique, header)
}

pub(super) fn check_with_parent(
    spec: &ChainSpec,
    header: &Header,
    parent: &SealedHeader,
    tally: &VoteTally,
) -> Result<(), HeaderError> {
    let rules = spec.rules_at(header.number);
    let seconds = Duration::from_millis(rules.block_period_ms).as_secs();
    let period = seconds.saturating_mul(spec.ticks_per_second());
    timestamp_not_before(header, parent.timestamp.saturating_add(period))?;
    gas_limit_moves_within_bound(spec, header, parent)?;
    base_fee_follows(spec, header, parent)?;
    let signers = tally.validators();
    if is_checkpoint(spec, header.number) {
        let listed = CliqueExtra::decode(&header.extra_data)?.signers;
        super::bft::validators_are_those_who_vote(&listed, signers)?;
    }
    let signer = author(header)?;
    if !signers.contains(signer) {
        return Err(HeaderError::UnknownProposer(signer));
    }
    if clique_sealed_until(tally, signer).is_some_and(|until| header.number < until) {
        return Err(HeaderError::SealedRecently(signer));
    }
    let in_turn = clique_in_turn(signers, header.number) == signer || is_on(Bug::AlwaysInTurn);
    let expected = if in_turn { IN_TURN } else { OUT_OF_TURN };
    super::alone::difficulty_is(header, expected)
}

/// The hash covers the seal: its other form would be a second block with the same content.
pub(super) fn check_seals(header: &Header, signers: &ValidatorSet) -> Result<(), HeaderError> {
    if !is_canonical(&CliqueExtra::decode(&header.extra_data)?.seal) {
        return Err(HeaderError::SealForm);
    }
    let signer = author(header)?;
    if signers.contains(signer) { Ok(()) } else { Err(HeaderError::SealOfStranger(signer)) }
}

pub(super) fn author(header: &Header) -> Result<Address, HeaderError> {
    let extra = CliqueExtra::decode(&header.extra_data)?;
    Ok(recover_seal(&extra.seal, clique_digest(header, &extra))?)
}

pub(super) fn tally_after(
    spec: &ChainSpec,
    header: &Header,
    mut tally: VoteTally,
) -> Result<VoteTally, HeaderError> {
    let epoch = spec.rules_at(header.number).epoch_length;
    let signer = author(header)?;
    // In this order: geth's snapshot lets the oldest signer go before the vote may change their number.
    tally.note_signer(header.number, signer);
    tally.apply(header.number, signer, vote(header)?, epoch);
    tally.forget_signers(header.number);
    Ok(tally)
}
