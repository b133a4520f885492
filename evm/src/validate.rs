//! What can be said about a transaction without the state: shared by the pool and by RPC. Execution
//! checks again by itself.

use crate::{
    InvalidTransaction,
    environment::{BlockFacts, blob_count, blob_price, spec_id},
};
use alloy_consensus::{Header, Transaction, TxType};
use entente_chain::{
    ChainSpec, RecoveredTransaction, TransactionEnvelope, fork::Fork,
    transaction::has_private_signature,
};
use revm::{context_interface::cfg::GasParams, primitives::eip7825};

/// What a transaction costs before anything runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntrinsicGas {
    /// For its bytes, access list, authorizations and being a creation.
    pub intrinsic: u64,
    /// EIP-7623: the least it uses whatever it does; 0 before Prague.
    pub floor: u64,
}

impl IntrinsicGas {
    /// The smallest gas limit that may stand in a block.
    #[must_use]
    pub fn minimum(self) -> u64 {
        self.intrinsic.max(self.floor)
    }
}

/// What a transaction costs before anything runs, by the rules of a fork.
#[must_use]
pub fn intrinsic_gas(envelope: &TransactionEnvelope, fork: Fork) -> IntrinsicGas {
    let (mut accounts, mut slots) = (0, 0);
    for item in envelope.access_list().map_or(&[][..], |list| &list.0) {
        accounts += 1;
        slots += item.storage_keys.len() as u64;
    }
    let authorizations = envelope.authorization_list().map_or(0, |list| list.len() as u64);
    let gas = GasParams::new_spec(spec_id(fork)).initial_tx_gas(
        envelope.input(),
        envelope.is_create(),
        accounts,
        slots,
        authorizations,
        None,
    );
    let floor = if fork >= Fork::Prague { gas.floor_gas() } else { 0 };
    IntrinsicGas { intrinsic: gas.initial_total_gas(), floor }
}

/// Checks a transaction for the block after `head`: everything but nonce, balance and code of the
/// sender. The fork is the one of the next block, a moment after `head`.
///
/// # Errors
/// The first rule it breaks, in geth's words.
pub fn validate_transaction(
    spec: &ChainSpec,
    transaction: &RecoveredTransaction,
    head: &Header,
) -> Result<(), InvalidTransaction> {
    let next = Header {
        number: head.number.saturating_add(1),
        timestamp: head.timestamp.saturating_add(1),
        ..Header::default()
    };
    let facts = BlockFacts::new(spec, &next);
    check_kind(&facts, transaction)?;
    check_size(&facts, transaction)?;
    check_gas(&facts, transaction, head.gas_limit)?;
    check_fees(&facts, transaction, head)
}

/// Type, chain and price: rules that do not depend on the head.
pub(crate) fn check_kind(
    facts: &BlockFacts,
    transaction: &RecoveredTransaction,
) -> Result<(), InvalidTransaction> {
    let enabled = match transaction.tx_type() {
        TxType::Legacy => true,
        TxType::Eip2930 => facts.fork >= Fork::Berlin,
        TxType::Eip1559 => facts.fork >= Fork::London,
        // Blobs need a data layer that our engines do not have.
        TxType::Eip4844 => facts.fork >= Fork::Cancun && facts.is_ethereum(),
        TxType::Eip7702 => facts.fork >= Fork::Prague,
    };
    if !enabled {
        return Err(InvalidTransaction::TypeNotSupported);
    }
    if facts.private_transactions && has_private_signature(transaction) {
        // GoQuorum's pool refuses it; here a block may not hold it either, so that parties and
        // others never differ.
        if !transaction.value().is_zero() {
            return Err(InvalidTransaction::PrivateValue);
        }
    } else if let Some(have) = transaction.chain_id()
        && have != facts.chain_id
    {
        return Err(InvalidTransaction::ChainId { have, want: facts.chain_id });
    }
    if !facts.rules.gas_price_enabled && transaction.max_fee_per_gas() > 0 {
        return Err(InvalidTransaction::GasPriceNotZero);
    }
    Ok(())
}

fn check_size(
    facts: &BlockFacts,
    transaction: &RecoveredTransaction,
) -> Result<(), InvalidTransaction> {
    let (got, allowed) = (transaction.encoded().len(), facts.rules.transaction_size_limit);
    if got > allowed {
        return Err(InvalidTransaction::Oversized { got, allowed });
    }
    let (size, limit) = (transaction.input().len(), facts.init_code_limit());
    if facts.fork >= Fork::Shanghai && transaction.is_create() && size > limit {
        return Err(InvalidTransaction::InitCodeSize { size, limit });
    }
    if transaction.authorization_list().is_some_and(<[_]>::is_empty) {
        return Err(InvalidTransaction::Other("EIP-7702 transaction with empty auth list".into()));
    }
    if transaction.nonce() == u64::MAX {
        return Err(InvalidTransaction::NonceMax { address: transaction.sender() });
    }
    Ok(())
}

fn check_gas(
    facts: &BlockFacts,
    transaction: &RecoveredTransaction,
    block_limit: u64,
) -> Result<(), InvalidTransaction> {
    let gas = transaction.gas_limit();
    if gas > block_limit {
        return Err(InvalidTransaction::BlockGasLimit { gas, limit: block_limit });
    }
    let cap = eip7825::TX_GAS_LIMIT_CAP;
    if facts.fork >= Fork::Osaka && gas > cap {
        return Err(InvalidTransaction::GasCap { gas, cap });
    }
    let IntrinsicGas { intrinsic, floor } = intrinsic_gas(transaction, facts.fork);
    if gas < intrinsic {
        return Err(InvalidTransaction::IntrinsicGas { gas, minimum: intrinsic });
    }
    if gas < floor {
        return Err(InvalidTransaction::FloorGas { gas, minimum: floor });
    }
    Ok(())
}

fn check_fees(
    facts: &BlockFacts,
    transaction: &RecoveredTransaction,
    head: &Header,
) -> Result<(), InvalidTransaction> {
    let (address, fee_cap) = (transaction.sender(), transaction.max_fee_per_gas());
    let tip = transaction.max_priority_fee_per_gas().unwrap_or_default();
    if tip > fee_cap {
        return Err(InvalidTransaction::TipAboveFeeCap { address, tip, fee_cap });
    }
    let base_fee = head.base_fee_per_gas.unwrap_or_default();
    if fee_cap < u128::from(base_fee) {
        return Err(InvalidTransaction::FeeCapTooLow { address, fee_cap, base_fee });
    }
    let Some(blob_fee_cap) = transaction.max_fee_per_blob_gas() else { return Ok(()) };
    let (have, allowed) = (blob_count(transaction), facts.blobs.max);
    if have == 0 {
        return Err(InvalidTransaction::Other("blob transaction missing blob hashes".into()));
    }
    if have > allowed {
        return Err(InvalidTransaction::TooManyBlobs { have, allowed });
    }
    let base_fee =
        blob_price(head.excess_blob_gas.unwrap_or_default(), facts.blobs.update_fraction);
    if blob_fee_cap < base_fee {
        return Err(InvalidTransaction::BlobFeeCapTooLow {
            address,
            fee_cap: blob_fee_cap,
            base_fee,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
