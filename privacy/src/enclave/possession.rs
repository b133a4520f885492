//! Proofs that a node holds the secret of a key, towards another node.

use super::Enclave;
use crate::payload::PAYLOAD_VERSION;
use alloy_primitives::B256;
use entente_chain::{NodeId, private::RecipientKey};
use hkdf::Hkdf;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

const POSSESSION_DOMAIN: &[u8] = b"entente private possession";

/// Who proves a key to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Possession {
    pub(crate) prover: NodeId,
    pub(crate) verifier: NodeId,
    /// The key that is proven.
    pub(crate) key: RecipientKey,
    /// A key of the verifier.
    pub(crate) challenge: RecipientKey,
}

impl Enclave {
    /// The proof that we, the prover, hold a key; `None` when it is not ours or the challenge is
    /// no key.
    pub(crate) fn prove(&self, claim: &Possession) -> Option<B256> {
        self.possession(claim, &claim.key, &claim.challenge)
    }

    /// Whether a proof towards us, the verifier, holds.
    pub(crate) fn is_proven(&self, claim: &Possession, proof: B256) -> bool {
        let expected = self.possession(claim, &claim.challenge, &claim.key);
        expected.is_some_and(|expected| bool::from(expected.as_slice().ct_eq(proof.as_slice())))
    }

    fn possession(
        &self,
        claim: &Possession,
        ours: &RecipientKey,
        theirs: &RecipientKey,
    ) -> Option<B256> {
        let shared = self.key(ours)?.agree(theirs)?;
        let info = [
            POSSESSION_DOMAIN,
            &[PAYLOAD_VERSION],
            self.environment.0.as_slice(),
            &claim.prover.0,
            &claim.verifier.0,
            &claim.key.0,
            &claim.challenge.0,
        ];
        let mut proof = B256::ZERO;
        let derivation = Hkdf::<Sha256>::new(None, shared.as_bytes());
        derivation.expand_multi_info(&info, proof.as_mut_slice()).ok()?;
        Some(proof)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::party_key::PartyKey;
    use entente_chain::EnvironmentId;
    use zeroize::Zeroizing;

    fn key(number: u8) -> PartyKey {
        PartyKey::new(Zeroizing::new([number; 32]))
    }

    fn enclave(number: u8) -> Enclave {
        Enclave::new(EnvironmentId(B256::ZERO), [key(number)])
    }

    #[test]
    fn a_proof_holds_for_its_key_nodes_and_challenge_only() {
        let claim = Possession {
            prover: NodeId([1; 32]),
            verifier: NodeId([2; 32]),
            key: key(1).public(),
            challenge: key(2).public(),
        };
        let proof = enclave(1).prove(&claim).unwrap();
        assert!(enclave(2).is_proven(&claim, proof));
        let stolen = Possession { prover: NodeId([3; 32]), ..claim };
        assert!(!enclave(2).is_proven(&stolen, proof));
        let passed_on =
            Possession { verifier: NodeId([3; 32]), challenge: key(3).public(), ..claim };
        assert!(!enclave(3).is_proven(&passed_on, proof));
        assert!(!enclave(2).is_proven(&Possession { key: key(3).public(), ..claim }, proof));
        assert!(!enclave(2).is_proven(&claim, B256::ZERO));
        assert_eq!(enclave(3).prove(&claim), None, "not our key");
        let weak = Possession { challenge: RecipientKey([0; 32]), ..claim };
        assert_eq!(enclave(1).prove(&weak), None);
    }
}
