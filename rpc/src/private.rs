//! What the server asks of a node that takes part in private transactions.

use crate::{BoxFuture, Rejected};
use entente_chain::private::{
    PayloadHash, PrivacyTerms, PrivatePayload, PrivateStateId, RecipientKey,
};
use entente_storage::PrivateStates;
use serde_json::Value;
use std::{fmt, sync::Arc};
use zeroize::Zeroizing;

/// The private side of a node.
#[derive(Clone)]
pub struct PrivateAccess {
    /// Its private states.
    pub states: PrivateStates,
    /// Its keys and payloads.
    pub backend: Arc<dyn PrivateBackend>,
}

impl fmt::Debug for PrivateAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateAccess").field("states", &self.states).finish_non_exhaustive()
    }
}

/// Who gets a payload, and under which terms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    /// The key of this node that sends it; `None`: the node's first key.
    pub from: Option<RecipientKey>,
    /// The other parties.
    pub to: Vec<RecipientKey>,
    /// What the sender fixes.
    pub terms: PrivacyTerms,
}

impl Distribution {
    /// The same parties for a payload that is under no terms: the transaction inside a marker.
    pub(crate) fn without_terms(self) -> Self {
        Self { terms: PrivacyTerms::default(), ..self }
    }
}

/// A payload that waits for its signed transaction (`eth_fillTransaction`, `/storeraw`).
pub struct StoredPayload {
    /// In plain.
    pub plain: Zeroizing<Vec<u8>>,
    /// The key that will send it.
    pub sender: RecipientKey,
}

/// Never shows the payload.
impl fmt::Debug for StoredPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredPayload").field("sender", &self.sender).finish_non_exhaustive()
    }
}

/// Keys and payloads of a node.
pub trait PrivateBackend: Send + Sync + 'static {
    /// The keys of this node, the first one first.
    fn keys(&self) -> Vec<RecipientKey>;
    /// The private state that a key belongs to.
    fn state_of(&self, key: RecipientKey) -> PrivateStateId;
    /// A payload that this node can read; `None`: it is no party, or the payload was erased.
    ///
    /// # Errors
    /// When it cannot be read now, in words.
    fn payload(&self, hash: PayloadHash) -> Result<Option<Arc<PrivatePayload>>, Rejected>;
    /// Keeps a payload until its transaction is signed; answers once it is on disk. Refused, in
    /// words, when the key is not of this node or the payload too large.
    fn store(&self, payload: StoredPayload) -> BoxFuture<Result<PayloadHash, Rejected>>;
    /// A payload that was kept so.
    ///
    /// # Errors
    /// When it cannot be read, in words.
    fn stored(&self, hash: PayloadHash) -> Result<Option<StoredPayload>, Rejected>;
    /// Gives a payload to its parties; answers once each has it on disk.
    fn distribute(
        &self,
        plain: Zeroizing<Vec<u8>>,
        distribution: Distribution,
    ) -> BoxFuture<Result<PayloadHash, Rejected>>;
    /// The same for a payload that was kept by [`Self::store`]; its hash stays.
    fn distribute_stored(
        &self,
        hash: PayloadHash,
        distribution: Distribution,
    ) -> BoxFuture<Result<(), Rejected>>;
    /// Decrypts a payload in Tessera's JSON form that is not in the store; only with keys of a private
    /// state.
    ///
    /// # Errors
    /// When it is not for these, in words.
    fn decrypt(&self, encrypted: &Value, id: &PrivateStateId) -> Result<PrivatePayload, Rejected>;
    /// Makes a key of a private state while the node runs, and tells the other nodes.
    fn new_key(&self, id: PrivateStateId) -> BoxFuture<Result<RecipientKey, Rejected>>;
    /// Erases a payload of a private state here for good, sent or kept; false: that state has none.
    /// What no key opens any more is the default state's.
    ///
    /// # Errors
    /// When the disk fails, in words.
    fn erase(&self, hash: PayloadHash, id: &PrivateStateId) -> Result<bool, Rejected>;
    /// Decides that this node is no party to a payload that others have not answered for.
    fn give_up(&self, hash: PayloadHash);
    /// Forgets the keys of a node that is gone for good; false: it had none.
    ///
    /// # Errors
    /// When the text names no node or the disk fails, in words.
    fn forget_node(&self, node: &str) -> Result<bool, Rejected>;
    /// How the private states of the parties agree, for `privacy_status`.
    ///
    /// # Errors
    /// When it cannot be read, in words.
    fn status(&self, id: &PrivateStateId) -> Result<Value, Rejected>;
}
