//! Private transactions of a request: its management contract, votes, the hash of the state. They
//! go the way of `eth_sendTransaction`, markers included.

use crate::{
    context::Service, error::RpcError, methods::send, params::Params, private::Distribution,
    private_request::PrivateRequest,
};
use alloy_primitives::{Address, B256, Bytes, hex};
use entente_chain::private::{PayloadHash, PrivacyTerms, PrivateStateId, RecipientKey};
use serde_json::{Map, Value, json};
use std::{collections::BTreeSet, sync::Arc};
use zeroize::Zeroizing;

/// Gas where the caller names none; GoQuorum's number.
const GAS: u64 = 4_712_384;

/// Who sends a transaction of a request, and to whom.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) from: Address,
    /// The private state that it belongs to.
    pub(crate) state: PrivateStateId,
    /// The key that sends.
    pub(crate) key: RecipientKey,
    /// The other parties; the sender's key may be among them.
    pub(crate) parties: BTreeSet<RecipientKey>,
    /// Gas and price, where the caller named them.
    fields: Map<String, Value>,
}

impl Outgoing {
    pub(crate) fn new(
        from: Address,
        state: PrivateStateId,
        key: RecipientKey,
        parties: BTreeSet<RecipientKey>,
    ) -> Self {
        Self { from, state, key, parties, fields: Map::new() }
    }

    /// Takes a caller's transaction object.
    pub(crate) fn read(service: &Service, params: &Params, index: usize) -> Result<Self, RpcError> {
        let mut object: Value = params.json(index)?;
        let fields = object
            .as_object_mut()
            .ok_or_else(|| RpcError::argument(index, "not a transaction object"))?;
        let mut keep = Map::new();
        for name in ["gas", "gasPrice"] {
            if let Some(value) = fields.remove(name).filter(|value| !value.is_null()) {
                keep.insert(name.to_owned(), value);
            }
        }
        // Without it the parties are those that are known.
        let named = fields.entry("privateFor").or_insert_with(|| json!([]));
        if named.is_null() {
            *named = json!([]);
        }
        let from = fields.get("from").and_then(Value::as_str).unwrap_or_default();
        let from = crate::params::parse_address(from)
            .map_err(|cause| RpcError::argument(index, format!("from: {cause}")))?;
        let request = PrivateRequest::parse(&object)?.ok_or(RpcError::Internal)?;
        let state = params.private_state.clone();
        Ok(Self {
            from,
            key: service.sending_key(&state, request.from)?,
            state,
            parties: request.to.into_iter().collect(),
            fields: keep,
        })
    }

    /// Refuses accounts that the node does not sign for.
    pub(crate) fn check_account(&self, service: &Service) -> Result<(), RpcError> {
        match service.context.accounts.signer(self.from) {
            Some(_) => Ok(()),
            None => Err(RpcError::Refused(format!("no wallet found for account {}", self.from))),
        }
    }

    fn others(&self) -> Vec<RecipientKey> {
        self.parties.iter().copied().filter(|key| *key != self.key).collect()
    }

    /// Signs and sends; `to` of `None` creates.
    pub(crate) async fn send(
        self,
        service: &Arc<Service>,
        to: Option<Address>,
        data: Bytes,
    ) -> Result<B256, RpcError> {
        let text = |key: &RecipientKey| json!(key.to_string());
        let private_for: Vec<_> = self.others().iter().map(text).collect();
        let mut fields = self.fields;
        fields.entry("gas").or_insert_with(|| json!(format!("{GAS:#x}")));
        fields.insert("from".to_owned(), json!(self.from));
        fields.insert("to".to_owned(), json!(to));
        fields.insert("data".to_owned(), json!(data));
        fields.insert("privateFrom".to_owned(), text(&self.key));
        fields.insert("privateFor".to_owned(), json!(private_for));
        let mut params = Params::parse(Some(&json!([fields]).to_string()))?;
        params.private_state = self.state;
        send(service, params).await
    }

    /// Gives the parties a payload that is no transaction.
    pub(crate) async fn distribute(
        &self,
        service: &Arc<Service>,
        plain: Zeroizing<Vec<u8>>,
        terms: PrivacyTerms,
    ) -> Result<PayloadHash, RpcError> {
        let distribution = Distribution { from: Some(self.key), to: self.others(), terms };
        service.distribute(plain, distribution).await
    }

    /// A payload that says that this node agrees with what the management contract keeps: all
    /// parties get it, so that it can be had back, and only this node could have made it.
    pub(crate) async fn uuid(
        &self,
        service: &Arc<Service>,
        management: Address,
    ) -> Result<String, RpcError> {
        let plain = Zeroizing::new(management.to_vec());
        let hash = self.distribute(service, plain, PrivacyTerms::default()).await?;
        Ok(hex::encode_prefixed(hash.0))
    }
}
