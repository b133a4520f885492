//! A call request as a transaction, with geth's defaults.

use crate::{CallError, environment::BlockFacts};
use alloy_primitives::{Address, Bytes, TxKind};
use alloy_rpc_types_eth::TransactionRequest;
use entente_chain::fork::Fork;
use revm::{
    context::{TransactionType, TxEnv},
    context_interface::either::Either,
};

/// Turns a request into a transaction. Nonces are not checked in calls, so none is taken over.
pub(crate) fn tx_env(
    request: &TransactionRequest,
    facts: &BlockFacts,
    gas_limit: u64,
) -> Result<TxEnv, CallError> {
    if let Some(have) = request.chain_id
        && have != facts.chain_id
    {
        let want = facts.chain_id;
        let text = format!("chainId does not match node's (have={have}, want={want})");
        return Err(CallError::Request(text));
    }
    let (gas_price, gas_priority_fee) = fees(request, facts.fork)?;
    let authorizations = request.authorization_list.as_deref().unwrap_or_default();
    let blob_hashes = request.blob_versioned_hashes.clone().unwrap_or_default();
    let kind = request.to.unwrap_or(TxKind::Create);
    if kind.is_create() && !(authorizations.is_empty() && blob_hashes.is_empty()) {
        return Err(CallError::request("a transaction with blobs or authorizations needs a to"));
    }
    let tx_type = if !authorizations.is_empty() {
        TransactionType::Eip7702
    } else if !blob_hashes.is_empty() {
        TransactionType::Eip4844
    } else if gas_priority_fee.is_some() {
        TransactionType::Eip1559
    } else if request.access_list.is_some() && facts.fork >= Fork::Berlin {
        TransactionType::Eip2930
    } else {
        TransactionType::Legacy
    };
    Ok(TxEnv {
        tx_type: tx_type as u8,
        caller: request.from.unwrap_or(Address::ZERO),
        gas_limit,
        gas_price,
        kind,
        value: request.value.unwrap_or_default(),
        data: input(request)?,
        nonce: 0,
        chain_id: Some(facts.chain_id),
        access_list: request.access_list.clone().unwrap_or_default(),
        gas_priority_fee,
        blob_hashes,
        max_fee_per_blob_gas: request.max_fee_per_blob_gas.unwrap_or_default(),
        authorization_list: authorizations.iter().cloned().map(Either::Left).collect(),
    })
}

/// `input` and `data` are two names of one field: Foundry sends both, equal.
fn input(request: &TransactionRequest) -> Result<Bytes, CallError> {
    match (&request.input.input, &request.input.data) {
        (Some(input), Some(data)) if input != data => Err(CallError::request(
            "both \"data\" and \"input\" are set and not equal. Please use \"input\" to pass \
             transaction call data",
        )),
        (Some(bytes), _) | (None, Some(bytes)) => Ok(bytes.clone()),
        (None, None) => Ok(Bytes::new()),
    }
}

/// (fee cap, tip) in wei per gas; a tip makes it an EIP-1559 transaction.
fn fees(request: &TransactionRequest, fork: Fork) -> Result<(u128, Option<u128>), CallError> {
    let (cap, tip) = (request.max_fee_per_gas, request.max_priority_fee_per_gas);
    let dynamic = cap.is_some() || tip.is_some();
    match request.gas_price {
        Some(_) if dynamic => Err(CallError::request(
            "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified",
        )),
        Some(price) => Ok((price, None)),
        None if !dynamic => Ok((0, None)),
        // Before London there is one price only.
        None if fork < Fork::London => Ok((cap.unwrap_or_default(), None)),
        None => Ok((cap.or(tip).unwrap_or_default(), Some(tip.unwrap_or_default()))),
    }
}
