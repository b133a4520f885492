//! State and block overrides of calls, bounded.

use crate::{
    CallError,
    database::{BlockState, override_code},
    environment::BlockFacts,
};
use alloy_primitives::{Address, B256, U256, map::B256HashMap};
use alloy_rpc_types_eth::{
    BlockOverrides,
    state::{AccountOverride, StateOverride},
};
use revm::{context::BlockEnv, context_interface::block::BlobExcessGasAndPrice};

/// Most accounts of one call that may be overridden.
pub const OVERRIDE_ACCOUNTS_MAX: usize = 1_000;
/// Most slots of one call that may be overridden, over all accounts.
pub const OVERRIDE_SLOTS_MAX: usize = 100_000;
/// Most bytes of code of one call, over all accounts.
pub const OVERRIDE_CODE_BYTES_MAX: usize = 1024 * 1024;
/// Most block hashes of one call that may be overridden.
pub const OVERRIDE_BLOCK_HASHES_MAX: usize = 256;

/// Puts state overrides in place.
pub(crate) fn apply_state(
    state: &mut BlockState<'_>,
    overrides: &StateOverride,
) -> Result<(), CallError> {
    within("state overrides: accounts", overrides.len(), OVERRIDE_ACCOUNTS_MAX)?;
    let slots = |account: &AccountOverride| {
        let count = |slots: &Option<B256HashMap<B256>>| slots.as_ref().map_or(0, |map| map.len());
        count(&account.state).saturating_add(count(&account.state_diff))
    };
    let code = |account: &AccountOverride| account.code.as_ref().map_or(0, |code| code.len());
    within("state overrides: slots", overrides.values().map(slots).sum(), OVERRIDE_SLOTS_MAX)?;
    let bytes = overrides.values().map(code).sum();
    within("state overrides: bytes of code", bytes, OVERRIDE_CODE_BYTES_MAX)?;
    for (address, account) in overrides {
        apply_account(state, *address, account)?;
    }
    Ok(())
}

fn within(what: &str, given: usize, allowed: usize) -> Result<(), CallError> {
    if given > allowed {
        return Err(CallError::Request(format!("{what}: {given} given, {allowed} allowed")));
    }
    Ok(())
}

fn apply_account(
    state: &mut BlockState<'_>,
    address: Address,
    account: &AccountOverride,
) -> Result<(), CallError> {
    if account.move_precompile_to.is_some() {
        return Err(CallError::request("movePrecompileToAddress is not supported"));
    }
    state.override_account(address, |info| {
        info.balance = account.balance.unwrap_or(info.balance);
        info.nonce = account.nonce.unwrap_or(info.nonce);
        if let Some(code) = &account.code {
            let (hash, code) = override_code(code.clone());
            (info.code_hash, info.code) = (hash, Some(code));
        }
    })?;
    let (slots, whole) = match (&account.state, &account.state_diff) {
        (Some(_), Some(_)) => {
            let text = format!("account {address} has both 'state' and 'stateDiff'");
            return Err(CallError::Request(text));
        }
        (Some(slots), None) => (slots, true),
        (None, Some(slots)) => (slots, false),
        (None, None) => return Ok(()),
    };
    let slots =
        slots.iter().map(|(key, value)| (U256::from_be_bytes(key.0), U256::from_be_bytes(value.0)));
    Ok(state.override_storage(address, slots, whole)?)
}

/// Puts block overrides in place. Forks stay those of the block asked for.
pub(crate) fn apply_block(
    block: &mut BlockEnv,
    state: &mut BlockState<'_>,
    facts: &BlockFacts,
    overrides: &BlockOverrides,
) -> Result<(), CallError> {
    block.number = overrides.number.unwrap_or(block.number);
    block.timestamp = overrides.time.map_or(block.timestamp, U256::from);
    block.gas_limit = overrides.gas_limit.unwrap_or(block.gas_limit);
    block.beneficiary = overrides.coinbase.unwrap_or(block.beneficiary);
    if block.prevrandao.is_some() {
        block.prevrandao = overrides.random.or(block.prevrandao);
    } else {
        block.difficulty = overrides.difficulty.unwrap_or(block.difficulty);
    }
    if let Some(fee) = overrides.base_fee {
        block.basefee = u64::try_from(fee)
            .map_err(|_| CallError::Request(format!("baseFeePerGas: {fee} is too large")))?;
    }
    if let Some(fee) = overrides.blob_base_fee
        && facts.fork >= entente_chain::fork::Fork::Cancun
    {
        let blob_gasprice = u128::try_from(fee)
            .map_err(|_| CallError::Request(format!("blobBaseFee: {fee} is too large")))?;
        block.blob_excess_gas_and_price =
            Some(BlobExcessGasAndPrice { excess_blob_gas: 0, blob_gasprice });
    }
    let hashes = overrides.block_hash.as_ref();
    let count = hashes.map_or(0, |hashes| hashes.len());
    within("block overrides: block hashes", count, OVERRIDE_BLOCK_HASHES_MAX)?;
    for (number, hash) in hashes.into_iter().flatten() {
        state.set_block_hash(*number, *hash);
    }
    Ok(())
}
