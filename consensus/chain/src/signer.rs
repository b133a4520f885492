//! The validator's own key: signs with k256 (RFC 6979, deterministic), wiped from memory on drop.

use crate::extra_data::qbft::Seal;
use alloy_primitives::{Address, B256, keccak256};
use k256::ecdsa::SigningKey;
use zeroize::Zeroizing;

/// Why bytes are no secp256k1 secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a secp256k1 secret key: 32 bytes between 1 and n-1 are expected")]
pub struct SecretKeyError;

/// Signs seals and votes. Never printed: it has no `Debug`, `Display` or serialisation.
#[derive(Clone)]
pub struct SealSigner {
    // SigningKey zeroizes itself on drop.
    key: SigningKey,
    address: Address,
}

impl SealSigner {
    /// Takes a secret key.
    ///
    /// # Errors
    /// When the number is zero or not below the group order.
    pub fn new(secret: &Zeroizing<[u8; 32]>) -> Result<Self, SecretKeyError> {
        let key = SigningKey::from_slice(secret.as_slice()).map_err(|_| SecretKeyError)?;
        let public = key.verifying_key().to_encoded_point(false);
        let hash = keccak256(&public.as_bytes()[1..]);
        Ok(Self { key, address: Address::from_slice(&hash[12..]) })
    }

    /// The address of the key.
    #[must_use]
    pub const fn address(&self) -> Address {
        self.address
    }

    /// Signs a digest: `r ++ s ++ v` with low `s` and `v` in {0, 1}.
    ///
    /// # Panics
    /// Never in practice: RFC 6979 finds a nonce for every digest.
    #[must_use]
    pub fn sign(&self, digest: B256) -> Seal {
        if crate::seal::SIMULATED_SEALS {
            return crate::seal::simulated::seal(self.address, digest);
        }
        #[expect(clippy::expect_used, reason = "RFC 6979 finds a nonce for every digest")]
        let (signature, recovery) =
            self.key.sign_prehash_recoverable(digest.as_slice()).expect("RFC 6979 nonce");
        let mut seal = [0; 65];
        seal[..64].copy_from_slice(&signature.to_bytes());
        seal[64] = recovery.to_byte();
        seal.into()
    }
}
