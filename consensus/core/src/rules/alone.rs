//! Rules over one header that all engines share.

use super::HeaderError;
use alloy_consensus::EMPTY_OMMER_ROOT_HASH;
use alloy_primitives::{B64, U256};
use entente_chain::{ChainSpec, Header};

/// Smallest gas limit of a block (yellow paper, section 4.3.4).
pub const GAS_LIMIT_MIN: u64 = 5000;
/// Largest gas limit of a block (EIP-1985).
const GAS_LIMIT_MAX: u64 = i64::MAX.unsigned_abs();
/// How many seconds a timestamp may be ahead of our clock.
pub const FUTURE_SECONDS_MAX: u64 = 15;

pub(super) const fn gas_limit_in_range(header: &Header) -> Result<(), HeaderError> {
    let got = header.gas_limit;
    if got < GAS_LIMIT_MIN || got > GAS_LIMIT_MAX {
        return Err(HeaderError::GasLimitRange { got, least: GAS_LIMIT_MIN, most: GAS_LIMIT_MAX });
    }
    Ok(())
}

pub(super) const fn gas_used_within_limit(header: &Header) -> Result<(), HeaderError> {
    let (got, limit) = (header.gas_used, header.gas_limit);
    if got > limit { Err(HeaderError::GasUsed { got, limit }) } else { Ok(()) }
}

pub(super) const fn timestamp_is_not_in_the_future(
    spec: &ChainSpec,
    header: &Header,
    now: u64,
) -> Result<(), HeaderError> {
    let got = spec.seconds(header.timestamp);
    let latest = now.saturating_add(FUTURE_SECONDS_MAX);
    if got > latest { Err(HeaderError::TimestampInFuture { got, latest }) } else { Ok(()) }
}

pub(super) fn difficulty_is(header: &Header, expected: U256) -> Result<(), HeaderError> {
    let got = header.difficulty;
    if got == expected { Ok(()) } else { Err(HeaderError::Difficulty { got, expected }) }
}

pub(super) fn nonce_is_zero(header: &Header) -> Result<(), HeaderError> {
    let got = header.nonce;
    if got == B64::ZERO { Ok(()) } else { Err(HeaderError::Nonce { got }) }
}

pub(super) fn names_no_uncles(header: &Header) -> Result<(), HeaderError> {
    let got = header.ommers_hash;
    if got == EMPTY_OMMER_ROOT_HASH { Ok(()) } else { Err(HeaderError::OmmersHash { got }) }
}

pub(super) fn clamp_gas_limit(gas_limit: u64) -> u64 {
    gas_limit.clamp(GAS_LIMIT_MIN, GAS_LIMIT_MAX)
}
