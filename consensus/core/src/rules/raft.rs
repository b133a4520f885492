//! Raft headers: those of GoQuorum, which a chain in nanoseconds may begin with, and ours. Ours are
//! signed by the leader, who is a voter before the block, and name the term.

use super::{
    HeaderError,
    alone::{
        difficulty_is, gas_limit_in_range, gas_used_within_limit, names_no_uncles, nonce_is_zero,
    },
    difficulty::ethash_difficulty,
    fork_fields::fork_fields_are_due,
    with_parent::{base_fee_follows, gas_limit_moves_within_bound, timestamp_not_before},
};
use alloy_primitives::{Address, B256, Bloom, Bytes, U256, keccak256};
use entente_chain::{
    ChainSpec, Header, SealedHeader,
    extra_data::raft::{RaftExtra, RaftTerm},
    fork::{Activation, Fork},
    limits::ROUND_MAX,
    seal::{is_canonical, recover_seal},
    spec::EngineKind,
    votes::VoteTally,
};

/// Difficulty of our blocks: what GoQuorum's formula gives when blocks come slowly.
pub(super) const DIFFICULTY: U256 = U256::from_limbs([0x20000, 0, 0, 0]);

/// What the leader signs: the whole header, its signature emptied.
#[must_use]
pub fn raft_digest(header: &Header, extra: &RaftExtra) -> B256 {
    let extra_data = extra.without_signature().encode();
    keccak256(alloy_rlp::encode(Header { extra_data, ..header.clone() }))
}

pub(super) fn check_alone(spec: &ChainSpec, header: &Header) -> Result<(), HeaderError> {
    let extra = RaftExtra::decode(&header.extra_data)?;
    match extra.term {
        None if !spec.nanosecond_timestamps => return Err(HeaderError::RaftTermMissing),
        Some(RaftTerm { term, .. }) if term > ROUND_MAX => {
            return Err(HeaderError::Round { got: term, allowed: ROUND_MAX });
        }
        Some(_) => difficulty_is(header, DIFFICULTY)?,
        None => {}
    }
    if header.mix_hash != B256::ZERO {
        return Err(HeaderError::MixHash { got: header.mix_hash, expected: B256::ZERO });
    }
    nonce_is_zero(header)?;
    names_no_uncles(header)?;
    gas_limit_in_range(header)?;
    gas_used_within_limit(header)?;
    fork_fields_are_due(spec, EngineKind::Raft, header)
}

pub(super) fn check_with_parent(
    spec: &ChainSpec,
    header: &Header,
    parent: &SealedHeader,
    tally: &VoteTally,
) -> Result<(), HeaderError> {
    // Two blocks within a second are fine; GoQuorum's nanoseconds always grow.
    let step = u64::from(spec.nanosecond_timestamps);
    timestamp_not_before(header, parent.timestamp.saturating_add(step))?;
    gas_limit_moves_within_bound(spec, header, parent)?;
    base_fee_follows(spec, header, parent)?;
    let extra = RaftExtra::decode(&header.extra_data)?;
    let Some(RaftTerm { term, change }) = extra.term else {
        // Once somebody is known to vote, only they may seal.
        if !tally.is_unknown() {
            return Err(HeaderError::RaftTermMissing);
        }
        let fork = goquorum_fork(spec, header);
        let expected = ethash_difficulty(fork, header.number, header.timestamp, parent);
        return difficulty_is(header, expected);
    };
    let leader = header.beneficiary;
    let member = tally.members().iter().find(|member| member.address == leader);
    let Some(member) = member.filter(|member| !member.learner) else {
        return Err(HeaderError::UnknownProposer(leader));
    };
    if member.id != extra.raft_id {
        return Err(HeaderError::RaftId { got: extra.raft_id, expected: member.id });
    }
    let least = raft_term(spec, parent);
    if term < least {
        return Err(HeaderError::RaftTermFell { got: term, least });
    }
    match change {
        Some((change, member)) if tally.clone().change_member(member, change).is_none() => {
            Err(HeaderError::MemberChange { member })
        }
        Some(_) | None => Ok(()),
    }
}

/// The fork whose ice age GoQuorum took: that of Muir Glacier only where the genesis file names it
/// (consensus/ethash/consensus.go, `CalcDifficulty`; GoQuorum ends with Berlin).
fn goquorum_fork(spec: &ChainSpec, header: &Header) -> Fork {
    let fork = spec.fork_at(header.number, header.timestamp);
    let frozen = matches!(
        spec.forks.activation(Fork::MuirGlacier),
        Some(Activation::Block(from)) if from <= header.number
    );
    if frozen { fork } else { fork.min(Fork::Istanbul) }
}

/// The term that a header names, 0 where it names none.
pub(crate) fn raft_term(spec: &ChainSpec, header: &Header) -> u64 {
    if spec.engine_at(header.number) != EngineKind::Raft {
        return 0;
    }
    let extra = RaftExtra::decode(&header.extra_data).ok();
    extra.and_then(|extra| extra.term).map_or(0, |term| term.term)
}

/// Checks that the block's leader signed it. GoQuorum's blocks do not say whose key belongs to a
/// raft id: for those any signature will do.
pub(crate) fn check_raft_seal(header: &Header) -> Result<(), HeaderError> {
    let signer = signer(header)?;
    let extra = RaftExtra::decode(&header.extra_data)?;
    if extra.term.is_none() {
        return Ok(());
    }
    // The hash covers the signature: a second form of it would be a second block.
    if !is_canonical(&extra.signature) {
        return Err(HeaderError::SealForm);
    }
    if signer != header.beneficiary {
        return Err(HeaderError::SealOfStranger(signer));
    }
    Ok(())
}

/// raft/minter.go signs the header before the body's roots, its bloom and extraData are filled in.
fn goquorum_digest(header: &Header) -> B256 {
    Header {
        ommers_hash: B256::ZERO,
        transactions_root: B256::ZERO,
        receipts_root: B256::ZERO,
        logs_bloom: Bloom::ZERO,
        extra_data: Bytes::new(),
        ..header.clone()
    }
    .hash_slow()
}

/// Whose key signed a block.
pub(super) fn signer(header: &Header) -> Result<Address, HeaderError> {
    let extra = RaftExtra::decode(&header.extra_data)?;
    let digest = match extra.term {
        Some(_) => raft_digest(header, &extra),
        None => goquorum_digest(header),
    };
    Ok(recover_seal(&extra.signature, digest)?)
}

pub(super) fn tally_after(header: &Header, mut tally: VoteTally) -> Result<VoteTally, HeaderError> {
    let term = RaftExtra::decode(&header.extra_data)?.term;
    if let Some((change, member)) = term.and_then(|term| term.change) {
        tally.change_member(member, change).ok_or(HeaderError::MemberChange { member })?;
    }
    Ok(tally)
}
