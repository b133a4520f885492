//! Which accounts and slots a transaction touches (`eth_createAccessList`).

use crate::{
    CallContext, CallError, Executor,
    call::{Call, error::halt_text, request, revert::reason},
};
use alloy_eips::eip2930::AccessList;
use alloy_rpc_types_eth::TransactionRequest;
use entente_chain::fork::Fork;
use revm::{context::TransactionType, context_interface::result::ExecutionResult};
use revm_inspectors::access_list::AccessListInspector;

/// Runs until the list stays the same; geth has no bound, contracts could keep it from settling.
const ROUNDS_MAX: usize = 8;

/// An access list and what the transaction does with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessListOutcome {
    /// Accounts and slots, without those that cost nothing anyway.
    pub access_list: AccessList,
    /// Gas used with the list.
    pub gas_used: u64,
    /// Why the transaction fails, when it does.
    pub error: Option<String>,
}

impl Executor {
    /// Finds the access list of a transaction.
    ///
    /// # Errors
    /// When it takes too long or could not be a transaction; one that fails has a list too.
    pub fn create_access_list(
        &self,
        context: &CallContext<'_>,
        request: &TransactionRequest,
    ) -> Result<AccessListOutcome, CallError> {
        let call = Call::new(self, context, request);
        if call.facts.fork < Fork::Berlin {
            return Err(CallError::request("access lists begin with the Berlin fork"));
        }
        let gas = request.gas.unwrap_or(context.gas_cap).min(context.gas_cap);
        let mut access_list = request.access_list.clone().unwrap_or_default();
        for _ in 0..ROUNDS_MAX {
            let mut tx = request::tx_env(request, &call.facts, gas)?;
            if tx.tx_type == TransactionType::Legacy as u8 {
                tx.tx_type = TransactionType::Eip2930 as u8;
            }
            tx.access_list = access_list.clone();
            let (result, inspector) =
                call.inspect(tx, AccessListInspector::new(access_list.clone()))?;
            let found = inspector.into_access_list();
            if found == access_list {
                return Ok(outcome(access_list, result));
            }
            access_list = found;
        }
        Err(CallError::Internal(format!("access list did not settle in {ROUNDS_MAX} rounds")))
    }
}

fn outcome(access_list: AccessList, result: ExecutionResult) -> AccessListOutcome {
    let gas_used = result.tx_gas_used();
    let error = match result {
        ExecutionResult::Success { .. } => None,
        ExecutionResult::Revert { output, .. } => Some(match reason(&output) {
            Some(reason) => format!("execution reverted: {reason}"),
            None => "execution reverted".into(),
        }),
        ExecutionResult::Halt { reason, .. } => Some(halt_text(&reason)),
    };
    AccessListOutcome { access_list, gas_used, error }
}
