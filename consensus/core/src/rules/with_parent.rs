//! Rules over a header and its parent that all engines share.

use super::{FieldValue, HeaderError, HeaderField, fork_fields::base_fee_after};
use entente_chain::{ChainSpec, Header, SealedHeader, fork::Fork, spec::BaseFeeMode};

/// EIP-1559: the first London block may use twice the gas.
const ELASTICITY: u64 = 2;

pub(super) fn number_follows(header: &Header, parent: &Header) -> Result<(), HeaderError> {
    let (got, expected) = (header.number, parent.number.saturating_add(1));
    if got == expected { Ok(()) } else { Err(HeaderError::Number { got, expected }) }
}

pub(super) fn parent_is_named(header: &Header, parent: &SealedHeader) -> Result<(), HeaderError> {
    let (got, expected) = (header.parent_hash, parent.hash());
    if got == expected { Ok(()) } else { Err(HeaderError::ParentHash { got, expected }) }
}

pub(super) const fn timestamp_not_before(
    header: &Header,
    earliest: u64,
) -> Result<(), HeaderError> {
    let got = header.timestamp;
    if got < earliest {
        return Err(HeaderError::TimestampTooEarly { got, earliest });
    }
    Ok(())
}

/// The gas limit that a step is measured from: the parent's, doubled where EIP-1559 begins.
pub(super) fn gas_limit_base(
    spec: &ChainSpec,
    parent: &Header,
    number: u64,
    timestamp: u64,
) -> u64 {
    let begins = spec.fork_at(number, timestamp) >= Fork::London
        && spec.fork_at(parent.number, parent.timestamp) < Fork::London;
    match spec.base_fee {
        BaseFeeMode::Eip1559 { .. } if begins => parent.gas_limit.saturating_mul(ELASTICITY),
        BaseFeeMode::Eip1559 { .. } | BaseFeeMode::Zero | BaseFeeMode::Fixed(_) => parent.gas_limit,
    }
}

pub(super) fn gas_limit_moves_within_bound(
    spec: &ChainSpec,
    header: &Header,
    parent: &Header,
) -> Result<(), HeaderError> {
    let from = gas_limit_base(spec, parent, header.number, header.timestamp);
    let bound = from.checked_div(spec.gas_limit_divisor()).unwrap_or(0);
    let got = header.gas_limit;
    let raised_at_once =
        got > from && goquorum_least(spec, parent).is_some_and(|least| got <= least);
    if got.abs_diff(from) >= bound && !raised_at_once {
        return Err(HeaderError::GasLimitStep { got, parent: from, bound });
    }
    Ok(())
}

/// GoQuorum's makers of blocks lift a limit below this one to it (or to their own ceiling below it)
/// in a single block, and its validators do not object (core/block_validator.go, `CalcGasLimit`;
/// params/config.go, `GetMinerMinGasLimit`).
fn goquorum_least(spec: &ChainSpec, parent: &Header) -> Option<u64> {
    const DEFAULT: u64 = 700_000_000;
    let set = spec.rules_at(parent.number).gas_limit_target;
    spec.is_quorum.then(|| set.unwrap_or(DEFAULT))
}

pub(super) fn base_fee_follows(
    spec: &ChainSpec,
    header: &Header,
    parent: &Header,
) -> Result<(), HeaderError> {
    let expected = base_fee_after(spec, parent, header.number, header.timestamp);
    if header.base_fee_per_gas == expected {
        return Ok(());
    }
    let value = |fee: Option<u64>| fee.map_or(FieldValue::Absent, FieldValue::Number);
    Err(HeaderError::Field {
        field: HeaderField::BaseFeePerGas,
        got: value(header.base_fee_per_gas),
        expected: value(expected),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{Address, B256};
    use entente_chain::{
        genesis::{Genesis, GenesisBuilder},
        transition::Transition,
    };

    fn moves(spec: &ChainSpec, from: u64, to: u64) -> bool {
        let parent = Header { number: 4, gas_limit: from, ..Header::default() };
        let parent = SealedHeader::new(parent, B256::ZERO);
        let header = Header { number: 5, gas_limit: to, ..Header::default() };
        gas_limit_moves_within_bound(spec, &header, &parent).is_ok()
    }

    #[test]
    fn goquorums_makers_of_blocks_lift_a_low_gas_limit_in_one_block() {
        let json = GenesisBuilder::new(1, vec![Address::repeat_byte(1)]).to_json();
        let mut spec = Genesis::parse(json.as_bytes()).unwrap().spec;
        assert!(!moves(&spec, 50_000_000, 700_000_000), "nobody else does");
        spec.is_quorum = true;
        assert!(moves(&spec, 50_000_000, 700_000_000));
        assert!(!moves(&spec, 50_000_000, 700_000_001), "above their least");
        assert!(!moves(&spec, 700_000_000, 50_000_000), "never down");
        assert!(!moves(&spec, 700_000_000, 800_000_000), "not from their least on");
        spec.transitions =
            vec![Transition { block: 4, gas_limit: Some(90_000_000), ..Transition::default() }];
        assert!(moves(&spec, 50_000_000, 90_000_000));
        assert!(!moves(&spec, 50_000_000, 90_000_001));
    }
}
