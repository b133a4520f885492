//! Keys and ciphers, no disk and no network: seals payloads to parties and opens them.
//!
//! A payload has a content key of its own, which encrypts once. The key is wrapped to each party
//! with a key from X25519(sender, party), so that opening proves who the sender is. Everything that
//! is encrypted binds version, environment, sender, recipients and terms.

mod content;
mod membership;
mod possession;

use crate::{
    party_key::PartyKey,
    payload::{
        Content, Disclosure, EncryptedPayload, KeyBox, PAYLOAD_VERSION, PLAIN_BYTES_MAX,
        RECIPIENTS_MAX, TAG_BYTES, envelope_digest,
    },
    random::Randomness,
};
use aes_gcm::{Nonce, Tag, aead::AeadInPlace as _};
use alloy_primitives::{B256, FixedBytes};
use content::cipher;
use entente_chain::{
    EnvironmentId,
    private::{PayloadHash, PrivacyFlag, PrivacyTerms, PrivatePayload, RecipientKey},
};
use hkdf::Hkdf;
pub(crate) use possession::Possession;
use sha2::Sha256;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, PoisonError},
};
use zeroize::Zeroizing;

const WRAP_DOMAIN: &[u8] = b"entente private wrap";
/// A wrapping key is derived for one box and encrypts once.
const WRAP_NONCE: [u8; 12] = [0; 12];

/// The random values of one payload. Never used twice.
pub struct SealRandomness {
    content_key: Zeroizing<[u8; 32]>,
    salt: B256,
    nonce: FixedBytes<12>,
    recipients_salt: B256,
}

impl SealRandomness {
    /// Draws all of them.
    #[must_use]
    pub fn draw(source: &Randomness) -> Self {
        Self::new(Zeroizing::new(source.array()), source.array(), source.array(), source.array())
    }

    /// Takes them as they are: **for test vectors only**.
    #[must_use]
    pub const fn new(
        content_key: Zeroizing<[u8; 32]>,
        salt: [u8; 32],
        nonce: [u8; 12],
        recipients_salt: [u8; 32],
    ) -> Self {
        let (salt, recipients_salt) = (B256::new(salt), B256::new(recipients_salt));
        Self { content_key, salt, nonce: FixedBytes(nonce), recipients_salt }
    }
}

/// Why a payload was not sealed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The sender is not one of our keys.
    #[error("{0} is not a key of this node")]
    NotOurs(RecipientKey),
    /// No bytes, or too many.
    #[error("a private payload has 1 to {PLAIN_BYTES_MAX} bytes, this one has {0}")]
    Length(usize),
    /// More recipients than a payload may have.
    #[error("a private payload has at most {RECIPIENTS_MAX} recipients, this one has {0}")]
    Recipients(usize),
    /// A recipient's key with which everybody would share the secret.
    #[error("{0} is a point of low order, not a key")]
    WeakKey(RecipientKey),
    /// Only a payload that was stored before its recipients were known can be addressed later.
    #[error("payload {0} has its recipients already")]
    Addressed(PayloadHash),
    /// The stored payload cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// A payload that created a private contract. Only its parties know what is secret about it.
#[derive(Clone, PartialEq, Eq)]
pub enum Creation {
    /// Its content key is the secret.
    Sealed(Box<EncryptedPayload>),
    /// Another transaction manager kept it: the payload itself is the secret.
    Imported {
        /// Its hash on the chain.
        hash: PayloadHash,
        /// In plain.
        plain: Zeroizing<Vec<u8>>,
    },
}

/// Never shows the payload.
impl fmt::Debug for Creation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sealed(payload) => f.debug_tuple("Sealed").field(payload).finish(),
            Self::Imported { hash, .. } => {
                f.debug_struct("Imported").field("hash", hash).finish_non_exhaustive()
            }
        }
    }
}

/// Whom a payload is for, under which terms.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// Recipients beside the sender.
    pub recipients: &'a [RecipientKey],
    /// What the sender fixes.
    pub terms: &'a PrivacyTerms,
    /// The payloads that created the affected contracts, as `terms` lists them. The sender proves
    /// that it is a party to each.
    pub creations: &'a [Creation],
}

/// A payload does not open. Says nothing about why, so that nobody learns from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("authentication failed")]
pub struct OpenError;

/// The keys of this node. Keys may be added while it is used.
#[derive(Debug)]
pub struct Enclave {
    environment: EnvironmentId,
    keys: Mutex<BTreeMap<RecipientKey, Arc<PartyKey>>>,
}

impl Enclave {
    /// An enclave of one environment; payloads of another do not open.
    #[must_use]
    pub fn new(environment: EnvironmentId, keys: impl IntoIterator<Item = PartyKey>) -> Self {
        let keys = keys.into_iter().map(|key| (key.public(), Arc::new(key))).collect();
        Self { environment, keys: Mutex::new(keys) }
    }

    /// Adds a key; false when it is there already.
    pub fn add_key(&self, key: PartyKey) -> bool {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.insert(key.public(), Arc::new(key)).is_none()
    }

    /// Our public keys, ascending.
    #[must_use]
    pub fn keys(&self) -> Vec<RecipientKey> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }

    /// Whether a key is ours.
    #[must_use]
    pub fn holds(&self, key: &RecipientKey) -> bool {
        self.key(key).is_some()
    }

    pub(crate) fn key(&self, key: &RecipientKey) -> Option<Arc<PartyKey>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Seals a payload to its recipients and to the sender, and binds recipients and terms to its
    /// hash.
    ///
    /// # Errors
    /// When the sender is not ours, a recipient's key is none, or a bound is broken.
    pub fn seal(
        &self,
        plain: &[u8],
        sender: &RecipientKey,
        envelope: &Envelope<'_>,
        randomness: &SealRandomness,
    ) -> Result<EncryptedPayload, SealError> {
        let disclosed = disclosure(sender, envelope.recipients, randomness)?;
        let key_commitment = content::key_commitment(randomness);
        let new = (sender, randomness.salt, key_commitment);
        let memberships = self.memberships(envelope.creations, new)?;
        let terms = envelope.terms;
        let bound = envelope_digest(terms, &memberships, disclosed.commitment());
        let content = content::seal(self.environment, plain, sender, Some(bound), randomness)?;
        let addressing = Addressing { disclosed, terms, memberships };
        self.address(content, addressing, &randomness.content_key)
    }

    /// Seals a payload to its sender alone; [`readdress`](Self::readdress) names the recipients later.
    /// Its hash cannot bind them: the boxes do.
    ///
    /// # Errors
    /// As [`seal`](Self::seal).
    pub fn seal_raw(
        &self,
        plain: &[u8],
        sender: &RecipientKey,
        randomness: &SealRandomness,
    ) -> Result<EncryptedPayload, SealError> {
        let disclosed = disclosure(sender, &[], randomness)?;
        let content = content::seal(self.environment, plain, sender, None, randomness)?;
        let terms = &PrivacyTerms::default();
        let addressing = Addressing { disclosed, terms, memberships: Vec::new() };
        self.address(content, addressing, &randomness.content_key)
    }

    /// Addresses a payload of [`seal_raw`](Self::seal_raw). The hash stays.
    ///
    /// # Errors
    /// When it has its recipients already, is not ours, or as [`seal`](Self::seal).
    pub fn readdress(
        &self,
        raw: &EncryptedPayload,
        envelope: &Envelope<'_>,
        randomness: &SealRandomness,
    ) -> Result<EncryptedPayload, SealError> {
        if !raw.is_raw() {
            return Err(SealError::Addressed(raw.hash()));
        }
        let sender = raw.sender();
        let key = self.key(&sender).ok_or(SealError::NotOurs(sender))?;
        let content_key = self.unwrap(raw, &key)?;
        let disclosed = disclosure(&sender, envelope.recipients, randomness)?;
        let new = (&sender, raw.content.salt, raw.content.key_commitment);
        let memberships = self.memberships(envelope.creations, new)?;
        let addressing = Addressing { disclosed, terms: envelope.terms, memberships };
        self.address(raw.content.clone(), addressing, &content_key)
    }

    /// Opens a payload with every key of ours that it has a box for.
    ///
    /// # Errors
    /// When it has none, or anything about it is not as its sender made it.
    pub fn open(&self, payload: &EncryptedPayload) -> Result<PrivatePayload, OpenError> {
        let mut managed = Vec::new();
        let mut content_key = None;
        for recipient in payload.boxed() {
            if let Some(key) = self.key(&recipient) {
                content_key = Some(self.unwrap(payload, &key)?);
                managed.push(recipient);
            }
        }
        let content_key = content_key.ok_or(OpenError)?;
        self.check_envelope(payload)?;
        let plain = content::open(self.environment, &payload.content, &content_key)?;
        let parties = visible_parties(payload, &managed);
        let (sender, terms) = (payload.sender(), payload.terms.clone());
        Ok(PrivatePayload { plain, sender, managed, parties, terms })
    }

    fn check_envelope(&self, payload: &EncryptedPayload) -> Result<(), OpenError> {
        if let Some(disclosed) = &payload.disclosed
            && disclosed.commitment() != payload.recipients_commitment
        {
            return Err(OpenError);
        }
        // All must be named where their states must agree.
        if payload.terms.flag == PrivacyFlag::StateValidation && payload.disclosed.is_none() {
            return Err(OpenError);
        }
        match payload.content.envelope.first() {
            Some(bound) if *bound != payload.envelope_digest() => Err(OpenError),
            _ => Ok(()),
        }
    }

    /// Wraps the content key to everybody on the list.
    fn address(
        &self,
        content: Content,
        addressing: Addressing<'_>,
        content_key: &[u8; 32],
    ) -> Result<EncryptedPayload, SealError> {
        let sender = content.sender;
        let key = self.key(&sender).ok_or(SealError::NotOurs(sender))?;
        let Addressing { disclosed, terms, memberships } = addressing;
        let mut payload = EncryptedPayload {
            content,
            recipients_commitment: disclosed.commitment(),
            terms: terms.clone(),
            memberships,
            boxes: Vec::new(),
            disclosed: None,
        };
        let context = self.wrap_context(&payload);
        for recipient in &disclosed.keys {
            let bound = bound_to(&context, recipient);
            let wrap = wrap_key(&key, recipient, &payload.content, &bound)
                .ok_or(SealError::WeakKey(*recipient))?;
            let mut wrapped = FixedBytes::<48>::ZERO;
            let (secret, tag_place) = wrapped.0.split_at_mut(content_key.len());
            secret.copy_from_slice(content_key);
            let tag = cipher(&wrap)
                .encrypt_in_place_detached(Nonce::from_slice(&WRAP_NONCE), &bound, secret)
                .map_err(|_| SealError::WeakKey(*recipient))?;
            tag_place.copy_from_slice(&tag);
            payload.boxes.push(KeyBox { recipient: *recipient, wrapped });
        }
        payload.disclosed = Some(disclosed);
        Ok(payload)
    }

    fn unwrap(
        &self,
        payload: &EncryptedPayload,
        key: &PartyKey,
    ) -> Result<Zeroizing<[u8; 32]>, OpenError> {
        let own = key.public();
        let mut boxes = payload.boxes.iter().filter(|one| one.recipient == own);
        let (sealed, tag) = boxes
            .next()
            .and_then(|one| one.wrapped.0.split_last_chunk::<TAG_BYTES>())
            .ok_or(OpenError)?;
        let bound = bound_to(&self.wrap_context(payload), &own);
        let wrap = wrap_key(key, &payload.sender(), &payload.content, &bound).ok_or(OpenError)?;
        let mut content_key = Zeroizing::new(<[u8; 32]>::try_from(sealed).map_err(|_| OpenError)?);
        cipher(&wrap)
            .decrypt_in_place_detached(
                Nonce::from_slice(&WRAP_NONCE),
                &bound,
                content_key.as_mut_slice(),
                Tag::from_slice(tag),
            )
            .map_err(|_| OpenError)?;
        Ok(content_key)
    }

    /// What every box binds but its recipient: environment, sender, content and envelope.
    fn wrap_context(&self, payload: &EncryptedPayload) -> Vec<u8> {
        [
            WRAP_DOMAIN,
            &[PAYLOAD_VERSION],
            self.environment.0.as_slice(),
            &payload.content.sender.0,
            payload.envelope_digest().as_slice(),
            payload.hash().0.as_slice(),
        ]
        .concat()
    }
}

/// An envelope with what was worked out for it.
struct Addressing<'a> {
    disclosed: Disclosure,
    terms: &'a PrivacyTerms,
    memberships: Vec<B256>,
}

fn bound_to(context: &[u8], recipient: &RecipientKey) -> Vec<u8> {
    [context, &recipient.0].concat()
}

/// The key of one box: HKDF-SHA256 over the shared secret, salted by the payload, for exactly this
/// context.
fn wrap_key(
    own: &PartyKey,
    other: &RecipientKey,
    content: &Content,
    bound: &[u8],
) -> Option<Zeroizing<[u8; 32]>> {
    let shared = own.agree(other)?;
    let mut key = Zeroizing::new([0; 32]);
    let derivation = Hkdf::<Sha256>::new(Some(content.salt.as_slice()), shared.as_bytes());
    derivation.expand(bound, key.as_mut_slice()).ok()?;
    Some(key)
}

fn disclosure(
    sender: &RecipientKey,
    recipients: &[RecipientKey],
    randomness: &SealRandomness,
) -> Result<Disclosure, SealError> {
    if recipients.len() > RECIPIENTS_MAX {
        return Err(SealError::Recipients(recipients.len()));
    }
    let keys: BTreeSet<_> = recipients.iter().chain([sender]).copied().collect();
    Ok(Disclosure { salt: randomness.recipients_salt, keys: keys.into_iter().collect() })
}

/// The parties that this node may know of: all where they are disclosed, otherwise the sender, our
/// own keys, and those that must be named every time.
fn visible_parties(payload: &EncryptedPayload, managed: &[RecipientKey]) -> Vec<RecipientKey> {
    payload.disclosed().unwrap_or_else(|| {
        let mandatory = &payload.terms.mandatory;
        let known = managed.iter().chain(mandatory).copied().chain([payload.sender()]);
        known.collect::<BTreeSet<_>>().into_iter().collect()
    })
}
