//! `transitions` of a genesis file: what changes at a block, as GoQuorum and Besu spell it.

use crate::BlockNumber;
use alloy_primitives::{Address, U256};

/// What one transition changes; everything left out stays as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transition {
    /// Block from which the change holds.
    pub block: BlockNumber,
    /// Switch to this engine or header format.
    pub engine: Option<crate::spec::EngineKind>,
    /// Epoch length in blocks.
    pub epoch_length: Option<u64>,
    /// Block period in milliseconds; 0 is on demand.
    pub block_period_ms: Option<u64>,
    /// Period of empty blocks in milliseconds; 0: as other blocks again.
    pub empty_block_period_ms: Option<u64>,
    /// First round timeout in milliseconds.
    pub request_timeout_ms: Option<u64>,
    /// Longest round timeout in milliseconds.
    pub max_request_timeout_ms: Option<u64>,
    /// Replaces the validator set.
    pub validators: Option<Vec<Address>>,
    /// Contract that lists the validators.
    pub validator_contract: Option<Address>,
    /// `Some(true)`: take validators from the contract; `Some(false)`: from headers.
    pub validators_from_contract: Option<bool>,
    /// Largest contract code in bytes.
    pub contract_size_limit: Option<usize>,
    /// Largest transaction in bytes.
    pub transaction_size_limit: Option<usize>,
    /// Whether transactions may carry a gas price (GoQuorum's `gasPriceEnabled`).
    pub gas_price_enabled: Option<bool>,
    /// Privacy terms beyond the standard ones (GoQuorum's `privacyEnhancementsEnabled`).
    pub privacy_enhancements: Option<bool>,
    /// Privacy marker transactions (GoQuorum's `privacyPrecompileEnabled`).
    pub privacy_marker: Option<bool>,
    /// Gas limit that proposers move towards.
    pub gas_limit: Option<u64>,
    /// Quorum of 2F+1 in place of ceil(2N/3).
    pub two_f_plus_one: Option<bool>,
    /// Clique: whether branches of equal weight are told apart by EIP-3436.
    pub eip3436: Option<bool>,
    /// Reward of a block in wei.
    pub block_reward: Option<U256>,
    /// Who is rewarded.
    pub beneficiary: Option<crate::spec::Beneficiary>,
}
