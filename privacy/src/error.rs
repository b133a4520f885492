//! Why something about private transactions was not done.

use crate::{
    enclave::{OpenError, SealError},
    payload::MalformedPayload,
    payload_store::PayloadStoreError,
    terms::TermsError,
};
use entente_chain::{
    NodeId,
    private::{PayloadHash, RecipientKey},
};
use entente_storage::StoreError;

/// Why a request about private transactions was refused. Nothing was distributed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrivacyError {
    /// The node has no key to send from.
    #[error("this node has no key for private transactions")]
    NoKey,
    /// The terms of the request are not kept.
    #[error(transparent)]
    Terms(#[from] TermsError),
    /// The payload could not be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The bytes are no payload.
    #[error("not an encrypted payload: {0}")]
    Malformed(#[from] MalformedPayload),
    /// The payload is stored and does not open.
    #[error("payload {hash}: {cause}")]
    Open {
        /// The payload.
        hash: PayloadHash,
        /// Why.
        cause: OpenError,
    },
    /// Nothing is known under the hash.
    #[error("payload {0} is not known to this node")]
    Unknown(PayloadHash),
    /// It was here and was deleted on request.
    #[error("payload {0} was erased on this node")]
    Erased(PayloadHash),
    /// The payload has no mandatory recipients.
    #[error("payload {0} does not have privacyFlag 2, so it has no mandatory recipients")]
    NotMandatory(PayloadHash),
    /// The payload was sent before, to others or under other terms.
    #[error("payload {0} was sent already, to others or under other terms")]
    Sent(PayloadHash),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] PayloadStoreError),
    /// As many requests are under way as may be.
    #[error("too many private transactions are being distributed, try again")]
    Busy,
}

impl From<StoreError> for PrivacyError {
    fn from(error: StoreError) -> Self {
        Self::Store(error.into())
    }
}

/// Why a payload did not reach all its parties. The sender keeps nothing of it; a party that has it
/// already keeps it, which harms nothing, for its hash will not be on the chain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// No node has shown to hold the key.
    #[error("no node is known for recipient {0}")]
    NoNode(RecipientKey),
    /// The node did not acknowledge in time.
    #[error("node {node} of recipient {key} did not acknowledge within {waited} ms")]
    TimedOut {
        /// The recipient.
        key: RecipientKey,
        /// Its node.
        node: NodeId,
        /// How long it was waited for, in milliseconds.
        waited: u64,
    },
    /// All have it, but this node could not keep it.
    #[error(transparent)]
    NotStored(PayloadStoreError),
    /// The node refused.
    #[error("node {node} of recipient {key} refused: {reason}")]
    Refused {
        /// The recipient.
        key: RecipientKey,
        /// Its node.
        node: NodeId,
        /// Why.
        reason: Refusal,
    },
}

/// Why a node does not take a payload. Says little, so that nobody learns from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is not what its sender made, or not for us.
    #[error("authentication failed")]
    NotAuthentic,
    /// Its terms contradict those of a contract that it affects.
    #[error("the terms are not kept")]
    Terms,
    /// It is known with other recipients or terms.
    #[error("another payload is known under the hash")]
    Contradiction,
    /// It was erased there.
    #[error("the payload was erased")]
    Erased,
    /// Only the node of its sender may send a payload that nobody asked for.
    #[error("the sending node has not proven to hold the sender's key")]
    UnknownSender,
    /// The node could not write.
    #[error("the node could not store it")]
    Storage,
}

impl From<MalformedPayload> for Refusal {
    fn from(_: MalformedPayload) -> Self {
        Self::NotAuthentic
    }
}
