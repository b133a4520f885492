//! The content of a payload: encrypted once, the same for all parties.

use super::{OpenError, SealError, SealRandomness};
use crate::payload::{Content, PAYLOAD_VERSION, PLAIN_BYTES_MAX, TAG_BYTES};
use aes_gcm::{Aes256Gcm, Key, KeyInit as _, Nonce, Tag, aead::AeadInPlace as _};
use alloy_primitives::B256;
use entente_chain::{EnvironmentId, private::RecipientKey};
use hkdf::Hkdf;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

const CONTENT_DOMAIN: &[u8] = b"entente private content";
const CONTENT_KEY_DOMAIN: &[u8] = b"entente private content key";
const COMMITMENT_DOMAIN: &[u8] = b"entente private key commitment";

/// The commitment of a payload that is not sealed yet.
pub(super) fn key_commitment(randomness: &SealRandomness) -> B256 {
    ContentKeys::derive(&randomness.content_key, randomness.salt).commitment
}

/// Encrypts a plain payload; `envelope` is what is bound beside it.
pub(super) fn seal(
    environment: EnvironmentId,
    plain: &[u8],
    sender: &RecipientKey,
    envelope: Option<B256>,
    randomness: &SealRandomness,
) -> Result<Content, SealError> {
    if plain.is_empty() || plain.len() > PLAIN_BYTES_MAX {
        return Err(SealError::Length(plain.len()));
    }
    let keys = ContentKeys::derive(&randomness.content_key, randomness.salt);
    let mut content = Content {
        version: PAYLOAD_VERSION,
        sender: *sender,
        salt: randomness.salt,
        nonce: randomness.nonce,
        key_commitment: keys.commitment,
        envelope: envelope.into_iter().collect(),
        ciphertext: Default::default(),
    };
    let bound = digest(environment, &content);
    let mut sealed = Vec::with_capacity(plain.len().saturating_add(TAG_BYTES));
    sealed.extend_from_slice(plain);
    let tag = cipher(&keys.encryption)
        .encrypt_in_place_detached(
            Nonce::from_slice(&content.nonce.0),
            bound.as_slice(),
            &mut sealed,
        )
        .map_err(|_| SealError::Length(plain.len()))?;
    sealed.extend_from_slice(&tag);
    content.ciphertext = sealed.into();
    Ok(content)
}

/// The plain payload, when everything about the content is as it was made.
pub(super) fn open(
    environment: EnvironmentId,
    content: &Content,
    content_key: &[u8; 32],
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let keys = ContentKeys::derive(content_key, content.salt);
    if !bool::from(keys.commitment.as_slice().ct_eq(content.key_commitment.as_slice())) {
        return Err(OpenError);
    }
    let bound = digest(environment, content);
    let (sealed, tag) = content.ciphertext.split_last_chunk::<TAG_BYTES>().ok_or(OpenError)?;
    let mut plain = Zeroizing::new(sealed.to_vec());
    cipher(&keys.encryption)
        .decrypt_in_place_detached(
            Nonce::from_slice(&content.nonce.0),
            bound.as_slice(),
            &mut plain,
            Tag::from_slice(tag),
        )
        .map_err(|_| OpenError)?;
    Ok(plain)
}

/// What the ciphertext of the content binds: all of the content but itself, and the environment.
fn digest(environment: EnvironmentId, content: &Content) -> B256 {
    let mut digest = Sha256::new();
    digest.update(CONTENT_DOMAIN);
    digest.update([content.version]);
    digest.update(environment.0);
    digest.update(content.sender.0);
    digest.update(content.salt);
    digest.update(content.nonce);
    digest.update(content.key_commitment);
    content.envelope.iter().for_each(|bound| digest.update(bound));
    B256::from(<[u8; 32]>::from(digest.finalize()))
}

struct ContentKeys {
    encryption: Zeroizing<[u8; 32]>,
    commitment: B256,
}

impl ContentKeys {
    fn derive(content_key: &[u8; 32], salt: B256) -> Self {
        let mut keys = Self { encryption: Zeroizing::new([0; 32]), commitment: B256::ZERO };
        let derivation = Hkdf::<Sha256>::new(Some(salt.as_slice()), content_key);
        // HKDF-SHA256 gives up to 8160 bytes; 32 never fail.
        let first = derivation.expand(CONTENT_KEY_DOMAIN, keys.encryption.as_mut_slice());
        let second = derivation.expand(COMMITMENT_DOMAIN, keys.commitment.as_mut_slice());
        debug_assert!(first.is_ok() && second.is_ok(), "HKDF gives 32 bytes");
        keys
    }
}

/// AES-256-GCM under a key.
pub(super) fn cipher(key: &[u8; 32]) -> Aes256Gcm {
    Aes256Gcm::new(Key::<Aes256Gcm>::from_slice(key))
}
