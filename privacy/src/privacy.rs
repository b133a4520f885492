//! Everything that a node does with private transactions: what RPC, execution and the network ask.

mod announcing;
mod arrival;
mod network;
mod sending;

pub use sending::{Action, Millis, RequestId, SendReceipt, SendRequest};

use crate::{
    directory::Directory,
    distribution::Distribution,
    enclave::{Creation, Enclave, OpenError, SealError, SealRandomness},
    error::PrivacyError,
    exchange::Exchange,
    opened_payloads::OpenedPayloads,
    party_key::PartyKey,
    payload::{EncryptedPayload, PLAIN_BYTES_MAX},
    payload_store::{PayloadStore, Stored},
    random::Randomness,
    recovery::Verdict,
};
use entente_chain::{
    EnvironmentId, NodeId,
    private::{
        PayloadHash, PrivacyFlag, PrivatePayload, PrivatePayloads, RecipientKey, Resolution,
    },
};
use entente_storage::PrivateRecords;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// Memory for opened payloads, in bytes.
pub const OPENED_BYTES_DEFAULT: usize = 16 * 1024 * 1024;
/// How long the parties of a payload are waited for, in milliseconds.
pub const DELIVERY_TIMEOUT_DEFAULT: Millis = 10_000;

/// How private transactions are handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrivacySettings {
    /// Memory for opened payloads, in bytes.
    pub opened_bytes: usize,
    /// The key that sends when a request names none; the first one there is where this is `None`.
    pub default_sender: Option<RecipientKey>,
    /// How long the parties of a payload are waited for, in milliseconds.
    pub delivery_timeout: Millis,
}

impl Default for PrivacySettings {
    fn default() -> Self {
        Self {
            opened_bytes: OPENED_BYTES_DEFAULT,
            default_sender: None,
            delivery_timeout: DELIVERY_TIMEOUT_DEFAULT,
        }
    }
}

/// What is known of a payload, for RPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadStatus {
    /// It is here.
    Held,
    /// It was deleted here: execution goes on as if this node were no party.
    Erased,
    /// It never was here.
    Unknown,
}

/// The private transactions of a node. Shared by reference between threads; every call is short,
/// but for those that write, which wait for the disk.
#[derive(Debug)]
pub struct Privacy {
    node: NodeId,
    enclave: Enclave,
    store: PayloadStore,
    exchange: Mutex<Exchange>,
    randomness: Arc<Randomness>,
    opened: OpenedPayloads,
    default_sender: Mutex<Option<RecipientKey>>,
    requests: AtomicU64,
}

impl Privacy {
    /// Opens the private transactions of a database with the keys of a node.
    ///
    /// # Errors
    /// When the key that shall send by default is not among them, or the disk fails.
    pub fn open(
        records: PrivateRecords,
        keys: Vec<PartyKey>,
        (environment, node): (EnvironmentId, NodeId),
        randomness: Arc<Randomness>,
        settings: &PrivacySettings,
    ) -> Result<Self, PrivacyError> {
        let enclave = Enclave::new(environment, keys);
        if let Some(key) = settings.default_sender
            && !enclave.holds(&key)
        {
            return Err(SealError::NotOurs(key).into());
        }
        let first = enclave.keys().first().copied();
        let store = PayloadStore::new(records);
        let exchange = Exchange {
            distribution: Distribution::new(settings.delivery_timeout),
            directory: Directory::restore(&store.statements()?),
            recovery: Self::restored_recovery(store.single(Self::recovery_record())?.as_deref()),
            peers: BTreeMap::new(),
        };
        Ok(Self {
            node,
            enclave,
            store,
            exchange: Mutex::new(exchange),
            randomness,
            opened: OpenedPayloads::new(settings.opened_bytes),
            default_sender: Mutex::new(settings.default_sender.or(first)),
            requests: AtomicU64::new(0),
        })
    }

    /// Our public keys, ascending.
    #[must_use]
    pub fn keys(&self) -> Vec<RecipientKey> {
        self.enclave.keys()
    }

    /// Adds a key while the node runs; false when it is there already. The caller stores it first
    /// ([`KeyStore`](crate::KeyStore)), and announces it afterwards ([`announce`](Self::announce)).
    pub fn add_key(&self, key: PartyKey) -> bool {
        let public = key.public();
        let added = self.enclave.add_key(key);
        let mut default = self.default_sender.lock().unwrap_or_else(PoisonError::into_inner);
        default.get_or_insert(public);
        drop(default);
        // Which of our keys are parties may have changed.
        self.opened.clear();
        self.exchange().recovery.start_over();
        added
    }

    /// The key that sends when a request names none.
    #[must_use]
    pub fn default_sender(&self) -> Option<RecipientKey> {
        *self.default_sender.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores a payload whose recipients are not known yet (`storeraw`); durable on return. Its
    /// hash stays when it is sent.
    ///
    /// # Errors
    /// When the sender is not ours, a bound is broken, or the disk fails.
    pub fn store_raw(
        &self,
        plain: &[u8],
        sender: Option<RecipientKey>,
    ) -> Result<PayloadHash, PrivacyError> {
        let sender = self.sender(sender)?;
        let randomness = SealRandomness::draw(&self.randomness);
        let payload = self.enclave.seal_raw(plain, &sender, &randomness)?;
        self.store.put_raw(&payload)?;
        Ok(payload.hash())
    }

    /// A payload that a key of this node can read.
    ///
    /// # Errors
    /// When it is unknown, erased, or does not open, or the disk fails.
    pub fn receive(&self, hash: PayloadHash) -> Result<Arc<PrivatePayload>, PrivacyError> {
        if let Some(opened) = self.opened.get(hash) {
            return Ok(opened);
        }
        let age = self.opened.age();
        let opened = match self.store.get(hash)? {
            Stored::Held(payload) => self.open_stored(hash, &payload)?,
            Stored::Imported(payload) => *payload,
            Stored::Erased => return Err(PrivacyError::Erased(hash)),
            Stored::Unknown => return Err(PrivacyError::Unknown(hash)),
        };
        let opened = Arc::new(opened);
        self.opened.insert(age, hash, &opened);
        Ok(opened)
    }

    /// A payload of [`store_raw`](Self::store_raw), before or after it was sent.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub fn receive_raw(&self, hash: PayloadHash) -> Result<PrivatePayload, PrivacyError> {
        let raw = self.store.raw(hash)?.ok_or(PrivacyError::Unknown(hash))?;
        self.open_stored(hash, &raw)
    }

    /// A payload that is not stored, as [`seal_encoded`](Self::seal_encoded) made it here or at
    /// another node of the environment.
    ///
    /// # Errors
    /// When it is no payload, or not for a key of this node.
    pub fn open_encoded(&self, payload: &[u8]) -> Result<PrivatePayload, PrivacyError> {
        let payload = EncryptedPayload::decode(payload)?;
        self.open_stored(payload.hash(), &payload)
    }

    /// As [`open_encoded`](Self::open_encoded), only with some of the keys of this node: what the
    /// others could read, and that they are there, is not told.
    ///
    /// # Errors
    /// When it is no payload, or not for these keys.
    pub fn open_encoded_for(
        &self,
        keys: &[RecipientKey],
        payload: &[u8],
    ) -> Result<PrivatePayload, PrivacyError> {
        let payload = EncryptedPayload::decode(payload)?;
        let hash = payload.hash();
        let mut opened = self.open_stored(hash, &payload)?;
        opened.managed.retain(|key| keys.contains(key));
        if opened.managed.is_empty() {
            return Err(PrivacyError::Open { hash, cause: OpenError });
        }
        Ok(opened)
    }

    /// Takes over a payload that another transaction manager kept under this hash.
    ///
    /// # Errors
    /// When the payload is too large, another is known under the hash, it was erased, or the disk
    /// fails.
    pub fn import(&self, hash: PayloadHash, payload: &PrivatePayload) -> Result<(), PrivacyError> {
        let length = payload.plain.len();
        if !(1..=PLAIN_BYTES_MAX).contains(&length) {
            return Err(SealError::Length(length).into());
        }
        self.store.put_imported(hash, payload)?;
        self.opened.remove(hash);
        Ok(())
    }

    /// Whether a key of this node sent a payload.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub fn is_sender(&self, hash: PayloadHash) -> Result<bool, PrivacyError> {
        Ok(self.enclave.holds(&self.receive(hash)?.sender))
    }

    /// The parties of a payload as far as this node may know them, the sender included, ascending.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub fn participants(&self, hash: PayloadHash) -> Result<Vec<RecipientKey>, PrivacyError> {
        Ok(self.receive(hash)?.parties.clone())
    }

    /// The parties that must be named every time.
    ///
    /// # Errors
    /// As [`receive`](Self::receive), and when the flag of the payload is not 2.
    pub fn mandatory(&self, hash: PayloadHash) -> Result<Vec<RecipientKey>, PrivacyError> {
        let terms = &self.receive(hash)?.terms;
        if terms.flag != PrivacyFlag::MandatoryRecipients {
            return Err(PrivacyError::NotMandatory(hash));
        }
        Ok(terms.mandatory.clone())
    }

    /// Erases a payload for good: a resend does not bring it back, and whoever executes its
    /// transaction again does so as no party. False when there is none.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn delete(&self, hash: PayloadHash) -> Result<bool, PrivacyError> {
        let erased = self.store.erase(hash)?;
        self.opened.remove(hash);
        Ok(erased)
    }

    /// What is known of a payload.
    ///
    /// # Errors
    /// When the disk fails or the record is damaged.
    pub fn status(&self, hash: PayloadHash) -> Result<PayloadStatus, PrivacyError> {
        Ok(match self.store.get(hash)? {
            Stored::Held(_) | Stored::Imported(_) => PayloadStatus::Held,
            Stored::Erased => PayloadStatus::Erased,
            Stored::Unknown => PayloadStatus::Unknown,
        })
    }

    /// The payload that created a contract, as a proof of being a party to it needs it.
    fn creation(&self, hash: PayloadHash) -> Result<Creation, PrivacyError> {
        match self.store.get(hash)? {
            Stored::Held(payload) => Ok(Creation::Sealed(payload)),
            Stored::Imported(payload) => Ok(Creation::Imported { hash, plain: payload.plain }),
            Stored::Erased => Err(PrivacyError::Erased(hash)),
            Stored::Unknown => Err(PrivacyError::Unknown(hash)),
        }
    }

    fn open_stored(
        &self,
        hash: PayloadHash,
        payload: &EncryptedPayload,
    ) -> Result<PrivatePayload, PrivacyError> {
        self.enclave.open(payload).map_err(|cause| PrivacyError::Open { hash, cause })
    }

    fn sender(&self, named: Option<RecipientKey>) -> Result<RecipientKey, PrivacyError> {
        named.or_else(|| self.default_sender()).ok_or(PrivacyError::NoKey)
    }

    /// The payloads that created affected contracts, where this node can read them.
    fn creations(
        &self,
        affected: &[PayloadHash],
    ) -> Result<Vec<Option<Arc<PrivatePayload>>>, PrivacyError> {
        let read = |hash: &PayloadHash| match self.receive(*hash) {
            Ok(creation) => Ok(Some(creation)),
            Err(PrivacyError::Unknown(_) | PrivacyError::Erased(_)) => Ok(None),
            Err(other) => Err(other),
        };
        affected.iter().map(read).collect()
    }

    /// Whoever sends us a payload has our acknowledgement before its hash is on the chain, so an
    /// unknown hash is nobody's, but while our store may have gaps.
    fn resolve_unknown(&self, hash: PayloadHash) -> Resolution {
        let mut exchange = self.exchange();
        let Exchange { recovery, directory, .. } = &mut *exchange;
        match recovery.judge(hash, directory.nodes()) {
            Verdict::NotParty => Resolution::NotParty,
            Verdict::Waiting(nodes) => {
                let nodes: Vec<_> = nodes.iter().map(ToString::to_string).collect();
                let asked = nodes.join(", ");
                Resolution::Unavailable(format!(
                    "asking for payload {hash}, no answer of [{asked}]"
                ))
            }
        }
    }

    fn next_request(&self) -> RequestId {
        RequestId(self.requests.fetch_add(1, Relaxed))
    }
}

/// Local only. A payload that is here and does not open is never taken for "not a party": that
/// would fork the private state.
impl PrivatePayloads for Privacy {
    fn resolve(&self, hash: PayloadHash) -> Resolution {
        match self.receive(hash) {
            Ok(payload) => Resolution::Party(payload),
            // Erasing is the decision to be no party any more.
            Err(PrivacyError::Erased(_)) => Resolution::NotParty,
            Err(PrivacyError::Unknown(_)) => self.resolve_unknown(hash),
            Err(other) => Resolution::Unavailable(other.to_string()),
        }
    }
}
