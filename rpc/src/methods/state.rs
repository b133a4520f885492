//! Accounts, code and storage at a block.

use super::{Method, blocks::resolve, heavy, inline, waits};
use crate::{
    backend::BoxFuture,
    context::Service,
    error::{Answer, RpcError},
    params::{BlockSpec, Params, parse_slot},
    private_view::SeenState,
};
use alloy_primitives::{Address, B256, Bytes, U64, U256};
use entente_chain::BlockNumber;
use serde::Serialize;
use std::sync::Arc;

pub(super) const METHODS: &[Method] = &[
    inline("eth_getBalance", 2, balance),
    waits("eth_getTransactionCount", 2, transaction_count),
    inline("eth_getCode", 2, code),
    inline("eth_getStorageAt", 3, storage_at),
    heavy("eth_getProof", 3, proof),
];

/// The height of a block whose state is asked for.
fn resolve_state(service: &Service, block: BlockSpec) -> Result<BlockNumber, RpcError> {
    resolve(service, block)?.ok_or_else(|| match block {
        BlockSpec::Hash(_) => hash_not_found(),
        _ => RpcError::header_not_found(),
    })
}

/// geth's text.
fn hash_not_found() -> RpcError {
    RpcError::Refused("header for hash not found".into())
}

/// The states at a block, as the caller sees them.
pub(super) fn state_at(
    service: &Service,
    params: &Params,
    block: BlockSpec,
) -> Result<SeenState, RpcError> {
    let number = resolve_state(service, block)?;
    let private = service.private_state(&params.private_state, number)?;
    let public = service.context.states.at(number)?;
    if block.may_be(public.hash()) {
        Ok(SeenState { public, private })
    } else {
        Err(hash_not_found())
    }
}

fn balance(service: &Service, params: &Params) -> Answer {
    let (address, block) = (params.address(0)?, params.block(1)?);
    service.answer(&state_at(service, params, block)?.account(address)?.balance)
}

fn transaction_count(service: Arc<Service>, params: Params) -> BoxFuture<Answer> {
    Box::pin(async move {
        let (address, block) = (params.address(0)?, params.block(1)?);
        if block == BlockSpec::Pending {
            let pending = service.context.backend.pending_nonce(address).await;
            if let Some(nonce) = pending {
                return service.answer(&U64::from(nonce));
            }
        }
        let account = state_at(&service, &params, block)?.account(address)?;
        service.answer(&U64::from(account.nonce))
    })
}

fn code(service: &Service, params: &Params) -> Answer {
    let (address, block) = (params.address(0)?, params.block(1)?);
    service.answer(&state_at(service, params, block)?.code(address)?)
}

fn storage_at(service: &Service, params: &Params) -> Answer {
    let address = params.address(0)?;
    let slot = parse_slot(&params.text(1)?)
        .map_err(|cause| RpcError::argument(1, format!("unable to decode storage key: {cause}")))?;
    let value = state_at(service, params, params.block(2)?)?.slot(address, slot)?;
    service.answer(&B256::from(value))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProofView {
    address: Address,
    account_proof: Vec<Bytes>,
    balance: U256,
    code_hash: B256,
    nonce: U64,
    storage_hash: B256,
    storage_proof: Vec<SlotProofView>,
}

#[derive(Serialize)]
struct SlotProofView {
    /// As the client wrote it: a number, or 32 bytes.
    key: String,
    value: U256,
    proof: Vec<Bytes>,
}

fn proof(service: &Service, params: &Params) -> Answer {
    let address = params.address(0)?;
    let keys: Vec<String> = params.optional(1)?.unwrap_or_default();
    let allowed = service.limits.proof_keys;
    if keys.len() > allowed {
        let got = keys.len();
        return Err(RpcError::InvalidParams(format!("{got} keys given, {allowed} keys allowed")));
    }
    let slots = keys
        .iter()
        .map(|key| {
            parse_slot(key).map_err(|cause| {
                RpcError::InvalidParams(format!("unable to decode storage key: {cause}"))
            })
        })
        .collect::<Result<Vec<U256>, _>>()?;
    let block = params.block(2)?;
    let number = resolve_state(service, block)?;
    let store = service.store_of(&params.private_state, address, number)?;
    let proof = store.proof(number, address, &slots)?;
    // The chain may have left the block for another at its height.
    if let BlockSpec::Hash(hash) = block
        && service.context.reader.hash(number)? != Some(hash)
    {
        return Err(hash_not_found());
    }
    let storage_proof = keys
        .iter()
        .zip(&slots)
        .zip(proof.storage)
        .map(|((key, slot), proved)| SlotProofView {
            key: echo(key, *slot),
            value: proved.value,
            proof: proved.proof,
        })
        .collect();
    service.answer(&ProofView {
        address,
        account_proof: proof.account_proof,
        balance: proof.balance,
        code_hash: proof.code_hash,
        nonce: U64::from(proof.nonce),
        storage_hash: proof.storage_hash,
        storage_proof,
    })
}

/// geth: a key of 32 bytes comes back as 32 bytes, every other as a quantity.
fn echo(key: &str, slot: U256) -> String {
    let digits = key.strip_prefix("0x").or_else(|| key.strip_prefix("0X")).unwrap_or(key);
    if digits.len() == 64 { format!("{:#x}", B256::from(slot)) } else { format!("{slot:#x}") }
}
