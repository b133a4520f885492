//! Plain Ethereum headers, before and after the merge: import and test vectors only. Proof of work
//! itself is not checked. Whether a block is merged is asked of the fork schedule (Paris), not of
//! the total difficulty: whoever imports a chain over the merge gives Paris the block where the
//! terminal difficulty was reached.

use super::{
    FieldValue, HeaderError, HeaderField,
    alone::{
        difficulty_is, gas_limit_in_range, gas_used_within_limit, names_no_uncles, nonce_is_zero,
    },
    difficulty::ethash_difficulty,
    fork_fields::fork_fields_are_due,
    with_parent::{base_fee_follows, gas_limit_moves_within_bound, timestamp_not_before},
};
use alloy_eips::{eip4844::DATA_GAS_PER_BLOB, eip7840::BlobParams};
use alloy_primitives::U256;
use entente_chain::{ChainSpec, Header, SealedHeader, fork::Fork, spec::EngineKind};

/// Yellow paper, section 4.3.
const EXTRA_DATA_BYTES_MAX: usize = 32;

pub(super) fn is_merged(spec: &ChainSpec, header: &Header) -> bool {
    spec.fork_at(header.number, header.timestamp) >= Fork::Paris
}

pub(super) fn check_alone(spec: &ChainSpec, header: &Header) -> Result<(), HeaderError> {
    extra_data_is_short(header)?;
    gas_limit_in_range(header)?;
    gas_used_within_limit(header)?;
    fork_fields_are_due(spec, EngineKind::Ethereum, header)?;
    blob_gas_is_whole_blobs(spec, header)?;
    if is_merged(spec, header) {
        // EIP-3675.
        difficulty_is(header, U256::ZERO)?;
        nonce_is_zero(header)?;
        names_no_uncles(header)?;
    }
    Ok(())
}

pub(super) fn check_with_parent(
    spec: &ChainSpec,
    header: &Header,
    parent: &SealedHeader,
) -> Result<(), HeaderError> {
    timestamp_not_before(header, parent.timestamp.saturating_add(1))?;
    gas_limit_moves_within_bound(spec, header, parent)?;
    base_fee_follows(spec, header, parent)?;
    excess_blob_gas_follows(spec, header, parent)?;
    if is_merged(spec, header) {
        return Ok(());
    }
    let fork = spec.fork_at(header.number, header.timestamp);
    let expected = ethash_difficulty(fork, header.number, header.timestamp, parent);
    difficulty_is(header, expected)
}

fn extra_data_is_short(header: &Header) -> Result<(), HeaderError> {
    let (got, allowed) = (header.extra_data.len(), EXTRA_DATA_BYTES_MAX);
    if got > allowed {
        return Err(HeaderError::ExtraDataTooLong { got, allowed });
    }
    Ok(())
}

/// EIP-4844, with the parameters of EIP-7840 where the genesis gives some.
fn blob_parameters(spec: &ChainSpec, header: &Header) -> BlobParams {
    let fork = spec.fork_at(header.number, header.timestamp);
    let default = if fork >= Fork::Osaka {
        BlobParams::osaka()
    } else if fork >= Fork::Prague {
        BlobParams::prague()
    } else {
        BlobParams::cancun()
    };
    match spec.blob_parameters_at(spec.seconds(header.timestamp)) {
        None => default,
        Some(given) => BlobParams {
            target_blob_count: given.target,
            max_blob_count: given.max,
            update_fraction: given.update_fraction.into(),
            ..default
        },
    }
}

fn blob_gas_is_whole_blobs(spec: &ChainSpec, header: &Header) -> Result<(), HeaderError> {
    let Some(got) = header.blob_gas_used else { return Ok(()) };
    let (blob, most) = (DATA_GAS_PER_BLOB, blob_parameters(spec, header).max_blob_gas_per_block());
    if got > most || !got.is_multiple_of(blob) {
        return Err(HeaderError::BlobGasUsed { got, blob, most });
    }
    Ok(())
}

fn excess_blob_gas_follows(
    spec: &ChainSpec,
    header: &Header,
    parent: &Header,
) -> Result<(), HeaderError> {
    let Some(got) = header.excess_blob_gas else { return Ok(()) };
    let expected = blob_parameters(spec, header).next_block_excess_blob_gas_osaka(
        parent.excess_blob_gas.unwrap_or(0),
        parent.blob_gas_used.unwrap_or(0),
        parent.base_fee_per_gas.unwrap_or(0),
    );
    if got == expected {
        return Ok(());
    }
    let (got, expected) = (FieldValue::Number(got), FieldValue::Number(expected));
    Err(HeaderError::Field { field: HeaderField::ExcessBlobGas, got, expected })
}
