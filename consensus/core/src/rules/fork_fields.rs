//! Header fields that forks brought: present exactly from their fork on.

use super::{FieldValue, HeaderError, HeaderField};
use alloy_consensus::constants::EMPTY_WITHDRAWALS;
use alloy_eips::{
    eip1559::{BaseFeeParams, calc_next_block_base_fee},
    eip7685::EMPTY_REQUESTS_HASH,
};
use alloy_primitives::B256;
use entente_chain::{
    BlockNumber, ChainSpec, Header,
    fork::Fork,
    spec::{BaseFeeMode, EngineKind},
};

const FIELDS: [HeaderField; 8] = [
    HeaderField::BaseFeePerGas,
    HeaderField::WithdrawalsRoot,
    HeaderField::BlobGasUsed,
    HeaderField::ExcessBlobGas,
    HeaderField::ParentBeaconBlockRoot,
    HeaderField::RequestsHash,
    HeaderField::BlockAccessListHash,
    HeaderField::SlotNumber,
];

/// Compares every optional field with what the fork and the engine ask for; values that depend on
/// the parent or the body are only asked to be there.
pub(super) fn fork_fields_are_due(
    spec: &ChainSpec,
    engine: EngineKind,
    header: &Header,
) -> Result<(), HeaderError> {
    let due = due(spec, engine, spec.fork_at(header.number, header.timestamp));
    for ((field, got), expected) in FIELDS.into_iter().zip(found(header)).zip(due) {
        let fits = match expected {
            FieldValue::Present => got != FieldValue::Absent,
            FieldValue::Absent | FieldValue::Number(_) | FieldValue::Hash(_) => got == expected,
        };
        if !fits {
            return Err(HeaderError::Field { field, got, expected });
        }
    }
    Ok(())
}

/// Our engines have no beacon chain, blobs, withdrawals or requests: their fields hold what an
/// empty list gives (besu GHSA-p4h2-gvh4-pv6j accepted others).
fn due(spec: &ChainSpec, engine: EngineKind, fork: Fork) -> [FieldValue; 8] {
    let exactly = |value| if engine == EngineKind::Ethereum { FieldValue::Present } else { value };
    let from = |first, value| if fork >= first { value } else { FieldValue::Absent };
    let base_fee = match spec.base_fee {
        BaseFeeMode::Zero => FieldValue::Number(0),
        BaseFeeMode::Fixed(fee) => FieldValue::Number(fee),
        BaseFeeMode::Eip1559 { .. } => FieldValue::Present,
    };
    [
        from(Fork::London, base_fee),
        from(Fork::Shanghai, exactly(FieldValue::Hash(EMPTY_WITHDRAWALS))),
        from(Fork::Cancun, exactly(FieldValue::Number(0))),
        from(Fork::Cancun, exactly(FieldValue::Number(0))),
        from(Fork::Cancun, exactly(FieldValue::Hash(B256::ZERO))),
        from(Fork::Prague, exactly(FieldValue::Hash(EMPTY_REQUESTS_HASH))),
        FieldValue::Absent,
        FieldValue::Absent,
    ]
}

fn found(header: &Header) -> [FieldValue; 8] {
    let number = |value: Option<u64>| value.map_or(FieldValue::Absent, FieldValue::Number);
    let hash = |value: Option<B256>| value.map_or(FieldValue::Absent, FieldValue::Hash);
    [
        number(header.base_fee_per_gas),
        hash(header.withdrawals_root),
        number(header.blob_gas_used),
        number(header.excess_blob_gas),
        hash(header.parent_beacon_block_root),
        hash(header.requests_hash),
        hash(header.block_access_list_hash),
        number(header.slot_number),
    ]
}

/// The base fee of the block after `parent`, in wei; `None` before London.
pub(super) fn base_fee_after(
    spec: &ChainSpec,
    parent: &Header,
    number: BlockNumber,
    timestamp: u64,
) -> Option<u64> {
    if spec.fork_at(number, timestamp) < Fork::London {
        return None;
    }
    Some(match spec.base_fee {
        BaseFeeMode::Zero => 0,
        BaseFeeMode::Fixed(fee) => fee,
        BaseFeeMode::Eip1559 { initial } => parent.base_fee_per_gas.map_or(initial, |fee| {
            let params = BaseFeeParams::ethereum();
            calc_next_block_base_fee(parent.gas_used, parent.gas_limit, fee, params)
        }),
    })
}

/// Fills the optional fields of a block that this node builds.
pub(super) fn fill(spec: &ChainSpec, header: &mut Header, parent: &Header) {
    let fork = spec.fork_at(header.number, header.timestamp);
    header.base_fee_per_gas = base_fee_after(spec, parent, header.number, header.timestamp);
    header.withdrawals_root = (fork >= Fork::Shanghai).then_some(EMPTY_WITHDRAWALS);
    header.blob_gas_used = (fork >= Fork::Cancun).then_some(0);
    header.excess_blob_gas = (fork >= Fork::Cancun).then_some(0);
    header.parent_beacon_block_root = (fork >= Fork::Cancun).then_some(B256::ZERO);
    header.requests_hash = (fork >= Fork::Prague).then_some(EMPTY_REQUESTS_HASH);
}
