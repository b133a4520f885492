//! An encrypted payload: the content, which all parties share and whose hash stands on the chain,
//! and the envelope, of which each party gets its own part.

use alloy_primitives::{B256, B512, Bytes, FixedBytes};
use alloy_rlp::{Decodable as _, RlpDecodable, RlpEncodable};
use entente_chain::private::{PayloadHash, PrivacyFlag, PrivacyTerms, RecipientKey};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use tiny_keccak::{Hasher as _, Sha3};

/// Version of the format; bound by everything that is encrypted.
pub const PAYLOAD_VERSION: u8 = 1;
/// Largest plain payload, in bytes.
pub const PLAIN_BYTES_MAX: usize = 1024 * 1024;
/// Most recipients beside the sender.
pub const RECIPIENTS_MAX: usize = 256;
/// Most contracts that a payload may affect.
pub const AFFECTED_MAX: usize = 256;
/// Tag of AES-256-GCM, in bytes.
pub(crate) const TAG_BYTES: usize = 16;
/// Largest encoding of a payload: content, boxes, keys in three lists, affected contracts.
pub const PAYLOAD_BYTES_MAX: usize = PLAIN_BYTES_MAX + 128 * 1024;

const ENVELOPE_DOMAIN: &[u8] = b"entente private envelope";
const RECIPIENTS_DOMAIN: &[u8] = b"entente private recipients";

/// What all copies of a payload share. Its encoding is what [`PayloadHash`] is the hash of.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(crate) struct Content {
    pub(crate) version: u8,
    pub(crate) sender: RecipientKey,
    pub(crate) salt: B256,
    pub(crate) nonce: FixedBytes<12>,
    /// Binds the content key: AES-GCM alone lets a liar make one ciphertext that opens to different
    /// texts under different keys, and so give each party another payload under one hash.
    pub(crate) key_commitment: B256,
    /// Digest of the envelope, or none for a payload that was stored before its recipients were
    /// known (storeraw).
    pub(crate) envelope: Vec<B256>,
    pub(crate) ciphertext: Bytes,
}

/// The content key, encrypted to one party.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(crate) struct KeyBox {
    pub(crate) recipient: RecipientKey,
    pub(crate) wrapped: FixedBytes<48>,
}

/// The list of recipients that the commitment is about, as those may see it who may.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(crate) struct Disclosure {
    pub(crate) salt: B256,
    /// Ascending, the sender included.
    pub(crate) keys: Vec<RecipientKey>,
}

#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub(crate) struct Terms {
    flag: u8,
    affected: Vec<PayloadHash>,
    execution_root: Vec<B256>,
    mandatory: Vec<RecipientKey>,
}

#[derive(RlpEncodable, RlpDecodable)]
struct Encoded {
    content: Content,
    recipients_commitment: B256,
    terms: Terms,
    memberships: Vec<B256>,
    boxes: Vec<KeyBox>,
    disclosed: Vec<Disclosure>,
}

/// A payload as it is stored and sent. Which boxes it has, and whether it names all recipients,
/// depends on whose copy it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncryptedPayload {
    pub(crate) content: Content,
    pub(crate) recipients_commitment: B256,
    pub(crate) terms: PrivacyTerms,
    /// One for each affected contract: shows that the sender is a party to it.
    pub(crate) memberships: Vec<B256>,
    /// Ascending by recipient.
    pub(crate) boxes: Vec<KeyBox>,
    pub(crate) disclosed: Option<Disclosure>,
}

/// Bytes that are no encrypted payload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an encrypted payload: {0}")]
pub struct MalformedPayload(pub(crate) &'static str);

impl EncryptedPayload {
    /// The hash that stands on the chain.
    #[must_use]
    pub fn hash(&self) -> PayloadHash {
        let mut hasher = Sha3::v512();
        hasher.update(&alloy_rlp::encode(&self.content));
        let mut hash = [0; 64];
        hasher.finalize(&mut hash);
        PayloadHash(B512::from(hash))
    }

    /// Who sent it. Proven only by opening.
    #[must_use]
    pub fn sender(&self) -> RecipientKey {
        self.content.sender
    }

    /// What the sender fixed. Proven only by opening.
    #[must_use]
    pub const fn terms(&self) -> &PrivacyTerms {
        &self.terms
    }

    /// Length of the plain payload, in bytes.
    #[must_use]
    pub fn plain_length(&self) -> usize {
        self.content.ciphertext.len().saturating_sub(TAG_BYTES)
    }

    /// The keys that this copy has boxes for, ascending.
    #[must_use]
    pub fn boxed(&self) -> Vec<RecipientKey> {
        self.boxes.iter().map(|one| one.recipient).collect()
    }

    /// All recipients and the sender, ascending, where this copy names them: the sender's own copy
    /// and, with state validation, everybody's.
    #[must_use]
    pub fn disclosed(&self) -> Option<Vec<RecipientKey>> {
        Some(self.disclosed.as_ref()?.keys.clone())
    }

    /// Whether it was stored before its recipients were known, so that its hash does not bind them.
    #[must_use]
    pub const fn is_raw(&self) -> bool {
        self.content.envelope.is_empty()
    }

    /// The copy for the node of some recipients: their boxes, and the sender's, so that a sender
    /// that lost its store can be given it back. It names no other recipient unless the flag is
    /// [`PrivacyFlag::StateValidation`].
    #[must_use]
    pub fn copy_for(&self, keys: &[RecipientKey]) -> Self {
        let kept =
            |one: &&KeyBox| one.recipient == self.content.sender || keys.contains(&one.recipient);
        let disclosed = match self.terms.flag {
            PrivacyFlag::StateValidation => self.disclosed.clone(),
            _ => None,
        };
        Self { boxes: self.boxes.iter().filter(kept).cloned().collect(), disclosed, ..self.clone() }
    }

    /// Adds what another copy of the same payload knows more; `None` when they are not copies of
    /// one payload or contradict each other.
    #[must_use]
    pub fn merged_with(&self, other: &Self) -> Option<Self> {
        let same = self.agrees_with(other);
        let mut boxes: BTreeMap<RecipientKey, KeyBox> = BTreeMap::new();
        for one in self.boxes.iter().chain(&other.boxes) {
            let known = boxes.entry(one.recipient).or_insert_with(|| one.clone());
            if known.wrapped != one.wrapped {
                return None;
            }
        }
        let fits = boxes.len() <= RECIPIENTS_MAX + 1;
        let disclosed = self.disclosed.clone().or_else(|| other.disclosed.clone());
        (same && fits).then(|| Self {
            boxes: boxes.into_values().collect(),
            disclosed,
            ..self.clone()
        })
    }

    /// Whether another copy is of the same payload, with the same recipients and terms.
    pub(crate) fn agrees_with(&self, other: &Self) -> bool {
        self.content == other.content
            && self.recipients_commitment == other.recipients_commitment
            && self.terms == other.terms
            && self.memberships == other.memberships
    }

    /// The copy without the boxes that another copy has.
    pub(crate) fn without_boxes_of(mut self, other: &Self) -> Self {
        self.boxes.retain(|one| !other.boxes.iter().any(|known| known.recipient == one.recipient));
        self
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        alloy_rlp::encode(Encoded {
            content: self.content.clone(),
            recipients_commitment: self.recipients_commitment,
            terms: encoded_terms(&self.terms),
            memberships: self.memberships.clone(),
            boxes: self.boxes.clone(),
            disclosed: self.disclosed.iter().cloned().collect(),
        })
    }

    /// Reads one from bytes; form and bounds are checked, seals are not.
    ///
    /// # Errors
    /// When the bytes are no payload or break a bound.
    pub fn decode(mut bytes: &[u8]) -> Result<Self, MalformedPayload> {
        let refuse = |reason| Err(MalformedPayload(reason));
        if bytes.len() > PAYLOAD_BYTES_MAX {
            return refuse("too long");
        }
        let Ok(encoded) = Encoded::decode(&mut bytes) else { return refuse("not the form") };
        if !bytes.is_empty() {
            return refuse("trailing bytes");
        }
        let Encoded { content, recipients_commitment, terms, memberships, boxes, mut disclosed } =
            encoded;
        if content.version != PAYLOAD_VERSION {
            return refuse("unknown version");
        }
        let length = content.ciphertext.len();
        if length <= TAG_BYTES || length > PLAIN_BYTES_MAX + TAG_BYTES {
            return refuse("length of the content");
        }
        if content.envelope.len() > 1 || disclosed.len() > 1 {
            return refuse("more than one of a kind");
        }
        if memberships.len() > AFFECTED_MAX {
            return refuse("proofs");
        }
        let Some(terms) = decoded_terms(&terms) else { return refuse("terms") };
        let disclosed = disclosed.pop();
        let ascending = boxes.is_sorted_by(|a, b| a.recipient < b.recipient);
        if boxes.is_empty() || boxes.len() > RECIPIENTS_MAX + 1 || !ascending {
            return refuse("boxes");
        }
        if let Some(Disclosure { keys, .. }) = &disclosed {
            let boxed = boxes.iter().all(|one| keys.binary_search(&one.recipient).is_ok());
            if keys.len() > RECIPIENTS_MAX + 1 || !keys.is_sorted_by(|a, b| a < b) || !boxed {
                return refuse("recipients");
            }
        }
        Ok(Self { content, recipients_commitment, terms, memberships, boxes, disclosed })
    }

    /// What boxes bind beside the content.
    pub(crate) fn envelope_digest(&self) -> B256 {
        envelope_digest(&self.terms, &self.memberships, self.recipients_commitment)
    }
}

/// Digest of terms, proofs and recipients.
pub(crate) fn envelope_digest(
    terms: &PrivacyTerms,
    memberships: &[B256],
    recipients_commitment: B256,
) -> B256 {
    let mut digest = Sha256::new();
    digest.update(ENVELOPE_DOMAIN);
    digest.update([PAYLOAD_VERSION]);
    digest.update(recipients_commitment);
    digest.update(alloy_rlp::encode(encoded_terms(terms)));
    digest.update(alloy_rlp::encode(memberships.to_vec()));
    B256::from(<[u8; 32]>::from(digest.finalize()))
}

impl Disclosure {
    /// Hides the list from whoever does not know the salt, and fixes it.
    pub(crate) fn commitment(&self) -> B256 {
        let mut digest = Sha256::new();
        digest.update(RECIPIENTS_DOMAIN);
        digest.update(self.salt);
        self.keys.iter().for_each(|key| digest.update(key.0));
        B256::from(<[u8; 32]>::from(digest.finalize()))
    }
}

pub(crate) fn encoded_terms(terms: &PrivacyTerms) -> Terms {
    Terms {
        flag: terms.flag.number(),
        affected: terms.affected.clone(),
        execution_root: terms.execution_root.into_iter().collect(),
        mandatory: terms.mandatory.clone(),
    }
}

pub(crate) fn decoded_terms(terms: &Terms) -> Option<PrivacyTerms> {
    let fits = terms.affected.len() <= AFFECTED_MAX
        && terms.mandatory.len() <= RECIPIENTS_MAX + 1
        && terms.execution_root.len() <= 1;
    fits.then_some(())?;
    Some(PrivacyTerms {
        flag: PrivacyFlag::from_number(terms.flag.into())?,
        affected: terms.affected.clone(),
        execution_root: terms.execution_root.first().copied(),
        mandatory: terms.mandatory.clone(),
    })
}
