//! Calls that change nothing: `eth_call`, gas estimates, access lists. Bounded in gas and time.

mod access_list;
mod deadline;
mod error;
mod estimate;
mod overrides;
mod request;
mod revert;

pub use access_list::AccessListOutcome;
pub use error::CallError;
pub use overrides::{
    OVERRIDE_ACCOUNTS_MAX, OVERRIDE_BLOCK_HASHES_MAX, OVERRIDE_CODE_BYTES_MAX, OVERRIDE_SLOTS_MAX,
};

use crate::{
    Executor, InvalidTransaction,
    block_run::EvmContext,
    database::BlockState,
    environment::BlockFacts,
    private::{DualReader, PublicGuard},
};
use alloy_primitives::{Bytes, Log, TxKind};
use alloy_rpc_types_eth::{BlockOverrides, TransactionRequest, state::StateOverride};
use deadline::Deadline;
use entente_chain::{SealedHeader, StateError, StateReader};
use revm::{
    InspectEvm, Inspector, MainBuilder,
    context::{BlockEnv, CfgEnv, TxEnv},
    context_interface::result::{EVMError, ExecutionResult, InvalidTransaction as Refused},
    inspector::NoOpInspector,
};
use std::time::{Duration, Instant};

/// Where and within which bounds a call runs.
pub struct CallContext<'a> {
    /// The block whose environment the call sees.
    pub header: &'a SealedHeader,
    /// The state after that block.
    pub state: &'a dyn StateReader,
    /// Most gas of a call, and what it has when the request names none.
    pub gas_cap: u64,
    /// Most time of a call.
    pub time_limit: Duration,
    /// The private state that the call may see; it does where its target is a private contract.
    pub private: Option<&'a dyn StateReader>,
    /// Accounts that look otherwise to this call.
    pub state_overrides: Option<&'a StateOverride>,
    /// Block fields that look otherwise to this call.
    pub block_overrides: Option<&'a BlockOverrides>,
}

/// What a call gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallResult {
    /// Returned bytes, or the code of a created contract.
    pub output: Bytes,
    /// Gas used, refunds taken off.
    pub gas_used: u64,
    /// Logs that it would have written.
    pub logs: Vec<Log>,
}

/// A prepared call: what several runs of one request (an estimate) share.
struct Call<'a> {
    executor: &'a Executor,
    context: &'a CallContext<'a>,
    facts: BlockFacts,
    request: &'a TransactionRequest,
    deadline: Option<Instant>,
    /// Private over public state, where the call sees both.
    states: Result<Option<DualReader<'a>>, StateError>,
}

/// GoQuorum (eth/api_backend.go, `GetEVM`): a call sees the private state where its target stands
/// there.
fn dual<'a>(
    context: &CallContext<'a>,
    request: &TransactionRequest,
) -> Result<Option<DualReader<'a>>, StateError> {
    let (Some(private), Some(TxKind::Call(to))) = (context.private, request.to) else {
        return Ok(None);
    };
    let there = private.account(to)?.is_some();
    Ok(there.then_some(DualReader { private, public: context.state }))
}

impl Executor {
    /// Runs a call (`eth_call`). Nonces and the code of the sender are not checked; what it pays
    /// for gas it must have, as in geth.
    ///
    /// # Errors
    /// When it reverts, fails, takes too long or could not be a transaction.
    pub fn call(
        &self,
        context: &CallContext<'_>,
        request: &TransactionRequest,
    ) -> Result<CallResult, CallError> {
        let call = Call::new(self, context, request);
        let gas = request.gas.unwrap_or(context.gas_cap).min(context.gas_cap);
        match call.run(gas)? {
            ExecutionResult::Success { gas, logs, output, .. } => {
                let gas_used = gas.tx_gas_used();
                Ok(CallResult { output: output.into_data(), gas_used, logs })
            }
            ExecutionResult::Revert { output, .. } => Err(CallError::reverted(output)),
            ExecutionResult::Halt { reason, gas, .. } => {
                Err(CallError::halted(&reason, gas.tx_gas_used()))
            }
        }
    }
}

impl<'a> Call<'a> {
    fn new(
        executor: &'a Executor,
        context: &'a CallContext<'a>,
        request: &'a TransactionRequest,
    ) -> Self {
        let facts = BlockFacts::new(&executor.spec, context.header);
        let deadline = Instant::now().checked_add(context.time_limit);
        let states = dual(context, request);
        Self { executor, context, facts, request, deadline, states }
    }

    fn run(&self, gas_limit: u64) -> Result<ExecutionResult, CallError> {
        self.inspect(request::tx_env(self.request, &self.facts, gas_limit)?, NoOpInspector)
            .map(|run| run.0)
    }

    /// Runs a transaction under an inspector of the caller's and the clock's.
    fn inspect<I>(&self, tx: TxEnv, inspector: I) -> Result<(ExecutionResult, I), CallError>
    where
        I: for<'c> Inspector<EvmContext<'c>>,
    {
        let (state, block) = self.environment(&tx)?;
        let cfg = self.cfg();
        let (caller, base_fee) = (tx.caller, block.basefee);
        let fees = (tx.gas_priority_fee.unwrap_or_default(), tx.gas_price);
        let init_code = tx.data.len();
        let context = EvmContext::new(state, cfg.spec).with_cfg(cfg).with_block(block);
        let guard = PublicGuard { states: self.states()?.copied(), broken: None };
        let watched = (Deadline::new(self.deadline), (guard, inspector));
        let mut evm = context.build_mainnet_with_inspector(watched);
        let outcome = evm.inspect_one_tx(tx);
        let (deadline, (guard, inspector)) = evm.into_inspector();
        if let Some(cause) = guard.broken {
            return Err(CallError::State(cause));
        }
        if deadline.expired {
            return Err(CallError::Timeout { limit: self.context.time_limit });
        }
        let result = outcome.map_err(|cause| match cause {
            EVMError::Transaction(Refused::CreateInitCodeSizeLimit) => {
                let limit = self.facts.init_code_limit();
                InvalidTransaction::InitCodeSize { size: init_code, limit }.into()
            }
            EVMError::Transaction(cause) => {
                InvalidTransaction::from_revm(cause, caller, base_fee, fees).into()
            }
            EVMError::Database(cause) => CallError::State(cause.0),
            other => CallError::Internal(other.to_string()),
        })?;
        Ok((result, inspector))
    }

    /// A fresh view of the state and the block that the call sees.
    fn environment(&self, tx: &TxEnv) -> Result<(BlockState<'_>, BlockEnv), CallError> {
        let header = self.context.header;
        let reader: &dyn StateReader = match self.states()? {
            Some(states) => states,
            None => self.context.state,
        };
        let mut state = BlockState::new(reader, &self.executor.codes);
        let mut block = self.facts.block_env(header, self.executor.author(header));
        if let Some(overrides) = self.context.block_overrides {
            overrides::apply_block(&mut block, &mut state, &self.facts, overrides)?;
        }
        if let Some(overrides) = self.context.state_overrides {
            overrides::apply_state(&mut state, overrides)?;
        }
        // geth: a call that pays nothing sees no base fee and is not measured against it.
        if tx.gas_price == 0 && tx.gas_priority_fee.unwrap_or_default() == 0 {
            block.basefee = 0;
        }
        if tx.max_fee_per_blob_gas == 0
            && let Some(blob) = &mut block.blob_excess_gas_and_price
        {
            blob.blob_gasprice = 0;
        }
        Ok((state, block))
    }

    fn states(&self) -> Result<Option<&DualReader<'a>>, CallError> {
        self.states.as_ref().map(Option::as_ref).map_err(|cause| CallError::State(cause.clone()))
    }

    fn cfg(&self) -> CfgEnv {
        let mut cfg = self.facts.cfg_env();
        cfg.disable_nonce_check = true;
        cfg.disable_eip3607 = true;
        cfg.disable_block_gas_limit = true;
        // EIP-7825 bounds transactions, not calls; the gas cap does.
        cfg.tx_gas_limit_cap = Some(u64::MAX);
        cfg
    }
}

#[cfg(test)]
mod tests;
