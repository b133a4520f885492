//! Seals what a node keeps about private transactions in its database.
//!
//! One database key seals any number of values: each value has a key of its own, derived from half
//! of a 24-byte random nonce, so that 96-bit nonces need not last for all of them.

use crate::random::Randomness;
use aes_gcm::{Aes256Gcm, Key, KeyInit as _, Nonce, Tag, aead::AeadInPlace as _};
use entente_storage::ValueCipher;
use hkdf::Hkdf;
use sha2::Sha256;
use std::{fmt, sync::Arc};
use zeroize::Zeroizing;

const DOMAIN: &[u8] = b"entente database";
const VERSION: u8 = 1;
const TAG_BYTES: usize = 16;
/// Half derives the key of a value, half is its nonce.
const HALF: usize = 12;

/// The secret of a node's private columns. Wiped from memory on drop; never printed.
#[derive(Clone)]
pub struct DatabaseKey(Zeroizing<[u8; 32]>);

impl DatabaseKey {
    /// Takes 32 secret bytes.
    #[must_use]
    pub const fn new(secret: Zeroizing<[u8; 32]>) -> Self {
        Self(secret)
    }

    /// A new key.
    #[must_use]
    pub fn generate(randomness: &Randomness) -> Self {
        Self(Zeroizing::new(randomness.array()))
    }

    pub(crate) const fn secret(&self) -> &Zeroizing<[u8; 32]> {
        &self.0
    }
}

/// Shows nothing.
impl fmt::Debug for DatabaseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseKey")
    }
}

/// AES-256-GCM under a [`DatabaseKey`]: version (1), nonce (24), ciphertext, tag (16).
#[derive(Debug)]
pub struct DatabaseCipher {
    key: DatabaseKey,
    /// What the values are; a value of one purpose does not open as another.
    purpose: &'static str,
    randomness: Arc<Randomness>,
}

impl DatabaseCipher {
    /// A cipher for values of one purpose, such as `payloads`.
    #[must_use]
    pub const fn new(key: DatabaseKey, purpose: &'static str, randomness: Arc<Randomness>) -> Self {
        Self { key, purpose, randomness }
    }

    fn cipher(&self, derivation: &[u8; HALF]) -> Option<Aes256Gcm> {
        let mut key = Zeroizing::new([0; 32]);
        let info = [DOMAIN, &[VERSION], derivation, self.purpose.as_bytes()];
        let derivation = Hkdf::<Sha256>::from_prk(self.key.0.as_slice()).ok()?;
        derivation.expand_multi_info(&info, key.as_mut_slice()).ok()?;
        Some(Aes256Gcm::new(Key::<Aes256Gcm>::from_slice(key.as_slice())))
    }

    fn try_seal(&self, key: &[u8], value: &[u8]) -> Option<Vec<u8>> {
        let (derivation, nonce) =
            (self.randomness.array::<HALF>(), self.randomness.array::<HALF>());
        let mut sealed = Vec::with_capacity(value.len().saturating_add(1 + 2 * HALF + TAG_BYTES));
        sealed.push(VERSION);
        sealed.extend_from_slice(&derivation);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(value);
        let text = sealed.get_mut(1 + 2 * HALF..)?;
        let cipher = self.cipher(&derivation)?;
        let nonce = Nonce::from_slice(&nonce);
        let tag = cipher.encrypt_in_place_detached(nonce, key, text).ok()?;
        sealed.extend_from_slice(&tag);
        Some(sealed)
    }
}

impl ValueCipher for DatabaseCipher {
    #[expect(clippy::expect_used, reason = "AES-GCM refuses only values of 64 GiB")]
    fn seal(&self, key: &[u8], value: &[u8]) -> Vec<u8> {
        self.try_seal(key, value).expect("a value below 64 GiB")
    }

    fn open(&self, key: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (version, rest) = sealed.split_first()?;
        let (derivation, rest) = rest.split_first_chunk::<HALF>()?;
        let (nonce, rest) = rest.split_first_chunk::<HALF>()?;
        let (text, tag) = rest.split_last_chunk::<TAG_BYTES>()?;
        if *version != VERSION {
            return None;
        }
        let mut value = text.to_vec();
        let (nonce, tag) = (Nonce::from_slice(nonce), Tag::from_slice(tag));
        self.cipher(derivation)?.decrypt_in_place_detached(nonce, key, &mut value, tag).ok()?;
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::hex;

    fn cipher(seed: u64, purpose: &'static str) -> DatabaseCipher {
        let key = DatabaseKey::new(Zeroizing::new([9; 32]));
        DatabaseCipher::new(key, purpose, Arc::new(Randomness::from_seed(seed)))
    }

    #[test]
    fn a_value_opens_under_its_key_and_purpose_only() {
        let sealed = cipher(1, "payloads").seal(b"key", b"value");
        assert_eq!(cipher(2, "payloads").open(b"key", &sealed).unwrap(), b"value");
        assert_eq!(cipher(2, "payloads").open(b"other", &sealed), None);
        assert_eq!(cipher(2, "states").open(b"key", &sealed), None);
        for place in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[place / 8] ^= 1 << (place % 8);
            assert_eq!(cipher(2, "payloads").open(b"key", &changed), None, "bit {place}");
        }
        for end in 0..sealed.len() {
            assert_eq!(cipher(2, "payloads").open(b"key", &sealed[..end]), None);
        }
    }

    #[test]
    fn the_same_value_is_never_sealed_to_the_same_bytes() {
        let cipher = cipher(1, "payloads");
        assert_ne!(cipher.seal(b"key", b"value"), cipher.seal(b"key", b"value"));
    }

    /// Golden bytes: a database on disk is read by later versions.
    #[test]
    fn a_sealed_value_has_golden_bytes() {
        let sealed = hex!(
            "011111111111111111111111112222222222222222222222223c1c874568dcd49ff30ec61eb73cc584e0d731c956"
        );
        assert_eq!(cipher(2, "payloads").open(b"key", &sealed).as_deref(), Some(&b"value"[..]));
    }
}
