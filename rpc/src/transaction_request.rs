//! A transaction as a caller describes it, filled up to one that can be signed: nonce, gas and fees
//! as geth's `setDefaults` chooses them.

use crate::{
    context::Service,
    error::RpcError,
    fees::{next_base_fee, suggested_price, suggested_tip},
    methods::{call_error, read_request},
    params::Params,
};
use alloy_consensus::{SignableTransaction as _, TxEnvelope, TxLegacy, TypedTransaction};
use alloy_eips::Encodable2718 as _;
use alloy_primitives::{Address, Bytes, Signature, TxKind, U256, keccak256};
use alloy_rlp::{BufMut, Encodable, Header};
use alloy_rpc_types_eth::TransactionRequest;
use entente_chain::{private::PrivateStateId, signer::SealSigner};
use entente_evm::CallContext;
use serde_json::{Value, json};

/// v of an unsigned private transaction (GoQuorum's `SetPrivate`).
const PRIVATE_V: u64 = 37;
/// Gas that 64 bytes of a payload hash cost at most: they stand in public for the payload.
const HASH_GAS: u64 = 64 * 16;
/// Gas of a privacy marker, and the least of any private transaction: one with 64 bytes of data, as
/// EIP-7623 prices them.
const MARKER_GAS: u64 = 21_000 + 64 * 40;

/// A transaction that lacks only its signature.
pub(crate) struct Unsigned {
    pub(crate) transaction: TypedTransaction,
    /// It is for the parties of its payload only, and is signed as GoQuorum signs such.
    pub(crate) private: bool,
}

/// What a caller left out is chosen here.
#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) from: Address,
    pub(crate) request: TransactionRequest,
    /// In plain, also for a private transaction.
    pub(crate) data: Bytes,
    pub(crate) private: bool,
}

impl Draft {
    /// Takes a transaction object.
    pub(crate) fn read(params: &Params, private: bool) -> Result<Self, RpcError> {
        let request = read_request(params)?;
        let from = request.from.unwrap_or_default();
        if request.to.is_none_or(|to| to.is_create()) && request.input.input().is_none() {
            return Err(RpcError::argument(0, "contract creation without any data provided"));
        }
        if request.gas_price.is_some() && request.max_fee_per_gas.is_some() {
            let text = "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified";
            return Err(RpcError::argument(0, text));
        }
        let data = request.input.input().cloned().unwrap_or_default();
        if private {
            check_private(&request, &data)?;
        }
        Ok(Self { from, request, data, private })
    }

    /// Whether the caller left the nonce to the node.
    pub(crate) const fn needs_nonce(&self) -> bool {
        self.request.nonce.is_none()
    }

    /// Chooses gas and fees; reads the state, so it is for a blocking thread.
    pub(crate) fn choose(
        &mut self,
        service: &Service,
        state: &PrivateStateId,
    ) -> Result<(), RpcError> {
        self.choose_fees(service)?;
        if self.request.gas.is_none() {
            let gas = estimate(service, state, &self.request)?;
            self.request.gas = Some(match self.private {
                true => gas.saturating_add(HASH_GAS).max(MARKER_GAS),
                false => gas,
            });
        }
        Ok(())
    }

    fn choose_fees(&mut self, service: &Service) -> Result<(), RpcError> {
        let head = service.context.reader.head();
        let base_fee = next_base_fee(&service.context.spec, head.header.header());
        let request = &mut self.request;
        if self.private {
            return choose_private_price(service, request);
        }
        let dynamic = request.max_fee_per_gas.is_some()
            || request.max_priority_fee_per_gas.is_some()
            || (request.gas_price.is_none() && base_fee.is_some());
        if !dynamic {
            if request.gas_price.is_none() {
                request.gas_price = Some(suggested_price(service)?);
            }
            return Ok(());
        }
        let tip = match request.max_priority_fee_per_gas {
            Some(tip) => tip,
            None => suggested_tip(service)?,
        };
        let twice = u128::from(base_fee.unwrap_or_default()).saturating_mul(2);
        request.max_priority_fee_per_gas = Some(tip);
        request.max_fee_per_gas.get_or_insert_with(|| twice.saturating_add(tip));
        Ok(())
    }

    /// The privacy marker around the private transaction that this is.
    pub(crate) fn into_marker(mut self, to: Address) -> Self {
        self.request.to = Some(TxKind::Call(to));
        // A marker pays for 64 bytes of data and does nothing.
        self.request.gas = Some(MARKER_GAS);
        self.private = false;
        self
    }

    /// The transaction, with this data in place of the caller's.
    pub(crate) fn unsigned(
        mut self,
        service: &Service,
        nonce: u64,
        data: Bytes,
    ) -> Result<Unsigned, RpcError> {
        self.request.nonce.get_or_insert(nonce);
        self.request.input = data.into();
        self.request.to.get_or_insert(TxKind::Create);
        // Private signatures name no chain.
        self.request.chain_id = (!self.private).then_some(service.context.spec.chain_id);
        let built = self.request.build_typed_tx();
        let transaction = built.map_err(|_| {
            RpcError::argument(0, "the fields given make no transaction of any known type")
        })?;
        Ok(Unsigned { transaction, private: self.private })
    }
}

fn check_private(request: &TransactionRequest, data: &[u8]) -> Result<(), RpcError> {
    if request.value.is_some_and(|value| !value.is_zero()) {
        let text = "value: ether value is not supported for private transactions";
        return Err(RpcError::argument(0, text));
    }
    if data.is_empty() {
        return Err(RpcError::argument(0, "data: a private transaction needs some"));
    }
    match request.access_list.as_ref().is_some_and(|list| !list.is_empty()) {
        true => Err(RpcError::argument(0, "a private transaction is a legacy one: no accessList")),
        false => Ok(()),
    }
}

/// A private transaction is a legacy one. Clients cannot be told (web3.js 1.x makes even a given
/// `gasPrice` a `maxFeePerGas` where blocks have a base fee; GoQuorum does not know the field), so
/// the most that they would pay only bounds the price that is chosen.
fn choose_private_price(
    service: &Service,
    request: &mut TransactionRequest,
) -> Result<(), RpcError> {
    let most = request.max_fee_per_gas.take();
    request.max_priority_fee_per_gas = None;
    request.access_list = None;
    request.transaction_type = None;
    if request.gas_price.is_none() {
        let suggested = suggested_price(service)?;
        request.gas_price = Some(most.map_or(suggested, |most| most.min(suggested)));
    }
    Ok(())
}

fn estimate(
    service: &Service,
    state: &PrivateStateId,
    request: &TransactionRequest,
) -> Result<u64, RpcError> {
    let head = service.context.reader.head();
    let number = head.header.number;
    let public = service.context.states.at(number)?;
    let private = service.private_state(state, number)?;
    let context = CallContext {
        header: &head.header,
        state: &public,
        gas_cap: service.limits.call_gas,
        time_limit: service.limits.call_time,
        private: private.as_ref().map(|view| view as _),
        state_overrides: None,
        block_overrides: None,
    };
    service.context.executor.estimate_gas(&context, request).map_err(call_error)
}

impl Unsigned {
    /// Signs it; EIP-2718 bytes.
    pub(crate) fn sign(self, signer: &SealSigner) -> Bytes {
        let seal = signer.sign(self.transaction.signature_hash());
        let (rest, parity) = (&seal[..64], seal[64] == 1);
        self.with_signature(Signature::from_bytes_and_parity(rest, parity))
    }

    fn with_signature(self, signature: Signature) -> Bytes {
        let transaction = match self.transaction {
            // With chain 1 the signature is written as v 37 or 38, GoQuorum's mark of a private one.
            TypedTransaction::Legacy(legacy) if self.private => {
                TypedTransaction::Legacy(TxLegacy { chain_id: Some(1), ..legacy })
            }
            other => other,
        };
        TxEnvelope::from(transaction.into_signed(signature)).encoded_2718().into()
    }

    /// `eth_fillTransaction`: the transaction without a signature, in bytes and in JSON (geth's
    /// `SignTransactionResult`).
    pub(crate) fn filled(self) -> Result<Value, RpcError> {
        let v = if self.private { PRIVATE_V } else { 0 };
        let nothing = Signature::new(U256::ZERO, U256::ZERO, false);
        let raw = match &self.transaction {
            TypedTransaction::Legacy(legacy) => unsigned_legacy(legacy, v),
            other => TxEnvelope::from(other.clone().into_signed(nothing)).encoded_2718().into(),
        };
        let is_legacy = matches!(self.transaction, TypedTransaction::Legacy(_));
        let envelope = TxEnvelope::from(self.transaction.into_signed(nothing));
        let mut tx = serde_json::to_value(&envelope).map_err(|cause| RpcError::internal(&cause))?;
        if let Some(fields) = tx.as_object_mut() {
            fields.insert("hash".into(), json!(keccak256(&raw)));
            if is_legacy {
                fields.insert("v".into(), json!(format!("{v:#x}")));
                fields.remove("chainId");
            }
        }
        Ok(json!({ "raw": raw, "tx": tx }))
    }
}

/// geth's bytes of a legacy transaction that is not signed: v, r and s are numbers of their own.
fn unsigned_legacy(legacy: &TxLegacy, v: u64) -> Bytes {
    let mut payload = Vec::new();
    legacy.nonce.encode(&mut payload);
    legacy.gas_price.encode(&mut payload);
    legacy.gas_limit.encode(&mut payload);
    legacy.to.encode(&mut payload);
    legacy.value.encode(&mut payload);
    legacy.input.encode(&mut payload);
    v.encode(&mut payload);
    0_u8.encode(&mut payload);
    0_u8.encode(&mut payload);
    let mut out = Vec::with_capacity(payload.len() + 9);
    Header { list: true, payload_length: payload.len() }.encode(&mut out);
    out.put_slice(&payload);
    out.into()
}
