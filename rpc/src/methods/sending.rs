//! Calls that sign with the node's own accounts, and those that fill a transaction up.

use super::{Method, inline, waits};
use crate::{
    backend::BoxFuture,
    callbacks,
    context::Service,
    error::{Answer, RpcError},
    params::Params,
    private::Distribution,
    private_request::PrivateRequest,
    transaction_request::Draft,
};
use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, B256, Bytes, eip191_hash_message};
use entente_chain::{
    private::{PayloadHash, PrivateStateId, RecipientKey},
    signer::SealSigner,
};
use entente_evm::{PRIVACY_MARKER_ADDRESS, PrivateCall};
use serde_json::{Value, json};
use std::sync::Arc;
use zeroize::Zeroizing;

pub(super) const METHODS: &[Method] = &[
    inline("eth_accounts", 0, |service, _| service.answer(&service.context.accounts.addresses())),
    inline("eth_sign", 2, sign),
    waits("eth_sendTransaction", 1, |service, params| {
        Box::pin(async move {
            let hash = send(&service, params).await?;
            service.answer(&hash)
        })
    }),
    waits("eth_sendTransactionAsync", 1, send_detached),
    waits("eth_signTransaction", 1, sign_transaction),
    waits("eth_fillTransaction", 1, fill_transaction),
];

/// geth's text.
fn unknown_account() -> RpcError {
    RpcError::Refused("unknown account".to_owned())
}

fn sign(service: &Service, params: &Params) -> Answer {
    let (address, data) = (params.address(0)?, params.bytes(1)?);
    let signature = service.context.accounts.sign(address, eip191_hash_message(&data));
    service.answer(&Bytes::from(signature.ok_or_else(unknown_account)?.as_bytes()))
}

/// What one transaction object asks for.
struct Asked {
    draft: Draft,
    private: Option<PrivateRequest>,
    state: PrivateStateId,
}

impl Asked {
    fn read(params: &Params) -> Result<Self, RpcError> {
        let private = PrivateRequest::parse(&params.json::<Value>(0)?)?;
        let draft = Draft::read(params, private.is_some())?;
        Ok(Self { draft, private, state: params.private_state.clone() })
    }

    /// The key that sends, when the transaction is private.
    fn key(&self, service: &Service) -> Result<Option<RecipientKey>, RpcError> {
        let key = |private: &PrivateRequest| service.sending_key(&self.state, private.from);
        self.private.as_ref().map(key).transpose()
    }

    /// Chooses gas and fees on a blocking thread.
    async fn choose(&mut self, service: &Arc<Service>) -> Result<(), RpcError> {
        let mut draft = self.draft.clone();
        let state = self.state.clone();
        self.draft = Arc::clone(service)
            .run_heavy(move |service| {
                draft.choose(service, &state)?;
                Ok(draft)
            })
            .await?;
        Ok(())
    }
}

/// The nonce that the next transaction of an account has.
async fn next_nonce(service: &Arc<Service>, address: Address) -> Result<u64, RpcError> {
    if let Some(nonce) = service.context.backend.pending_nonce(address).await {
        return Ok(nonce);
    }
    let states = &service.context.states;
    let state = states.at(service.context.reader.head().header.number)?;
    let account = entente_chain::StateReader::account(&state, address)?;
    Ok(account.unwrap_or_default().nonce)
}

/// `eth_sendTransaction`: signs with an account of the node and sends; answers the hash.
pub(crate) async fn send(service: &Arc<Service>, params: Params) -> Result<B256, RpcError> {
    let mut asked = Asked::read(&params)?;
    let from = asked.draft.from;
    let accounts = Arc::clone(&service.context.accounts);
    let signer = accounts.signer(from).ok_or_else(unknown_account)?;
    let key = asked.key(service)?;
    asked.choose(service).await?;
    let private = asked.private.take().zip(key);
    let is_call = asked.draft.request.to.is_some_and(|to| to.is_call());
    // From here to the pool one send of an account waits for the one before. The payload of a call
    // goes to its parties meanwhile; that of a creation does not: its simulation needs the nonce.
    let (turn, given) = match &private {
        Some(private) if is_call => {
            let given = give(service, &asked, private, 0);
            let (turn, given) = tokio::join!(accounts.turn(from), given);
            (turn, Some(given?))
        }
        _ => (accounts.turn(from).await, None),
    };
    let nonce = match asked.draft.needs_nonce() {
        true => next_nonce(service, from).await?,
        false => 0,
    };
    let encoded = match private {
        Some(private) => {
            let hash = match given {
                Some(hash) => hash,
                None => give(service, &asked, &private, nonce).await?,
            };
            let (request, key) = private;
            let parties = request.distribution(key).without_terms();
            private_transaction(service, asked.draft, (hash, parties), nonce, signer).await?
        }
        None => {
            let data = asked.draft.data.clone();
            asked.draft.unsigned(service, nonce, data)?.sign(signer)
        }
    };
    let hash = service.desk.send(encoded).await?;
    drop(turn);
    Ok(hash)
}

/// `eth_sendTransactionAsync`: answers nothing, as GoQuorum does, before the parties have the payload;
/// what came of it goes to the `callbackUrl`.
fn send_detached(service: Arc<Service>, params: Params) -> BoxFuture<Answer> {
    Box::pin(async move {
        let callbacks = &service.callbacks;
        let url = params.json::<WithCallback>(0)?.callback_url;
        let url = callbacks.check(url.as_deref())?;
        // What cannot be read is told at once.
        Asked::read(&params)?;
        let place = callbacks.admit()?;
        let answer = service.answer(&B256::ZERO);
        let runtime = service.runtime.clone();
        runtime.spawn(async move {
            let id = params.call_id.clone();
            let result = send(&service, params).await;
            if let Err(cause) = &result {
                tracing::debug!(%cause, "a send without an answer failed");
            }
            // Nothing of the node is held on to while a caller is told.
            drop(service);
            if let Some(url) = url {
                callbacks::tell(url, id, result).await;
            }
            drop(place);
        });
        answer
    })
}

#[derive(serde::Deserialize)]
struct WithCallback {
    #[serde(rename = "callbackUrl")]
    callback_url: Option<String>,
}

/// Gives the payload to its parties.
async fn give(
    service: &Arc<Service>,
    asked: &Asked,
    (private, key): &(PrivateRequest, RecipientKey),
    nonce: u64,
) -> Result<PayloadHash, RpcError> {
    let draft = &asked.draft;
    let call = PrivateCall {
        from: draft.from,
        nonce: draft.request.nonce.unwrap_or(nonce),
        to: draft.request.to.and_then(|to| to.to().copied()),
        gas: draft.request.gas.unwrap_or_default(),
        payload: draft.data.clone(),
    };
    let (private, key, state) = (private.clone(), *key, asked.state.clone());
    let distribution = Arc::clone(service)
        .run_heavy(move |service| service.terms(&state, &private, key, &call))
        .await?;
    service.distribute(Zeroizing::new(draft.data.to_vec()), distribution).await
}

/// The signed transaction that stands for a payload: the private one, or a privacy marker around it
/// where the node is told to send such.
async fn private_transaction(
    service: &Arc<Service>,
    draft: Draft,
    (hash, parties): (PayloadHash, Distribution),
    nonce: u64,
    signer: &SealSigner,
) -> Result<Bytes, RpcError> {
    let marker = service.markers.then(|| draft.clone());
    let signed = draft.unsigned(service, nonce, hash.into())?.sign(signer);
    let Some(marker) = marker else { return Ok(signed) };
    let inner = decode(service, signed)?;
    let wrapped = Zeroizing::new(inner_json(&inner)?);
    let wrapped = service.distribute(wrapped, parties).await?;
    Ok(marker
        .into_marker(PRIVACY_MARKER_ADDRESS)
        .unsigned(service, nonce, wrapped.into())?
        .sign(signer))
}

/// Decodes a signed transaction and recovers its sender.
pub(crate) fn decode(
    service: &Service,
    encoded: Bytes,
) -> Result<Arc<entente_chain::RecoveredTransaction>, RpcError> {
    let decoded = service.context.senders.decode_batch(vec![encoded]).pop();
    let decoded = decoded.ok_or(RpcError::Internal)?;
    decoded.map_err(|error| RpcError::Refused(error.to_string()))
}

/// The transaction inside a privacy marker travels in geth's JSON form, as GoQuorum sends it.
pub(super) fn inner_json(inner: &entente_chain::RecoveredTransaction) -> Result<Vec<u8>, RpcError> {
    let envelope = inner.envelope();
    let mut fields = serde_json::to_value(envelope).map_err(|cause| RpcError::internal(&cause))?;
    if let Some(fields) = fields.as_object_mut() {
        fields.remove("chainId");
        fields.insert("nonce".to_owned(), json!(format!("{:#x}", inner.nonce())));
    }
    serde_json::to_vec(&fields).map_err(|cause| RpcError::internal(&cause))
}

fn sign_transaction(service: Arc<Service>, params: Params) -> BoxFuture<Answer> {
    Box::pin(async move {
        let asked = Asked::read(&params)?;
        let request = &asked.draft.request;
        let missing = [
            ("gas", request.gas.is_none()),
            ("nonce", request.nonce.is_none()),
            ("gasPrice", request.gas_price.is_none() && request.max_fee_per_gas.is_none()),
        ];
        if let Some((name, _)) = missing.iter().find(|(_, missing)| *missing) {
            return Err(RpcError::argument(0, format!("{name} not specified")));
        }
        if asked.private.is_some() {
            let text = "privateFor: a private transaction is sent with eth_sendTransaction, or \
                        filled with eth_fillTransaction and signed elsewhere";
            return Err(RpcError::argument(0, text));
        }
        let accounts = Arc::clone(&service.context.accounts);
        let signer = accounts.signer(asked.draft.from).ok_or_else(unknown_account)?;
        let data = asked.draft.data.clone();
        let raw = asked.draft.unsigned(&service, 0, data)?.sign(signer);
        let signed = decode(&service, raw)?;
        service.answer(&json!({ "raw": signed.encoded(), "tx": signed.envelope() }))
    })
}

/// Fills up what the caller left out. With `privateFor` the payload is stored on this node and its
/// hash takes its place (GoQuorum's form); without, geth's.
fn fill_transaction(service: Arc<Service>, params: Params) -> BoxFuture<Answer> {
    Box::pin(async move {
        let mut asked = Asked::read(&params)?;
        let from = asked.draft.from;
        let key = asked.key(&service)?;
        asked.choose(&service).await?;
        let nonce = match asked.draft.needs_nonce() {
            true => next_nonce(&service, from).await?,
            false => 0,
        };
        let data = match key {
            Some(sender) => {
                let plain = Zeroizing::new(asked.draft.data.to_vec());
                let stored = crate::private::StoredPayload { plain, sender };
                let backend = &service.private()?.backend;
                backend.store(stored).await.map_err(crate::private_sending::refused)?.into()
            }
            None => asked.draft.data.clone(),
        };
        service.answer(&asked.draft.unsigned(&service, nonce, data)?.filled()?)
    })
}
