//! One secret of 32 bytes, encrypted with a password: Argon2id, then AES-256-GCM.

use super::{KeyStoreError, file};
use crate::random::Randomness;
use aes_gcm::{Aes256Gcm, Key, KeyInit as _, Nonce, Tag, aead::AeadInPlace as _};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use entente_chain::private::RecipientKey;
use serde::{Deserialize, Serialize};
use std::path::Path;
use zeroize::Zeroizing;

const FORMAT_VERSION: u32 = 1;
const KDF: &str = "argon2id";
const CIPHER: &str = "aes-256-gcm";
/// Bounds on what a file may ask us to spend.
const MEMORY_KIB_MAX: u32 = 1024 * 1024;
const ITERATIONS_MAX: u32 = 16;
const LANES_MAX: u32 = 16;

/// What guessing one password costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KdfCost {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub iterations: u32,
    /// Lanes.
    pub parallelism: u32,
}

/// RFC 9106, 4: the second recommended option.
impl Default for KdfCost {
    fn default() -> Self {
        Self { memory_kib: 64 * 1024, iterations: 3, parallelism: 4 }
    }
}

impl KdfCost {
    fn is_bounded(&self) -> bool {
        self.memory_kib <= MEMORY_KIB_MAX
            && (1..=ITERATIONS_MAX).contains(&self.iterations)
            && (1..=LANES_MAX).contains(&self.parallelism)
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyFile {
    version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
    kdf: String,
    kdf_cost: KdfCost,
    salt: String,
    cipher: String,
    nonce: String,
    ciphertext: String,
}

impl KeyFile {
    pub(super) fn seal(
        purpose: &str,
        public_key: Option<RecipientKey>,
        secret: &Zeroizing<[u8; 32]>,
        (password, kdf_cost): (&Zeroizing<String>, KdfCost),
        randomness: &Randomness,
    ) -> Result<Self, KeyStoreError> {
        let refused = || KeyStoreError::Cost(kdf_cost);
        if !kdf_cost.is_bounded() {
            return Err(refused());
        }
        let (salt, nonce) = (randomness.array::<16>(), randomness.array::<12>());
        let mut file = Self {
            version: FORMAT_VERSION,
            public_key: public_key.map(|key| key.to_string()),
            kdf: KDF.to_owned(),
            kdf_cost,
            salt: STANDARD.encode(salt),
            cipher: CIPHER.to_owned(),
            nonce: STANDARD.encode(nonce),
            ciphertext: String::new(),
        };
        let cipher = file.cipher(&salt, password).ok_or_else(refused)?;
        let mut sealed = Zeroizing::new(secret.to_vec());
        let tag = cipher
            .encrypt_in_place_detached(Nonce::from_slice(&nonce), &file.bound(purpose), &mut sealed)
            .map_err(|_| refused())?;
        file.ciphertext = STANDARD.encode([sealed.as_slice(), &tag].concat());
        Ok(file)
    }

    pub(super) fn open(
        &self,
        path: &Path,
        purpose: &str,
        password: &Zeroizing<String>,
    ) -> Result<Zeroizing<[u8; 32]>, KeyStoreError> {
        let malformed = |cause: &str| malformed(path, cause);
        let salt: [u8; 16] = decode(&self.salt).ok_or_else(|| malformed("salt"))?;
        let nonce: [u8; 12] = decode(&self.nonce).ok_or_else(|| malformed("nonce"))?;
        let sealed: [u8; 48] = decode(&self.ciphertext).ok_or_else(|| malformed("ciphertext"))?;
        let refused = || KeyStoreError::Password { path: path.to_owned() };
        let cipher = self.cipher(&salt, password).ok_or_else(|| malformed("kdf_cost"))?;
        let (text, tag) = sealed.split_last_chunk::<16>().ok_or_else(refused)?;
        let mut secret = Zeroizing::new([0; 32]);
        secret.copy_from_slice(text);
        cipher
            .decrypt_in_place_detached(
                Nonce::from_slice(&nonce),
                &self.bound(purpose),
                secret.as_mut_slice(),
                Tag::from_slice(tag),
            )
            .map_err(|_| refused())?;
        Ok(secret)
    }

    pub(super) fn read(path: &Path) -> Result<Self, KeyStoreError> {
        let text = file::read_secret(path)?;
        let read: Self =
            serde_json::from_str(&text).map_err(|_| malformed(path, "not a key file"))?;
        let known = read.version == FORMAT_VERSION && read.kdf == KDF && read.cipher == CIPHER;
        if !known {
            return Err(malformed(path, "version, kdf or cipher is not one this version knows"));
        }
        if !read.kdf_cost.is_bounded() {
            return Err(malformed(path, "kdf_cost asks for too much or nothing"));
        }
        Ok(read)
    }

    pub(super) fn public_key(&self, path: &Path) -> Result<RecipientKey, KeyStoreError> {
        let text = self.public_key.as_deref().unwrap_or_default();
        text.parse().map_err(|_| malformed(path, "public_key"))
    }

    pub(super) fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    fn cipher(&self, salt: &[u8], password: &Zeroizing<String>) -> Option<Aes256Gcm> {
        let KdfCost { memory_kib, iterations, parallelism } = self.kdf_cost;
        let params = Params::new(memory_kib, iterations, parallelism, Some(32)).ok()?;
        let mut key = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(password.as_bytes(), salt, key.as_mut_slice())
            .ok()?;
        Some(Aes256Gcm::new(Key::<Aes256Gcm>::from_slice(key.as_slice())))
    }

    /// Everything in the file that is not secret.
    fn bound(&self, purpose: &str) -> Vec<u8> {
        let KdfCost { memory_kib, iterations, parallelism } = self.kdf_cost;
        let public = self.public_key.as_deref().unwrap_or_default();
        let cost = format!("{memory_kib},{iterations},{parallelism}");
        ["entente key file", &self.version.to_string(), purpose, public, &cost]
            .join("\n")
            .into_bytes()
    }
}

fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

fn malformed(path: &Path, cause: &str) -> KeyStoreError {
    KeyStoreError::Malformed { path: path.to_owned(), cause: cause.to_owned() }
}
