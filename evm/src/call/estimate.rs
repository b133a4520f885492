//! How much gas a transaction needs: geth's search (`eth/gasestimator`).

use crate::{
    CallContext, CallError, Executor, InvalidTransaction,
    call::{Call, request},
};
use alloy_primitives::{Address, TxKind, U256};
use alloy_rpc_types_eth::TransactionRequest;
use entente_chain::fork::Fork;
use revm::{
    context::TxEnv,
    context_interface::result::{ExecutionResult, HaltReason},
    primitives::eip7825,
};

const TRANSFER_GAS: u64 = 21_000;
/// Gas that a call with value brings along for free.
const CALL_STIPEND: u64 = 2_300;
/// The estimate may be this much too high, in thousandths of it.
const ERROR_PERMILLE: u128 = 15;

impl Executor {
    /// Finds a gas limit with which the transaction succeeds, at most 1.5 % above the smallest.
    ///
    /// # Errors
    /// When it fails with all the gas it may have, takes too long, or could not be a transaction.
    pub fn estimate_gas(
        &self,
        context: &CallContext<'_>,
        request: &TransactionRequest,
    ) -> Result<u64, CallError> {
        let call = Call::new(self, context, request);
        let highest = call.highest()?;
        if call.is_plain_transfer()? && call.succeeds(TRANSFER_GAS)?.is_some() {
            return Ok(TRANSFER_GAS);
        }
        let (used, refunded) = match call.attempt(highest)? {
            Some(ExecutionResult::Success { gas, .. }) => {
                (gas.tx_gas_used(), gas.total_gas_spent().saturating_sub(gas.tx_gas_used()))
            }
            Some(ExecutionResult::Revert { output, .. }) => {
                return Err(CallError::reverted(output));
            }
            Some(ExecutionResult::Halt { reason: HaltReason::OutOfGas(_), .. }) | None => {
                return Err(CallError::GasRequired { allowance: highest });
            }
            Some(ExecutionResult::Halt { reason, gas, .. }) => {
                return Err(CallError::halted(&reason, gas.tx_gas_used()));
            }
        };
        call.search(used, refunded, highest)
    }
}

impl Call<'_> {
    /// The most gas the transaction may have: given, or the block's; what the sender can pay; cap.
    fn highest(&self) -> Result<u64, CallError> {
        let block_limit = self.context.header.gas_limit;
        let block_limit =
            self.context.block_overrides.and_then(|block| block.gas_limit).unwrap_or(block_limit);
        let mut highest =
            self.request.gas.filter(|gas| *gas >= TRANSFER_GAS).unwrap_or(block_limit);
        let tx = request::tx_env(self.request, &self.facts, 0)?;
        if tx.gas_price > 0 {
            highest = highest.min(self.affordable(&tx)?);
        }
        highest = highest.min(self.context.gas_cap);
        if self.facts.fork >= Fork::Osaka {
            highest = highest.min(eip7825::TX_GAS_LIMIT_CAP);
        }
        Ok(highest)
    }

    fn affordable(&self, tx: &TxEnv) -> Result<u64, CallError> {
        let (mut state, _) = self.environment(tx)?;
        let have = state.account(tx.caller)?.unwrap_or_default().balance;
        let Some(left) = have.checked_sub(tx.value) else {
            let (address, want) = (tx.caller, tx.value);
            return Err(InvalidTransaction::InsufficientFunds { address, have, want }.into());
        };
        let gas = left.checked_div(U256::from(tx.gas_price)).unwrap_or(U256::MAX);
        Ok(gas.saturating_to())
    }

    fn is_plain_transfer(&self) -> Result<bool, CallError> {
        let tx = request::tx_env(self.request, &self.facts, 0)?;
        let TxKind::Call(to) = tx.kind else { return Ok(false) };
        if !tx.data.is_empty() || !tx.authorization_list.is_empty() || is_precompile(to) {
            return Ok(false);
        }
        let (mut state, _) = self.environment(&tx)?;
        Ok(!state.account(to)?.is_some_and(|account| account.has_code()))
    }

    /// Runs with a gas limit; `None` when it does not even pay for the transaction's bytes.
    fn attempt(&self, gas: u64) -> Result<Option<ExecutionResult>, CallError> {
        match self.run(gas) {
            Ok(result) => Ok(Some(result)),
            Err(CallError::Invalid(
                InvalidTransaction::IntrinsicGas { .. } | InvalidTransaction::FloorGas { .. },
            )) => Ok(None),
            Err(cause) => Err(cause),
        }
    }

    fn succeeds(&self, gas: u64) -> Result<Option<ExecutionResult>, CallError> {
        Ok(self.attempt(gas)?.filter(ExecutionResult::is_success))
    }

    fn search(&self, used: u64, refunded: u64, highest: u64) -> Result<u64, CallError> {
        let (mut low, mut high) = (used.saturating_sub(1), highest);
        // All but one 64th goes to a call (EIP-150), so this is what most transactions need.
        let optimistic =
            used.saturating_add(refunded).saturating_add(CALL_STIPEND).saturating_mul(64) / 63;
        if optimistic < high {
            match self.succeeds(optimistic)? {
                Some(_) => high = optimistic,
                None => low = optimistic,
            }
        }
        while low.saturating_add(1) < high {
            if u128::from(high - low) * 1000 < u128::from(high) * ERROR_PERMILLE {
                break;
            }
            // Most transactions need little more than they use: look near the lower end first.
            let middle = (low + (high - low) / 2).min(low.saturating_mul(2));
            match self.succeeds(middle)? {
                Some(_) => high = middle,
                None => low = middle,
            }
        }
        Ok(high)
    }
}

/// Precompiles have no code but use gas. The highest address is P256VERIFY's (EIP-7951).
fn is_precompile(address: Address) -> bool {
    let number = U256::from_be_slice(address.as_slice());
    !number.is_zero() && number <= U256::from(0x100)
}
