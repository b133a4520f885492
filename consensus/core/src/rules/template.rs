//! The header of a block that this node builds, before anything was executed.

use super::{
    alone::clamp_gas_limit,
    bft::{DIFFICULTY, MIX_HASH},
    fork_fields, raft,
    with_parent::gas_limit_base,
};
use crate::engine::BuildAttributes;
use alloy_eips::eip1559::calculate_block_gas_limit_with_bound_divisor;
use alloy_primitives::{B64, B256, U256};
use entente_chain::{ChainSpec, Header, SealedHeader, spec::EngineKind};

/// The header of the block that `attributes` ask for on `parent`: everything but roots, bloom and
/// gas used, which hold what an empty block has.
#[must_use]
pub fn next_header(
    spec: &ChainSpec,
    parent: &SealedHeader,
    attributes: &BuildAttributes,
) -> Header {
    let (difficulty, mix_hash) = match spec.engine_at(attributes.number) {
        EngineKind::Qbft | EngineKind::Istanbul => (DIFFICULTY, MIX_HASH),
        // Clique's difficulty depends on whose turn it is: its engine sets it.
        EngineKind::Clique => (attributes.difficulty, B256::ZERO),
        EngineKind::Raft => (raft::DIFFICULTY, B256::ZERO),
        EngineKind::Ethereum => (U256::ZERO, B256::ZERO),
    };
    let mut header = Header {
        parent_hash: attributes.parent,
        number: attributes.number,
        timestamp: attributes.timestamp,
        beneficiary: attributes.beneficiary,
        extra_data: attributes.extra_data.clone(),
        nonce: B64::from(attributes.nonce),
        gas_limit: next_gas_limit(spec, parent, attributes),
        difficulty,
        mix_hash,
        ..Header::default()
    };
    fork_fields::fill(spec, &mut header, parent);
    header
}

/// Moves towards the configured target as far as one block may.
fn next_gas_limit(spec: &ChainSpec, parent: &Header, attributes: &BuildAttributes) -> u64 {
    let from = gas_limit_base(spec, parent, attributes.number, attributes.timestamp);
    let target = spec.rules_at(attributes.number).gas_limit_target.unwrap_or(from);
    let divisor = spec.gas_limit_divisor();
    calculate_block_gas_limit_with_bound_divisor(from, clamp_gas_limit(target), divisor)
}
