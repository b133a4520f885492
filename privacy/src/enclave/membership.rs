//! Proofs that a sender is a party to the contracts that its payload affects: their creations stand
//! on the chain, so anybody could name them, but only parties know their content keys.

use super::{Creation, Enclave, OpenError};
use crate::payload::{EncryptedPayload, PAYLOAD_VERSION};
use alloy_primitives::B256;
use entente_chain::private::RecipientKey;
use hkdf::Hkdf;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

const MEMBERSHIP_DOMAIN: &[u8] = b"entente private membership";

/// Sender, salt and key commitment of the payload that a proof is for: one proof fits no other.
type For<'a> = (&'a RecipientKey, B256, B256);

impl Enclave {
    pub(super) fn memberships(
        &self,
        creations: &[Creation],
        new: For<'_>,
    ) -> Result<Vec<B256>, OpenError> {
        creations.iter().map(|creation| self.membership(creation, new)).collect()
    }

    /// Whether the sender of a payload has shown that it is a party to an affected contract, whose
    /// place in the terms is `index`. We must be a party to it too.
    pub(crate) fn is_member(
        &self,
        payload: &EncryptedPayload,
        index: usize,
        creation: &Creation,
    ) -> bool {
        let new = (&payload.sender(), payload.content.salt, payload.content.key_commitment);
        let (Ok(expected), Some(shown)) =
            (self.membership(creation, new), payload.memberships.get(index))
        else {
            return false;
        };
        bool::from(expected.as_slice().ct_eq(shown.as_slice()))
    }

    fn membership(&self, creation: &Creation, new: For<'_>) -> Result<B256, OpenError> {
        match creation {
            Creation::Sealed(creation) => {
                let ours = creation.boxed().into_iter().find_map(|key| self.key(&key));
                let key: Zeroizing<[u8; 32]> = self.unwrap(creation, &*ours.ok_or(OpenError)?)?;
                self.proof(creation.content.salt.as_slice(), key.as_slice(), new)
            }
            Creation::Imported { hash, plain } => self.proof(hash.0.as_slice(), plain, new),
        }
    }

    fn proof(&self, salt: &[u8], secret: &[u8], new: For<'_>) -> Result<B256, OpenError> {
        let (sender, new_salt, key_commitment) = new;
        let info = [
            MEMBERSHIP_DOMAIN,
            &[PAYLOAD_VERSION],
            self.environment.0.as_slice(),
            &sender.0,
            new_salt.as_slice(),
            key_commitment.as_slice(),
        ];
        let mut proof = B256::ZERO;
        let derivation = Hkdf::<Sha256>::new(Some(salt), secret);
        derivation.expand_multi_info(&info, proof.as_mut_slice()).map_err(|_| OpenError)?;
        Ok(proof)
    }
}
