//! How a private transaction leaves this node: it is simulated, its terms are checked against the
//! contracts that would take part, its payload goes to the parties, and only when each of them has
//! it on disk the public transaction is sent.

use crate::{
    context::Service,
    error::RpcError,
    methods::call_error,
    private::{Distribution, PrivateAccess},
    private_request::PrivateRequest,
};
use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, Bytes};
use entente_chain::{
    RecoveredTransaction,
    private::{PayloadHash, PrivacyFlag, PrivateStateId, RecipientKey},
    transaction::has_private_signature,
};
use entente_evm::{AffectedContract, PrivateCall, Simulated};
use std::sync::Arc;
use zeroize::Zeroizing;

impl Service {
    /// The private side of the node.
    pub(crate) fn private(&self) -> Result<&PrivateAccess, RpcError> {
        self.context
            .private
            .as_ref()
            .ok_or_else(|| RpcError::Refused("PrivateTransactionManager is not enabled".to_owned()))
    }

    /// The key that a caller sends with: one of its private state.
    pub(crate) fn sending_key(
        &self,
        state: &PrivateStateId,
        named: Option<RecipientKey>,
    ) -> Result<RecipientKey, RpcError> {
        let backend = &self.private()?.backend;
        let mut keys = backend.keys().into_iter();
        match named {
            Some(named) if !keys.any(|key| key == named) => {
                Err(RpcError::InvalidParams(format!("privateFrom: {named} is no key of this node")))
            }
            Some(named) if backend.state_of(named) != *state => {
                Err(RpcError::InvalidParams(format!(
                    "The PrivateFrom ({named}) address does not match the specified private state \
                     ({state})"
                )))
            }
            Some(named) => Ok(named),
            None => keys.find(|key| backend.state_of(*key) == *state).ok_or_else(|| {
                RpcError::Refused(format!("privateFrom: the private state {state} has no key"))
            }),
        }
    }

    /// What the sender fixes, once a simulation showed which contracts would take part. For a
    /// blocking thread.
    pub(crate) fn terms(
        &self,
        state: &PrivateStateId,
        request: &PrivateRequest,
        from: RecipientKey,
        call: &PrivateCall,
    ) -> Result<Distribution, RpcError> {
        let mut distribution = request.distribution(from);
        let head = self.context.reader.head().header.clone();
        let spec = &self.context.spec;
        let enhanced = spec.rules_at(head.number.saturating_add(1)).privacy_enhancements;
        if !enhanced {
            return match request.flag {
                PrivacyFlag::Standard => Ok(distribution),
                _ => Err(RpcError::Refused(
                    "privacyFlag: PrivacyEnhancements are disabled. Can only accept transactions \
                     with PrivacyFlag=0(StandardPrivate)."
                        .to_owned(),
                )),
            };
        }
        if request.flag != PrivacyFlag::Standard {
            self.check_target(state, call.to, head.number)?;
        }
        let public = self.context.states.at(head.number)?;
        let simulated = self.context.executor.simulate_private(&head, &public, state, call);
        let simulated = simulated.map_err(|cause| RpcError::Refused(cause.to_string()))?;
        let Simulated { affected, execution_root, failure } = simulated;
        // GoQuorum: one that fails on the sender's own state is not worth distributing.
        if request.flag != PrivacyFlag::Standard
            && let Some(failure) = failure
        {
            return Err(call_error(failure));
        }
        distribution.terms.affected = affected_payloads(request.flag, &affected)?;
        distribution.terms.execution_root =
            (request.flag == PrivacyFlag::StateValidation).then_some(execution_root);
        Ok(distribution)
    }

    /// GoQuorum's check that a protected contract is there.
    fn check_target(
        &self,
        state: &PrivateStateId,
        to: Option<Address>,
        number: u64,
    ) -> Result<(), RpcError> {
        let Some(to) = to else { return Ok(()) };
        let store = self.store_of(state, to, number)?;
        let account = entente_chain::StateReader::account(&store.at(number)?, to)?;
        match account.is_some_and(|account| account.has_code()) {
            true => Ok(()),
            false => Err(RpcError::Refused("contract not found. cannot transact".to_owned())),
        }
    }

    /// Gives the stored payload of a signed private transaction to its parties; answers the key that
    /// sent it.
    pub(crate) async fn distribute_signed(
        self: &Arc<Self>,
        state: PrivateStateId,
        request: PrivateRequest,
        transaction: Arc<RecoveredTransaction>,
    ) -> Result<RecipientKey, RpcError> {
        let hash = payload_hash(&transaction)?;
        let stored = self.private()?.backend.stored(hash).map_err(refused)?.ok_or_else(|| {
            RpcError::Refused(format!(
                "payload {hash} is not stored on this node: store it first (/storeraw or \
                 eth_fillTransaction)"
            ))
        })?;
        if let Some(named) = request.from.filter(|named| *named != stored.sender) {
            return Err(RpcError::InvalidParams(format!(
                "The PrivateFrom address retrieved from the privacy manager does not match private \
                 PrivateFrom ({named}) specified in transaction arguments."
            )));
        }
        let from = self.sending_key(&state, Some(stored.sender))?;
        let call = PrivateCall {
            from: transaction.sender(),
            nonce: transaction.nonce(),
            to: transaction.to(),
            gas: transaction.gas_limit(),
            payload: Bytes::copy_from_slice(&stored.plain),
        };
        let service = Arc::clone(self);
        let distribution =
            service.run_heavy(move |service| service.terms(&state, &request, from, &call)).await?;
        let given = self.private()?.backend.distribute_stored(hash, distribution).await;
        given.map_err(refused)?;
        Ok(from)
    }

    /// Gives a payload to its parties and answers its hash.
    pub(crate) async fn distribute(
        &self,
        plain: Zeroizing<Vec<u8>>,
        distribution: Distribution,
    ) -> Result<PayloadHash, RpcError> {
        self.private()?.backend.distribute(plain, distribution).await.map_err(refused)
    }
}

pub(crate) fn refused(rejected: crate::Rejected) -> RpcError {
    RpcError::Refused(rejected.0)
}

/// The payload that a signed private transaction stands for.
fn payload_hash(transaction: &RecoveredTransaction) -> Result<PayloadHash, RpcError> {
    if !has_private_signature(transaction.envelope()) {
        return Err(RpcError::Refused("transaction is not private".to_owned()));
    }
    if !transaction.value().is_zero() {
        let text = "ether value is not supported for private transactions";
        return Err(RpcError::Refused(text.to_owned()));
    }
    let data = transaction.input();
    PayloadHash::from_data(data).ok_or_else(|| {
        RpcError::Refused(format!(
            "data: {} bytes given, the 64 bytes of a payload hash are expected",
            data.len()
        ))
    })
}

/// The payloads that created the contracts which take part (GoQuorum's `simulateExecutionForPE`).
fn affected_payloads(
    flag: PrivacyFlag,
    affected: &[AffectedContract],
) -> Result<Vec<PayloadHash>, RpcError> {
    let mut payloads = Vec::new();
    for contract in affected.iter().filter(|contract| !contract.created) {
        match &contract.terms {
            Some(terms) if terms.flag == flag => payloads.push(terms.creation),
            None if flag == PrivacyFlag::Standard => {}
            None => {
                return Err(RpcError::Refused(format!(
                    "privacyFlag: PrivacyMetadata not found: contract {} was created without \
                     terms",
                    contract.address
                )));
            }
            Some(terms) => {
                return Err(RpcError::Refused(format!(
                    "sent privacy flag doesn't match all affected contract flags: contract {} has \
                     flag {}",
                    contract.address,
                    terms.flag.number()
                )));
            }
        }
    }
    payloads.sort_unstable();
    payloads.dedup();
    Ok(payloads)
}
