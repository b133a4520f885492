//! Calls that change nothing: `eth_call`, `eth_estimateGas`, `eth_createAccessList`.

use super::{Method, heavy, state::state_at};
use crate::{
    context::Service,
    error::{Answer, RpcError},
    params::Params,
    private_view::SeenState,
};
use alloy_eips::eip2930::AccessList;
use alloy_primitives::U64;
use alloy_rpc_types_eth::{BlockOverrides, TransactionRequest, state::StateOverride};
use entente_chain::{SealedHeader, StateReader};
use entente_evm::{CallContext, CallError};
use serde::Serialize;
use serde_json::Value;

pub(super) const METHODS: &[Method] = &[
    heavy("eth_call", 4, call),
    heavy("eth_estimateGas", 4, estimate_gas),
    heavy("eth_createAccessList", 3, create_access_list),
];

/// A call and the state it runs on.
struct Prepared {
    header: SealedHeader,
    state: SeenState,
    request: TransactionRequest,
    state_overrides: Option<StateOverride>,
    block_overrides: Option<BlockOverrides>,
}

impl Prepared {
    fn read(service: &Service, params: &Params) -> Result<Self, RpcError> {
        let request = read_request(params)?;
        let block = params.block(1)?;
        let (state_overrides, block_overrides) = (params.optional(2)?, params.optional(3)?);
        let state = state_at(service, params, block)?;
        let header = service.context.reader.header_by_hash(state.public.hash())?;
        let header = header.ok_or_else(RpcError::header_not_found)?;
        Ok(Self { header, state, request, state_overrides, block_overrides })
    }

    fn context<'a>(&'a self, service: &Service) -> CallContext<'a> {
        CallContext {
            header: &self.header,
            state: &self.state.public,
            private: self.state.private.as_ref().map(|view| view as &dyn StateReader),
            gas_cap: service.limits.call_gas,
            time_limit: service.limits.call_time,
            state_overrides: self.state_overrides.as_ref(),
            block_overrides: self.block_overrides.as_ref(),
        }
    }
}

/// Tools send `data`, `input`, or both; two that differ are two different calls.
pub(crate) fn read_request(params: &Params) -> Result<TransactionRequest, RpcError> {
    let value: Value = params.json(0)?;
    let request: TransactionRequest = params.json(0)?;
    let both = (value.get("data"), value.get("input"));
    if let (Some(Value::String(_)), Some(Value::String(_))) = both
        && request.input.data != request.input.input
    {
        let text = "both \"data\" and \"input\" are set and not equal. \
                    Please use \"input\" to pass transaction call data";
        return Err(RpcError::argument(0, text));
    }
    Ok(request)
}

/// Geth's texts come with the error; only time and reverts need a code of their own.
pub(crate) fn call_error(error: CallError) -> RpcError {
    let text = error.to_string();
    match error {
        CallError::Reverted { output, .. } => RpcError::Reverted { message: text, output },
        CallError::Request(_) => RpcError::InvalidParams(text),
        CallError::Timeout { .. } => RpcError::Timeout(text),
        CallError::State(cause) => cause.into(),
        CallError::Internal(_) => RpcError::internal(&text),
        CallError::Halted { .. } | CallError::Invalid(_) | CallError::GasRequired { .. } => {
            RpcError::Refused(text)
        }
    }
}

fn call(service: &Service, params: &Params) -> Answer {
    let prepared = Prepared::read(service, params)?;
    let context = prepared.context(service);
    let result = service.context.executor.call(&context, &prepared.request);
    let result = result.map_err(call_error)?;
    service.answer(&result.output)
}

fn estimate_gas(service: &Service, params: &Params) -> Answer {
    let prepared = Prepared::read(service, params)?;
    let context = prepared.context(service);
    let gas = service.context.executor.estimate_gas(&context, &prepared.request);
    service.answer(&U64::from(gas.map_err(call_error)?))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AccessListView {
    access_list: AccessList,
    gas_used: U64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

fn create_access_list(service: &Service, params: &Params) -> Answer {
    let prepared = Prepared::read(service, params)?;
    let context = prepared.context(service);
    let found = service.context.executor.create_access_list(&context, &prepared.request);
    let found = found.map_err(call_error)?;
    let gas_used = U64::from(found.gas_used);
    service.answer(&AccessListView { access_list: found.access_list, gas_used, error: found.error })
}
