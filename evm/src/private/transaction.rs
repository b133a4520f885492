//! One private transaction, run over both states.

use super::{
    dual::DualState,
    watch::{DualContext, Watch},
};
use crate::{
    database::ReadError,
    environment::{BlockFacts, spec_id},
};
use alloy_consensus::Transaction;
use alloy_primitives::{Address, Bytes, TxKind, map::AddressMap};
use entente_chain::{RecoveredTransaction, StateError, private::PrivatePayload};
use revm::{
    ExecuteEvm, InspectEvm, MainBuilder,
    context::{BlockEnv, CfgEnv, TxEnv},
    context_interface::{
        cfg::GasParams,
        result::{EVMError, ExecutionResult, InvalidTransaction as Refused},
    },
    state::Account as JournalAccount,
};

/// A private transaction as its parties run it.
#[derive(Clone)]
pub(crate) struct PrivateTransaction {
    pub(crate) sender: Address,
    pub(crate) nonce: u64,
    pub(crate) kind: TxKind,
    /// Gas limit of the public transaction.
    pub(crate) gas_limit: u64,
    /// Data of the public transaction: what it pays for.
    pub(crate) public_data: Bytes,
    /// Call data or init code.
    pub(crate) payload: Bytes,
}

impl PrivateTransaction {
    pub(crate) fn new(transaction: &RecoveredTransaction, payload: &PrivatePayload) -> Self {
        Self {
            sender: transaction.sender(),
            nonce: transaction.nonce(),
            kind: transaction.kind(),
            gas_limit: transaction.gas_limit(),
            public_data: transaction.input().clone(),
            payload: Bytes::copy_from_slice(&payload.plain),
        }
    }
}

/// What running a private transaction once gave.
pub(crate) struct Outcome {
    pub(crate) result: Result<ExecutionResult, Refused>,
    pub(crate) changes: AddressMap<JournalAccount>,
    pub(crate) watch: Watch,
}

/// Runs a transaction over both states; changes neither.
pub(crate) fn run_once(
    facts: &BlockFacts,
    block: &BlockEnv,
    states: DualState<'_, '_>,
    transaction: &PrivateTransaction,
) -> Result<Outcome, StateError> {
    let cfg = private_cfg(facts);
    // As GoQuorum: the bytes that stand in public are paid for, not the payload.
    let spec = GasParams::new_spec(spec_id(facts.fork));
    let create = transaction.kind.is_create();
    let intrinsic =
        |data: &[u8]| spec.initial_tx_gas(data, create, 0, 0, 0, None).initial_total_gas();
    let gas_limit = transaction
        .gas_limit
        .saturating_sub(intrinsic(&transaction.public_data))
        .saturating_add(intrinsic(&transaction.payload));
    let tx = TxEnv {
        caller: transaction.sender,
        gas_limit,
        kind: transaction.kind,
        data: transaction.payload.clone(),
        nonce: transaction.nonce,
        chain_id: None,
        ..TxEnv::default()
    };
    let context = DualContext::new(states, cfg.spec)
        .with_cfg(cfg)
        .with_block(BlockEnv { basefee: 0, ..block.clone() });
    let mut evm = context.build_mainnet_with_inspector(Watch::default());
    let outcome = evm.inspect_one_tx(tx);
    let changes = evm.finalize();
    let watch = evm.into_inspector();
    if let Some(cause) = watch.broken {
        return Err(cause);
    }
    let result = match outcome {
        Ok(result) => Ok(result),
        Err(EVMError::Transaction(cause)) => Err(cause),
        Err(EVMError::Database(ReadError(cause))) => return Err(cause),
        Err(other) => Err(Refused::Str(other.to_string().into())),
    };
    Ok(Outcome { result, changes, watch })
}

fn private_cfg(facts: &BlockFacts) -> CfgEnv {
    let mut cfg = facts.cfg_env();
    cfg.disable_balance_check = true;
    cfg.disable_base_fee = true;
    cfg.disable_block_gas_limit = true;
    cfg.disable_eip3607 = true;
    cfg.disable_eip7623 = true;
    cfg.tx_gas_limit_cap = Some(u64::MAX);
    cfg.tx_chain_id_check = false;
    cfg
}
