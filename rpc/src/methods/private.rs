//! GoQuorum's methods about private transactions.

use super::{
    Method,
    blocks::receipts_of,
    heavy, inline,
    sending::{decode, inner_json},
    transactions::committed,
    waits,
};
use crate::{
    backend::BoxFuture,
    context::Service,
    error::{Answer, RpcError},
    params::{BlockSpec, Params},
    private_request::PrivateRequest,
    private_sending::refused,
    types::{TransactionView, place_receipts},
};
use alloy_primitives::{B256, Bytes};
use entente_chain::{
    RecoveredBlock, RecoveredTransaction, StateReader as _,
    private::{
        PayloadHash, PrivacyTerms, PrivatePayload, PrivateReceipt, PrivateStateId, RecipientKey,
    },
};
use entente_evm::PRIVACY_MARKER_ADDRESS;
use serde_json::{Value, json};
use std::sync::Arc;
use zeroize::Zeroizing;

pub(super) const METHODS: &[Method] = &[
    waits("eth_sendRawPrivateTransaction", 2, send_raw_private),
    waits("eth_distributePrivateTransaction", 2, distribute),
    heavy("eth_getQuorumPayload", 1, payload),
    heavy("eth_getQuorumPayloadExtra", 1, payload_extra),
    heavy("eth_decryptQuorumPayload", 1, decrypt_payload),
    heavy("eth_getContractPrivacyMetadata", 1, contract_terms),
    heavy("eth_getPrivateTransactionByHash", 1, private_transaction),
    heavy("eth_getPrivateTransactionReceipt", 1, private_receipt),
    inline("eth_getPSI", 0, |service, params| service.answer(params.private_state.as_str())),
    inline("eth_getPrivacyPrecompileAddress", 0, |service, _| {
        service.answer(&PRIVACY_MARKER_ADDRESS)
    }),
    heavy("eth_storageRoot", 2, storage_root),
    waits("privacy_newKey", 0, |service, params| {
        Box::pin(async move {
            let key = service.private()?.backend.new_key(params.private_state).await;
            service.answer(&key.map_err(refused)?)
        })
    }),
    heavy("privacy_erasePayload", 1, erase),
    heavy("privacy_assumeNoParty", 1, |service, params| {
        for_the_node(params)?;
        service.private()?.backend.give_up(hash_parameter(params)?);
        service.answer(&true)
    }),
    heavy("privacy_forgetNode", 1, |service, params| {
        for_the_node(params)?;
        let forgotten = service.private()?.backend.forget_node(&params.text(0)?);
        service.answer(&forgotten.map_err(refused)?)
    }),
    heavy("privacy_status", 0, |service, params| {
        let status = service.private()?.backend.status(&params.private_state);
        service.answer(&status.map_err(refused)?)
    }),
];

/// Both parameters of a signed private transaction.
fn signed(
    service: &Service,
    params: &Params,
) -> Result<(Arc<RecoveredTransaction>, PrivateRequest), RpcError> {
    let request = PrivateRequest::parse(&params.json::<Value>(1)?)?;
    let request = request.ok_or_else(|| {
        RpcError::argument(1, "privateFor: missing, the parties of a private transaction")
    })?;
    Ok((decode(service, params.bytes(0)?)?, request))
}

fn send_raw_private(service: Arc<Service>, params: Params) -> BoxFuture<Answer> {
    Box::pin(async move {
        let (transaction, request) = signed(&service, &params)?;
        let encoded = transaction.encoded().clone();
        service.distribute_signed(params.private_state, request, transaction).await?;
        let hash = service.desk.send(encoded).await?;
        service.answer(&hash)
    })
}

/// Distributes the payload of a signed private transaction, then the transaction itself as a
/// payload; the caller sends a privacy marker with the hash that is answered.
fn distribute(service: Arc<Service>, params: Params) -> BoxFuture<Answer> {
    Box::pin(async move {
        let (transaction, request) = signed(&service, &params)?;
        let wrapped = Zeroizing::new(inner_json(&transaction)?);
        let parties = request.clone();
        let from = service.distribute_signed(params.private_state, request, transaction).await?;
        let distribution = parties.distribution(from).without_terms();
        let hash = service.distribute(wrapped, distribution).await?;
        service.answer(&Bytes::from(hash))
    })
}

/// A payload hash in hex, as the data of a transaction shows it.
fn hash_parameter(params: &Params) -> Result<PayloadHash, RpcError> {
    let bytes = params.bytes(0)?;
    PayloadHash::from_data(&bytes).ok_or_else(|| {
        let got = bytes.len();
        RpcError::argument(0, format!("Expected a Quorum digest of length 64, but got {got}"))
    })
}

/// What all private states of the node share is the business of the default one's callers, who may
/// need its token.
fn for_the_node(params: &Params) -> Result<(), RpcError> {
    let id = &params.private_state;
    if *id == PrivateStateId::default_state() {
        return Ok(());
    }
    Err(RpcError::Refused(format!(
        "this concerns all private states of the node, not {id} alone: ask as its operator, in the \
         private state {}",
        PrivateStateId::default_state()
    )))
}

/// Erases a payload of the caller's private state; false: it has none under this hash.
fn erase(service: &Service, params: &Params) -> Answer {
    let hash = hash_parameter(params)?;
    let erased = service.private()?.backend.erase(hash, &params.private_state);
    service.answer(&erased.map_err(refused)?)
}

/// A payload that the caller's private state is a party to.
fn readable(
    service: &Service,
    params: &Params,
    hash: PayloadHash,
) -> Result<Option<Arc<PrivatePayload>>, RpcError> {
    let backend = &service.private()?.backend;
    let payload = backend.payload(hash).map_err(refused)?;
    let own = |key: &RecipientKey| backend.state_of(*key) == params.private_state;
    Ok(payload.filter(|payload| payload.managed.iter().any(own)))
}

fn payload(service: &Service, params: &Params) -> Answer {
    let payload = readable(service, params, hash_parameter(params)?)?;
    let plain = payload.map(|payload| Bytes::copy_from_slice(&payload.plain));
    service.answer(&plain.unwrap_or_default())
}

fn extra(plain: &[u8], terms: &PrivacyTerms, managed: &[RecipientKey]) -> Value {
    let affected: serde_json::Map<String, Value> =
        terms.affected.iter().map(|hash| (hash.to_string(), json!({}))).collect();
    json!({
        "payload": Bytes::copy_from_slice(plain),
        "extraMetaData": {
            "ACHashes": affected,
            "ACMerkleRoot": terms.execution_root.unwrap_or_default(),
            "PrivacyFlag": terms.flag.number(),
            "ManagedParties": managed,
            "MandatoryRecipients": terms.mandatory,
        },
    })
}

fn payload_extra(service: &Service, params: &Params) -> Answer {
    let Some(payload) = readable(service, params, hash_parameter(params)?)? else {
        return service.answer(&());
    };
    let backend = &service.private()?.backend;
    let is_own = |key: &RecipientKey| backend.state_of(*key) == params.private_state;
    // Other private states of this node are strangers.
    let managed: Vec<_> = payload.managed.iter().copied().filter(is_own).collect();
    let mut view = extra(&payload.plain, &payload.terms, &managed);
    if let Some(fields) = view.as_object_mut() {
        fields.insert("isSender".to_owned(), json!(managed.contains(&payload.sender)));
        if let Some(meta) = fields.get_mut("extraMetaData").and_then(Value::as_object_mut) {
            meta.insert("Sender".to_owned(), json!(payload.sender));
        }
    }
    service.answer(&view)
}

fn decrypt_payload(service: &Service, params: &Params) -> Answer {
    let bytes = params.bytes(0)?;
    let encrypted: Value = serde_json::from_slice(&bytes)
        .map_err(|cause| RpcError::argument(0, format!("not JSON in hex: {cause}")))?;
    let payload = service.private()?.backend.decrypt(&encrypted, &params.private_state);
    let payload = payload.map_err(refused)?;
    let mut view = extra(&payload.plain, &payload.terms, &payload.managed);
    if let Some(fields) = view.as_object_mut() {
        fields.insert("isSender".to_owned(), json!(true));
    }
    service.answer(&view)
}

fn contract_terms(service: &Service, params: &Params) -> Answer {
    let address = params.address(0)?;
    let states = &service.private()?.states;
    let head = service.context.reader.head().header.number;
    let private = service.private_state(&params.private_state, head)?;
    let is_private = match private {
        Some(private) => private.account(address)?.is_some(),
        None => false,
    };
    // Both texts are GoQuorum's.
    let none = || match is_private {
        true => format!("{}: no account extra data found", address.to_checksum(None)),
        false => format!("{address:x}: the provided address is not a private contract"),
    };
    let terms = states.terms(&params.private_state, address)?;
    let terms = terms.ok_or_else(|| RpcError::Refused(none()))?;
    let mandatory = terms.mandatory;
    service.answer(&json!({
        "creationTxHash": terms.creation.to_string(),
        "privacyFlag": terms.flag.number(),
        "mandatoryFor": (!mandatory.is_empty()).then_some(mandatory),
    }))
}

/// What a committed transaction was in private: the receipt, and the transaction inside if it is a
/// privacy marker.
struct Found {
    block: Arc<RecoveredBlock>,
    index: usize,
    receipts: Vec<PrivateReceipt>,
    inner: Option<Arc<RecoveredTransaction>>,
}

fn find(service: &Service, params: &Params, hash: B256) -> Result<Option<Found>, RpcError> {
    let Some((block, index)) = committed(service, hash)? else { return Ok(None) };
    let receipts = service.private_receipts(&params.private_state, block.header.number)?;
    let place = |receipt: &&PrivateReceipt| usize::try_from(receipt.index) == Ok(index);
    let Some(receipt) = receipts.iter().find(place) else { return Ok(None) };
    let inner = match receipt.inner.is_empty() {
        true => None,
        false => Some(decode(service, receipt.inner.clone())?),
    };
    Ok(Some(Found { block, index, receipts, inner }))
}

/// The private transaction inside a privacy marker; null for everything else and everybody else.
fn private_transaction(service: &Service, params: &Params) -> Answer {
    let Some(found) = find(service, params, params.hash(0)?)? else {
        return service.answer(&());
    };
    let Found { block, index, inner, .. } = &found;
    let view = inner.as_ref().map(|inner| TransactionView::included(inner, &block.header, *index));
    service.answer(&view)
}

/// The private receipt of a privacy marker or of a private transaction.
fn private_receipt(service: &Service, params: &Params) -> Answer {
    let hash = params.hash(0)?;
    let none =
        || RpcError::Refused("private transaction not found for this participant".to_owned());
    let found = find(service, params, hash)?.ok_or_else(none)?;
    let receipts = receipts_of(service, &found.block)?;
    let view = place_receipts(&found.block, &receipts, &found.receipts)
        .nth(found.index)
        .and_then(|placed| placed.private_view(&service.context.spec, found.inner.as_deref()));
    service.answer(&view.ok_or_else(none)?)
}

/// The root of an account's storage: in the caller's private state if it is there.
fn storage_root(service: &Service, params: &Params) -> Answer {
    let address = params.address(0)?;
    let number = match params.block(1)? {
        BlockSpec::Latest => service.context.reader.head().header.number,
        block => super::blocks::resolve(service, block)?
            .ok_or_else(|| RpcError::Refused("invalid block number".to_owned()))?,
    };
    let store = service.store_of(&params.private_state, address, number)?;
    let leaf = store.leaves_after(number, Arc::default(), &[address])?.pop().flatten();
    let leaf = leaf.ok_or_else(|| RpcError::Refused("can't find state object".to_owned()))?;
    service.answer(&leaf.storage_root)
}
